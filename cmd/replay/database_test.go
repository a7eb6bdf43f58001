package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// stories are queries for all that is stored, without the numbers that databases give: the same text on both.
var stories = []string{
	"SELECT seen_at, first_byte_at, conn, from_b, outbound, pos, index, count, type, hash FROM inv",
	"SELECT seen_at, first_byte_at, conn, from_b, outbound, pos, txid, wtxid, size, weight FROM tx",
	"SELECT conn, from_b, pos, index, prev_txid, prev_vout, sequence FROM tx_input",
	"SELECT conn, from_b, pos, index, value, script_type, address FROM tx_output",
	"SELECT seen_at, conn, from_b, outbound, pos, index, via, hash, prev FROM block",
	"SELECT seen_at, conn, from_b, outbound, pos, nonce FROM ping",
	"SELECT seen_at, conn, from_b, outbound, pos, nonce, rtt_us FROM pong",
	"SELECT seen_at, conn, from_b, outbound, pos, protocol, user_agent FROM version",
	"SELECT seen_at, conn, from_b, outbound, pos, index, address, port FROM addr",
	"SELECT id, a_address, a_port, b_address, b_port, local_a, local_b, network, opened_at, closed_at, start, transport, a_bytes, b_bytes, a_messages, b_messages FROM connection",
	"SELECT host, as_of, kind, country, city, latitude, longitude, time_zone, asn, organisation FROM place",
	"SELECT conn, kind, place, as_of FROM peer_place",
	"SELECT * FROM first_seen",
}

// A database holds a replay's records.
type database interface {
	url() string
	rows(t *testing.T) []string // all that stories select, in the order of their text
	count(t *testing.T) int     // of rows of inv
}

// duckFile is an embedded database. No other process has it open. Its driver comes with the sink.
type duckFile string

func (d duckFile) url() string { return "duckdb:" + string(d) }

func (d duckFile) rows(t *testing.T) (all []string) {
	t.Helper()
	db, err := sql.Open("duckdb", string(d)+"?access_mode=READ_ONLY")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range stories {
		rows, err := db.Query("SELECT CAST(s AS VARCHAR) FROM (" + q + ") s ORDER BY 1")
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (d duckFile) count(t *testing.T) (n int) {
	t.Helper()
	db, err := sql.Open("duckdb", string(d)+"?access_mode=READ_ONLY")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT count(*) FROM inv").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// postgresSchema is the URL of a schema of its own in Postgres.
type postgresSchema string

// newPostgresSchema makes a schema that is dropped after the test.
func newPostgresSchema(t *testing.T) postgresSchema {
	t.Helper()
	base := os.Getenv("BTCSNIFF_TEST_DATABASE_URL")
	name := fmt.Sprintf("replay_%016x", rand.Uint64())
	exec := func(sql string) {
		db, err := pgx.Connect(context.Background(), base)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close(context.Background()) //nolint:errcheck // nothing hangs on it
		if _, err := db.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE SCHEMA " + name)
	t.Cleanup(func() { exec("DROP SCHEMA " + name + " CASCADE") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("options", "-c search_path="+name)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return postgresSchema(u.String())
}

func (p postgresSchema) url() string { return string(p) }

func (p postgresSchema) query(t *testing.T, q string) (all []string) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), string(p))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background()) //nolint:errcheck // nothing hangs on it
	rows, err := db.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	all, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return all
}

func (p postgresSchema) rows(t *testing.T) (all []string) {
	t.Helper()
	for _, q := range stories {
		all = append(all, p.query(t, "SELECT s::text FROM ("+q+") s ORDER BY 1")...)
	}
	return all
}

func (p postgresSchema) count(t *testing.T) int {
	t.Helper()
	return len(p.query(t, "SELECT hash::text FROM inv"))
}
