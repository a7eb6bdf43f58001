package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"btcsniff/record"
	"btcsniff/sink"
)

// A part is what a batch has of one capture.
type part struct {
	capture *capture
	batch   *record.Batch
	digest  [32]byte
	skip    [record.NumKinds][]bool // records that are stored already, by their index; nil for none
	done    bool                    // the whole batch is stored already
	added   uint64
	id      int64 // of the batch row
}

// stored says whether record i of a kind is stored already.
func (p *part) stored(k record.Kind, i int) bool { return p.skip[k] != nil && p.skip[k][i] }

// each calls f with each message's or record's Meta, connections' ends excepted.
func (p *part) each(f func(k record.Kind, i int, m *record.Meta)) {
	b := p.batch
	for i := range b.Invs {
		f(record.KindInv, i, &b.Invs[i].Meta)
	}
	for i := range b.Txs {
		f(record.KindTx, i, &b.Txs[i].Meta)
	}
	for i := range b.Blocks {
		f(record.KindBlock, i, &b.Blocks[i].Meta)
	}
	for i := range b.Pings {
		f(record.KindPing, i, &b.Pings[i].Meta)
	}
	for i := range b.Pongs {
		f(record.KindPong, i, &b.Pongs[i].Meta)
	}
	for i := range b.Versions {
		f(record.KindVersion, i, &b.Versions[i].Meta)
	}
	for i := range b.Addrs {
		f(record.KindAddr, i, &b.Addrs[i].Meta)
	}
}

// Write stores b in one transaction. When the connection is lost it waits for the database, as long as ctx allows, also when the
// answer to the COMMIT was lost: the batch's row then tells whether it is stored. An error that waiting doesn't help is returned at once.
func (s *Sink) Write(ctx context.Context, b *record.Batch) (added uint64, err error) {
	if b.Len() == 0 {
		return 0, nil
	}
	parts, err := s.split(b)
	if err != nil {
		return 0, s.explain(err)
	}
	asked := false // a COMMIT was sent, and its answer hasn't come
	err = s.persist(ctx, func(ctx context.Context, db *pgx.Conn) error {
		return s.store(ctx, db, parts, &asked)
	})
	if err != nil {
		for _, p := range parts {
			if asked {
				s.doubt[p.digest] = struct{}{}
			}
		}
		return 0, err
	}
	for _, p := range parts {
		delete(s.doubt, p.digest)
		added += p.added
		p.capture.last = max(p.capture.last, p.id)
	}
	s.items.known.age()
	s.conns.age()
	s.keeper.wrote(b.Newest())
	return added, nil
}

// split returns b as parts, ordered by their captures' ids: the order in which these are locked.
func (s *Sink) split(b *record.Batch) ([]*part, error) {
	batches := []*record.Batch{b}
	if b.Capture == nil {
		batches = separate(b)
	}
	var parts []*part
	for _, b := range batches {
		c := s.captures[b.Capture]
		if c == nil {
			return nil, &mistakeError{fmt.Sprintf("capture %q of sensor %q was not begun", b.Capture.Name, b.Capture.Sensor)}
		}
		parts = append(parts, &part{capture: c, batch: b, digest: sink.Digest(b)})
	}
	slices.SortFunc(parts, func(a, b *part) int { return cmp.Compare(a.capture.id, b.capture.id) })
	return parts, nil
}

// separate copies a batch of several captures into one for each.
func separate(b *record.Batch) []*record.Batch {
	var list []*record.Batch
	to := func(c *record.Conn) *record.Batch {
		for _, b := range list {
			if b.Capture == c.Capture {
				return b
			}
		}
		list = append(list, &record.Batch{Capture: c.Capture, Seq: b.Seq})
		return list[len(list)-1]
	}
	for _, ref := range b.Order {
		switch i := ref.Index; ref.Kind {
		case record.KindInv:
			r := &b.Invs[i]
			to(r.Conn).Inv(r.Meta, b.Vects[r.First:r.First+r.N])
		case record.KindTx:
			to(b.Txs[i].Conn).Tx(b.Txs[i])
		case record.KindBlock:
			to(b.Blocks[i].Conn).Block(b.Blocks[i])
		case record.KindPing:
			to(b.Pings[i].Conn).Ping(b.Pings[i])
		case record.KindPong:
			to(b.Pongs[i].Conn).Pong(b.Pongs[i])
		case record.KindVersion:
			to(b.Versions[i].Conn).Version(b.Versions[i])
		case record.KindAddr:
			to(b.Addrs[i].Conn).Addr(b.Addrs[i])
		case record.KindConn:
			to(b.Conns[i].Conn).Conn(b.Conns[i])
		}
	}
	return list
}

