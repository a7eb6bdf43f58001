package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// exports runs firstseen export with arguments and returns what it printed.
func exports(t *testing.T, d testDatabase, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if err := run(t.Context(), append([]string{"export", "--db", d.url}, args...), &out, &errs); err != nil {
		t.Fatalf("export %s: %v", strings.Join(args, " "), errs.String())
	}
	return out.String()
}

// sorted are a text's lines in order, as rows come in none.
func sorted(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// TestExport writes out several tables and views from both databases, which must give the same rows, and reads them back.
func TestExport(t *testing.T) {
	p := newNeighbours()
	tx := newTx(7, []wire.OutPoint{elsewhere(7)}, payment{1e8, 'a', 'w'})
	c := p.Conn("198.51.100.9:50009", "192.0.2.10:8333").Open()
	p.conns = map[string]*pcaptest.Conn{"nine": c}
	p.announce("nine", tx, true)
	p.send("nine", tx)
	long := make([]record.InvVect, 2500) // more than a row of Postgres' takes
	for i := range long {
		long[i] = record.InvVect{Type: record.InvTx, Hash: record.Hash{byte(i), byte(i >> 8), 'l'}}
	}
	c.A.Send(pcaptest.Regtest.Inv(long...))
	p.places["198.51.100.9"] = "JP"
	databases := testDatabases(t)
	lines := p.store(t, databases...)
	for _, name := range []string{
		"version --columns conn,from_b,outbound,pos,seen_at,first_byte_at,protocol,services,claimed_at,addr_recv,nonce,user_agent,start_height,relay",
		"addr --columns conn,seen_at,index,address,port,services,last_seen",
		"tx --columns conn,seen_at,txid,wtxid,version,lock_time,size,weight",
		"first_seen", "place", "announcement --columns seen_at,peer_address,country,type,hash,conn",
		"inv --columns seen_at,first_byte_at,conn,from_b,outbound,pos,index,count,type,hash,peer_address,peer_port,peer_name,minute",
		"connection --columns id,peer_address,network,opened_at,closed_at,handshake_rtt_us,user_agent",
	} {
		args := strings.Fields(name)
		t.Run(args[0], func(t *testing.T) {
			var first []string
			for _, d := range databases {
				got := sorted(exports(t, d, append(args, "--format", "jsonl")...))
				if first == nil {
					first = got
				}
				if diff := cmp.Diff(first, got); diff != "" {
					t.Errorf("%s differs from %s (-want +got):\n%s", d.name, databases[0].name, diff)
				}
				wantCSV(t, d, args, got)
				wantParquet(t, d, args, got)
			}
			if len(first) == 0 || first[0] == "" {
				t.Error("no rows: the test tests nothing")
			}
		})
	}
	// The records' own text, which no database touched.
	for _, d := range databases {
		for _, row := range sorted(exports(t, d, "version", "--format", "jsonl")) {
			var version struct {
				Conn, Services, Nonce string
				Agent                 string `json:"user_agent"`
				SeenAt                string `json:"seen_at"`
			}
			if err := json.Unmarshal([]byte(row), &version); err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(lines, []byte(`"seen_at":"`+version.SeenAt+`"`)) || !bytes.Contains(lines, []byte(`"conn":"`+version.Conn+`"`)) {
				t.Errorf("%s: no record has the time and connection of %s", d.name, row)
			}
		}
	}
}

// wantCSV compares CSV with the same rows as JSON lines.
func wantCSV(t *testing.T, d testDatabase, args, rows []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.csv")
	exports(t, d, append(args, "-o", file)...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, record := range records[1:] {
		got = append(got, strings.Join(record, "|"))
	}
	var want []string
	for _, row := range rows {
		var cells []string
		for _, v := range values(t, row, records[0]) {
			if s, ok := v.(string); ok {
				v = csvCell(s)
			}
			cells = append(cells, text2(v))
		}
		want = append(want, strings.Join(cells, "|"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: CSV differs from JSON lines (-want +got):\n%s", d.name, diff)
	}
}

// text2 is a JSON value as a cell.
func text2(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// values are a JSON object's values for the keys, numbers as they are written.
func values(t *testing.T, row string, keys []string) (list []any) {
	t.Helper()
	object := map[string]any{}
	dec := json.NewDecoder(strings.NewReader(row))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		t.Fatalf("%v in %s", err, row)
	}
	for _, k := range keys {
		v, ok := object[k]
		if !ok {
			t.Fatalf("no %s in %s", k, row)
		}
		list = append(list, v)
	}
	if len(object) != len(keys) {
		t.Fatalf("%d values in %s, want %d", len(object), row, len(keys))
	}
	return list
}

// wantParquet reads a Parquet file back and compares it with the same rows as JSON lines.
func wantParquet(t *testing.T, d testDatabase, args, rows []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "it's a.parquet")
	exports(t, d, append(args, "-o", file)...)
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query("SELECT * FROM read_parquet($1)", file)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	columns, err := found.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range columns {
		names = append(names, c.Name())
		if kind := c.DatabaseTypeName(); strings.HasSuffix(c.Name(), "_at") && kind != "TIMESTAMPTZ" || strings.HasSuffix(c.Name(), "txid") && kind != "BLOB" ||
			c.Name() == "services" && kind != "UBIGINT" || c.Name() == "conn" && kind != "BIGINT" || c.Name() == "port" && kind != "INTEGER" {
			t.Errorf("%s: column %s is %s", d.name, c.Name(), kind)
		}
	}
	var got, want []string
	for found.Next() {
		row, into := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		cells := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case time.Time:
				cells[i] = v.UTC().Format(record.Layout)
			case []byte:
				cells[i] = fmt.Sprintf("%x", v)
			default:
				cells[i] = text2(v)
			}
		}
		got = append(got, strings.Join(cells, "|"))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		list := values(t, row, names)
		cells := make([]string, len(list))
		for i := range list {
			cells[i] = text2(list[i])
		}
		want = append(want, strings.Join(cells, "|"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: Parquet differs from JSON lines (-want +got):\n%s", d.name, diff)
	}
}

// TestExportRefuses has command lines that name what isn't there, and names that try to be more than names.
func TestExportRefuses(t *testing.T) {
	databases := testDatabases(t)
	newNeighbours().store(t, databases...)
	dir := t.TempDir()
	there := filepath.Join(dir, "there.csv")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no name", nil, 2, "want the name of one table or view"},
		{"unknown table", []string{"transactions"}, 2, "there is no table or view transactions: want one of addr, announcement, "},
		{"statement", []string{"tx; DROP TABLE tx"}, 2, "there is no table or view tx; DROP TABLE tx"},
		{"quotes", []string{`tx" --`}, 2, "there is no table or view"},
		{"partition", []string{"tx_20251006"}, 2, "there is no table or view tx_20251006"},
		{"catalogue", []string{"pg_class"}, 2, "there is no table or view pg_class"},
		{"unknown column", []string{"tx", "--columns", `txid,1 AS a`}, 2, "there is no column 1 AS a: want one of capture, conn, "},
		{"parquet to standard output", []string{"tx", "--format", "parquet"}, 2, "give -o FILE"},
		{"unknown format", []string{"tx", "--format", "xml"}, 2, "want parquet, csv or jsonl"},
		{"file exists", []string{"tx", "-o", there}, 1, "exists: choose another name, or replace it with --force"},
		{"no folder", []string{"tx", "-o", filepath.Join(dir, "no", "a.csv")}, 1, "no such file or directory"},
		{"no time, CSV", []string{"tx", "-o", filepath.Join(dir, "a.csv"), "--timeout", "1us"}, 1, "no answer within 1"},
		{"no time, Parquet", []string{"tx", "-o", filepath.Join(dir, "a.parquet"), "--timeout", "1us"}, 1, "no answer within 1"},
	} {
		for _, d := range databases {
			t.Run(tt.name+" "+d.name, func(t *testing.T) {
				var out, errs bytes.Buffer
				err := run(t.Context(), append([]string{"export", "--db", d.url}, tt.args...), &out, &errs)
				if code := cli.ExitCode(err); code != tt.code || !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
					t.Errorf("exit code %d, %q, %q, want %d with %q", code, out.String(), errs.String(), tt.code, tt.want)
				}
			})
		}
	}
	exports(t, databases[0], "tx", "--force", "-o", there)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Errorf("files left behind: %v", files)
	}
}

