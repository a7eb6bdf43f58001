package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"btcsniff/record"
)

const oneDay = 24 * time.Hour

// days are those that have partitions.
func (p *place) days(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, row := range p.query(t, `SELECT right(relname, 8) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname ~ '^item_\d{8}$' ORDER BY 1`) {
		out = append(out, row[0].(string))
	}
	return out
}

// keeperOf does a keeper's work when it is told to.
func keeperOf(t *testing.T, p *place, up Upkeep, newest record.Time) *keeper {
	t.Helper()
	config, err := pgx.ParseConfig(p.url)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{up: up, config: config}
	k.newest.Store(int64(newest))
	return k
}

func daysAfter(n int) int64 { return (time.Duration(n) * oneDay).Microseconds() }

// TestRetain writes six days and has two of them kept.
func TestRetain(t *testing.T) {
	p := fresh(t)
	dropped := make(chan string, 10)
	s, err := Open(t.Context(), p.url, Options{Upkeep: &Upkeep{
		Retain:  2 * oneDay,
		Dropped: func(days int, kept string) { dropped <- fmt.Sprint(days, " ", kept) },
		Failed:  func(err error) { dropped <- err.Error() },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newCapture("lab")
	begin(t, s, c, 0)
	batch := func(day int) *record.Batch {
		b := newBatch(c, uint64(day), daysAfter(day))
		b.Conn(record.ConnEnd{Conn: newConn(c, byte(day)), ClosedAt: start + record.Time(daysAfter(day)), HandshakeRTT: -1})
		return b
	}
	for day, want := range []string{"", "", "", "1 2025-10-07", "1 2025-10-08", "1 2025-10-09"} {
		write(t, s, batch(day), 19)
		if want != "" {
			if got := <-dropped; got != want {
				t.Errorf("after day %d: dropped %s, want %s", day, got, want)
			}
		}
	}
	if diff := cmp.Diff([]string{"20251009", "20251010", "20251011"}, p.days(t)); diff != "" {
		t.Errorf("days left (-want +got):\n%s", diff)
	}
	if got := one[int](t, p.db, "SELECT count(*) FROM inv"); got != 3*15 {
		t.Errorf("%d announcements, want %d", got, 3*15)
	}
	if got := one[int](t, p.db, "SELECT count(*) FROM connection WHERE closed_at < '2025-10-09'"); got != 0 {
		t.Errorf("%d connections that had closed before are left", got)
	}
	write(t, s, batch(0), 0) // what was dropped is not stored again
}

// TestRetainManyDays drops half a year at once, as after a retention was first set.
func TestRetainManyDays(t *testing.T) {
	p := fresh(t)
	p.sink(t)
	exec(t, p.db, `DO $$ BEGIN FOR i IN 0..40 LOOP PERFORM add_day('2025-06-01'::date + i); COMMIT; END LOOP; END $$`)
	got := ""
	k := keeperOf(t, p, Upkeep{Retain: 90 * oneDay, Dropped: func(n int, kept string) { got = fmt.Sprint(n, " ", kept) }}, start)
	if err := k.work(t.Context()); err != nil || got != "37 2025-07-08" {
		t.Errorf("work() = %v, dropped %s, want 37 2025-07-08", err, got)
	}
}

// TestRetainClock has a capture whose clock is far ahead: what is recent by the database's clock stays.
func TestRetainClock(t *testing.T) {
	p := fresh(t)
	p.sink(t)
	today := one[string](t, p.db, `SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')`)
	exec(t, p.db, `SELECT add_day((now() AT TIME ZONE 'UTC')::date), add_day('2090-01-01'), add_day('2024-01-01')`)
	k := keeperOf(t, p, Upkeep{Retain: 90 * oneDay}, record.FromNanos(time.Date(2090, 1, 1, 1, 0, 0, 0, time.UTC).UnixNano()))
	if err := k.work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{today, "20900101"}, p.days(t)); diff != "" {
		t.Errorf("days left (-want +got):\n%s", diff)
	}
}

// TestTomorrow makes the next day's partitions of a live capture, and none of a recording.
func TestTomorrow(t *testing.T) {
	p := fresh(t)
	p.sink(t)
	if err := keeperOf(t, p, Upkeep{}, start).work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if days := p.days(t); days != nil {
		t.Errorf("a recording made the partitions of %v", days)
	}
	now := one[time.Time](t, p.db, `SELECT now()`)
	for range 2 {
		if err := keeperOf(t, p, Upkeep{}, record.FromNanos(now.UnixNano())).work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{now.UTC().AddDate(0, 0, 1).Format("20060102")}, p.days(t)); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
}

// TestRetainWaits has a reader hold a table. Writers go on, the days are dropped when the reader has ended, and it is said once.
func TestRetainWaits(t *testing.T) {
	p := fresh(t)
	said := make(chan string, 100)
	s, err := Open(t.Context(), p.url, Options{Upkeep: &Upkeep{
		Retain: oneDay, Again: time.Millisecond,
		Dropped: func(days int, kept string) { said <- fmt.Sprint(days, " ", kept) },
		Failed:  func(err error) { said <- err.Error() },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newCapture("lab")
	begin(t, s, c, 0)
	write(t, s, newBatch(c, 0, 0), 18)
	reader := open(t, p.url)
	exec(t, reader, "BEGIN")
	one[int](t, reader, "SELECT count(*) FROM inv")
	write(t, s, newBatch(c, 1, daysAfter(2)), 18)
	if got := <-said; !strings.Contains(got, "others use the tables") {
		t.Errorf("said %q", got)
	}
	for i := range 5 {
		write(t, s, newBatch(c, uint64(2+i), daysAfter(2)+int64(i+1)*100_000), 18)
	}
	exec(t, reader, "COMMIT")
	if got := <-said; got != "1 2025-10-07" {
		t.Errorf("dropped %s, want 1 2025-10-07", got)
	}
}

// TestDropWhileWriting drops days again and again while two sensors write: every batch is stored, and upkeep, not a writer, gives way.
func TestDropWhileWriting(t *testing.T) {
	p := fresh(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for n := range 2 {
		s := p.sink(t)
		c := newCapture(fmt.Sprint("lab", n))
		begin(t, s, c, 0)
		writers.Go(func() {
			for i := range 25 {
				b := newBatch(c, uint64(i), daysAfter(i/5)+int64(i)*100_000)
				if added, err := s.Write(context.Background(), b); err != nil || added != 18 {
					t.Errorf("batch %d: added %d, %v, want 18", i, added, err)
				}
			}
		})
	}
	done := make(chan int)
	go func() {
		total := 0
		k := keeperOf(t, p, Upkeep{Retain: oneDay, Dropped: func(n int, _ string) { total += n }}, start+record.Time(daysAfter(4)))
		for ctx.Err() == nil {
			if err := k.work(ctx); err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "others use the tables") && !strings.Contains(err.Error(), "deadlock") {
				t.Errorf("work() = %v", err)
			}
		}
		done <- total
	}()
	writers.Wait()
	stop()
	if n := <-done; n == 0 {
		t.Error("no day was dropped")
	}
}

// TestOpenedTogether opens sinks on an empty database at the same time, as sensors that are upgraded do, each of which writes at once.
func TestOpenedTogether(t *testing.T) {
	p := fresh(t)
	var sensors sync.WaitGroup
	for n := range 6 {
		sensors.Go(func() {
			s, err := Open(context.Background(), p.url, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			c := newCapture(fmt.Sprint("lab", n))
			if _, err := s.Begin(context.Background(), c); err != nil {
				t.Error(err)
			}
			if added, err := s.Write(context.Background(), newBatch(c, 0, 0)); err != nil || added != 18 {
				t.Errorf("sensor %d: added %d, %v, want 18", n, added, err)
			}
		})
	}
	sensors.Wait()
	if got := one[int](t, p.db, "SELECT count(*) FROM inv"); got != 6*15 {
		t.Errorf("%d announcements, want %d", got, 6*15)
	}
}

// TestMigratedWhileWriting takes the latest migration back and has three sensors that are started bring the tables up to date while
// another one writes.
func TestMigratedWhileWriting(t *testing.T) {
	p := fresh(t)
	writer := p.sink(t)
	c := newCapture("lab")
	begin(t, writer, c, 0)
	write(t, writer, newBatch(c, 0, 0), 18)
	exec(t, p.db, `DO $$
		DECLARE x text;
		BEGIN
			FOR x IN SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace LOOP
				EXECUTE 'DROP VIEW IF EXISTS ' || x || ' CASCADE';
			END LOOP;
			FOR x IN SELECT quote_ident(proname) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
				AND proname NOT IN ('add_day', 'drop_before', 'partitioned') LOOP
				EXECUTE 'DROP FUNCTION IF EXISTS ' || x || ' CASCADE';
			END LOOP;
			DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version);
		END $$`)
	migrated, written := make(chan struct{}), make(chan uint64)
	go func() {
		batches := uint64(1)
		for more := true; more || batches < 5; batches++ {
			b := newBatch(c, batches, int64(batches)*100_000)
			if added, err := writer.Write(context.Background(), b); err != nil || added != 18 {
				t.Errorf("batch %d: added %d, %v, want 18", batches, added, err)
			}
			select {
			case <-migrated:
				more = false
			default:
			}
		}
		written <- batches
	}()
	var sensors sync.WaitGroup
	for n := range 3 {
		sensors.Go(func() {
			s, err := Open(context.Background(), p.url, Options{})
			if err != nil {
				t.Errorf("sensor %d: %v", n, err)
				return
			}
			_ = s.Close()
		})
	}
	sensors.Wait()
	close(migrated)
	if n, got := <-written, one[uint64](t, p.db, "SELECT count(*) FROM inv"); got != 15*n {
		t.Errorf("%d announcements of %d batches, want %d", got, n, 15*n)
	}
	if got := one[int](t, p.db, "SELECT count(*) FROM schema_version WHERE version = 2"); got != 1 {
		t.Errorf("the migration was noted %d times", got)
	}
	one[int](t, p.db, "SELECT count(*) FROM first_seen")
}
