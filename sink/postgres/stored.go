package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"btcsniff/record"
)

// A recordKey identifies a record in every run; index is 0 where a message makes one record, and for inv messages.
type recordKey struct {
	conn, pos int64
	fromB     bool
	index     int32
}

// storedChunks and the queries of storedTables give the keys of a capture's records that were seen in a range of time.
const storedChunks = `
SELECT u.conn, u.pos, u.from_b, 0 FROM inv_chunk c CROSS JOIN LATERAL unnest(c.conn, c.pos, c.from_b) u (conn, pos, from_b)
WHERE c.capture = $1 AND c.minute BETWEEN date_trunc('minute', $2::timestamptz, 'UTC') AND $3
  AND c.minute + c.seen_max * interval '1 microsecond' >= $2 AND c.minute + c.seen_min * interval '1 microsecond' <= $3`

func storedTables() [record.NumKinds]string {
	const where = " WHERE capture = $1 AND seen_at BETWEEN $2 AND $3"
	return [record.NumKinds]string{
		record.KindInv:     storedChunks,
		record.KindTx:      "SELECT conn, pos, from_b, 0 FROM tx" + where,
		record.KindBlock:   "SELECT conn, pos, from_b, index FROM block" + where,
		record.KindPing:    "SELECT conn, pos, from_b, 0 FROM ping" + where,
		record.KindPong:    "SELECT conn, pos, from_b, 0 FROM pong" + where,
		record.KindVersion: "SELECT conn, pos, from_b, 0 FROM version" + where,
		record.KindAddr:    "SELECT conn, pos, from_b, index FROM addr" + where,
	}
}

// filter finds out which of the part's records are stored already, from batches with other borders.
func (s *Sink) filter(ctx context.Context, db *pgx.Conn, p *part) error {
	type span struct {
		n        int
		min, max record.Time
	}
	var spans [record.NumKinds]span
	p.each(func(k record.Kind, _ int, m *record.Meta) {
		sp, at := &spans[k], clamp(m.SeenAt)
		if sp.n == 0 {
			*sp = span{0, at, at}
		}
		*sp = span{sp.n + 1, min(sp.min, at), max(sp.max, at)}
	})
	found := map[recordKey]struct{}{}
	for k, query := range storedTables() {
		sp := spans[k]
		if sp.n == 0 {
			continue
		}
		clear(found)
		if err := keys(ctx, db, query, found, p.capture.id, timestamp(sp.min), timestamp(sp.max)); err != nil {
			return fmt.Errorf("look for stored %s records: %w", record.Kind(k), err)
		}
		if len(found) > 0 {
			p.skip[k] = make([]bool, sp.n)
			p.each(func(kind record.Kind, i int, m *record.Meta) {
				if int(kind) == k {
					_, p.skip[k][i] = found[p.key(kind, i, m)]
				}
			})
		}
	}
	return nil
}

func (p *part) key(k record.Kind, i int, m *record.Meta) recordKey {
	key := recordKey{conn: int64(m.Conn.ID), pos: int64(m.Pos), fromB: m.FromB}
	switch k {
	case record.KindBlock:
		key.index = int32(p.batch.Blocks[i].Index)
	case record.KindAddr:
		key.index = int32(p.batch.Addrs[i].Index)
	}
	return key
}

// keys adds what query returns to found.
func keys(ctx context.Context, db *pgx.Conn, query string, found map[recordKey]struct{}, args ...any) error {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	var k recordKey
	_, err = pgx.ForEachRow(rows, []any{&k.conn, &k.pos, &k.fromB, &k.index}, func() error {
		found[k] = struct{}{}
		return nil
	})
	return err
}
