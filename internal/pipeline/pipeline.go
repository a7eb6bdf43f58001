// Package pipeline connects the stages: packets from a source become segments, streams, messages and
// records, which go to the sinks' queues. It is the one place that knows all of them, and it keeps the ledger.
package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"time"

	"btcsniff/capture"
	"btcsniff/decode"
	"btcsniff/reassembly"
	"btcsniff/record"
	"btcsniff/segment"
	"btcsniff/sink"
)

// Config says what Run does.
type Config struct {
	Sensor   string           // the vantage point's name; "": each capture's own name
	Networks []record.Network // recognised ones; nil: all that have a name
	Local    []netip.Prefix   // the observed node's addresses; nil: worked out from the first packets
	Memory   int64            // bytes that all buffers together may take; 0: 256 MiB
	Outputs  []*sink.Queue    // where records go; Run does not close them
}

// A Result says what Run read and made. It is complete also when Run returns an error.
type Result struct {
	Captures []CaptureResult
	Local    []LocalAddr   // the observed node's addresses
	Unread   []record.File // files that could not be opened as captures
	Stats    capture.Stats
}

// A CaptureResult is what became of one capture.
type CaptureResult struct {
	Capture *record.Capture
	Ledger  record.Ledger
	Files   []record.File
}

// Total is the sum of all captures' ledgers.
func (r *Result) Total() *record.Ledger {
	var l record.Ledger
	for i := range r.Captures {
		l.Add(&r.Captures[i].Ledger)
	}
	return &l
}

const defaultMemory = 256 << 20

// Run reads src to its end, or until ctx is done, and hands every record to the outputs. What was read before an error
// is handed over and accounted for; the error is the source's or ctx's.
func Run(ctx context.Context, src capture.Source, cfg Config) (*Result, error) {
	if cfg.Memory == 0 {
		cfg.Memory = defaultMemory
	}
	r := &run{cfg: cfg, src: src}
	err := r.read(ctx)
	return r.finish(), err
}

type run struct {
	cfg     Config
	src     capture.Source
	local   locals
	workers []*worker // by index of capture; nil before its first packet
	now     int64     // latest capture time, in nanoseconds
}

