package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"math"
	"net/netip"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"btcsniff/record"
	"btcsniff/sink"
)

// A part is what is to be stored of a batch.
type part struct {
	batch   *record.Batch
	capture int32
	stored  map[recordKey]struct{} // the records that are stored already
}

// fresh says whether a record is not stored yet.
func (p *part) fresh(k record.Kind, m *record.Meta, index int) bool {
	if len(p.stored) == 0 {
		return true
	}
	_, ok := p.stored[keyOfRecord(k, m, index)]
	return !ok
}

// each calls f for all of the batch's messages.
func (p *part) each(f func(m *record.Meta)) {
	b := p.batch
	for i := range b.Invs {
		f(&b.Invs[i].Meta)
	}
	for i := range b.Txs {
		f(&b.Txs[i].Meta)
	}
	for i := range b.Blocks {
		f(&b.Blocks[i].Meta)
	}
	for i := range b.Pings {
		f(&b.Pings[i].Meta)
	}
	for i := range b.Pongs {
		f(&b.Pongs[i].Meta)
	}
	for i := range b.Versions {
		f(&b.Versions[i].Meta)
	}
	for i := range b.Addrs {
		f(&b.Addrs[i].Meta)
	}
}

// A writer has an appender for each table that it has been given rows for.
type writer struct {
	conn   driver.Conn
	tables map[string]*duckdb.Appender
}

// row appends a row; its values are in the order of the table's columns.
func (w *writer) row(catalog, table string, values ...driver.Value) error {
	a := w.tables[table]
	if a == nil {
		var err error
		if a, err = duckdb.NewAppender(w.conn, catalog, "main", table); err != nil {
			return oneLine(err)
		}
		w.tables[table] = a
	}
	return oneLine(a.AppendRow(values...))
}

// close hands all rows over to the transaction, and frees the appenders.
func (w *writer) close(ctx context.Context) error {
	var first error
	for _, a := range w.tables {
		if err := a.CloseWithCancel(ctx); err != nil && first == nil {
			first = err
		}
	}
	return oneLine(first)
}

// append appends the part's records that aren't stored yet to their tables, and returns how many these are.
func (s *Sink) append(ctx context.Context, p *part) (added uint64, err error) {
	err = s.conn.Raw(func(conn any) error {
		dc, ok := conn.(driver.Conn)
		if !ok {
			return errors.New("no connection of DuckDB's driver")
		}
		w := &writer{conn: dc, tables: map[string]*duckdb.Appender{}}
		if added, err = s.appendKinds(w, p); err != nil {
			w.close(ctx) //nolint:errcheck // the first error counts
			return err
		}
		return w.close(ctx)
	})
	if err != nil {
		return 0, err
	}
	merge := mergeStaged
	if s.placed {
		merge += ";" + mergeStagedPlace
	}
	_, err = s.conn.ExecContext(ctx, merge)
	return added, oneLine(err)
}

func (s *Sink) appendKinds(w *writer, p *part) (added uint64, err error) {
	for _, kind := range []func(*writer, *part) (uint64, error){
		s.stageConns, s.appendInvs, appendTxs, appendBlocks, appendPings, appendPongs, appendVersions, appendAddrs,
	} {
		n, err := kind(w, p)
		if err != nil {
			return 0, err
		}
		added += n
	}
	return added, nil
}

// appendInvs appends a row for each message, one for each item that has no id yet, and one with the first sightings of each item that
// peers announced.
func (s *Sink) appendInvs(w *writer, p *part) (added uint64, err error) {
	var ids []any
	found := firsts{at: map[int64]int{}}
	for i := range p.batch.Invs {
		r := &p.batch.Invs[i]
		if r.N == 0 || !p.fresh(record.KindInv, &r.Meta, 0) {
			continue
		}
		ids = ids[:0]
		least, most := int64(math.MaxInt64), int64(0)
		vects := p.batch.Vects[r.First : r.First+r.N]
		for k := range vects {
			v := &vects[k]
			id, fresh := s.items.id(v)
			n := id.(int64)
			least, most = min(least, n), max(most, n)
			if fresh {
				if err := w.row("", "item", id, int64(v.Type), display(v.Hash)); err != nil {
					return 0, err
				}
			}
			ids = append(ids, id)
			if !r.Outbound() {
				found.add(n, sighting{r.SeenAt, int64(r.Conn.ID)})
			}
		}
		if err := w.row("", "inv_message", r.SeenAt.Std(), r.FirstByteAt.Std(), p.capture, int64(r.Conn.ID), r.FromB, r.Outbound(),
			int64(r.Pos), ids, least, most); err != nil {
			return 0, err
		}
		added += uint64(r.N)
	}
	return added, appendFirsts(w, &found)
}

