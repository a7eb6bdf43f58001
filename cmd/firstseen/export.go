package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
)

// exportFlags are the flags of firstseen export.
type exportFlags struct {
	format  string
	out     string
	columns []string
	force   bool
}

var exportCommand = command{
	name:  "export",
	args:  "TABLE|VIEW",
	about: "Writes all rows of a table or view to a file, as Parquet, CSV or JSON lines",
	more: `Hashes are hex digits in CSV and JSON lines, and byte arrays in Parquet. Times are RFC 3339 in UTC with six decimals, in Parquet
instants. In JSON lines, 64-bit ids and nonces are strings. In CSV, text that a spreadsheet would take for a formula has an apostrophe
in front, and characters that don't print are escapes; the other formats have it as it is stored. Rows come in no order that can
be relied on. Until all are there, the file has another name: .FILE.RANDOM.partial.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		f := &exportFlags{}
		fs.StringVar(&f.format, "format", "", "`FORMAT` is parquet, csv or jsonl; default: what the file's name ends with, else csv")
		fs.StringVar(&f.out, "o", "-", "write to `FILE`; - is standard output (not for parquet); default -")
		fs.Func("columns", "only the columns `LIST`, with commas between", func(s string) error {
			f.columns = strings.Split(s, ",")
			return nil
		})
		fs.BoolVar(&f.force, "force", false, "replace the file if it exists")
		return func(ctx context.Context, c *call) error {
			if err := f.check(c); err != nil {
				return err
			}
			db, err := c.open(ctx)
			if err != nil {
				return err
			}
			defer db.Close()
			e, err := db.NewExport(ctx, c.args[0], f.columns)
			if errors.As(err, new(*analyze.NameError)) {
				return cli.UsageError{Err: err}
			} else if err != nil {
				return err
			}
			return f.write(ctx, c, e)
		}
	},
}

// check completes the flags and compares them with each other.
func (f *exportFlags) check(c *call) error {
	switch {
	case len(c.args) != 1:
		return cli.UsageError{Err: errors.New("want the name of one table or view, as in firstseen export first_seen -o first_seen.parquet")}
	case f.format != "" && (c.json || c.csv):
		return cli.UsageError{Err: errors.New("--format contradicts --json or --csv: give one")}
	case c.json:
		f.format = "jsonl"
	case c.csv:
		f.format = "csv"
	case f.format == "":
		f.format = strings.TrimPrefix(filepath.Ext(f.out), ".")
		if f.format != "parquet" && f.format != "jsonl" {
			f.format = "csv"
		}
	}
	switch {
	case f.format != "parquet" && f.format != "csv" && f.format != "jsonl":
		return cli.UsageError{Err: fmt.Errorf("--format %s: want parquet, csv or jsonl", f.format)}
	case f.format == "parquet" && f.out == "-":
		return cli.UsageError{Err: errors.New("--format parquet wants a file: give -o FILE")}
	}
	if _, err := os.Lstat(f.out); f.out != "-" && !f.force && !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%s exists: choose another name, or replace it with --force", f.out)
	}
	return nil
}

// write writes to standard output, or to a file that gets its name when all is in it.
func (f *exportFlags) write(ctx context.Context, c *call, e *analyze.Export) error {
	switch {
	case f.out == "-":
		return f.rows(ctx, c.stdout, e)
	case f.format != "parquet":
		return writeWhole(f.out, func(w io.Writer) error { return f.rows(ctx, w, e) })
	case special(f.out):
		return fmt.Errorf("%s is no ordinary file: --format parquet wants one", f.out)
	}
	return replace(f.out, func(partial string) error { return writeParquet(ctx, partial, e) })
}

// writeParquet writes a Parquet file with the help of a database in memory, which rows pass through and don't stay in.
func writeParquet(ctx context.Context, path string, e *analyze.Export) error {
	scratch, err := sql.Open("duckdb", "")
	if err != nil {
		return fmt.Errorf("open a database in memory: %w", err)
	}
	defer scratch.Close()
	scratch.SetMaxOpenConns(1)
	for _, setting := range []string{
		"SET TimeZone = 'UTC'", "SET autoinstall_known_extensions = false", "SET autoload_known_extensions = false",
	} {
		if _, err := scratch.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("open a database in memory: %w", err)
		}
	}
	return e.Parquet(ctx, scratch, path)
}

// rows writes all rows as CSV or JSON lines.
func (f *exportFlags) rows(ctx context.Context, w io.Writer, e *analyze.Export) error {
	out := bufio.NewWriterSize(w, 1<<18)
	var write func([]analyze.Cell) error
	if f.format == "csv" {
		lines := csv.NewWriter(out)
		defer lines.Flush()
		record := make([]string, len(e.Columns))
		for i, c := range e.Columns {
			record[i] = c.Name
		}
		if err := lines.Write(record); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
		write = func(cells []analyze.Cell) error {
			for i, c := range cells {
				record[i] = c.Text
				if e.Columns[i].Kind == analyze.TextColumn || e.Columns[i].Kind == analyze.JSONColumn {
					record[i] = csvCell(c.Text)
				}
			}
			err := lines.Write(record)
			if err == nil {
				err = lines.Error()
			}
			return err
		}
		if err := e.Rows(ctx, write); err != nil {
			return err
		}
		lines.Flush()
	} else {
		var line []byte
		write = func(cells []analyze.Cell) error {
			line = appendRow(line[:0], e.Columns, cells)
			_, err := out.Write(line)
			return err
		}
		if err := e.Rows(ctx, write); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// appendRow appends a row as a JSON object and a line feed.
func appendRow(b []byte, columns []analyze.ExportColumn, cells []analyze.Cell) []byte {
	for i := range cells {
		if i == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, columns[i].Name), ':')
		b = appendValue(b, columns[i].Kind, &cells[i])
	}
	return append(b, "}\n"...)
}

// appendValue appends a cell as JSON.
func appendValue(b []byte, kind analyze.ColumnKind, c *analyze.Cell) []byte {
	switch {
	case c.Null:
		return append(b, "null"...)
	case kind == analyze.IntegerColumn || kind == analyze.BoolColumn:
		return append(b, c.Text...)
	case kind == analyze.FloatColumn && json.Valid([]byte(c.Text)): // else it is infinite or no number
		return append(b, c.Text...)
	case kind == analyze.FloatColumn:
		return append(b, "null"...)
	case kind == analyze.JSONColumn && json.Valid([]byte(c.Text)):
		if value, err := jsonValue(json.RawMessage(c.Text)); err == nil {
			return append(b, value...)
		}
	case plainText(c.Text):
		return append(append(append(b, '"'), c.Text...), '"')
	}
	value, err := jsonValue(c.Text)
	if err != nil {
		return append(b, "null"...) // a string always has a form in JSON
	}
	return append(b, value...)
}

// plainText says whether s is the same in JSON.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}
