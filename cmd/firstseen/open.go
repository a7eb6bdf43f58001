package main

import (
	"context"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
	"btcsniff/sink/duckdb"
	"btcsniff/sink/postgres"
)

// open opens the database of --db, in which nothing can be changed. The caller closes it.
func (c *call) open(ctx context.Context) (*analyze.DB, error) { return c.openDB(ctx, false) }

// openWrite is open for a command that changes the database.
func (c *call) openWrite(ctx context.Context) (*analyze.DB, error) { return c.openDB(ctx, true) }

func (c *call) openDB(ctx context.Context, write bool) (*analyze.DB, error) {
	which, err := cli.ParseDatabase(c.db)
	if err != nil {
		return nil, err
	}
	if which.Postgres {
		db, err := postgres.OpenDB(ctx, which.Address, postgres.DBOptions{Write: write, Timeout: c.timeout})
		if err != nil {
			return nil, err
		}
		return &analyze.DB{DB: db, Dialect: analyze.Postgres}, nil
	}
	db, err := duckdb.OpenDB(ctx, which.Address, write)
	if err != nil {
		return nil, err
	}
	return &analyze.DB{DB: db, Dialect: analyze.DuckDB}, nil
}
