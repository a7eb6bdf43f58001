package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"btcsniff/sink"
	"btcsniff/sink/sinktest"
)

// A place is a schema of its own in the database of BTCSNIFF_TEST_DATABASE_URL.
type place struct {
	schema string
	url    string
	db     *pgx.Conn // for looking at the tables
}

// fresh makes an empty schema that is dropped with the test, or skips the test where there is no database.
func fresh(t testing.TB) *place {
	t.Helper()
	base := os.Getenv("BTCSNIFF_TEST_DATABASE_URL")
	if base == "" {
		t.Skip("BTCSNIFF_TEST_DATABASE_URL is not set")
	}
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		t.Fatal(err)
	}
	p := &place{schema: "btcsniff_test_" + hex.EncodeToString(random[:])}
	p.url = with(base, "search_path", p.schema)
	p.db = open(t, p.url)
	exec(t, p.db, "CREATE SCHEMA "+p.schema)
	t.Cleanup(func() { exec(t, p.db, "DROP SCHEMA "+p.schema+" CASCADE") })
	return p
}

// with adds a parameter to a libpq URL or keyword string.
func with(base, key, value string) string {
	switch {
	case !strings.Contains(base, "://"):
		return base + " " + key + "=" + value
	case strings.Contains(base, "?"):
		return base + "&" + key + "=" + url.QueryEscape(value)
	}
	return base + "?" + key + "=" + url.QueryEscape(value)
}

func open(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

func exec(t testing.TB, db *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// one returns the one value of a query.
func one[T any](t testing.TB, db *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// sink opens a Sink on the place.
func (p *place) sink(t testing.TB) *Sink {
	t.Helper()
	s, err := Open(context.Background(), p.url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// unconnected makes a Sink on the place that has not connected yet.
func (p *place) unconnected(t testing.TB) *Sink {
	t.Helper()
	s, err := New(p.url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (p *place) query(t *testing.T, sql string) [][]any {
	t.Helper()
	rows, err := p.db.Query(context.Background(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.DB {
		p := fresh(t)
		return sinktest.DB{
			Open:  func(t *testing.T) sink.Sink { return p.sink(t) },
			Query: p.query,
		}
	})
}

// TestMigrateTogether makes the tables from several processes at once: one does it, and the others find them.
func TestMigrateTogether(t *testing.T) {
	for range 5 {
		p := fresh(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s, err := Open(t.Context(), p.url, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// TestSchemaVersion looks for the tables in a transaction, before and after another process makes them, as one that waits for it does.
func TestSchemaVersion(t *testing.T) {
	p := fresh(t)
	other := open(t, p.url)
	exec(t, other, "BEGIN")
	for want := range 2 {
		got, err := schemaVersion(t.Context(), other, 9)
		if err != nil || got != want {
			t.Errorf("schemaVersion = %d, %v, want %d", got, err, want)
		}
		if want == 0 {
			exec(t, p.db, "CREATE TABLE schema_version AS SELECT 1 AS version")
		}
	}
	exec(t, other, "COMMIT")
}
