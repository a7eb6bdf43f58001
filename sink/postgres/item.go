package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"btcsniff/record"
)

const defaultItems = 1 << 16

// An itemKey names an announced item of one UTC day.
type itemKey struct {
	hash record.Hash
	kind record.InvType
	day  int32 // since 1970
}

// A sighting is when the node learned of an item on a connection.
type sighting struct {
	at   record.Time
	conn int64
}

func (s sighting) before(t sighting) bool { return s.at < t.at || s.at == t.at && s.conn < t.conn }

// An item is a row of the dictionary, as far as it is known here: others may have seen it earlier.
type item struct {
	key   itemKey
	id    int64 // 0 until the database gave one
	n     int   // sightings that are known, at most two
	first [2]sighting
	dirty bool // in dictionary.changed

	chunk uint64 // the last chunk that had it, and its place there
	place int32
}

// saw takes a sighting and says whether it is among the item's first two on different connections.
func (it *item) saw(s sighting) bool {
	switch {
	case it.n == 2 && !s.before(it.first[1]):
		return false
	case it.n == 0:
		it.first[0], it.n = s, 1
	case s.conn == it.first[0].conn:
		if !s.before(it.first[0]) {
			return false
		}
		it.first[0] = s
	case s.before(it.first[0]):
		it.first[0], it.first[1], it.n = s, it.first[0], 2
	default:
		it.first[1], it.n = s, 2
	}
	return true
}

// A dictionary is what is known of the table item.
type dictionary struct {
	known   recent[itemKey, *item]
	changed []*item // that the database must be told of
}

func (d *dictionary) reset(n int) {
	d.known.reset(n)
	d.changed = d.changed[:0]
}

// item returns the item of k, which may not have its id yet.
func (d *dictionary) item(k itemKey) *item {
	it, ok := d.known.get(k)
	if !ok {
		it = &item{key: k}
		d.known.put(k, it)
		d.change(it)
	}
	return it
}

func (d *dictionary) change(it *item) {
	if !it.dirty {
		it.dirty = true
		d.changed = append(d.changed, it)
	}
}

// upsertItems merges the first two sightings of each item with those stored. Writers of several sensors do this at the same time:
// all in the same order, so that they wait for each other but never in a circle.
const upsertItems = `
INSERT INTO item AS i (day, type, hash, first_seen, first_conn, second_seen, second_conn)
SELECT * FROM unnest($1::date[], $2::bigint[], $3::bytea[], $4::timestamptz[], $5::bigint[], $6::timestamptz[], $7::bigint[])
ON CONFLICT (hash, type, day) DO UPDATE SET (first_seen, first_conn, second_seen, second_conn) = (
	SELECT (array_agg(seen ORDER BY seen, conn))[1], (array_agg(conn ORDER BY seen, conn))[1],
	       (array_agg(seen ORDER BY seen, conn))[2], (array_agg(conn ORDER BY seen, conn))[2]
	FROM (SELECT min(seen) AS seen, conn
	      FROM (VALUES (i.first_seen, i.first_conn), (i.second_seen, i.second_conn),
	                   (excluded.first_seen, excluded.first_conn), (excluded.second_seen, excluded.second_conn)) v (seen, conn)
	      WHERE conn IS NOT NULL GROUP BY conn) s)
RETURNING id, day, type, hash, first_seen, first_conn, second_seen, second_conn`

// store tells the database of the changed items and takes their ids from it.
func (d *dictionary) store(ctx context.Context, db *pgx.Conn) error {
	if len(d.changed) == 0 {
		return nil
	}
	slices.SortFunc(d.changed, func(a, b *item) int {
		return cmp.Or(bytes.Compare(a.key.hash[:], b.key.hash[:]), cmp.Compare(a.key.kind, b.key.kind), cmp.Compare(a.key.day, b.key.day))
	})
	n := len(d.changed)
	days, kinds, hashes := make([]pgtype.Date, n), make([]int64, n), make([][]byte, n)
	var seen [2][]pgtype.Timestamptz
	var conn [2][]pgtype.Int8
	for j := range seen {
		seen[j], conn[j] = make([]pgtype.Timestamptz, n), make([]pgtype.Int8, n)
	}
	for i, it := range d.changed {
		hash := it.key.hash.Display()
		days[i], kinds[i], hashes[i] = date(it.key.day), int64(it.key.kind), hash[:]
		for j := range it.n {
			seen[j][i] = timestamp(it.first[j].at)
			conn[j][i] = pgtype.Int8{Int64: it.first[j].conn, Valid: true}
		}
	}
	stored, err := db.Query(ctx, upsertItems, days, kinds, hashes, seen[0], conn[0], seen[1], conn[1])
	if err != nil {
		return fmt.Errorf("store items: %w", err)
	}
	defer stored.Close()
	for stored.Next() {
		if err := d.learn(stored); err != nil {
			return fmt.Errorf("store items: %w", err)
		}
	}
	if err := stored.Err(); err != nil {
		return fmt.Errorf("store items: %w", err)
	}
	for _, it := range d.changed {
		it.dirty = false
		if it.id == 0 {
			return fmt.Errorf("store items: no id for %s", it.key.hash)
		}
	}
	d.changed = d.changed[:0]
	return nil
}

// learn takes a row of upsertItems.
func (d *dictionary) learn(row pgx.Rows) error {
	var id, kind int64
	var day pgtype.Date
	var hash pgtype.DriverBytes
	var seen [2]pgtype.Timestamptz
	var conn [2]pgtype.Int8
	if err := row.Scan(&id, &day, &kind, &hash, &seen[0], &conn[0], &seen[1], &conn[1]); err != nil {
		return err
	}
	if len(hash) != len(record.Hash{}) {
		return fmt.Errorf("item %d has a hash of %d bytes", id, len(hash))
	}
	k := itemKey{record.Hash(hash).Display(), record.InvType(kind), int32(day.Time.Unix() / 86400)}
	it, ok := d.known.get(k)
	if !ok {
		return fmt.Errorf("item %d was not asked for", id)
	}
	it.id, it.n = id, 0
	for j := range seen {
		if conn[j].Valid {
			it.first[j] = sighting{record.Time(seen[j].Time.UnixMicro()), conn[j].Int64}
			it.n++
		}
	}
	return nil
}

func date(day int32) pgtype.Date {
	return pgtype.Date{Time: (record.Time(day) * dayLen).Std(), Valid: true}
}

func timestamp(t record.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: clamp(t).Std(), Valid: true}
}

// timestampOrNull is timestamp, but null for a time that is not known.
func timestampOrNull(t record.Time) pgtype.Timestamptz {
	if t == 0 {
		return pgtype.Timestamptz{}
	}
	return timestamp(t)
}
