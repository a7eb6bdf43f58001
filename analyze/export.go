package analyze

import (
	"bufio"
	"bytes"
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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
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
	case e.db.Dialect == Postgres && c.Kind != BoolColumn:
		return name // COPY makes it text, but a truth value one letter
	}
	return name + "::text"
}

// Rows calls each with every row's cells, which are valid for the call. It keeps a bounded number of rows in memory, and returns the first
// error of each.
func (e *Export) Rows(ctx context.Context, each func([]Cell) error) error {
	if e.db.Dialect == DuckDB {
		return e.duckRows(ctx, each)
	}
	rows := &copiedRows{each: each, columns: e.Columns, cells: make([]Cell, len(e.Columns))}
	if err := e.copyOut(ctx, rows, ""); rows.err != nil {
		return rows.err
	} else if err != nil {
		return fmt.Errorf("read %s: %w", e.Name, err)
	}
	return nil
}

// copyOut has Postgres write all rows into w by COPY, which takes a fraction of what a query's rows cost on both sides.
func (e *Export) copyOut(ctx context.Context, w io.Writer, format string) error {
	list := make([]string, len(e.Columns))
	for i, c := range e.Columns {
		list[i] = e.asText(c)
	}
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return errors.New("no connection of pgx's driver")
		}
		if _, err := c.Conn().Exec(ctx, "SET DateStyle = 'ISO'; SET TimeZone = 'UTC'", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		_, err := c.Conn().PgConn().CopyTo(ctx, w, "COPY ("+e.postgresWith()+"SELECT "+strings.Join(list, ", ")+" FROM "+quoteName(e.Name)+") TO STDOUT"+format)
		return err
	})
	return cmp.Or(ctx.Err(), err)
}

// copiedRows takes COPY's text format and calls each for its rows: a line a row, tabs between cells, \N for null, and a backslash before
// what would be taken for one of these (PostgreSQL manual, COPY, "Text Format").
type copiedRows struct {
	each    func([]Cell) error
	columns []ExportColumn
	cells   []Cell
	part    []byte // of a line that has not come to its end
	err     error  // of each
}

