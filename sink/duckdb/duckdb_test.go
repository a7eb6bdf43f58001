package duckdb_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"btcsniff/sink"
	"btcsniff/sink/duckdb"
	"btcsniff/sink/sinktest"
)

// roleVariable tells a copy of the test program, which a test started, what to do with the file that is its argument.
const roleVariable = "BTCSNIFF_DUCKDB_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	default:
		if err := play(role, os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// play opens the file, says so, and then waits, or writes batches and says so after each, until it is killed or, as "full", no
// file may grow any more.
func play(role, path string) error {
	s, err := duckdb.Open(path)
	if err != nil {
		return err
	}
	fmt.Println("open")
	if role == "hold" {
		bufio.NewReader(os.Stdin).ReadString('\n') //nolint:errcheck // the test has ended
		return s.Close()
	}
	traffic := crashTraffic()
	c := traffic.Capture()
	if _, err := s.Begin(context.Background(), c); err != nil {
		return err
	}
	if role == "full" {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 3 << 20, Max: 3 << 20}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	for b := range traffic.Batches(c) {
		if _, err := s.Write(context.Background(), b); err != nil {
			return err
		}
		fmt.Println("wrote", b.Len())
	}
	return s.Close()
}

// start starts a copy of the test program in a role. It is killed when the test ends.
func start(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the other process said %q, want open", lines.Text())
	}
	return cmd, lines
}

func open(t testing.TB, path string) *duckdb.Sink {
	t.Helper()
	s, err := duckdb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// query runs a query on the database, through the driver alone.
func query(t testing.TB, path, text string) [][]any {
	t.Helper()
	db, err := sql.Open("duckdb", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]any
	for rows.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return all
}

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.DB {
		path := filepath.Join(t.TempDir(), "test.duckdb")
		return sinktest.DB{
			Open:  func(t *testing.T) sink.Sink { return open(t, path) },
			Query: func(t *testing.T, text string) [][]any { return query(t, path, text) },
		}
	})
}

// TestOpenRefuses has files that can't be opened: each gives one line that says what to do.
func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name, file string
		make       func(t *testing.T, path string)
		want       string
	}{
		{"no database", "a.duckdb", func(t *testing.T, path string) {
			write(t, path, strings.Repeat("no database ", 1000))
		}, "it is not a DuckDB database: choose another file"},
		{"empty file", "a.duckdb", func(t *testing.T, path string) { write(t, path, "") },
			"it is not a DuckDB database: choose another file"},
		{"no such folder", "folder/a.duckdb", func(*testing.T, string) {}, "No such file or directory"},
		{"question mark", "a?.duckdb", func(*testing.T, string) {}, "can't open a file with ? or % in its name"},
		{"something else's tables", "a.duckdb", func(t *testing.T, path string) {
			query(t, path, "CREATE TABLE tx (a INTEGER)")
		}, "it holds tables that are not of btcsniff: choose another file"},
		{"newer tables", "a.duckdb", func(t *testing.T, path string) {
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			query(t, path, "INSERT INTO schema_version (version, name) VALUES (99, 'future')")
		}, "its tables have version 99, made by a newer btcsniff"},
		{"another process has it", "a.duckdb", func(t *testing.T, path string) { start(t, "hold", path) },
			"has it open, and only one at a time can: wait until it ends, or choose another file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tt.file)
			tt.make(t, path)
			s, err := duckdb.Open(path)
			if err == nil {
				s.Close()
				t.Fatalf("Open: no error, want %q", tt.want)
			}
			if got := err.Error(); !strings.HasPrefix(got, "open "+path+": ") || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("Open: %q, want one line with %q", got, tt.want)
			}
		})
	}
}

func TestOpenNamesTheOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.duckdb")
	cmd, _ := start(t, "hold", path)
	_, err := duckdb.Open(path)
	if want := fmt.Sprintf("process %d has it open", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open: %v, want %q", err, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// crashTraffic is enough for DuckDB to move its log into the file several times.
func crashTraffic() sinktest.Traffic {
	return sinktest.Traffic{Sensor: "crash", Messages: 20_000, Size: 17, Conns: 300, Txs: 1 << 40, Batch: 10_000}
}

// TestKilled kills a writing process at different batches. What it has said to be written is stored, nothing is half stored, and
// a run after it adds exactly the rest.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, batches := range []int{0, 7, 25} {
		t.Run(fmt.Sprint("after ", batches), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.duckdb")
			cmd, lines := start(t, "write", path)
			said := uint64(0)
			for range batches {
				var n uint64
				if !lines.Scan() {
					t.Fatal("it ended early")
				}
				if _, err := fmt.Sscanf(lines.Text(), "wrote %d", &n); err != nil {
					t.Fatal(err)
				}
				said += n
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()

			wantRest(t, path, said)
		})
	}
}

// TestDiskFull lets a process write until its files may not grow any more. It fails with one line, and nothing is half stored.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	path := filepath.Join(t.TempDir(), "a.duckdb")
	cmd, lines := start(t, "full", path)
	said, last := uint64(0), ""
	for lines.Scan() {
		var n uint64
		if _, err := fmt.Sscanf(lines.Text(), "wrote %d", &n); err == nil {
			said += n
			continue
		}
		if last != "" {
			t.Errorf("error of several lines: %s, %s", last, lines.Text())
		}
		last = lines.Text()
	}
	if err := cmd.Wait(); err == nil || said == 0 {
		t.Errorf("it wrote %d records and ended with %v, want an error", said, err)
	}
	t.Logf("error: %s", last)
	if !strings.HasPrefix(last, "write batch ") || !strings.Contains(last, path) {
		t.Errorf("error = %q, want one that names the file", last)
	}
	wantRest(t, path, said)
}

// wantRest opens a file of crashTraffic whose writer died when it had said to have written a number of records. These are stored,
// in whole batches, and a run after it adds exactly the rest.
func wantRest(t *testing.T, path string, said uint64) {
	t.Helper()
	traffic := crashTraffic()
	s := open(t, path)
	stored, err := s.Begin(context.Background(), traffic.Capture())
	if err != nil {
		t.Fatal(err)
	}
	if stored < said {
		t.Errorf("%d records stored, it had said %d", stored, said)
	}
	if got := query(t, path, "SELECT count(*) FROM inv")[0][0]; fmt.Sprint(got) != fmt.Sprint(stored) {
		t.Errorf("%v rows, %d records by the batches' rows", got, stored)
	}
	added := writeAll(t, s, traffic)
	if total := uint64(traffic.Announcements()); stored+added != total {
		t.Errorf("%d stored and %d added, want %d", stored, added, total)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const different = "SELECT count(*) FROM (SELECT DISTINCT conn, pos, index FROM inv) d"
	if got := query(t, path, different)[0][0]; fmt.Sprint(got) != fmt.Sprint(traffic.Announcements()) {
		t.Errorf("%v different announcements, want %d", got, traffic.Announcements())
	}
}

func writeAll(t testing.TB, s *duckdb.Sink, traffic sinktest.Traffic) (added uint64) {
	t.Helper()
	c := traffic.Capture()
	if _, err := s.Begin(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	for b := range traffic.Batches(c) {
		n, err := s.Write(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		added += n
	}
	return added
}

func BenchmarkSink(b *testing.B) {
	for _, traffic := range []sinktest.Traffic{sinktest.Busy(), sinktest.Hostile()} {
		b.Run(traffic.Sensor, func(b *testing.B) {
			for b.Loop() {
				path := filepath.Join(b.TempDir(), "a.duckdb")
				s := open(b, path)
				writeAll(b, s, traffic)
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				info, err := os.Stat(path)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.Size())/float64(traffic.Announcements()), "B/announcement")
			}
			seconds := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(float64(traffic.Announcements())/seconds, "announcements/s")
			b.ReportMetric(traffic.Seconds()/seconds, "times-real-time")
		})
	}
}
