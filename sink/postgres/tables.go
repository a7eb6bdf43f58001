package postgres

import (
	"context"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"btcsniff/record"
)

// tables are the rows on their way to the tables that hold records. Their columns are named in the order in which the methods here
// give the values.
type tables struct {
	chunk, tx, input, output, block, ping, pong, version, addr rows
}

func newTables() tables {
	const meta = "capture, conn, from_b, outbound, pos, seen_at, first_byte_at, "
	const place = "capture, conn, from_b, pos, seen_at, txid, index, "
	return tables{
		chunk: newRows("inv_chunk", "capture, minute, day, seen_min, seen_max, received, piece_at, piece_of, conn, from_b, outbound, pos, seen, taken, start, items, till, entry"),
		tx:    newRows("tx", meta+"txid, wtxid, version, lock_time, size, weight"),
		input: newRows("tx_input", place+"prev_txid, prev_vout, sequence"), output: newRows("tx_output", place+"value, script_type, address"),
		block:   newRows("block", meta+"index, via, hash, prev"),
		ping:    newRows("ping", meta+"nonce"),
		pong:    newRows("pong", meta+"nonce, rtt_us"),
		version: newRows("version", meta+"protocol, services, claimed_at, addr_recv, addr_from, nonce, user_agent, start_height, relay"),
		addr:    newRows("addr", meta+"index, address, port, services, last_seen"),
	}
}

func (t *tables) all() [9]*rows {
	return [...]*rows{&t.chunk, &t.tx, &t.input, &t.output, &t.block, &t.ping, &t.pong, &t.version, &t.addr}
}

func (t *tables) reset() {
	for _, r := range t.all() {
		r.reset()
	}
}

func (t *tables) send(ctx context.Context, db *pgx.Conn) error {
	for _, r := range t.all() {
		if err := r.send(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

// add adds the rows of the part's records that aren't stored yet, announcements and connections excepted.
func (t *tables) add(p *part) {
	p.each(func(k record.Kind, i int, m *record.Meta) {
		if k == record.KindInv || p.stored(k, i) {
			return
		}
		p.added++
		b, id := p.batch, p.capture.id
		switch k {
		case record.KindTx:
			t.addTx(id, &b.Txs[i])
		case record.KindBlock:
			r, w := &b.Blocks[i], &t.block
			w.meta(id, m)
			w.int4(int32(r.Index))
			w.text(r.Via)
			w.hash(r.Hash)
			w.hash(r.Prev)
		case record.KindPing:
			t.ping.meta(id, m)
			t.ping.numeric(b.Pings[i].Nonce)
		case record.KindPong:
			t.pong.meta(id, m)
			t.pong.numeric(b.Pongs[i].Nonce)
			if rtt, ok := b.Pongs[i].RTT(); ok {
				t.pong.int8(rtt)
			} else {
				t.pong.null()
			}
		case record.KindVersion:
			t.addVersion(id, &b.Versions[i])
		case record.KindAddr:
			r, w := &b.Addrs[i], &t.addr
			w.meta(id, m)
			w.int4(int32(r.Index))
			w.text(r.Address)
			w.int4(int32(r.Port))
			w.numeric(r.Services)
			w.seconds(r.LastSeen)
		}
	})
}

func (t *tables) addTx(capture int32, r *record.Tx) {
	w := &t.tx
	w.meta(capture, &r.Meta)
	w.hash(r.TxID)
	w.hash(r.WTxID)
	w.int4(r.Version)
	w.int8(int64(r.LockTime))
	w.int4(int32(r.Size))
	w.int4(int32(r.Weight))
	for i := range r.Inputs {
		in := &r.Inputs[i]
		t.input.place(capture, r, i)
		t.input.hash(in.TxID)
		t.input.int8(int64(in.Vout))
		t.input.int8(int64(in.Sequence))
	}
	for i := range r.Outputs {
		out := &r.Outputs[i]
		t.output.place(capture, r, i)
		t.output.int8(out.Value)
		t.output.text(out.ScriptType)
		t.output.textOrNull(out.Address)
	}
}

func (t *tables) addVersion(capture int32, r *record.Version) {
	w := &t.version
	w.meta(capture, &r.Meta)
	w.int4(r.Protocol)
	w.numeric(r.Services)
	w.seconds(r.Timestamp)
	w.endpoint(r.AddrRecv)
	w.endpoint(r.AddrFrom)
	w.numeric(r.Nonce)
	w.text(r.UserAgent)
	w.int4(r.StartHeight)
	w.bool(r.Relay)
}

// meta begins a row with the values that all records have.
func (r *rows) meta(capture int32, m *record.Meta) {
	r.row()
	r.int4(capture)
	r.int8(int64(m.Conn.ID))
	r.bool(m.FromB)
	r.bool(m.Outbound())
	r.int8(int64(m.Pos))
	r.time(m.SeenAt)
	r.time(m.FirstByteAt)
}

// place begins a row of an input or output.
func (r *rows) place(capture int32, tx *record.Tx, index int) {
	r.row()
	r.int4(capture)
	r.int8(int64(tx.Conn.ID))
	r.bool(tx.FromB)
	r.int8(int64(tx.Pos))
	r.time(tx.SeenAt)
	r.hash(tx.TxID)
	r.int4(int32(index))
}

func (r *rows) endpoint(a netip.AddrPort) {
	if !a.IsValid() {
		r.null()
		return
	}
	r.text(a.String())
}