// TestExportInterrupted ends exports between rows: the reading of a database ends with them.
func TestExportInterrupted(t *testing.T) {
	databases := testDatabases(t)
	newNeighbours().store(t, databases...)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			db := d.open(t, false)
			e, err := db.NewExport(t.Context(), "version", nil)
			if err != nil {
				t.Fatal(err)
			}
			enough := errors.New("enough")
			rows := 0
			err = e.Rows(t.Context(), func([]analyze.Cell) error {
				if rows++; rows == 2 {
					return enough
				}
				return nil
			})
			if !errors.Is(err, enough) || rows != 2 {
				t.Errorf("Rows: %v after %d rows, want %v after 2", err, rows, enough)
			}
			ctx, cancel := context.WithCancel(t.Context())
			err = e.Rows(ctx, func([]analyze.Cell) error { cancel(); return nil })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Rows: %v after it was cancelled", err)
			}
		})
	}
}

// TestExportGivenUp ends exports of more rows than the pipe has room for that a DuckDB file's come through, as a full disk does: what DuckDB
// writes after that must not end the process.
func TestExportGivenUp(t *testing.T) {
	d := testDatabase{"duckdb", filepath.Join(t.TempDir(), "a.duckdb")}
	replayInto(t, "../../testdata/pcaps/long/rotating", d)
	replayInto(t, "../../testdata/pcaps/lossy/lossy.pcap", d)
	db := d.open(t, false)
	e, err := db.NewExport(t.Context(), "announcement", nil)
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	for range 10 {
		if err := e.Rows(t.Context(), func([]analyze.Cell) error { return enough }); !errors.Is(err, enough) {
			t.Fatalf("Rows: %v, want %v", err, enough)
		}
	}
}
