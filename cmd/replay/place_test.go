package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/geo/geotest"
)

// TestPlaces replays with databases of places into both kinds of databases: the same places are stored with the connections, once, and a
// replay of what is stored adds none, whatever database it has.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	const built = 1_763_800_000 // 2025-11-22
	country := geotest.Countries(built, map[string]string{"203.0.113.0/25": "DE", "fd77:a::/64": "FR"}).Write(t, filepath.Join(dir, "country.mmdb"))
	as := geotest.Database{Built: built - 1, Networks: map[string]any{"203.0.113.0/25": map[string]any{
		"autonomous_system_number": uint32(64496), "autonomous_system_organization": "Example"}}}.Write(t, filepath.Join(dir, "as.mmdb"))
	later := geotest.Countries(built+1, map[string]string{"203.0.113.0/25": "SE"}).Write(t, filepath.Join(dir, "later.mmdb"))
	captures := []string{"../../testdata/pcaps/ipv6", "../../testdata/pcaps/socks/lo.pcap", "../../testdata/pcaps/mainnet"}
	replay := func(url string, flags ...string) {
		t.Helper()
		var stderr strings.Builder
		args := slices.Concat([]string{"-q", "--sink", url}, flags, captures)
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard, &stderr); err != nil {
			t.Fatalf("replay %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
	}
	databases := []database{duckFile(filepath.Join(dir, "a.duckdb"))}
	if os.Getenv("BTCSNIFF_TEST_DATABASE_URL") != "" {
		databases = append(databases, newPostgresSchema(t))
	}
	for _, db := range databases {
		replay(db.url(), "--geoip", country, "--geoip", as)
		places := db.rows(t)
		replay(db.url())
		replay(db.url(), "--geoip", later)
		if diff := cmp.Diff(places, db.rows(t)); diff != "" {
			t.Errorf("replayed again (-before +after):\n%s", diff)
		}
		text := strings.Join(places, "\n")
		for _, want := range []string{"203.0.113.5", "DE", "64496", "Example", "onion", "tor", "FR", "private"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s among the places:\n%s", db.url(), want, text)
			}
		}
	}
}

// TestPlacesBroken names a file that is no database: nothing is replayed, and one line says which file.
func TestPlacesBroken(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.mmdb")
	if err := os.WriteFile(broken, []byte("192.0.2.0/24,DE\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	err := run(t.Context(), []string{"--geoip", broken, "--sink", filepath.Join(dir, "a.duckdb"), "../../testdata/pcaps/ipv6"},
		strings.NewReader(""), io.Discard, &stderr)
	if got := stderr.String(); err == nil || strings.Count(got, "\n") != 1 || !strings.Contains(got, "--geoip") || !strings.Contains(got, broken) {
		t.Errorf("replay ended with %v and said %q, want one line with --geoip and the file", err, got)
	}
	if _, err := os.Stat(filepath.Join(dir, "a.duckdb")); err == nil {
		t.Error("a database was made")
	}
}
