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
	"runtime/debug"
	"slices"
	"time"

	"btcsniff/capture"
	"btcsniff/record"
	"btcsniff/sink"
	"btcsniff/v2"
)

// Config says what Run does.
type Config struct {
	Sensor   string           // the vantage point's name; "": each capture's own name
	Networks []record.Network // recognised ones; nil: all that have a name
	Local    []netip.Prefix   // the observed node's addresses; nil: worked out from the first packets
	// LocalWithin is how much capture time may go by while Local is worked out and no record is made yet; six times as much
	// where some connections have no local end by then. 0: no limit but that of packets.
	LocalWithin time.Duration
	Memory      int64         // bytes that all buffers together may take; 0: 256 MiB
	V2Keys      *v2.Keys      // secrets of v2 connections; nil: there are none
	Workers     int           // goroutines that follow connections and decode; 0: 1, in the reading goroutine. Records don't depend on it
	Outputs     []*sink.Queue // where records go; Run does not close them

	Monitor *Monitor // shows other goroutines how far the run has come; nil: nobody asks

	// Blind returns what became known, since it was last called, of times in which the source's captures could not see; nil: there are
	// none.
	Blind func() []capture.Blind

	// Finished returns the files of the source that were read to their end since it was last called; nil: nobody asks.
	// Stored is called with each of them once the records of all its packets are stored in every output, and
	// nothing that began in it is waited for any more; by any goroutine.
	Finished func() []capture.FileStats
	Stored   func(capture.FileStats)
}

// A Result says what Run read and made. It is complete also when Run returns an error.
type Result struct {
	Captures []CaptureResult
	Local    []LocalAddr // the observed node's addresses
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

const (
	// DefaultMemory is Config.Memory's default, in bytes.
	DefaultMemory = 256 << 20
	ownMemory     = 64 << 20 // bytes beyond the ceiling that the program may have for itself and its sinks
)

// limitHeap lets the garbage collector work harder, rather than the heap grow, near the memory ceiling. A lower limit of
// the user's (GOMEMLIMIT) stays. restore undoes it.
func limitHeap(ceiling int64) (restore func()) {
	old := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(old, ceiling+ownMemory))
	return func() { debug.SetMemoryLimit(old) }
}

// Run reads src to its end, or until ctx is done, and hands every record to the outputs. What was read before an error
// is handed over and accounted for; the error is the source's or ctx's.
func Run(ctx context.Context, src capture.Source, cfg Config) (*Result, error) {
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	defer limitHeap(cfg.Memory)()
	r := &run{cfg: cfg, src: src}
	r.team = &solo{&r.cfg, &r.local}
	if cfg.Workers > 1 {
		r.team = newCrew(&r.cfg, &r.local)
	}
	err := r.read(ctx)
	return r.finish(err == nil), err
}

type run struct {
	cfg    Config
	src    capture.Source
	local  locals
	team   team
	tracks []*track // by index of capture; nil before its first packet
	files  finishing
	unseen []capture.Blind // of captures that had no packet yet
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
		r.beat(record.FromNanos(p.Time))
		r.release(p.Time)
		r.show()
		r.blind()
		return
	}
	for p.Capture >= len(r.tracks) {
		r.tracks = append(r.tracks, nil)
	}
	t := r.tracks[p.Capture]
	if t == nil {
		t = r.newTrack(p)
		r.tracks[p.Capture] = t
	}
	if t.packet(p, r.team) {
		r.show()
		r.blind()
	}
	r.release(p.Time)
}

// finish ends all captures, in the order of their names. Files are let go of only if all was read: of a message that begins in the
// last one, the rest may be in the next.
func (r *run) finish(all bool) *Result {
	stats := r.src.Stats()
	res := &Result{Local: r.local.list(), Stats: stats}
	files := make([][]record.File, len(r.tracks))
	for _, f := range stats.Files {
		rec := record.File{
			Name: filepath.Base(f.Path), Size: f.Size, Packets: f.Packets,
			First: record.FromNanos(f.First), Last: record.FromNanos(f.Last), Problem: f.Warning,
		}
		if f.Err != nil {
			rec.Problem = f.Err.Error()
		}
		if f.Capture >= 0 && f.Capture < len(files) && r.tracks[f.Capture] != nil {
			files[f.Capture] = append(files[f.Capture], rec)
		}
	}
	r.blind()
	tracks := r.started()
	r.team.close(tracks)
	for _, t := range tracks {
		ledger := t.ledger()
		t.drops(&ledger, &stats, len(tracks))
		for _, lane := range t.out.lanes() {
			lane.End(&ledger, files[t.index])
		}
		res.Captures = append(res.Captures, CaptureResult{t.capture, ledger, files[t.index]})
	}
	r.showEnd(res)
	if all {
		r.releaseAll()
	}
	return res
}

func (r *run) newTrack(p *capture.Packet) *track {
	info := r.src.Captures()[p.Capture]
	c := &record.Capture{
		Sensor: r.cfg.Sensor, Name: info.Name,
		First: record.FromNanos(p.Time), Digest: sha256.Sum256(p.Data),
	}
	if c.Sensor == "" {
		c.Sensor = c.Name
	}
	t := &track{capture: c, index: p.Capture, out: &output{capture: c, queues: r.cfg.Outputs}}
	r.team.join(t)
	return t
}

// started are the tracks that had a packet, in the order of their captures.
func (r *run) started() []*track {
	return slices.DeleteFunc(slices.Clone(r.tracks), func(t *track) bool { return t == nil })
}
