// Package metrics shows a run to Prometheus and to those who ask whether it is well: every figure of its ledgers, what the kernel and the
// interfaces dropped, how sinks keep up, and memory. It counts nothing itself but how long commits take; what a run has
// done it is told, as a State.
package metrics

import (
	"context"
	"time"

	"btcsniff/record"
	"btcsniff/sink"
)

// A State is what a run looks like at a moment. Those who read it change nothing in it.
type State struct {
	Now    time.Time // by the clock
	Opened time.Time // when all was open, and records began to be made; zero before
	// Stalled is since when the run was asked how far it has come and did not answer; zero if it did. It answers with every packet and
	// heartbeat.
	Stalled    time.Time
	Captures   []Capture
	Interfaces []Interface // of a live run
	Sinks      []Sink
	Memory     int64 // bytes that all buffers may take: --memory
}

// A Capture is a continuous recording, as far as it was read.
type Capture struct {
	Sensor, Name string
	Ledger       *record.Ledger
	Open         map[string]uint64 // connections in the table, by transport
}

// An Interface is one that is captured on.
type Interface struct {
	Name      string
	Packets   uint64 // read from the kernel
	Dropped   uint64 // packets, by the kernel
	IfDropped uint64 // packets, by the interface or its driver
	Downs     uint64 // times it was down, or gone
	Reopened  uint64
	Away      time.Duration // for how long it was down or gone, together; the present time not included
	Down      bool
	Lost      string // why it can't be captured on any more; "": it can
}

// A Sink is one that records go to.
type Sink struct {
	Name     string // without a password
	Stats    sink.QueueStats
	Deferred *sink.Deferred // what it keeps on disk; nil if it doesn't
	Meter    Commits
}

// Config says what a Handler shows.
type Config struct {
	Version string
	// State returns the run's present state. It is called for each request, by any goroutine, and waits no longer than ctx allows.
	State func(ctx context.Context) State
}

// How long a run may take before it is no longer called well.
const (
	stallBound  = 10 * time.Second // a live run has a heartbeat every 200 ms
	commitBound = time.Minute      // a batch of a live run spans a second; a busy database may take some for it
)