var copyUnescapes = strings.NewReplacer(`\\`, `\`, `\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`, "\v")

func (r *copiedRows) Write(b []byte) (int, error) {
	n := len(b)
	for {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !whole {
			r.part = append(r.part, b...)
			return n, nil
		}
		if len(r.part) > 0 {
			r.part = append(r.part, line...)
			line = r.part
		}
		if r.err = r.row(string(line)); r.err != nil {
			return 0, r.err
		}
		r.part, b = r.part[:0], rest
	}
}

// row calls each for a line, which all its cells share.
func (r *copiedRows) row(line string) error {
	for i := range r.cells {
		text, rest, more := strings.Cut(line, "\t")
		if more != (i < len(r.cells)-1) {
			return errors.New("read rows: the database sent another number of columns than it was asked for")
		}
		switch {
		case text == `\N`:
			r.cells[i] = Cell{Null: true}
		case r.columns[i].Kind == TimeColumn:
			r.cells[i] = Cell{Text: rfc3339(text)}
		case strings.Contains(text, `\`):
			r.cells[i] = Cell{Text: copyUnescapes.Replace(text)}
		default:
			r.cells[i] = Cell{Text: text}
		}
		line = rest
	}
	return r.each(r.cells)
}

// rfc3339 is a time as record.Layout has it, from Postgres' form, as in 2025-10-06 22:56:42.9+00. That Postgres writes it with to_char would
// take as long as all else. What is of another form, as infinity is, stays so.
func rfc3339(text string) string {
	day, clock, ok := strings.Cut(text, " ")
	clock, utc := strings.CutSuffix(clock, "+00")
	whole, part, _ := strings.Cut(clock, ".")
	if !ok || !utc || len(part) > 6 {
		return text
	}
	return day + "T" + whole + "." + part + "000000"[len(part):] + "Z"
}

// postgresWith goes in front of the SQL text that reads all rows from Postgres. The views of announcements are made for looking up a few:
// there, all of one are read in another way.
func (e *Export) postgresWith() string {
	switch e.Name { // a name in front of the statement hides the view's
	case "inv":
		return "WITH inv AS (" + e.db.text("export_inv") + ")\n"
	case "announcement":
		return "WITH inv AS (" + e.db.text("export_inv") + "), announcement AS (" + e.db.text("export_announcement") + ")\n"
	}
	return ""
}

// Between Go and DuckDB, rows go through a pipe as CSV: DuckDB's driver would keep a whole result in memory. A cell is empty for null,
// else it begins with an equals sign. Line breaks, which readers of CSV don't all keep, are %0A and %0D in it, and so % is %25.
var pipeUnescapes = strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n")

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

// A row group of a Parquet file is made in memory, and so is a piece of what comes through a pipe.
const (
	parquetRows   = 61_440  // in a row group: half of what DuckDB takes by itself
	maxLine       = 8 << 20 // bytes of a row as CSV
	parquetMemory = "160MB" // for DuckDB
	groupedMemory = "1GB"   // for DuckDB, where it has to group all announcements; what is beyond goes to disk
)

// Parquet writes the rows to a file at path, which must not exist or is replaced, in the format of Apache Parquet with zstd compression.
// Bytes are byte arrays and times are instants in it. scratch is a DuckDB database that does the writing, where the rows are of another.
// What doesn't fit into memory goes into a folder beside the file that is gone in the end.
func (e *Export) Parquet(ctx context.Context, scratch *sql.DB, path string) error {
	writer := scratch
	if e.db.Dialect == DuckDB {
		writer = e.db.DB
	}
	conn, err := writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("write %s: %w", e.Name, err)
	}
	defer conn.Close()
	spill := path + ".tmp"
	defer os.RemoveAll(spill) //nolint:errcheck // it may not be there
	memory := parquetMemory
	if e.db.Dialect == DuckDB && (e.Name == "first_seen" || e.Name == "sighting") {
		memory = groupedMemory
	}
	if _, err := conn.ExecContext(ctx, "SET memory_limit = '"+memory+"'; SET threads = 2; SET preserve_insertion_order = false; "+
		"SET temp_directory = "+quoteText(spill)); err != nil {
		return fmt.Errorf("write %s: %w", e.Name, err)
	}
	options := fmt.Sprintf(" TO %s (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE %d)", quoteText(path), parquetRows)
	if e.db.Dialect == Postgres {
		return e.parquetFromPipe(ctx, conn, options)
	}
	list := make([]string, len(e.Columns))
	for i, c := range e.Columns {
		list[i] = quoteName(c.Name)
		if c.Kind == UnsignedColumn && c.parquetType() == "VARCHAR" {
			list[i] += "::VARCHAR AS " + list[i]
		}
	}
	if _, err := conn.ExecContext(ctx, "COPY (SELECT "+strings.Join(list, ", ")+" FROM "+quoteName(e.Name)+")"+options); err != nil {
		return fmt.Errorf("write %s: %w", e.Name, err)
	}
	return nil
}

// parquetFromPipe has DuckDB write what the other database writes into a pipe.
func (e *Export) parquetFromPipe(ctx context.Context, conn *sql.Conn, options string) error {
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
		out := bufio.NewWriterSize(w, pipeBuffer) // COPY gives it row by row
		err := errors.Join(e.copyOut(ctx, out, " (FORMAT csv)"), out.Flush(), w.Close())
		if err != nil {
			cancel(fmt.Errorf("read %s: %w", e.Name, err))
		}
	}()
	_, err = conn.ExecContext(ctx, fmt.Sprintf("COPY (SELECT %s FROM read_csv('/dev/fd/%d', columns = {%s}, header = false, auto_detect = false, "+
		"delim = ',', quote = '\"', escape = '\"', allow_quoted_nulls = false, max_line_size = %d, buffer_size = %d))%s",
		strings.Join(list, ", "), r.Fd(), strings.Join(columns, ", "), maxLine, 2*maxLine, options))
	if err != nil {
		err = fmt.Errorf("write %s: %w", e.Name, err)
		cancel(err)
	}
	r.Close() // what is still being written to it fails
	<-done
	return context.Cause(ctx)
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

// fromText is the expression for the column's value from a cell that COPY wrote.
func (c *ExportColumn) fromText(cell string) string {
	if c.Kind == BytesColumn {
		return "unhex(" + cell + ")"
	}
	return cell + "::" + c.parquetType()
}
