// Package keep writes the packets of a source into rotated capture files while they are read, as tcpdump -G does. Where
// packets come from, and what is in them, it leaves to others.
package keep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"btcsniff/capture"
)

// Config says how packets are kept. Zero fields mean the default that is named.
type Config struct {
	Dir     string        // required: the folder, which must be there
	Every   time.Duration // a new file begins at every whole multiple of it since 1970, by capture time; 1 h
	Nanos   bool          // files have nanoseconds; else microseconds
	Zstd    bool          // files are compressed with zstd
	SnapLen int           // bytes kept of a packet at most, for the files' headers; 262144
	Problem func(error)   // called, by a goroutine of the Keeper, with the first error of each file; may be nil
}

// A Keeper is a capture.Source that keeps the packets of another one. A capture's files are named SECONDS.NAME.pcap, after the
// time of their first packet and the capture's name, so that capture.Open and capture.Follow find that they belong together; a file
// that is there already is never written to: then milliseconds, and so on, are in the name.
//
// A packet is in its file at most about a second after Next returned it, in whole packets: a program that reads the
// file meanwhile, or after a crash, finds at most the last packet cut off. Files are synced to disk when they are complete, and
// not before: if the machine itself fails, what the kernel had not written by itself (30 s, commonly) is missing.
//
// If a file can't be written (the disk is full) its further packets are not kept, and counted; the next file is tried
// again. Next waits for the disk when 4 MiB wait to be written.
type Keeper struct {
	src   capture.Source
	cfg   Config
	lanes []lane      // by capture
	work  chan order  // to the writer; closed by Close. Full: Next waits
	free  chan []byte // from the writer, to be filled again
	made  int         // chunks so far
	done  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	stats Stats
	err   error // the first of all
}

// Stats says what was kept.
type Stats struct {
	Files   uint64 // begun
	Bytes   uint64 // of packets, with headers, before compression
	Packets uint64 // written
	Lost    uint64 // packets that could not be written
	Broken  uint64 // files that could not be written to their end
}

// A lane is one capture's packets on their way.
type lane struct {
	chunk   []byte
	packets uint64 // in chunk
	since   int64  // time of the first of them
	open    bool   // a file was begun
	begin   *title // the file to begin with chunk
	link    capture.LinkType
	from    int64 // nanoseconds: the file is for packets from here
	until   int64 // to here
}

// A title says which file to begin.
type title struct {
	name string // the capture's
	at   int64  // of the first packet
	link capture.LinkType
}

// An order is something for the writer to do.
type order struct {
	capture int
	begin   *title // if not nil: begin this file first
	chunk   []byte
	packets uint64
	end     bool // the file is complete then
}

const (
	chunkBytes = 256 << 10
	maxChunks  = 16
	flushEvery = int64(time.Second) // of capture time
	backwards  = int64(time.Second) // packets may come out of order by so much
)

// New returns a Keeper of src's packets. It fails if nothing can be written in the folder.
func New(src capture.Source, cfg Config) (*Keeper, error) {
	cfg.Every = cmp.Or(cfg.Every, time.Hour)
	cfg.SnapLen = cmp.Or(cfg.SnapLen, 262144)
	probe, err := os.CreateTemp(cfg.Dir, ".btcsniff-*")
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err // the file's name is ours
		}
		return nil, fmt.Errorf("keep packets in %s: %w: make the folder, and let the one who captures write to it", cfg.Dir, err)
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return nil, fmt.Errorf("keep packets: %w", err)
	}
	k := &Keeper{src: src, cfg: cfg, work: make(chan order, maxChunks), free: make(chan []byte, maxChunks), done: make(chan struct{})}
	go k.write()
	return k, nil
}

// Next is capture.Source's.
func (k *Keeper) Next(ctx context.Context, p *capture.Packet) error {
	if err := k.src.Next(ctx, p); err != nil {
		return err
	}
	if p.Data == nil {
		k.beat(p.Time)
		return nil
	}
	for p.Capture >= len(k.lanes) {
		k.lanes = append(k.lanes, lane{})
	}
	k.add(&k.lanes[p.Capture], p)
	return nil
}

// add puts a packet into its capture's chunk.
func (k *Keeper) add(l *lane, p *capture.Packet) {
	if l.open && (p.Time >= l.until || p.Time < l.from-backwards || p.Link != l.link) {
		k.hand(l, p.Capture, true)
	}
	if len(l.chunk)+packetHeader+len(p.Data) > cap(l.chunk) || l.packets > 0 && p.Time >= l.since+flushEvery {
		k.hand(l, p.Capture, false)
	}
	if l.chunk == nil {
		l.chunk = k.empty()
		l.since = p.Time
	}
	if !l.open {
		every := int64(k.cfg.Every)
		l.from = p.Time - p.Time%every
		l.until = l.from + every
		l.open, l.link = true, p.Link
		l.begin = &title{k.src.Captures()[p.Capture].Name, p.Time, p.Link}
		l.chunk = appendFileHeader(l.chunk, p.Link, k.cfg.Nanos, k.cfg.SnapLen)
	}
	l.chunk = appendPacket(l.chunk, p, k.cfg.Nanos)
	l.packets++
}

// beat writes what waits, and ends files whose time is over, although no packets come.
func (k *Keeper) beat(now int64) {
	for i := range k.lanes {
		if l := &k.lanes[i]; l.open {
			k.hand(l, i, now >= l.until+backwards)
		}
	}
}

// hand gives the writer what l has.
func (k *Keeper) hand(l *lane, capture int, end bool) {
	if l.packets > 0 || end {
		k.work <- order{capture, l.begin, l.chunk, l.packets, end}
		l.begin, l.chunk, l.packets = nil, nil, 0
	}
	if end {
		l.open = false
	}
}

// empty returns a chunk to fill. If all wait to be written, it waits too.
func (k *Keeper) empty() []byte {
	select {
	case b := <-k.free:
		return b
	default:
	}
	if k.made < maxChunks {
		k.made++
		return make([]byte, 0, max(chunkBytes, fileHeader+packetHeader+k.cfg.SnapLen))
	}
	return <-k.free
}

// Captures is capture.Source's.
func (k *Keeper) Captures() []capture.Info { return k.src.Captures() }

// Stats is capture.Source's.
func (k *Keeper) Stats() capture.Stats { return k.src.Stats() }

// Kept says what was kept so far. Any goroutine may ask.
func (k *Keeper) Kept() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stats
}

// Finish writes what waits, completes the files and returns the first error of any. Nothing may be read after it.
func (k *Keeper) Finish() error {
	k.once.Do(func() {
		for i := range k.lanes {
			if k.lanes[i].open {
				k.hand(&k.lanes[i], i, true)
			}
		}
		close(k.work)
	})
	<-k.done
	return k.err
}

// Close finishes, and closes the source.
func (k *Keeper) Close() error {
	return cmp.Or(k.Finish(), k.src.Close())
}
