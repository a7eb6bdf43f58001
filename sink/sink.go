// Package sink stores batches of records, with the queue in front of that. Here are the queue, JSON lines and the
// sink that only counts; Postgres and DuckDB, which need more, are in packages below.
package sink

import (
	"context"

	"btcsniff/record"
)

// A Sink stores batches of records. It is used by one goroutine.
type Sink interface {
	// Begin announces a capture; it is called before the capture's first batch. stored is the number of
	// records of this capture (by Sensor, First and Digest) that are stored already, by an earlier run.
	Begin(ctx context.Context, c *record.Capture) (stored uint64, err error)
	// Write stores b and returns how many of its records were new, or why it could not; then nothing of b is stored.
	// Records that are already stored are not stored again. b is borrowed for the call.
	Write(ctx context.Context, b *record.Batch) (added uint64, err error)
	// End stores the ledger of a capture whose batches are all written, with the files that it was read from.
	End(ctx context.Context, c *record.Capture, l *record.Ledger, files []record.File) error
	Close() error
}
