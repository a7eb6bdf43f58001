package duckdb

import (
	"context"
	"database/sql"
	"fmt"

	"btcsniff/record"
)

// A recordKey identifies a record, or all records of one inv message, within a capture: the same in every run.
type recordKey struct {
	conn, pos uint64
	index     uint32
	kind      record.Kind
	fromB     bool
}

func keyOfRecord(k record.Kind, m *record.Meta, index int) recordKey {
	return recordKey{conn: m.Conn.ID, pos: m.Pos, index: uint32(index), kind: k, fromB: m.FromB}
}

// selectStored finds what is stored of a capture and was seen between two times.
const selectStored = `
WITH stored AS (
	SELECT %d AS kind, capture, seen_at, conn, from_b, pos, 0 AS index FROM inv_message
	UNION ALL SELECT %d, capture, seen_at, conn, from_b, pos, 0 FROM tx
	UNION ALL SELECT %d, capture, seen_at, conn, from_b, pos, index FROM block
	UNION ALL SELECT %d, capture, seen_at, conn, from_b, pos, 0 FROM ping
	UNION ALL SELECT %d, capture, seen_at, conn, from_b, pos, 0 FROM pong
	UNION ALL SELECT %d, capture, seen_at, conn, from_b, pos, 0 FROM version
	UNION ALL SELECT %d, capture, seen_at, conn, from_b, pos, index FROM addr)
SELECT kind, conn, from_b, pos, index FROM stored
WHERE capture = $1 AND seen_at BETWEEN make_timestamptz($2::BIGINT) AND make_timestamptz($3::BIGINT)`

// selectEnded finds which of some connections have ended. Two captures of one sensor may hold the same connection, so it asks for
// any capture's.
const selectEnded = `
SELECT %d, id, false, 0, 0 FROM connection WHERE closed_at IS NOT NULL AND id IN (SELECT unnest($1::BIGINT[]))`

// findStored returns the keys of those of b's records that are stored already, and of others that were seen in the same time.
func findStored(ctx context.Context, db *sql.Conn, c *capture, b *record.Batch) (map[recordKey]struct{}, error) {
	stored := map[recordKey]struct{}{}
	if c.again {
		query := fmt.Sprintf(selectStored, record.KindInv, record.KindTx, record.KindBlock, record.KindPing, record.KindPong,
			record.KindVersion, record.KindAddr)
		first, last := span(b)
		if err := addKeys(ctx, db, stored, query, c.id, int64(first), int64(last)); err != nil {
			return nil, err
		}
	}
	if len(b.Conns) > 0 {
		ids := make([]int64, len(b.Conns))
		for i := range b.Conns {
			ids[i] = int64(b.Conns[i].Conn.ID)
		}
		if err := addKeys(ctx, db, stored, fmt.Sprintf(selectEnded, record.KindConn), ids); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// addKeys adds the keys that a query finds.
func addKeys(ctx context.Context, db *sql.Conn, to map[recordKey]struct{}, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return oneLine(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	for rows.Next() {
		var k recordKey
		if err := rows.Scan(&k.kind, &k.conn, &k.fromB, &k.pos, &k.index); err != nil {
			return oneLine(err)
		}
		to[k] = struct{}{}
	}
	return oneLine(rows.Err())
}

// span returns the first and the last time at which b's messages were seen.
func span(b *record.Batch) (first, last record.Time) {
	started := false
	p := part{batch: b}
	p.each(func(m *record.Meta) {
		if !started {
			first, last, started = m.SeenAt, m.SeenAt, true
		}
		first, last = min(first, m.SeenAt), max(last, m.SeenAt)
	})
	return first, last
}
