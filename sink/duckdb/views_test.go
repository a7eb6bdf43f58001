package duckdb_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"btcsniff/sink/sinktest"
)

// TestConditionOnHash asks each view for one hash: what the condition leaves of the items must reach the scan of the messages, as least
// and greatest item that these may hold, and the scan read few of them. Nothing but the time would tell that it does not.
func TestConditionOnHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.duckdb")
	s := open(t, path)
	writeAll(t, s, sinktest.Traffic{Sensor: "a", Messages: 150_000, Size: 2, Conns: 300, Txs: 3000, Batch: 100_000})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	hash := query(t, path, "SELECT encode(i.hash, 'hex') FROM item i WHERE i.type IN (1, 5) ORDER BY id LIMIT 1")[0][0]
	for _, view := range []string{"first_seen", "announcement", "inv"} {
		t.Run(view, func(t *testing.T) {
			where := fmt.Sprintf(" FROM %s WHERE hash = '%v'", view, hash)
			if view == "inv" {
				where = fmt.Sprintf(" FROM inv WHERE hash = decode('%v', 'hex')", hash)
			}
			if rows := query(t, path, "SELECT *"+where); len(rows) == 0 {
				t.Fatal("no row: the test tests nothing")
			}
			plan := fmt.Sprint(query(t, path, "EXPLAIN ANALYZE SELECT *"+where))
			for _, want := range []string{"item_min<=", "item_max>="} {
				if !strings.Contains(plan, want) {
					t.Errorf("the plan has no filter %s on messages:\n%s", want, plan)
				}
			}
			if strings.Contains(plan, "150,000 rows") {
				t.Errorf("all messages are read:\n%s", plan)
			}
		})
	}
}
