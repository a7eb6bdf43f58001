package duckdb

import (
	"database/sql/driver"

	"btcsniff/record"
)

const (
	keepItems = 1 << 16 // ids remembered, twice over: about 15 MB when full
	keepConns = 1 << 15 // connections remembered, twice over
)

// items gives announced items their ids. It remembers the latest ones; an item that is announced again after it was forgotten
// gets another row and id, which costs 40 bytes and nothing else: the views join by id and group by hash.
type items struct {
	next  int64                                 // id
	known *recent[record.InvVect, driver.Value] // ids, each in an interface already, as the driver wants it
}

func newItems(next int64) *items {
	return &items{next: next, known: newRecent[record.InvVect, driver.Value](keepItems)}
}

// id returns v's id; fresh says that it is new and needs a row.
func (t *items) id(v *record.InvVect) (id driver.Value, fresh bool) {
	if id, ok := t.known.get(*v); ok {
		return id, false
	}
	id = t.next
	t.next++
	t.known.put(*v, id)
	return id, true
}

// recent remembers what was used lately: between keep and 2*keep entries, once there were as many.
type recent[K comparable, V any] struct {
	keep     int
	now, old map[K]V
}

func newRecent[K comparable, V any](keep int) *recent[K, V] {
	return &recent[K, V]{keep: keep, now: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (v V, ok bool) {
	if v, ok = r.now[k]; ok {
		return v, true
	}
	if v, ok = r.old[k]; ok {
		r.put(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if len(r.now) >= r.keep {
		r.now, r.old = r.old, r.now
		clear(r.now)
		if r.now == nil {
			r.now = make(map[K]V)
		}
	}
	r.now[k] = v
}
