package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"btcsniff/record"
	"btcsniff/sink"
)

// Begin finds or makes the rows of c and its sensor. It waits for a database that is away, as Write does.
func (s *Sink) Begin(ctx context.Context, c *record.Capture) (stored uint64, err error) {
	known := &capture{}
	err = s.persist(ctx, func(ctx context.Context, db *pgx.Conn) error {
		id, err := findCapture(ctx, db, c)
		if err != nil {
			return err
		}
		known.id = id
		return db.QueryRow(ctx, `SELECT coalesce(sum(records), 0)::bigint, coalesce(max(id), 0) FROM batch WHERE capture = $1`, id).
			Scan(&stored, &known.last)
	})
	if err != nil {
		return 0, err
	}
	known.filter = known.last > 0
	s.captures[c] = known
	return stored, nil
}

// findCapture returns the id of c's row, which it makes if need be. Several processes may do so at once.
func findCapture(ctx context.Context, db *pgx.Conn, c *record.Capture) (id int32, err error) {
	sensor, name, first := sink.Text(c.Sensor), sink.Text(c.Name), timestamp(c.First)
	const find = `SELECT c.id FROM capture c JOIN sensor s ON s.id = c.sensor WHERE s.name = $1 AND c.first_at = $2 AND c.digest = $3`
	err = db.QueryRow(ctx, find, sensor, first, c.Digest[:]).Scan(&id)
	if err != pgx.ErrNoRows {
		return id, wrap("find capture", err)
	}
	if _, err := db.Exec(ctx, `INSERT INTO sensor (name) VALUES ($1) ON CONFLICT DO NOTHING`, sensor); err != nil {
		return 0, fmt.Errorf("store sensor: %w", err)
	}
	if _, err := db.Exec(ctx, `INSERT INTO capture (sensor, name, first_at, digest)
		SELECT id, $2, $3, $4 FROM sensor WHERE name = $1 ON CONFLICT DO NOTHING`, sensor, name, first, c.Digest[:]); err != nil {
		return 0, fmt.Errorf("store capture: %w", err)
	}
	return id, wrap("find capture", db.QueryRow(ctx, find, sensor, first, c.Digest[:]).Scan(&id))
}

// Blind stores a time in which a capture could not see. What is said of the same interval again counts if it says more.
func (s *Sink) Blind(ctx context.Context, b *record.Blind) error {
	known := s.captures[b.Capture]
	if known == nil {
		return s.explain(&mistakeError{fmt.Sprintf("capture %q of sensor %q was not begun", b.Capture.Name, b.Capture.Sensor)})
	}
	const upsert = `INSERT INTO blind AS o (sensor, capture, from_at, to_at, reason, packets, records, bytes)
		SELECT sensor, id, $2, $3, $4, nullif($5::bigint, 0), nullif($6::bigint, 0), nullif($7::bigint, 0) FROM capture WHERE id = $1
		ON CONFLICT (capture, reason, from_at) DO UPDATE SET to_at = greatest(o.to_at, excluded.to_at),
			packets = greatest(o.packets, excluded.packets), records = greatest(o.records, excluded.records),
			bytes = greatest(o.bytes, excluded.bytes)`
	return s.persist(ctx, func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, upsert, known.id, timestamp(b.From), timestamp(b.To), string(b.Reason),
			int64(b.Packets), int64(b.Records), int64(b.Bytes))
		return wrap("store blind time", err)
	})
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// End stores the ledger and the files. Those of a run that read less than an earlier one change nothing.
func (s *Sink) End(ctx context.Context, c *record.Capture, l *record.Ledger, files []record.File) error {
	known := s.captures[c]
	if known == nil {
		return s.explain(&mistakeError{fmt.Sprintf("capture %q of sensor %q was not begun", c.Name, c.Sensor)})
	}
	ledger, err := encodeLedger(l)
	if err != nil {
		return err
	}
	return s.persist(ctx, func(ctx context.Context, db *pgx.Conn) error {
		dbtx, err := db.Begin(ctx)
		if err != nil {
			return fmt.Errorf("begin end of capture: %w", err)
		}
		// An error makes persist drop the connection, which rolls back.
		if _, err := dbtx.Exec(ctx, `UPDATE capture SET complete = true, ledger = $2::text::jsonb WHERE id = $1
			AND (ledger IS NULL OR (ledger->>'packets_read')::numeric <= $3::text::numeric)`,
			known.id, ledger, fmt.Sprint(l.PacketsRead)); err != nil {
			return fmt.Errorf("store ledger: %w", err)
		}
		for _, f := range files {
			if _, err := dbtx.Exec(ctx, `INSERT INTO capture_file AS f (capture, name, size, packets, first_at, last_at, problem)
				VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (capture, name) DO UPDATE SET size = excluded.size,
				packets = excluded.packets, first_at = excluded.first_at, last_at = excluded.last_at, problem = excluded.problem
				WHERE f.packets <= excluded.packets`,
				known.id, sink.Text(f.Name), f.Size, int64(f.Packets), timestampOrNull(f.First), timestampOrNull(f.Last),
				textOrNull(f.Problem)); err != nil {
				return fmt.Errorf("store file %s: %w", f.Name, err)
			}
		}
		return wrap("commit end of capture", dbtx.Commit(ctx))
	})
}

// encodeLedger returns the ledger as JSON. Commands, which peers choose, are written as every sink stores text.
func encodeLedger(l *record.Ledger) (string, error) {
	copied := *l
	copied.Messages = make(map[string]record.Command, len(l.Messages))
	for _, name := range slices.Sorted(maps.Keys(l.Messages)) {
		copied.Messages[sink.Text(name)] = l.Messages[name]
	}
	copied.BadChecksums = make(map[string]uint64, len(l.BadChecksums))
	for _, name := range slices.Sorted(maps.Keys(l.BadChecksums)) {
		copied.BadChecksums[sink.Text(name)] = l.BadChecksums[name]
	}
	b, err := json.Marshal(&copied)
	if err != nil {
		return "", fmt.Errorf("encode ledger: %w", err)
	}
	return string(b), nil
}
