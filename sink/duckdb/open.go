package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// readerSettings are those of who only asks: DuckDB may use the machine.
const readerSettings = `
SET TimeZone = 'UTC';
SET autoinstall_known_extensions = false;
SET autoload_known_extensions = false`

// openFile opens the file and a connection to it.
func openFile(path string) (*sql.DB, *sql.Conn, error) {
	full, err := fullPath(path)
	if err != nil {
		return nil, nil, err
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

// fullPath is the file's full name, if DuckDB can open a file of this name.
func fullPath(path string) (string, error) {
	full, err := filepath.Abs(path)
	switch {
	case err != nil:
		return "", err
	case path == "":
		return "", errors.New("it has no name: name a file")
	case strings.ContainsAny(full, "?%"):
		return "", errors.New("DuckDB can't open a file with ? or % in its name or folder: choose another")
	}
	return full, nil
}

// OpenDB opens the database file at path for questions, and for changes to it if write. Its tables must exist and be of this
// program's version. Times come in UTC. The error is one line that says what to do. The caller closes the DB; it may be used
// by several goroutines, and only with write does it keep other processes from reading the file.
func OpenDB(ctx context.Context, path string, write bool) (*sql.DB, error) {
	db, err := openDB(ctx, path, write)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func openDB(ctx context.Context, path string, write bool) (*sql.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no such file: record into it first, with replay or sniff, or name another")
	}
	full, err := fullPath(path)
	if err != nil {
		return nil, err
	}
	if !write {
		full += "?access_mode=READ_ONLY"
	}
	connector, err := duckdb.NewConnector(full, func(c driver.ExecerContext) error {
		_, err := c.ExecContext(ctx, readerSettings, nil)
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	db := sql.OpenDB(connector)
	if err := checkVersion(ctx, db); err != nil {
		db.Close() //nolint:errcheck // the first error counts
		return nil, err
	}
	return db, nil
}

// checkVersion compares the version of the tables with this program's.
func checkVersion(ctx context.Context, db *sql.DB) error {
	list, err := schema.DuckDB()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return oneLine(err)
	}
	defer conn.Close()
	version, err := schemaVersion(ctx, conn)
	switch {
	case err != nil:
		return err
	case version == 0:
		return errors.New("it has no tables of btcsniff: record into it first, with replay or sniff, or choose another file")
	case version < len(list):
		return fmt.Errorf("its tables have version %d, made by an older btcsniff, and this one wants %d: replay or sniff into it "+
			"brings them up to date", version, len(list))
	case version > len(list):
		return newer(version, len(list))
	}
	return nil
}

func newer(version, known int) error {
	return fmt.Errorf("its tables have version %d, made by a newer btcsniff, and this one knows up to %d: use the newer one, or another file",
		version, known)
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
		return newer(version, len(list))
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