// store does Write's work in one transaction.
func (s *Sink) store(ctx context.Context, db *pgx.Conn, parts []*part, asked *bool) error {
	if err := s.addDays(ctx, db, parts); err != nil {
		return err
	}
	if err := s.begin(ctx, db, parts, *asked); err != nil {
		return err
	}
	*asked = false
	s.tables.reset()
	for _, p := range parts {
		if p.done {
			continue
		}
		if err := s.storePart(ctx, db, p); err != nil {
			return err
		}
	}
	if err := s.tables.send(ctx, db); err != nil {
		return err
	}
	for _, p := range parts {
		if p.done {
			continue
		}
		if err := s.finish(ctx, db, p); err != nil {
			return err
		}
	}
	*asked = true
	if _, err := db.Exec(ctx, `COMMIT`); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// begin begins the transaction, waits until no other process stores records of the same captures, and finds out what is stored of the
// parts. asked says that an earlier try of this Write may have been committed after all.
func (s *Sink) begin(ctx context.Context, db *pgx.Conn, parts []*part, asked bool) error {
	var queue pgx.Batch
	queue.Queue(`BEGIN`)
	for _, p := range parts {
		queue.Queue(`SELECT pg_advisory_xact_lock(hashtextextended('btcsniff capture ' || current_schema() || $1::int, 0))`, p.capture.id)
	}
	for _, p := range parts {
		p.skip, p.done, p.added, p.id = [record.NumKinds][]bool{}, false, 0, 0
		queue.Queue(`SELECT records, writer FROM batch WHERE capture = $1 AND digest = $2`, p.capture.id, p.digest[:]).
			QueryRow(func(row pgx.Row) error {
				var records, writer int64
				err := row.Scan(&records, &writer)
				if errors.Is(err, pgx.ErrNoRows) {
					return nil
				}
				p.done = true
				if _, doubt := s.doubt[p.digest]; (asked || doubt) && writer == s.writer {
					p.added = uint64(records)
				}
				return err
			})
		queue.Queue(`SELECT coalesce(max(id), 0) FROM batch WHERE capture = $1`, p.capture.id).
			QueryRow(func(row pgx.Row) error {
				var last int64
				err := row.Scan(&last)
				if last != p.capture.last {
					p.capture.filter, p.capture.last = true, last
				}
				return err
			})
	}
	if err := db.SendBatch(ctx, &queue).Close(); err != nil {
		return fmt.Errorf("begin batch: %w", err)
	}
	return nil
}

// storePart stores what rows of tables.send refer to, and adds these rows.
func (s *Sink) storePart(ctx context.Context, db *pgx.Conn, p *part) error {
	if p.capture.filter {
		if err := s.filter(ctx, db, p); err != nil {
			return err
		}
	}
	if err := s.storeConns(ctx, db, p); err != nil {
		return err
	}
	s.pack(p)
	if err := s.items.store(ctx, db); err != nil {
		return err
	}
	for i := range s.chunks {
		s.chunks[i].encode(&s.tables.chunk, p.capture.id, p.batch)
	}
	s.tables.add(p)
	for i := range p.batch.Invs {
		if !p.stored(record.KindInv, i) {
			p.added += uint64(p.batch.Invs[i].N)
		}
	}
	return nil
}

// finish stores the ends of connections, and the part's batch row if anything of the part was new.
func (s *Sink) finish(ctx context.Context, db *pgx.Conn, p *part) error {
	ended, err := s.storeEnds(ctx, db, p)
	if err != nil {
		return err
	}
	p.added += ended
	if p.added == 0 { // all of it was stored before, in batches with other borders
		return nil
	}
	err = db.QueryRow(ctx, `INSERT INTO batch (capture, seq, digest, records, writer) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
		p.capture.id, int64(p.batch.Seq), p.digest[:], int64(p.added), s.writer).Scan(&p.id)
	if err != nil {
		return fmt.Errorf("store batch: %w", err)
	}
	return nil
}

// Days outside of these have a partition for all that are before or after: schema's 0001_tables.sql.
const (
	firstDay = 14_245 // 2009-01-01
	endDay   = 50_039 // 2107-01-01
)

// addDays makes the partitions of the days that the parts have records of, each day in a transaction of its own.
func (s *Sink) addDays(ctx context.Context, db *pgx.Conn, parts []*part) error {
	var missing []int32
	last := int32(firstDay - 1)
	for _, p := range parts {
		p.each(func(_ record.Kind, _ int, m *record.Meta) {
			day := dayOf(m.SeenAt)
			if day == last || day < firstDay || day >= endDay || s.days[day] {
				return
			}
			last = day
			missing = append(missing, day)
		})
	}
	slices.Sort(missing)
	for _, day := range slices.Compact(missing) {
		if _, err := db.Exec(ctx, `SELECT add_day($1)`, date(day)); err != nil {
			return fmt.Errorf("add partitions of %s: %w", (record.Time(day) * dayLen).Std().Format("2006-01-02"), err)
		}
		s.days[day] = true
	}
	return nil
}
