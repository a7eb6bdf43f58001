package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"btcsniff/schema"
)

// Migrate brings the tables in the connection's current schema (the first of its search path) up to date: all that is missing is
// done in one transaction, by one process at a time. A database of a newer program is left alone, with an error.
func Migrate(ctx context.Context, db *pgx.Conn) error {
	list, err := schema.Postgres()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, db, len(list))
	if err != nil || version == len(list) {
		return err
	}
	dbtx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin migration: %w", err)
	}
	defer dbtx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // does nothing after Commit; else the first error counts
	if _, err := dbtx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('btcsniff schema ' || current_schema(), 0))`); err != nil {
		return fmt.Errorf("lock schema: %w", err)
	}
	if version, err = schemaVersion(ctx, db, len(list)); err != nil {
		return err
	}
	if version == 0 {
		if _, err := dbtx.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_version (
			version    int         PRIMARY KEY,
			name       text        NOT NULL,
			applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return fmt.Errorf("create table schema_version: %w", err)
		}
	}
	for _, m := range list[version:] {
		if _, err := db.PgConn().Exec(ctx, m.SQL).ReadAll(); err != nil {
			return fmt.Errorf("migration %s: %w", m.Name, err)
		}
		if _, err := dbtx.Exec(ctx, `INSERT INTO schema_version (version, name) VALUES ($1, $2)`, m.Version, m.Name); err != nil {
			return fmt.Errorf("note migration %s: %w", m.Name, err)
		}
	}
	if err := dbtx.Commit(ctx); err != nil {
		return fmt.Errorf("commit migration: %w", err)
	}
	return nil
}

// schemaVersion returns the version of the current schema's tables, 0 for none, or an error if it is above newest.
func schemaVersion(ctx context.Context, db *pgx.Conn, newest int) (version int, err error) {
	var place *string
	var exists bool
	// Not by to_regclass, which remembers that there was no such table while another process made it.
	err = db.QueryRow(ctx, `SELECT current_schema()::text, EXISTS (
		SELECT FROM pg_class WHERE relname = 'schema_version' AND relnamespace = (
			SELECT oid FROM pg_namespace WHERE nspname = current_schema()))`).Scan(&place, &exists)
	switch {
	case err != nil:
		return 0, fmt.Errorf("look for tables: %w", err)
	case place == nil:
		return 0, &mistakeError{"no schema of the search_path exists: create one, or correct search_path in the URL"}
	case !exists:
		return 0, nil
	}
	if err := db.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`).Scan(&version); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if version > newest {
		return 0, &mistakeError{fmt.Sprintf("its tables have version %d, made by a newer btcsniff, and this one knows up to %d: "+
			"use the newer one, or another database", version, newest)}
	}
	return version, nil
}
