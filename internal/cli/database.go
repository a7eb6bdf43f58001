package cli

import (
	"errors"
	"fmt"
)

// A Database is one that is asked questions: the value of --db.
type Database struct {
	Name     string // for people: without a password
	Postgres bool   // else the embedded database
	Address  string // the URL or the file
}

// ParseDatabase reads the value of --db, which is what --sink takes of databases; "" is --sink's default. It opens nothing.
func ParseDatabase(s string) (Database, error) {
	if s == "" {
		s = defaultSink
	}
	t, err := ParseTarget(s)
	if err != nil || !t.Stored() {
		if err == nil || t.kind != toPostgres {
			err = errors.New("want postgres://..., duckdb:FILE or a file that ends in .duckdb")
		}
		return Database{}, UsageError{fmt.Errorf("--db %s: %w", redact(s), err)}
	}
	return Database{Name: t.Name, Postgres: t.kind == toPostgres, Address: t.arg}, nil
}
