package pipeline

import (
	"btcsniff/decode"
	"btcsniff/reassembly"
	"btcsniff/record"
	"btcsniff/segment"
)

// A worker follows connections and decodes what they carry: all of a capture's, or the share of them that
// falls to it. It is used by one goroutine.
type worker struct {
	track *track
	asm   *reassembly.Assembler
	dec   *decode.Decoder
}

// newWorker returns one of n workers for a track.
func newWorker(t *track, cfg *Config, isLocal *locals, out decode.Recorder, n int) *worker {
	// The ceiling is shared: half for the table of connections, a quarter for segments out of order, an eighth for unfinished
	// messages, the rest for batches and the program itself.
	share := cfg.Memory / int64(n)
	dec := decode.New(decode.Config{Out: out, Networks: cfg.Networks, Keys: cfg.V2Keys, MaxBuffer: int(share / 8)})
	asm := reassembly.New(reassembly.Config{
		Capture:  t.capture,
		NewConn:  func(c *record.Conn) reassembly.Conn { return dec.Conn(c) },
		IsLocal:  isLocal.contains,
		MaxTable: int(share / 2),
		MaxPages: int(share / 4 / 2048),
	})
	return &worker{t, asm, dec}
}

// account adds what the worker did to its capture's ledger.
func (w *worker) account(l *record.Ledger) {
	a := w.asm.Stats()
	d := w.dec.Stats()
	part := record.Ledger{
		TCPBytes: a.Bytes, Retransmitted: a.Retransmitted, LateBytes: a.Late,
		LostBytes: a.Lost, UnseenBytes: a.Unseen, Holes: a.Holes,
		EvictedConns: a.EvictedConns, EvictedHolds: a.EvictedHolds, EvictedMessages: d.Evicted,
		EncryptedV2: d.EncryptedV2, Proxy: d.Proxy, NotBitcoin: d.NotBitcoin, Incomplete: d.Incomplete,
		Skipped:      d.Skipped + a.Late + a.Stray,
		BadChecksums: d.BadChecksums, BadHeaders: d.BadHeaders, Resyncs: d.Resyncs, Conns: d.Conns,
		Messages: map[string]record.Command{},
	}
	for name, c := range d.Commands {
		part.Messages[name] = *c
	}
	l.Add(&part)
}

// reasons are packets by what became of them.
type reasons [segment.NumReasons]uint64

// account adds the packets to their capture's ledger.
func (r *reasons) account(l *record.Ledger) {
	l.Undecodable = map[string]uint64{}
	for i, n := range r {
		l.PacketsRead += n
		switch reason := segment.Reason(i); {
		case reason == segment.Found:
			l.Segments += n
		case reason == segment.NotTCP:
			l.NotTCP += n
		case n > 0:
			l.Undecodable[reason.String()] = n
		}
	}
}
