package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"replay": main}) }

// TestScripts runs the scripts in testdata/script. Beside testscript's own commands they have
//
//	exits CODE PROGRAM [ARG...]   runs PROGRAM and compares its exit code; stdout and stderr can be checked after that
//	lines FILE|stderr N           compares a number of lines
//	patch FILE OFFSET HEX         overwrites bytes
//	cut FILE SIZE                 shortens a file
//	sql QUERY                     runs SQL on the script's Postgres schema and prints the first value
//
// and the variables $PCAPS, the folder of recorded captures, and $PG, the URL of an empty schema in Postgres, dropped
// afterwards. The condition [postgres] says that there is one.
func TestScripts(t *testing.T) {
	testscript.Run(t, params(t, "testdata/script"))
}

// TestPostgresScripts runs the scripts that need Postgres.
func TestPostgresScripts(t *testing.T) {
	if os.Getenv("BTCSNIFF_TEST_DATABASE_URL") == "" {
		t.Skip("BTCSNIFF_TEST_DATABASE_URL is not set")
	}
	testscript.Run(t, params(t, "testdata/postgres"))
}

func params(t *testing.T, dir string) testscript.Params {
	t.Helper()
	pcaps, err := filepath.Abs("../../testdata/pcaps")
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PCAPS", pcaps)
			return setupPostgres(env)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "lines": lines, "patch": patch, "cut": cut, "sql": query,
		},
	}
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
}

func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE|stderr N")
	}
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d lines, want %s:\n%s", args[0], n, args[1], ts.ReadFile(args[0]))
	}
}

func patch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: patch FILE OFFSET HEX")
	}
	offset, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	b, err := hex.DecodeString(args[2])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	defer f.Close()
	_, err = f.WriteAt(b, offset)
	ts.Check(err)
}

func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE SIZE")
	}
	size, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// setupPostgres makes an empty schema and a role that may not make tables in it, and sets PG to the schema's URL, and NORIGHTS
// to the same as that role. Without a database it does nothing.
func setupPostgres(env *testscript.Env) error {
	base := os.Getenv("BTCSNIFF_TEST_DATABASE_URL")
	if base == "" {
		return nil
	}
	name := fmt.Sprintf("replay_%016x", rand.Uint64())
	exec := func(sql string) error {
		db, err := pgx.Connect(context.Background(), base)
		if err != nil {
			return err
		}
		defer db.Close(context.Background()) //nolint:errcheck // nothing hangs on it
		_, err = db.Exec(context.Background(), sql)
		return err
	}
	if err := exec("CREATE SCHEMA " + name + "; CREATE ROLE " + name + "; GRANT USAGE ON SCHEMA " + name + " TO " + name); err != nil {
		return err
	}
	env.Defer(func() {
		if err := exec("DROP SCHEMA " + name + " CASCADE; DROP ROLE " + name); err != nil {
			env.T().Log(err)
		}
	})
	for variable, options := range map[string]string{"PG": "-c search_path=" + name, "NORIGHTS": "-c search_path=" + name + " -c role=" + name} {
		u, err := url.Parse(base)
		if err != nil {
			return err
		}
		q := u.Query()
		q.Set("options", options)
		u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
		env.Setenv(variable, u.String())
	}
	return nil
}

func query(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql QUERY")
	}
	db, err := pgx.Connect(context.Background(), ts.Getenv("PG"))
	ts.Check(err)
	defer db.Close(context.Background()) //nolint:errcheck // nothing hangs on it
	rows, err := db.Query(context.Background(), args[0])
	ts.Check(err)
	defer rows.Close()
	if rows.Next() {
		values, err := rows.Values()
		ts.Check(err)
		fmt.Fprintln(ts.Stdout(), values[0])
	}
	ts.Check(rows.Err())
}
