package analyze

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// A ColumnKind says what a column's cells hold, whichever database they are from.
type ColumnKind int

const (
	TextColumn     ColumnKind = iota // any characters: peers chose some of it
	IntegerColumn                    // a decimal number
	IDColumn                         // a decimal number of 64 bits that names something
	UnsignedColumn                   // a decimal number of 64 bits without a sign, or an even greater one
	FloatColumn                      // a decimal number, perhaps with an exponent
	BoolColumn                       // true or false
	TimeColumn                       // as record.Layout has it
	BytesColumn                      // hex digits
	JSONColumn                       // JSON
)

// An ExportColumn is a column of a table or view.
type ExportColumn struct {
	Name string
	Kind ColumnKind
	typ  string // the database's name for its type
}

// An Export is a table or view that is to be written out.
type Export struct {
	Name    string
	Columns []ExportColumn
	db      *DB
}

// A Cell is one value as text, in the form that its column's kind says.
type Cell struct {
	Text string
	Null bool
}

// A NameError says that something of that name is not there, and what is.
type NameError struct {
	What, Name string
	Known      []string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("there is no %s %s: want one of %s", e.What, e.Name, strings.Join(e.Known, ", "))
}

// NewExport looks a table or view up in the database's catalogue. columns are those wanted, in their order; none: all. Its error is a
// *NameError if the database has no such table, view or column. Only names that the catalogue has go into SQL text.
func (db *DB) NewExport(ctx context.Context, name string, columns []string) (*Export, error) {
	rows, err := db.QueryContext(ctx, db.text("export_columns"))
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	defer rows.Close()
	e := &Export{Name: name, db: db}
	var known []string
	for rows.Next() {
		var relation string
		var c ExportColumn
		if err := rows.Scan(&relation, &c.Name, &c.typ); err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		if len(known) == 0 || known[len(known)-1] != relation {
			known = append(known, relation)
		}
		if relation == name {
			c.Kind = columnKind(c.Name, c.typ)
			e.Columns = append(e.Columns, c)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	if len(e.Columns) == 0 {
		return nil, &NameError{"table or view", name, known}
	}
	return e, e.choose(columns)
}

// choose leaves the columns that are wanted.
func (e *Export) choose(names []string) error {
	if len(names) == 0 {
		return nil
	}
	var chosen []ExportColumn
	for _, name := range names {
		i := slices.IndexFunc(e.Columns, func(c ExportColumn) bool { return c.Name == name })
		if i < 0 {
			err := &NameError{What: "column", Name: name}
			for _, c := range e.Columns {
				err.Known = append(err.Known, c.Name)
			}
			return err
		}
		chosen = append(chosen, e.Columns[i])
	}
	e.Columns = chosen
	return nil
}

// columnKind is the kind of a column, by its name and by the name that Postgres' or DuckDB's catalogue has for its type.
func columnKind(name, typ string) ColumnKind {
	typ = strings.ToLower(typ)
	switch {
	case typ == "bigint" && (name == "id" || name == "conn" || strings.HasSuffix(name, "_conn")):
		return IDColumn
	case typ == "bigint", typ == "integer", typ == "smallint":
		return IntegerColumn
	case typ == "ubigint", typ == "hugeint", strings.HasPrefix(typ, "numeric"), strings.HasPrefix(typ, "decimal"):
		return UnsignedColumn
	case typ == "double", typ == "double precision":
		return FloatColumn
	case typ == "boolean":
		return BoolColumn
	case typ == "timestamp with time zone":
		return TimeColumn
	case typ == "bytea", typ == "blob":
		return BytesColumn
	case typ == "json", typ == "jsonb":
		return JSONColumn
	}
	return TextColumn
}

// quoteName is a name in SQL text.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText is a text in SQL text. Both databases take a backslash for itself.
func quoteText(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

// asText is the expression for a column's cells as text.
func (e *Export) asText(c ExportColumn) string {
	name := quoteName(c.Name)
	switch {
	case c.Kind == BytesColumn:
		return "encode(" + name + ", 'hex')"
	case c.Kind == TimeColumn && e.db.Dialect == DuckDB:
		return "strftime(" + name + " AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
	case c.Kind == TimeColumn:
		return "to_char(" + name + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	}
	return name + "::text"
}

// Rows calls each with every row's cells, which are valid for the call. It keeps a bounded number of rows in memory, and returns the first
// error of each.
func (e *Export) Rows(ctx context.Context, each func([]Cell) error) error {
	if e.db.Dialect == DuckDB {
		return e.duckRows(ctx, each)
	}
	rows, err := e.db.QueryContext(ctx, e.postgresText())
	if err != nil {
		return fmt.Errorf("read %s: %w", e.Name, err)
	}
	defer rows.Close()
	cells, raw, into := make([]Cell, len(e.Columns)), make([]sql.RawBytes, len(e.Columns)), make([]any, len(e.Columns))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read %s: %w", e.Name, err)
		}
		for i, b := range raw {
			cells[i] = Cell{string(b), b == nil}
		}
		if err := each(cells); err != nil {
			return err
		}
	}
	if err := cmp.Or(rows.Err(), ctx.Err()); err != nil {
		return fmt.Errorf("read %s: %w", e.Name, err)
	}
	return nil
}

// postgresText is the SQL text that Rows asks Postgres. The view announcement looks up the country of each of its rows, which is fast
// for some and costs more than all else for many: here each connection's is looked up once instead.
func (e *Export) postgresText() string {
	with, from := "", " FROM "+quoteName(e.Name)
	list := make([]string, len(e.Columns))
	for i, c := range e.Columns {
		list[i] = e.asText(c)
		if e.Name == "announcement" && c.Name == "country" {
			with, list[i] = "WITH of (of_conn, of_place) AS MATERIALIZED (SELECT conn, place FROM peer_place) ", "of_place"
			from += " LEFT JOIN of ON of_conn = conn"
		}
	}
	return with + "SELECT " + strings.Join(list, ", ") + from
}

// Between Go and DuckDB, rows go through a pipe as CSV: DuckDB's driver would keep a whole result in memory. A cell is empty for null,
// else it begins with an equals sign. Line breaks, which readers of CSV don't all keep, are %0A and %0D in it, and so % is %25.
var (
	pipeEscapes   = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	pipeUnescapes = strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n")
)

const pipeBuffer = 1 << 20 // bytes

// duckRows is Rows for DuckDB.
func (e *Export) duckRows(ctx context.Context, each func([]Cell) error) error {
	list := make([]string, len(e.Columns))
	for i, c := range e.Columns {
		list[i] = e.asText(c)
		if c.Kind == TextColumn || c.Kind == JSONColumn {
			list[i] = "replace(replace(replace(" + list[i] + ", '%', '%25'), chr(13), '%0D'), chr(10), '%0A')"
		}
		list[i] = "'=' || " + list[i]
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("read %s: %w", e.Name, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		if err := readPipe(ctx, r, len(list), each); err != nil {
			cancel(err)
		}
		// Interrupted, DuckDB may be writing still. A pipe that nobody reads would end the process: SIGPIPE on a thread that Go did not make.
		io.Copy(io.Discard, r) //nolint:errcheck // it ends when both have closed the other side
	}()
	_, err = e.db.ExecContext(ctx, fmt.Sprintf("COPY (SELECT %s FROM %s) TO '/dev/fd/%d' (FORMAT csv, HEADER false, USE_TMP_FILE false)",
		strings.Join(list, ", "), quoteName(e.Name), w.Fd()))
	w.Close()
	<-done
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", e.Name, err)
	}
	return nil
}

// readPipe calls each for the rows that come out of a pipe, until ctx is done.
func readPipe(ctx context.Context, r io.Reader, columns int, each func([]Cell) error) error {
	lines := csv.NewReader(bufio.NewReaderSize(r, pipeBuffer))
	lines.ReuseRecord, lines.FieldsPerRecord = true, columns
	cells := make([]Cell, columns)
	for ctx.Err() == nil {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read rows: %w", err)
		}
		for i, s := range record {
			if cells[i] = (Cell{Null: s == ""}); s == "" {
				continue
			}
			if s = s[1:]; strings.Contains(s, "%") {
				s = pipeUnescapes.Replace(s)
			}
			cells[i].Text = s
		}
		if err := each(cells); err != nil {
			return err
		}
	}
	return nil
}

