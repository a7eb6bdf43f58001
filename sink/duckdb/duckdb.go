// Package duckdb stores batches of records in the embedded database, a file. It is the only package that needs DuckDB, and
// with it cgo; the tables are schema's.
//
// An inv message is one row that holds the ids of what it announces; what these are is in the table item. One process at a
// time can have the file open.
package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"btcsniff/record"
	"btcsniff/sink"
)

// A Sink stores records in a DuckDB file. It is used by one goroutine.
type Sink struct {
	path string
	db   *sql.DB
	conn *sql.Conn // all is done on this one connection

	captures map[captureKey]*capture
	items    *items
	conns    *recent[uint64, struct{}] // connections that are known to have a row

	where  func(host string) record.Place // see Locate
	placed bool                           // the batch has staged places
}

// A captureKey is what identifies a capture in every run.
type captureKey struct {
	sensor string
	first  record.Time
	digest [32]byte
}

func keyOf(c *record.Capture) captureKey { return captureKey{c.Sensor, c.First, c.Digest} }

// A capture is one whose row exists.
type capture struct {
	id int32
	// again says that an earlier run stored records of it, so that each record may be stored already.
	again bool
}

// Open opens the database file at path, makes it if there is none, and brings its tables up to date. It fails with one line
// that says what to do if another process has the file open, if it is no DuckDB database, if it holds something else's tables,
// or those of a newer program.
func Open(path string) (*Sink, error) {
	db, conn, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &Sink{path: path, db: db, conn: conn, where: record.PlaceOf}
	s.forget()
	if err := s.prepare(context.Background()); err != nil {
		s.Close() //nolint:errcheck // the first error counts
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

// prepare brings the tables up to date and looks up where numbering goes on.
func (s *Sink) prepare(ctx context.Context) error {
	if err := migrate(ctx, s.conn); err != nil {
		return err
	}
	if _, err := s.conn.ExecContext(ctx, createStaged+";"+createStagedPlace); err != nil {
		return oneLine(err)
	}
	if err := s.conn.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) + 1 FROM item`).Scan(&s.items.next); err != nil {
		return oneLine(err)
	}
	s.captures = map[captureKey]*capture{}
	return nil
}

// forget empties what is remembered of the database: after an error it may be wrong.
func (s *Sink) forget() {
	next := int64(0)
	if s.items != nil {
		next = s.items.next
	}
	s.items = newItems(next)
	s.conns = newRecent[uint64, struct{}](keepConns)
}

// Begin finds or makes c's row and returns the number of its records that are stored.
func (s *Sink) Begin(ctx context.Context, c *record.Capture) (stored uint64, err error) {
	err = s.transact(ctx, func() error {
		var id int32
		if id, stored, err = findCapture(ctx, s.conn, c); err != nil {
			return err
		}
		s.captures[keyOf(c)] = &capture{id: id, again: stored > 0}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("begin capture %s in %s: %w", c.Name, s.path, err)
	}
	return stored, nil
}

func findCapture(ctx context.Context, db *sql.Conn, c *record.Capture) (id int32, stored uint64, err error) {
	sensor := sink.Text(c.Sensor)
	if _, err := db.ExecContext(ctx, `INSERT INTO sensor (name) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM sensor WHERE name = $1)`,
		sensor); err != nil {
		return 0, 0, oneLine(err)
	}
	digest := c.Digest // a copy: C may not be given a pointer into memory that holds Go pointers, as c does
	const find = `SELECT c.id FROM capture c JOIN sensor s ON s.id = c.sensor
		WHERE s.name = $1 AND c.first_at = make_timestamptz($2::BIGINT) AND c.digest = $3`
	err = db.QueryRowContext(ctx, find, sensor, int64(c.First), digest[:]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = db.QueryRowContext(ctx, `INSERT INTO capture (sensor, name, first_at, digest)
			SELECT id, $2, make_timestamptz($3::BIGINT), $4 FROM sensor WHERE name = $1 RETURNING id`,
			sensor, sink.Text(c.Name), int64(c.First), digest[:]).Scan(&id)
	}
	if err != nil {
		return 0, 0, oneLine(err)
	}
	err = db.QueryRowContext(ctx, `SELECT coalesce(sum(records), 0)::UBIGINT FROM batch WHERE capture = $1`, id).Scan(&stored)
	return id, stored, oneLine(err)
}

// Write stores b in one transaction. After an error nothing of b is stored, whether the transaction failed or the process died.
func (s *Sink) Write(ctx context.Context, b *record.Batch) (added uint64, err error) {
	if b.Len() == 0 {
		return 0, nil
	}
	if b.Capture == nil {
		return 0, errors.New("write batch of several captures: the embedded database wants one capture a batch")
	}
	c, ok := s.captures[keyOf(b.Capture)]
	if !ok {
		return 0, fmt.Errorf("write batch of capture %s: it was not begun", b.Capture.Name)
	}
	err = s.transact(ctx, func() error {
		added, err = s.store(ctx, c, b)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write batch %d to %s: %w", b.Seq, s.path, err)
	}
	return added, nil
}

// store stores b within a transaction, unless it is stored already.
func (s *Sink) store(ctx context.Context, c *capture, b *record.Batch) (added uint64, err error) {
	digest := sink.Digest(b)
	var done bool
	if err := s.conn.QueryRowContext(ctx, `SELECT count(*) > 0 FROM batch WHERE capture = $1 AND digest = $2`,
		c.id, digest[:]).Scan(&done); err != nil || done {
		return 0, oneLine(err)
	}
	p := &part{batch: b, capture: c.id}
	if p.stored, err = findStored(ctx, s.conn, c, b); err != nil {
		return 0, err
	}
	if added, err = s.append(ctx, p); err != nil {
		return 0, err
	}
	_, err = s.conn.ExecContext(ctx, `INSERT INTO batch (capture, seq, digest, records) VALUES ($1, $2, $3, $4)`,
		c.id, int64(b.Seq), digest[:], int64(added))
	return added, oneLine(err)
}

// transact runs f in a transaction. If f fails, or ctx is done before the end, all is as it was before.
func (s *Sink) transact(ctx context.Context, f func() error) error {
	// Begin, commit and rollback are short, and must not be left half done: ctx doesn't cut them off.
	whole := context.WithoutCancel(ctx)
	if _, err := s.conn.ExecContext(whole, `BEGIN TRANSACTION`); err != nil {
		return oneLine(err)
	}
	next := s.items.next
	err := f()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		_, err = s.conn.ExecContext(whole, `COMMIT`)
		err = oneLine(err)
	}
	if err != nil {
		s.conn.ExecContext(whole, `ROLLBACK`) //nolint:errcheck // the first error counts; a failed COMMIT has rolled back already
		s.items.next = next
		s.forget()
	}
	return err
}

// End stores c's ledger, unless a longer run's is stored, and its files.
func (s *Sink) End(ctx context.Context, c *record.Capture, l *record.Ledger, files []record.File) error {
	known, ok := s.captures[keyOf(c)]
	if !ok {
		return fmt.Errorf("end capture %s: it was not begun", c.Name)
	}
	err := s.transact(ctx, func() error { return end(ctx, s.conn, known.id, l, files) })
	if err != nil {
		return fmt.Errorf("end capture %s in %s: %w", c.Name, s.path, err)
	}
	return nil
}

func end(ctx context.Context, db *sql.Conn, capture int32, l *record.Ledger, files []record.File) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `UPDATE capture SET complete = true, ledger = $2::JSON
		WHERE id = $1 AND coalesce((ledger->>'packets_read')::UBIGINT, 0) <= $3`, capture, string(text), l.PacketsRead); err != nil {
		return oneLine(err)
	}
	for _, f := range files {
		if _, err := db.ExecContext(ctx, `INSERT OR REPLACE INTO capture_file (capture, name, size, packets, first_at, last_at, problem)
			VALUES ($1, $2, $3, $4, make_timestamptz($5::BIGINT), make_timestamptz($6::BIGINT), nullif($7, ''))`,
			capture, sink.Text(f.Name), f.Size, int64(f.Packets), nullTime(f.First), nullTime(f.Last), sink.Text(f.Problem)); err != nil {
			return oneLine(err)
		}
	}
	return nil
}

// Blind stores a time in which a capture could not see. What is said of the same interval again counts if it says more.
func (s *Sink) Blind(ctx context.Context, b *record.Blind) error {
	known, ok := s.captures[keyOf(b.Capture)]
	if !ok {
		return fmt.Errorf("store blind time of capture %s: it was not begun", b.Capture.Name)
	}
	err := s.transact(ctx, func() error {
		_, err := s.conn.ExecContext(ctx, `INSERT INTO blind (sensor, capture, from_at, to_at, reason, packets, records, bytes)
			SELECT sensor, id, make_timestamptz($2::BIGINT), make_timestamptz($3::BIGINT), $4,
			       nullif($5::BIGINT, 0), nullif($6::BIGINT, 0), nullif($7::BIGINT, 0) FROM capture WHERE id = $1
			ON CONFLICT (capture, reason, from_at) DO UPDATE SET to_at = greatest(to_at, excluded.to_at),
				packets = greatest(packets, excluded.packets), records = greatest(records, excluded.records),
				bytes = greatest(bytes, excluded.bytes)`,
			known.id, int64(b.From), int64(b.To), string(b.Reason), int64(b.Packets), int64(b.Records), int64(b.Bytes))
		return oneLine(err)
	})
	if err != nil {
		return fmt.Errorf("store blind time of capture %s in %s: %w", b.Capture.Name, s.path, err)
	}
	return nil
}

// nullTime returns t in microseconds, or null if it isn't known.
func nullTime(t record.Time) any {
	if t == 0 {
		return nil
	}
	return int64(t)
}

// Close closes the database. What was written is in the file then, and in no other.
func (s *Sink) Close() error {
	if err := errors.Join(s.conn.Close(), s.db.Close()); err != nil {
		return fmt.Errorf("close %s: %w", s.path, oneLine(err))
	}
	return nil
}
