// Package schema holds the tables, as embedded SQL migrations that a researcher can read first: one directory a database
// system, with the same logical tables and views. It leaves applying them to the sinks.
package schema

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

//go:embed postgres/*.sql duckdb/*.sql
var files embed.FS

// A Migration takes a database from version Version-1 to Version. Once released it never changes.
type Migration struct {
	Version int    // 1, 2, 3, ...
	Name    string // of its file, without the directory
	SQL     string // statements, each ended by a semicolon
}

// Postgres returns the migrations of a Postgres database, in order. Their tables go into the current schema.
func Postgres() ([]Migration, error) { return read("postgres") }

// DuckDB returns the migrations of a DuckDB database, in order.
func DuckDB() ([]Migration, error) { return read("duckdb") }

func read(dir string) ([]Migration, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	list := make([]Migration, 0, len(entries))
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s/%s: want number %d", dir, e.Name(), i+1)
		}
		sql, err := files.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		list = append(list, Migration{Version: version, Name: e.Name(), SQL: string(sql)})
	}
	return list, nil
}
