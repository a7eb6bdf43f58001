package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"btcsniff/schema"
)

// DBOptions say how a database is opened for questions.
type DBOptions struct {
	Write   bool          // else the server refuses to change anything
	Timeout time.Duration // after which the server gives a statement up; 0: never
}

// OpenDB opens the database that url names for questions. Its tables must exist and be of this program's version. Times come
// in UTC. The error is one line that says what, where and what to do; it never holds the password. The caller closes the DB.
func OpenDB(ctx context.Context, url string, opt DBOptions) (*sql.DB, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	s := &Sink{target: target(config)}
	// By a statement, because connection poolers refuse unknown parameters at start. Compiling a query takes longer than most
	// queries here.
	setting := fmt.Sprintf("SET TimeZone = 'UTC'; SET jit = off; SET work_mem = '64MB'; SET plan_cache_mode = force_custom_plan; SET statement_timeout = %d", opt.Timeout.Milliseconds())
	if !opt.Write {
		setting += "; SET default_transaction_read_only = on"
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, setting).ReadAll()
		return err
	}))
	if err := checkVersion(ctx, db); err != nil {
		db.Close() //nolint:errcheck // the first error counts
		return nil, s.explain(err)
	}
	return db, nil
}

// checkVersion compares the version of the tables with this program's.
func checkVersion(ctx context.Context, db *sql.DB) error {
	list, err := schema.Postgres()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(c any) error {
		version, err := schemaVersion(ctx, c.(*stdlib.Conn).Conn(), len(list))
		switch {
		case err != nil:
			return err
		case version == 0:
			return &mistakeError{"it has no tables of btcsniff: record into it first, with replay or sniff, or correct its name or search_path in the URL"}
		case version < len(list):
			return &mistakeError{fmt.Sprintf("its tables have version %d, made by an older btcsniff, and this one wants %d: "+
				"replay or sniff into it brings them up to date", version, len(list))}
		}
		return nil
	})
}