func (r *run) read(ctx context.Context) error {
	head, err := r.locate(ctx)
	for i := range head.packets {
		r.packet(&head.packets[i])
	}
	head.packets = nil
	var p capture.Packet
	for err == nil {
		if err = r.src.Next(ctx, &p); err == nil {
			r.packet(&p)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("read packets: %w", err)
}

func (r *run) packet(p *capture.Packet) {
	if p.Data == nil { // a heartbeat
		for _, w := range r.workers {
			if w != nil {
				w.advance(record.FromNanos(p.Time))
			}
		}
		return
	}
	for p.Capture >= len(r.workers) {
		r.workers = append(r.workers, nil)
	}
	w := r.workers[p.Capture]
	if w == nil {
		w = r.newWorker(p)
		r.workers[p.Capture] = w
	}
	w.packet(p)
}

// finish ends all captures, in the order of their names.
func (r *run) finish() *Result {
	stats := r.src.Stats()
	res := &Result{Local: r.local.list(), Stats: stats}
	files := make([][]record.File, len(r.workers))
	for _, f := range stats.Files {
		rec := record.File{
			Name: filepath.Base(f.Path), Size: f.Size, Packets: f.Packets,
			First: record.FromNanos(f.First), Last: record.FromNanos(f.Last), Problem: f.Warning,
		}
		if f.Err != nil {
			rec.Problem = f.Err.Error()
		}
		if f.Capture >= 0 && f.Capture < len(files) && r.workers[f.Capture] != nil {
			files[f.Capture] = append(files[f.Capture], rec)
		} else {
			res.Unread = append(res.Unread, rec)
		}
	}
	for i, w := range r.workers {
		if w == nil {
			continue
		}
		w.asm.Close()
		ledger := w.ledger()
		ledger.Made = w.out.made()
		for _, lane := range w.out.lanes {
			lane.End(&ledger, files[i])
		}
		res.Captures = append(res.Captures, CaptureResult{w.capture, ledger, files[i]})
	}
	if len(res.Captures) == 1 {
		res.Captures[0].Ledger.KernelDropped = stats.Dropped
		res.Captures[0].Ledger.InterfaceDropped = stats.IfDropped
	}
	return res
}

// A worker takes one capture's packets.
type worker struct {
	capture *record.Capture
	dis     segment.Dissector
	asm     *reassembly.Assembler
	dec     *decode.Decoder
	out     *output
	packets uint64
	reasons [segment.NumReasons]uint64
	seg     segment.Segment
	tick    record.Time // when to advance next
}

// tickEvery is how often, in capture time, what is waited for is looked at. It changes when records appear, not which.
const tickEvery = 50 * time.Millisecond

func (r *run) newWorker(p *capture.Packet) *worker {
	info := r.src.Captures()[p.Capture]
	c := &record.Capture{
		Sensor: r.cfg.Sensor, Name: info.Name,
		First: record.FromNanos(p.Time), Digest: sha256.Sum256(p.Data),
	}
	if c.Sensor == "" {
		c.Sensor = c.Name
	}
	w := &worker{capture: c, out: newOutput(c, r.cfg.Outputs)}
	// The ceiling is shared: half for segments out of order, a quarter for unfinished messages, the rest for
	// the table of connections (about 1 KiB each with its streams), batches and the program itself.
	w.dec = decode.New(decode.Config{Out: w.out, Networks: r.cfg.Networks, MaxBuffer: int(r.cfg.Memory / 4)})
	w.asm = reassembly.New(reassembly.Config{
		Capture:  c,
		NewConn:  func(c *record.Conn) reassembly.Conn { return w.dec.Conn(c) },
		IsLocal:  r.local.contains,
		MaxPages: int(r.cfg.Memory / 2 / 2048),
	})
	return w
}

func (w *worker) packet(p *capture.Packet) {
	w.packets++
	at := record.FromNanos(p.Time)
	if at >= w.tick {
		w.asm.Advance(at)
		w.tick = at.Add(tickEvery)
	}
	reason := w.dis.Packet(uint32(p.Link), p.Data, p.Len, p.Time, &w.seg)
	w.reasons[reason]++
	if reason == segment.Found {
		w.asm.Segment(&w.seg, at, w.packets)
	}
	w.out.advance(at)
}

// advance takes a heartbeat.
func (w *worker) advance(now record.Time) {
	w.asm.Advance(now)
	w.out.advance(now)
}

// ledger closes the accounts of a capture that has ended.
func (w *worker) ledger() record.Ledger {
	l := record.Ledger{
		PacketsRead: w.packets,
		Segments:    w.reasons[segment.Found],
		NotTCP:      w.reasons[segment.NotTCP],
		Undecodable: map[string]uint64{},
		Messages:    map[string]record.Command{},
	}
	for i, n := range w.reasons {
		if reason := segment.Reason(i); n > 0 && reason != segment.Found && reason != segment.NotTCP {
			l.Undecodable[reason.String()] = n
		}
	}
	a := w.asm.Stats()
	l.TCPBytes, l.Retransmitted, l.LateBytes = a.Bytes, a.Retransmitted, a.Late
	l.LostBytes, l.Holes = a.Lost, a.Holes
	l.EvictedConns, l.EvictedHolds = a.EvictedConns, a.EvictedHolds
	d := w.dec.Stats()
	for name, c := range d.Commands {
		l.Messages[name] = *c
	}
	l.EncryptedV2, l.Proxy, l.NotBitcoin, l.Incomplete = d.EncryptedV2, d.Proxy, d.NotBitcoin, d.Incomplete
	l.Skipped = d.Skipped + a.Late + a.Stray
	l.BadChecksums, l.BadHeaders, l.Resyncs = d.BadChecksums, d.BadHeaders, d.Resyncs
	l.Conns = d.Conns
	return l
}
