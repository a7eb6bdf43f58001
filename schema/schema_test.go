package schema

import (
	"strings"
	"testing"
)

func TestMigrations(t *testing.T) {
	for _, tt := range []struct {
		name string
		list func() ([]Migration, error)
	}{
		{"Postgres", Postgres},
		{"DuckDB", DuckDB},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := tt.list()
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				t.Fatal("no migrations")
			}
			var all strings.Builder
			for i, m := range list {
				if m.Version != i+1 {
					t.Errorf("migration %d has version %d", i+1, m.Version)
				}
				all.WriteString(m.SQL)
			}
			for _, table := range []string{
				"sensor", "capture", "capture_file", "blind", "batch", "connection", "place", "tx", "tx_input", "tx_output",
				"block", "ping", "pong", "version", "addr",
			} {
				if !strings.Contains(all.String(), "CREATE TABLE "+table+" (") {
					t.Errorf("no table %s", table)
				}
			}
			for _, view := range []string{"peer_place", "inv", "announcement", "sighting", "tx_hash", "first_seen"} {
				if !strings.Contains(all.String(), "CREATE VIEW "+view+" AS") {
					t.Errorf("no view %s", view)
				}
			}
		})
	}
}
