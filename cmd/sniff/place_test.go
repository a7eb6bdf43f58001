package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/geo/geotest"
	"btcsniff/internal/netlab"
)

// TestPlacesBeforeDrop names a database of places that only root may read: it is read before root is dropped, and overwriting it
// while sniff runs changes nothing.
func TestPlacesBeforeDrop(t *testing.T) {
	needRoot(t)
	netlab.Pair(t, "left", "right")
	dir := folder(t)
	places := geotest.Countries(1_763_800_000, map[string]string{"203.0.113.0/25": "DE"}).Write(t, filepath.Join(t.TempDir(), "country.mmdb"))
	if err := os.Chmod(places, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "a.duckdb")
	s := start(t, nil, "-i", "right", "-Z", "nobody", "--geoip", places, "--local", "192.0.2.10", "--local", "fd77:a::10", "--sink", file)
	s.expect("listening on right")
	if err := os.Truncate(places, 0); err != nil {
		t.Fatal(err)
	}
	netlab.Send(t, "left", packets(t, "ipv6/ipv6.pcap"))
	s.stop()

	db, err := sql.Open("duckdb", file+"?access_mode=READ_ONLY")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT DISTINCT k.peer_address || ' ' || p.kind || ' ' || p.place FROM peer_place p JOIN connection k ON k.id = p.conn ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := []string{"198.51.100.33 private private", "203.0.113.55 private DE", "fd77:a::21 private private", "fd77:b::22 private private",
		"fd77:c::44 private private"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places of peers (-want +got):\n%s", diff)
	}
}