// Parquet writes the rows to a file at path, which must not exist or is replaced, in the format of Apache Parquet with zstd compression.
// Bytes are byte arrays and times are instants in it. scratch is a DuckDB database that does the writing, where the rows are of another.
func (e *Export) Parquet(ctx context.Context, scratch *sql.DB, path string) error {
	const options = " (FORMAT parquet, COMPRESSION zstd)"
	if e.db.Dialect == DuckDB {
		list := make([]string, len(e.Columns))
		for i, c := range e.Columns {
			list[i] = quoteName(c.Name)
			if c.Kind == UnsignedColumn && c.parquetType() == "VARCHAR" {
				list[i] += "::VARCHAR AS " + list[i]
			}
		}
		if _, err := e.db.ExecContext(ctx, "COPY (SELECT "+strings.Join(list, ", ")+" FROM "+quoteName(e.Name)+") TO "+quoteText(path)+options); err != nil {
			return fmt.Errorf("write %s: %w", e.Name, err)
		}
		return nil
	}
	var list, columns []string
	for i, c := range e.Columns {
		list = append(list, c.fromText(fmt.Sprintf("c%d", i))+" AS "+quoteName(c.Name))
		columns = append(columns, fmt.Sprintf("'c%d': 'VARCHAR'", i))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("write %s: %w", e.Name, err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := errors.Join(e.writePipe(ctx, w), w.Close()); err != nil {
			cancel(err)
		}
	}()
	_, err = scratch.ExecContext(ctx, fmt.Sprintf("COPY (SELECT %s FROM read_csv('/dev/fd/%d', columns = {%s}, header = false, auto_detect = false, "+
		"delim = ',', quote = '\"', escape = '\"', max_line_size = 16777216)) TO %s%s",
		strings.Join(list, ", "), r.Fd(), strings.Join(columns, ", "), quoteText(path), options))
	if err != nil {
		err = fmt.Errorf("write %s: %w", e.Name, err)
		cancel(err)
	}
	r.Close() // what is still being written to it fails
	<-done
	return context.Cause(ctx)
}

// writePipe writes all rows into a pipe.
func (e *Export) writePipe(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, pipeBuffer)
	lines := csv.NewWriter(out)
	record := make([]string, len(e.Columns))
	if err := e.Rows(ctx, func(cells []Cell) error {
		for i, c := range cells {
			record[i] = ""
			if !c.Null {
				record[i] = "=" + pipeEscapes.Replace(c.Text)
			}
		}
		return lines.Write(record)
	}); err != nil {
		return err
	}
	lines.Flush()
	return errors.Join(lines.Error(), out.Flush())
}

// parquetType is DuckDB's name for the column's type in Parquet files.
func (c *ExportColumn) parquetType() string {
	typ := strings.ToLower(c.typ)
	switch c.Kind {
	case IntegerColumn, IDColumn:
		return strings.ToUpper(typ)
	case UnsignedColumn:
		if typ == "ubigint" || typ == "numeric(20,0)" { // what schema has for numbers of 64 bits
			return "UBIGINT"
		}
	case FloatColumn:
		return "DOUBLE"
	case BoolColumn:
		return "BOOLEAN"
	case TimeColumn:
		return "TIMESTAMPTZ"
	case BytesColumn:
		return "BLOB"
	case JSONColumn:
		return "JSON"
	}
	return "VARCHAR"
}

// fromText is the expression for the column's value from what came through a pipe.
func (c *ExportColumn) fromText(cell string) string {
	text := "substr(" + cell + ", 2)"
	switch c.Kind {
	case BytesColumn:
		return "unhex(" + text + ")"
	case TextColumn, JSONColumn:
		text = "replace(replace(replace(" + text + ", '%0A', chr(10)), '%0D', chr(13)), '%25', '%')"
	}
	return text + "::" + c.parquetType()
}
