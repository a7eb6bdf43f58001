// Package reassembly puts TCP segments back into one ordered stream of bytes per flow, keeps the capture
// time of every byte, and says where bytes are missing. What the bytes mean it leaves to others.
//
// A segment that continues its flow is handed on as it is, without a copy. Everything else (segments out of
// order, before the start of a flow is known, or behind a hole) goes through gopacket's tcpassembly; hold.go
// says how its weaknesses are kept away from users.
//
// Every decision (how long to wait for a hole, when a connection is over) depends on the connection's own packets and their
// capture times alone, so a capture gives the same streams however its packets are cut into files.
package reassembly

import (
	"net/netip"
	"time"

	"btcsniff/record"
)

// A Conn receives the bytes of one connection. Its methods are called by one goroutine.
type Conn interface {
	// Data takes the next bytes that A (or, if fromB, B) sent. b is borrowed for the call; seen is the
	// capture time of the segment that first carried b.
	Data(fromB bool, b []byte, seen record.Time)
	// Gap says that n bytes are missing before the next Data of that flow; n is at least 1.
	Gap(fromB bool, n int64)
	// Close is called once, last. end is complete but for what only the messages tell: Transport, UserAgent,
	// Resyncs and Messages.
	Close(end record.ConnEnd)
}

// Config says what an Assembler does. Zero fields mean the default that is named.
type Config struct {
	Capture         *record.Capture            // required: what the connections are of
	NewConn         func(c *record.Conn) Conn  // required: called at a connection's first payload byte, or when it closes without any
	IsLocal         func(addr netip.Addr) bool // says which addresses are the observed node's; nil: none is
	MaxTable        int                        // bytes that the table of connections may take, counted as halfOpenSize and openSize say; 160 MB
	MaxPages        int                        // pages of 1,900 bytes that all holds together may have; 32,768 (62 MB, rounded down to what tcpassembly allocates)
	MaxPagesPerFlow int                        // pages that one flow's hold may have; 4,096 (7.8 MB, more than a TCP window in use)
	Idle            time.Duration              // a connection silent for so much capture time is closed; 2 h
}

// How long to wait, in capture time. Bitcoin connections are never silent for long: a ping every 2 minutes.
const (
	defaultIdle   = 2 * time.Hour
	halfOpenIdle  = 5 * time.Minute  // a connection that never carried a byte
	linger        = 2 * time.Minute  // after FIN or RST: what still comes is no new connection
	holeWait      = 30 * time.Second // for a hole that the receiver has not acknowledged: seven retransmission time-outs
	ackedHoleWait = time.Second      // for a hole that the receiver has acknowledged: only the capture can still fill it
	startWait     = time.Second      // for earlier segments of a flow joined mid-stream, if nothing acknowledges them
	sweepEvery    = 10 * time.Second
	settle        = 50 * time.Millisecond // beyond an acknowledgment: capture programs swap packets of different queues
)

const (
	maxAhead  = 1 << 26 // bytes: a segment further from its flow's position belongs to another connection; 64 MiB exceeds any window in use
	nearStart = 1 << 20 // bytes: a SYN so little below held data is that data's own SYN
)

// What a connection in the table is counted with, in bytes: measured, and rounded up.
const (
	halfOpenSize = 400 // while it has not carried a byte: with its share of the map
	openSize     = 850 // in addition, once it has: with decode's state, while nothing is kept there
)

// Stats counts what an Assembler did. Bytes = Delivered + Retransmitted + Late + Stray + what is held.
type Stats struct {
	Segments      uint64 // segments taken
	Bytes         uint64 // payload bytes in them
	Delivered     uint64 // bytes handed to a Conn
	Retransmitted uint64 // bytes that had been captured before
	Late          uint64 // bytes of a hole that had been given up
	Stray         uint64 // bytes that fit no position of their connection
	Lost          uint64 // bytes missing in holes given up, and cut at the snap length
	Unseen        uint64 // bytes that the receiver acknowledged, that the sender's numbers say it sent, and that never came
	Holes         uint64 // given up
	Opened        uint64 // connections
	EvictedConns  uint64 // connections closed early because the table was full
	EvictedHolds  uint64 // holes given up early because too much was held
}
