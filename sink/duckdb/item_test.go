package duckdb

import (
	"database/sql/driver"
	"testing"

	"btcsniff/record"
)

// TestItems gives ids to more items than are remembered: an id never changes while it is remembered, and is never given twice.
func TestItems(t *testing.T) {
	it := newItems(5)
	it.known = newRecent[record.InvVect, driver.Value](10)
	v := func(n int) *record.InvVect { return &record.InvVect{Type: 1, Hash: record.Hash{byte(n), byte(n >> 8)}} }
	first, fresh := it.id(v(0))
	if first != int64(5) || !fresh {
		t.Fatalf("id = %v, %v, want 5, true", first, fresh)
	}
	given := map[any]bool{first: true}
	for n := 1; n < 1000; n++ {
		id, fresh := it.id(v(n))
		if !fresh || given[id] {
			t.Fatalf("id of a new item = %v, %v, want one that was not given, true", id, fresh)
		}
		given[id] = true
		if again, fresh := it.id(v(n)); again != id || fresh {
			t.Fatalf("id again = %v, %v, want %v, false", again, fresh, id)
		}
		if id, fresh := it.id(v(0)); id != first || fresh {
			t.Fatalf("id of an item in use = %v, %v, want %v, false", id, fresh, first)
		}
		if kept := len(it.known.now) + len(it.known.old); kept > 20 {
			t.Fatalf("%d items remembered, want 20 at most", kept)
		}
	}
	if _, fresh := it.id(v(1)); !fresh {
		t.Error("an item not used for long is still remembered")
	}
}
