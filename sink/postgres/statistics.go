package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"btcsniff/record"
)

const (
	lookLimit = 10 * time.Second // for all that lookOver does
	lookDays  = 3                // whose partitions it looks over: the server has had time for those before
)

// lookOver has the server gather what it plans queries with, of the tables that questions look through row by row. It does so itself a minute
// or more later (autovacuum), but who asks at once would get plans for empty tables: ten times slower ones. Nothing depends on it, so
// errors are none: a user that does not own the tables may not, and one that somebody else holds is left out.
func (s *Sink) lookOver() {
	if s.db == nil || s.db.IsClosed() || len(s.days) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
	defer cancel()
	days := slices.Sorted(maps.Keys(s.days))
	text := "ANALYZE (SKIP_LOCKED) connection (id, opened_at, closed_at)"
	for _, day := range days[max(0, len(days)-lookDays):] {
		suffix := (record.Time(day) * dayLen).Std().Format("_20060102")
		for _, table := range []string{"item", "tx"} {
			text += ", " + table + suffix
		}
	}
	_, _ = s.db.Exec(ctx, text)
}