// appendTxs appends transactions with their inputs and outputs.
func appendTxs(w *writer, p *part) (added uint64, err error) {
	for i := range p.batch.Txs {
		r := &p.batch.Txs[i]
		if !p.fresh(record.KindTx, &r.Meta, 0) {
			continue
		}
		txid := display(r.TxID)
		err := w.row("", "tx", metaRow(p, &r.Meta, txid, display(r.WTxID), r.Version, int64(r.LockTime), int32(r.Size), int32(r.Weight))...)
		if err != nil {
			return 0, err
		}
		conn, pos, seen := int64(r.Conn.ID), int64(r.Pos), r.SeenAt.Std()
		for k := range r.Inputs {
			in := &r.Inputs[k]
			if err := w.row("", "tx_input", p.capture, conn, r.FromB, pos, seen, txid, int32(k),
				display(in.TxID), int64(in.Vout), int64(in.Sequence)); err != nil {
				return 0, err
			}
		}
		for k := range r.Outputs {
			out := &r.Outputs[k]
			if err := w.row("", "tx_output", p.capture, conn, r.FromB, pos, seen, txid, int32(k),
				out.Value, sink.Text(out.ScriptType), textOrNull(out.Address)); err != nil {
				return 0, err
			}
		}
		added++
	}
	return added, nil
}

func appendBlocks(w *writer, p *part) (added uint64, err error) {
	for i := range p.batch.Blocks {
		r := &p.batch.Blocks[i]
		if !p.fresh(record.KindBlock, &r.Meta, r.Index) {
			continue
		}
		if err := w.row("", "block", metaRow(p, &r.Meta, int32(r.Index), sink.Text(r.Via), display(r.Hash), display(r.Prev))...); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}

func appendPings(w *writer, p *part) (added uint64, err error) {
	for i := range p.batch.Pings {
		r := &p.batch.Pings[i]
		if !p.fresh(record.KindPing, &r.Meta, 0) {
			continue
		}
		if err := w.row("", "ping", metaRow(p, &r.Meta, r.Nonce)...); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}

func appendPongs(w *writer, p *part) (added uint64, err error) {
	for i := range p.batch.Pongs {
		r := &p.batch.Pongs[i]
		if !p.fresh(record.KindPong, &r.Meta, 0) {
			continue
		}
		var rtt driver.Value
		if us, ok := r.RTT(); ok {
			rtt = us
		}
		if err := w.row("", "pong", metaRow(p, &r.Meta, r.Nonce, rtt)...); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}

func appendVersions(w *writer, p *part) (added uint64, err error) {
	for i := range p.batch.Versions {
		r := &p.batch.Versions[i]
		if !p.fresh(record.KindVersion, &r.Meta, 0) {
			continue
		}
		if err := w.row("", "version", metaRow(p, &r.Meta, r.Protocol, r.Services, claimed(r.Timestamp),
			endpoint(r.AddrRecv), endpoint(r.AddrFrom), r.Nonce, sink.Text(r.UserAgent), r.StartHeight, r.Relay)...); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}

func appendAddrs(w *writer, p *part) (added uint64, err error) {
	for i := range p.batch.Addrs {
		r := &p.batch.Addrs[i]
		if !p.fresh(record.KindAddr, &r.Meta, r.Index) {
			continue
		}
		if err := w.row("", "addr", metaRow(p, &r.Meta, int32(r.Index), sink.Text(r.Address), int32(r.Port), r.Services,
			claimed(r.LastSeen))...); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}

// metaRow returns a row of a table that begins with the columns that all records have.
func metaRow(p *part, m *record.Meta, own ...driver.Value) []driver.Value {
	row := append(make([]driver.Value, 0, 7+len(own)), p.capture, int64(m.Conn.ID), m.FromB, m.Outbound(), int64(m.Pos),
		m.SeenAt.Std(), m.FirstByteAt.Std())
	return append(row, own...)
}

// display returns h as it is stored: in the order that block explorers show.
func display(h record.Hash) []byte {
	h = h.Display()
	return h[:]
}

// claimed returns a time that a peer claims, in seconds since the Unix epoch, or null outside the years 1970 to 9999.
func claimed(s int64) driver.Value {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	if s < 0 || s > last {
		return nil
	}
	return time.Unix(s, 0).UTC()
}

// endpoint returns "ip:port" or "[v6]:port", or null if there is none.
func endpoint(a netip.AddrPort) driver.Value {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}
