package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"btcsniff/schema"
)

// settings of the session. The writer gets by with little, and leaves the rest of the machine to decoding.
const settings = `
SET threads = 2;
SET memory_limit = '128MiB';
SET TimeZone = 'UTC';
SET autoinstall_known_extensions = false;
SET autoload_known_extensions = false`

// openFile opens the file and a connection to it.
func openFile(path string) (*sql.DB, *sql.Conn, error) {
	full, err := filepath.Abs(path)
	switch {
	case err != nil:
		return nil, nil, err
	case path == "":
		return nil, nil, errors.New("it has no name: name a file")
	case strings.ContainsAny(full, "?%"):
		return nil, nil, errors.New("DuckDB can't open a file with ? or % in its name or folder: choose another")
	}
	connector, err := duckdb.NewConnector(full, nil)
	if err != nil {
		return nil, nil, explain(err)
	}
	db := sql.OpenDB(connector)
	conn, err := db.Conn(context.Background())
	if err == nil {
		_, err = conn.ExecContext(context.Background(), settings)
	}
	if err != nil {
		db.Close() //nolint:errcheck // the first error counts
		return nil, nil, oneLine(err)
	}
	return db, conn, nil
}

// explain says what to do about an error of opening a file.
func explain(err error) error {
	text := oneLine(err).Error()
	switch {
	case strings.Contains(text, "Could not set lock"):
		who := "another process"
		if _, pid, ok := strings.Cut(text, "(PID "); ok {
			who, _, _ = strings.Cut(pid, ")")
			who = "process " + who
		}
		return fmt.Errorf("%s has it open, and only one at a time can: wait until it ends, or choose another file", who)
	case strings.Contains(text, "not a valid DuckDB database"):
		return errors.New("it is not a DuckDB database: choose another file")
	}
	return errors.New(text)
}

// oneLine returns err in one line, without what DuckDB and its driver put before. It keeps a context's error.
func oneLine(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	for _, prefix := range []string{"database/sql/driver: ", "could not connect to database: ", "could not close appender: ",
		"TransactionContext Error: ", "Failed to commit: ", "IO Error: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	if strings.Contains(text, "No space left on device") {
		text += ": make room, and run again"
	}
	return &textError{text, err}
}

// A textError is err in better words.
type textError struct {
	text string
	err  error
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.err }

// migrate brings the tables up to date. All that is missing is done in one transaction.
func migrate(ctx context.Context, db *sql.Conn) error {
	list, err := schema.DuckDB()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, db)
	switch {
	case err != nil:
		return err
	case version > len(list):
		return fmt.Errorf("its tables have version %d, made by a newer btcsniff, and this one knows up to %d: use the newer one, or another file",
			version, len(list))
	case version == len(list):
		return nil
	}
	var script strings.Builder
	script.WriteString("BEGIN TRANSACTION;\n")
	if version == 0 {
		script.WriteString(`CREATE TABLE schema_version (
			version    INTEGER     PRIMARY KEY,
			name       VARCHAR     NOT NULL,
			applied_at TIMESTAMPTZ NOT NULL DEFAULT now());` + "\n")
	}
	for _, m := range list[version:] {
		fmt.Fprintf(&script, "%s;\nINSERT INTO schema_version (version, name) VALUES (%d, '%s');\n", m.SQL, m.Version, m.Name)
	}
	script.WriteString("COMMIT")
	if _, err := db.ExecContext(ctx, script.String()); err != nil {
		return fmt.Errorf("make tables: %w", oneLine(err))
	}
	return nil
}

// schemaVersion returns the version of the tables, 0 if there are none, or an error if there are something else's.
func schemaVersion(ctx context.Context, db *sql.Conn) (version int, err error) {
	var tables int
	var ours bool
	err = db.QueryRowContext(ctx, `SELECT count(*), coalesce(bool_or(table_name = 'schema_version'), false)
		FROM duckdb_tables() WHERE database_name = current_database()`).Scan(&tables, &ours)
	switch {
	case err != nil:
		return 0, oneLine(err)
	case tables == 0:
		return 0, nil
	case !ours:
		return 0, errors.New("it holds tables that are not of btcsniff: choose another file")
	}
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`).Scan(&version)
	return version, oneLine(err)
}
