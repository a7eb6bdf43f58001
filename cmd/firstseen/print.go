package main

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"btcsniff/internal/legible"
	"btcsniff/record"
)

// A format is how rows are written.
type format int

const (
	forPeople format = iota // aligned columns
	asJSON                  // an object a line
	asCSV                   // with a line of names, as RFC 4180 has it
)

// micros is a time span in microseconds. People see milliseconds.
type micros int64

// share is a number from 0 to 1. People see percent.
type share float64

// A column is one of a table.
type column struct {
	key   string // in JSON and CSV, with its unit, as in lead_us
	title string // for people; "": they don't see the column
}

// A table prints rows, one way for all commands. What peers chose can't do harm in any format: control characters, and others
// that don't print, are written as escapes, and no cell of a CSV file begins a formula.
type table struct {
	w       io.Writer
	format  format
	kind    string // of the rows, "row" in JSON; "": not written
	columns []column
	csv     *csv.Writer
	lines   [][]string // for people, who see them when all are there
	err     error      // the first of writing
}

// table begins a table. In JSON each row has "row": kind, unless that is "", which is for commands with one kind of rows.
func (c *call) table(kind string, columns ...column) *table {
	t := &table{w: c.stdout, format: c.format, kind: kind, columns: columns}
	if t.format == asCSV {
		t.csv = csv.NewWriter(c.stdout)
		names := make([]string, len(columns))
		for i, col := range columns {
			names[i] = col.key
		}
		t.err = t.csv.Write(names)
	}
	return t
}

// say writes a line for people, and nothing for programs.
func (c *call) say(text string, args ...any) {
	if c.format == forPeople {
		fmt.Fprintln(c.stdout, legible.Text(fmt.Sprintf(text, args...)))
	}
}

// none says on standard error, for people, why there is no row. Programs see it.
func (c *call) none(text string) {
	if c.format == forPeople {
		fmt.Fprintln(c.stderr, "firstseen: "+text)
	}
}

// row adds a row: a value for each column. A value is nil, a string, []byte (hexadecimal), a bool, a number, micros, share,
// record.Time (the zero Time is as nil), or a pointer to one of these, where nil is nil.
func (t *table) row(values ...any) {
	for i := range values {
		values[i] = plainValue(values[i])
	}
	switch t.format {
	case asJSON:
		t.note(t.json(values))
	case asCSV:
		cells := make([]string, len(values))
		for i, v := range values {
			cells[i] = csvCell(v)
		}
		t.note(t.csv.Write(cells))
	default:
		var line []string
		for i, v := range values {
			if t.columns[i].title != "" {
				line = append(line, forReading(v))
			}
		}
		t.lines = append(t.lines, line)
	}
}

func (t *table) note(err error) {
	if t.err == nil {
		t.err = err
	}
}

// close writes what is left, and returns the first error of writing.
func (t *table) close() error {
	switch t.format {
	case asCSV:
		t.csv.Flush()
		t.note(t.csv.Error())
	case forPeople:
		t.note(t.align())
	}
	if t.err != nil {
		return fmt.Errorf("write rows: %w", t.err)
	}
	return nil
}

// align writes the table for people: numbers to the right.
func (t *table) align() error {
	if len(t.lines) == 0 {
		return nil
	}
	var head []string
	for _, col := range t.columns {
		if col.title != "" {
			head = append(head, col.title)
		}
	}
	width, right := make([]int, len(head)), make([]bool, len(head))
	for i := range head {
		width[i] = utf8.RuneCountInString(head[i])
		right[i] = true
		for _, line := range t.lines {
			width[i] = max(width[i], utf8.RuneCountInString(line[i]))
			right[i] = right[i] && numeric(line[i])
		}
	}
	var b bytes.Buffer
	for _, line := range append([][]string{head}, t.lines...) {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			switch {
			case right[i]:
				cell = pad + cell
			case i < len(line)-1:
				cell += pad
			}
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(cell)
		}
		b.WriteByte('\n')
	}
	_, err := t.w.Write(b.Bytes())
	return err
}

// numeric says whether a cell is better read at the right edge of its column.
func numeric(cell string) bool {
	rest := strings.TrimLeft(cell, "+-0123456789.,")
	return cell == "-" || len(rest) < len(cell) && (rest == "" || rest == " ms" || rest == " %" || rest == " s")
}

// plainValue follows pointers, and makes the zero Time nil.
func plainValue(v any) any {
	switch v := v.(type) {
	case *string:
		return follow(v)
	case *int:
		return follow(v)
	case *int64:
		return follow(v)
	case *float64:
		return follow(v)
	case *bool:
		return follow(v)
	case *micros:
		return follow(v)
	case *share:
		return follow(v)
	case time.Duration:
		return micros(v.Microseconds())
	case record.Time:
		if v == 0 {
			return nil
		}
	}
	return v
}

func follow[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// forReading is a value in a table for people.
func forReading(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case micros:
		return strconv.FormatFloat(float64(v)/1000, 'f', 3, 64) + " ms"
	case share:
		return strconv.FormatFloat(float64(v)*100, 'f', 1, 64) + " %"
	case float64:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	}
	return legible.Text(text(v))
}

// csvCell is a value in a CSV file. A spreadsheet takes a cell for a formula if it begins with one of =+-@ or a tab or carriage
// return; an apostrophe in front keeps text text (OWASP, CSV Injection). Numbers of ours may begin with a minus.
func csvCell(v any) string {
	s, isText := v.(string)
	if !isText {
		return text(v)
	}
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		s = "'" + s
	}
	return legible.Text(s)
}

// text is a value for programs, but for JSON.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return hex.EncodeToString(v)
	case micros:
		return strconv.FormatInt(int64(v), 10)
	case share:
		return strconv.FormatFloat(float64(v), 'f', -1, 64)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// json writes a row as an object, with its columns in order. A value that is unknown is null.
func (t *table) json(values []any) error {
	var b bytes.Buffer
	b.WriteByte('{')
	add := func(key string, v any) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		value, err := jsonValue(v)
		fmt.Fprintf(&b, "%q:%s", key, value)
		return err
	}
	if t.kind != "" {
		t.note(add("row", t.kind))
	}
	for i, col := range t.columns {
		t.note(add(col.key, values[i]))
	}
	b.WriteString("}\n")
	_, err := t.w.Write(b.Bytes())
	return err
}

// jsonValue is a value in JSON. Runes that don't print are \u escapes, so that the line does no harm on a terminal and loses nothing.
func jsonValue(v any) ([]byte, error) {
	switch w := v.(type) {
	case []byte, record.Time:
		v = text(w)
	case share:
		v = float64(w)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	var out []byte
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		switch {
		case unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff: // as two UTF-16 units, RFC 8259, section 7
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out, nil
}
