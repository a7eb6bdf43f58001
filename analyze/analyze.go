// Package analyze answers questions to a recorded database, Postgres or DuckDB alike: who announced a transaction first, how sure
// that is, where it began, and whether coins crossed a border. Each question is SQL text in the folder sql, for researchers to
// read and reuse, and Go only where SQL ends. It opens no database: its caller does.
package analyze

import "database/sql"

// A Dialect is a database system whose SQL analyze speaks.
type Dialect int

const (
	Postgres Dialect = iota
	DuckDB
)

// A DB is an open database with btcsniff's tables. It may be used by several goroutines.
type DB struct {
	*sql.DB
	Dialect Dialect
}
