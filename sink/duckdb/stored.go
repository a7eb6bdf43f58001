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
WHERE capture = $1 AND seen_at BETWEEN make_timestamptz($2::BIGINT) AND make_timestamptz($3::BIGINT)
UNION ALL
SELECT %d, id, false, 0, 0 FROM connection
WHERE closed_at IS NOT NULL AND id IN (SELECT unnest($4::BIGINT[]))`

// findStored returns the keys of those of b's records that are stored already, and of others that were seen in the same time.
func findStored(ctx context.Context, db *sql.Conn, capture int32, b *record.Batch) (map[recordKey]struct{}, error) {
	query := fmt.Sprintf(selectStored, record.KindInv, record.KindTx, record.KindBlock, record.KindPing, record.KindPong,
		record.KindVersion, record.KindAddr, record.KindConn)
	first, last := span(b)
	ends := make([]int64, len(b.Conns))
	for i := range b.Conns {
		ends[i] = int64(b.Conns[i].Conn.ID)
	}
	rows, err := db.QueryContext(ctx, query, capture, int64(first), int64(last), ends)
	if err != nil {
		return nil, oneLine(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	stored := map[recordKey]struct{}{}
	for rows.Next() {
		var k recordKey
		if err := rows.Scan(&k.kind, &k.conn, &k.fromB, &k.pos, &k.index); err != nil {
			return nil, oneLine(err)
		}
		stored[k] = struct{}{}
	}
	return stored, oneLine(rows.Err())
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
