package main

import (
	"strings"
	"testing"
)

// TestOpenVersions has tables of another version, and something else's: each is refused with what to do.
func TestOpenVersions(t *testing.T) {
	for _, tt := range []struct{ name, change, want string }{
		{"newer", "INSERT INTO schema_version (version, name) VALUES (99, 'future')", "its tables have version 99, made by a newer btcsniff"},
		{"older", "UPDATE schema_version SET version = -1 WHERE version = 1", "made by an older btcsniff"},
		{"none", "DROP TABLE schema_version", "that are not of btcsniff|it has no tables of btcsniff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			databases := testDatabases(t)
			replayInto(t, "../../testdata/pcaps/v2-keys/core-28.1.pcap", databases...)
			for _, d := range databases {
				db := d.open(t, true)
				if _, err := db.Exec(tt.change); err != nil {
					t.Fatal(err)
				}
				if tt.name == "older" { // of whatever number there are
					if _, err := db.Exec("DELETE FROM schema_version WHERE version > 1"); err != nil {
						t.Fatal(err)
					}
				}
				db.Close()
				got, err := (&call{db: d.url, timeout: 1e9}).open(t.Context())
				if err == nil {
					got.Close()
				}
				if err == nil || strings.Contains(err.Error(), "\n") {
					t.Fatalf("%s: error %v, want one line", d.name, err)
				}
				found := false
				for _, want := range strings.Split(tt.want, "|") {
					found = found || strings.Contains(err.Error(), want)
				}
				if !found {
					t.Errorf("%s: %v, want %q", d.name, err, tt.want)
				}
			}
		})
	}
}

// TestOpenReadOnly tries to change a database that was opened for questions.
func TestOpenReadOnly(t *testing.T) {
	databases := testDatabases(t)
	replayInto(t, "../../testdata/pcaps/v2-keys/core-28.1.pcap", databases...)
	for _, d := range databases {
		db, err := (&call{db: d.url, timeout: 60e9}).open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"DELETE FROM ping", "CREATE TABLE mine (a int)", "INSERT INTO sensor (name) VALUES ('x')"} {
			if _, err := db.Exec(text); err == nil || !strings.Contains(err.Error(), "read-only") {
				t.Errorf("%s: %s: error %v, want that it is read-only", d.name, text, err)
			}
		}
		db.Close()
	}
}
