// Package sink stores batches of records, with the queue in front of that. Here are the queue, JSON lines and the
// sink that only counts; Postgres and DuckDB, which need more, are in packages below.
package sink

import (
	"context"
	"errors"

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

// ErrRefused is what an error wraps if trying again won't help, whatever becomes of the sink: it will never take these records.
var ErrRefused = errors.New("the records are refused")

// A Blinder is a Sink that also stores the times in which a capture could not see.
type Blinder interface {
	// Blind stores b, or what it says beyond what was said of the same interval before (by Capture, Reason and From). It is called
	// after Begin.
	Blind(ctx context.Context, b *record.Blind) error
}

// A Deferrer is a Sink whose Write may return before the records are stored, because they are kept safe until they can be. What
// became of them, Deferred says; Write's count means nothing.
type Deferrer interface {
	Sink
	// Hurry says that the queue is full: whatever Write waits for, it should not wait for it any longer. It doesn't block, and may be
	// called by any goroutine.
	Hurry()
	// Deferred may be called by any goroutine.
	Deferred() Deferred
}

// Deferred says what became of the records that a Deferrer was given, and what it keeps on disk.
type Deferred struct {
	Added  uint64 // records that are new in the sink
	Stored uint64 // records that were stored already
	Lost   uint64 // records that were dropped, refused, or can't be read any more; Dropped, Refused and Damaged say why

	Batches   uint64      // that wait on disk, with ends of captures and blind times
	Records   uint64      // in these
	Own       uint64      // of Records, made by this run
	Bytes     uint64      // that all files take
	Limit     uint64      // bytes that they may take
	Oldest    record.Time // capture time of the oldest record that waits; 0 if none does
	Recovered uint64      // records that an earlier run had left on disk, and that are stored now
	Dropped   uint64      // records, because Limit was reached
	Refused   uint64      // records that the sink will never take, set aside in a file
	Damaged   uint64      // records of an earlier run that can't be read back
	Away      bool        // the sink can't be reached, or takes nothing
	Problem   string      // why nothing can be kept on disk; "": it can
}
