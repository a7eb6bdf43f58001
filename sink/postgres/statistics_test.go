package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLookOver checks that the tables of the newest three days have statistics once a sink that wrote to them is closed, so that questions
// right behind it are planned well.
func TestLookOver(t *testing.T) {
	p := fresh(t)
	s := p.sink(t)
	c := newCapture("lab")
	begin(t, s, c, 0)
	for day := range 4 {
		b := everything(c, uint64(day), daysAfter(day))
		write(t, s, b, uint64(b.Len()))
	}
	known := func() [][]any {
		return p.query(t, `SELECT DISTINCT tablename::text FROM pg_stats
			WHERE schemaname = current_schema AND tablename ~ '^(connection|item|tx)' AND tablename NOT LIKE '%idx' ORDER BY 1`)
	}
	if got := known(); len(got) > 0 {
		t.Skipf("the server was faster: %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := [][]any{{"connection"}, {"item_20251007"}, {"item_20251008"}, {"item_20251009"}, {"tx_20251007"}, {"tx_20251008"}, {"tx_20251009"}}
	if diff := cmp.Diff(want, known()); diff != "" {
		t.Errorf("tables with statistics (-want +got):\n%s", diff)
	}
}
