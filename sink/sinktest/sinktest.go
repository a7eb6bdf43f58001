// Package sinktest holds the cases that every sink with a database must pass, so that one SQL text gives the same answer on all
// of them, and the traffic that they are measured with. Only tests import it.
package sinktest

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
	"btcsniff/sink"
)

// A DB is a database of its own for one case: empty, without tables.
type DB struct {
	// Open opens a sink on the database. A case closes the sink before it opens the next.
	Open func(t *testing.T) sink.Sink
	// Query runs one SQL query on the database, whether a sink is open on it or not, and returns its rows as the driver's values:
	// time.Time, bool, integers, strings, []byte, nil, or what has a String method or is a driver.Valuer.
	Query func(t *testing.T, sql string) [][]any
}

// Run runs the cases. fresh makes a database for each.
func Run(t *testing.T, fresh func(t *testing.T) DB) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, *env)
	}{
		{"every kind of record", everyKind},
		{"one SQL text", oneText},
		{"same batch twice", sameBatch},
		{"same capture again", sameCapture},
		{"other borders and more records", otherBorders},
		{"connection closes later", closesLater},
		{"two captures", twoCaptures},
		{"same connection in two captures", sameConnection},
		{"hostile text", hostileText},
		{"absurd times", absurdTimes},
		{"great numbers", greatNumbers},
		{"repeated vectors", repeatedVectors},
		{"empty batch", emptyBatch},
		{"ledger", storesLedger},
		{"blind times", blindTimes},
		{"first seen", firstSeen},
		{"places", places},
		{"places of several dates", placesByDate},
		{"cut off while writing", cutOff},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, &env{t: t, db: fresh(t)}) })
	}
}

// An env is a case's database, with a sink open on it between open and close.
type env struct {
	t    *testing.T
	db   DB
	sink sink.Sink
}

func (e *env) open() {
	e.t.Helper()
	e.sink = e.db.Open(e.t)
}

func (e *env) close() {
	e.t.Helper()
	if err := e.sink.Close(); err != nil {
		e.t.Fatalf("Close: %v", err)
	}
}

func (e *env) begin(c *record.Capture, stored uint64) {
	e.t.Helper()
	got, err := e.sink.Begin(context.Background(), c)
	if err != nil {
		e.t.Fatalf("Begin(%s): %v", c.Sensor, err)
	}
	if got != stored {
		e.t.Errorf("Begin(%s) stored = %d, want %d", c.Sensor, got, stored)
	}
}

func (e *env) write(b *record.Batch, added uint64) {
	e.t.Helper()
	got, err := e.sink.Write(context.Background(), b)
	if err != nil {
		e.t.Fatalf("Write of batch %d: %v", b.Seq, err)
	}
	if got != added {
		e.t.Errorf("Write of batch %d added = %d, want %d", b.Seq, got, added)
	}
}

// run opens a sink, writes the batches of one capture of which some records are stored, and closes the sink.
func (e *env) run(batches []*record.Batch, stored, added uint64) {
	e.t.Helper()
	e.open()
	e.begin(batches[0].Capture, stored)
	var total uint64
	for _, b := range batches {
		n, err := e.sink.Write(context.Background(), b)
		if err != nil {
			e.t.Fatalf("Write of batch %d: %v", b.Seq, err)
		}
		total += n
	}
	if total != added {
		e.t.Errorf("Write of all batches added = %d, want %d", total, added)
	}
	e.close()
}

// want compares a query's rows, their values separated by spaces, with lines.
func (e *env) want(sql string, lines ...string) {
	e.t.Helper()
	if diff := cmp.Diff(lines, e.lines(sql)); diff != "" {
		e.t.Errorf("%s (-want +got):\n%s", sql, diff)
	}
}

func (e *env) lines(sql string) []string {
	e.t.Helper()
	var lines []string
	for _, row := range e.db.Query(e.t, sql) {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = text(v)
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return lines
}

// text writes a value as all drivers' values of the same SQL type come out the same.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case time.Time:
		return v.UTC().Format(record.Layout)
	case []byte:
		return hex.EncodeToString(v)
	case [32]byte:
		return hex.EncodeToString(v[:])
	case fmt.Stringer:
		return v.String()
	case driver.Valuer:
		if inner, err := v.Value(); err == nil {
			return text(inner)
		}
	}
	return fmt.Sprint(v)
}
