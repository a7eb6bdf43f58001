package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"btcsniff/sink/duckdb"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"firstseen": main}) }

// TestScripts runs the scripts in testdata/script. Beside testscript's own commands they have
//
//	exits CODE PROGRAM [ARG...]   runs PROGRAM and compares its exit code; stdout and stderr can be checked after that
//	held FILE                     opens a DuckDB file to write, as a sink does, until the script ends
//
// and the files long.duckdb, with the recording long/capture.pcap, and empty.duckdb, with tables alone. Where there is a Postgres server
// for tests, $PG is the URL of a database with that recording, and the condition [postgres] holds.
func TestScripts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "long.duckdb")
	databases := []testDatabase{{"duckdb", file}}
	pg := ""
	for _, d := range testDatabases(t) {
		if d.name == "postgres" {
			databases, pg = append(databases, d), d.url
		}
	}
	replayInto(t, "../../testdata/pcaps/long/capture.pcap", databases...)
	recorded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// In a group of its own, so that the database is there until all scripts, which run beside each other, have ended.
	t.Run("all", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: "testdata/script",
			Setup: func(env *testscript.Env) error {
				env.Setenv("PG", pg)
				s, err := duckdb.Open(filepath.Join(env.WorkDir, "empty.duckdb"))
				if err == nil {
					err = s.Close()
				}
				return errors.Join(err, os.WriteFile(filepath.Join(env.WorkDir, "long.duckdb"), recorded, 0o600))
			},
			Condition: func(cond string) (bool, error) {
				if cond == "postgres" {
					return pg != "", nil
				}
				return false, fmt.Errorf("unknown condition %s", cond)
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "held": held},
		})
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s; stderr:\n%s", code, args[0], ts.ReadFile("stderr"))
	}
	if lines := strings.Count(ts.ReadFile("stderr"), "\n"); code != 0 && lines != 1 {
		ts.Fatalf("%d lines of error, want one:\n%s", lines, ts.ReadFile("stderr"))
	}
}

func held(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: held FILE")
	}
	s, err := duckdb.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { s.Close() })
}
