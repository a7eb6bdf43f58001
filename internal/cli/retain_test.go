package cli

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestParseDays(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1d": 24 * time.Hour, "36h": 36 * time.Hour, "36500d": 36500 * 24 * time.Hour,
		"": 0, "0d": 0, "d": 0, "90": 0, "-3d": 0, "1.5d": 0, "23h": 0, "36501d": 0, "99999999999d": 0, "2562047h": 0, "-48h": 0, "x": 0,
	} {
		if got, err := parseDays(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("parseDays(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
}

// TestUpkeep says what is told of a database's upkeep, and where there is any.
func TestUpkeep(t *testing.T) {
	f := &Flags{}
	fs := NewFlagSet("test")
	f.Declare(fs, "local", "sensor")
	f.DeclareRetain(fs)
	if err := fs.Parse(strings.Fields("--retain 90d --sink postgres://u:secret@192.0.2.1/db --sink null:")); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	log := slog.New(&plain{program: "test", w: &said})
	if f.Targets[0].upkeep(log) != nil {
		t.Error("a run that is not long has a database kept in order")
	}
	f.Order()
	up := f.Targets[0].upkeep(log)
	if up == nil || up.Retain != 90*24*time.Hour {
		t.Fatalf("upkeep is %+v, want 90 days", up)
	}
	up.Dropped(1, "2025-10-07")
	up.Failed(errors.New("at postgres://u:secret@192.0.2.1/db: no"))
	want := "test: postgres://u:xxxxx@192.0.2.1/db: dropped 1 day; what was seen from 2025-10-07 on is kept\n" +
		"test: warning: postgres://u:xxxxx@192.0.2.1/db: at postgres://u:xxxxx@192.0.2.1/db: no; trying again every minute, records are stored meanwhile\n"
	if said.String() != want {
		t.Errorf("said %q, want %q", said.String(), want)
	}
}

func TestRetainNeedsPostgres(t *testing.T) {
	f := &Flags{}
	fs := NewFlagSet("test")
	f.Declare(fs, "local", "sensor")
	f.DeclareRetain(fs)
	if err := fs.Parse([]string{"--retain", "90d", "--sink", "x.duckdb"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); ExitCode(err) != Usage {
		t.Errorf("Check() = %v, want a usage error", err)
	}
}
