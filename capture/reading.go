package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A core is what Files and Followed have in common.
type core struct {
	ctx   context.Context // of the call of Next under way, for what reads and waits below it
	block int             // bytes of a block
	open  int             // files held open
	many  bool            // there are more files than one: an empty one is then no error

	mu    sync.Mutex
	stats Stats        // guarded by mu; Files is empty: they are in files
	files []*FileStats // guarded by mu, with what they point to
	ended []*FileStats // guarded by mu; of Files, those that Finished has not returned yet
}

func (c *core) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Files = make([]FileStats, len(c.files))
	for i, f := range c.files {
		s.Files[i] = *f
	}
	return s
}

// end notes that a file has ended.
func (c *core) end(st *FileStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, st)
}

// A reading reads one file of a capture after the other.
type reading struct {
	core *core
	file *file // being read, or nil
	r    *reader
	disk *disk // under r, if it is a file on disk

	// Counts that are added to core's with each block.
	packets     uint64 // of the file
	first, last int64  // of its first and its latest packet
	bytes       int64
	counted     uint64 // of packets
	drops       drops
}

// start begins to read f.
func (g *reading) start(f *file) {
	src := f.stream
	if p, ok := src.(*pump); ok {
		p.ctx = func() context.Context { return g.core.ctx }
	} else if src == nil {
		g.disk = &disk{path: f.path, keep: g.core.open < maxOpen}
		if g.disk.keep {
			g.core.open++
		}
		src = g.disk
	}
	src = &feed{g, src}
	if g.r == nil {
		g.r = newReader(src, g.core.block)
	} else {
		g.r.reset(src)
	}
	g.file = f
	g.packets, g.counted, g.first, g.last = 0, 0, 0, 0
}

// next fills in p with the file's next packet, or says as reader.next why there is none.
func (g *reading) next(p *Packet, capture int) error {
	if err := g.r.next(p); err != nil {
		return err
	}
	if g.packets == 0 {
		g.first = p.Time
	}
	g.packets++
	g.last = p.Time
	p.Capture = capture
	return nil
}

// stopped says whether err is that of a done context: then nothing has happened and next may be called again.
func (g *reading) stopped(err error) bool {
	done := g.core.ctx.Err()
	return done != nil && errors.Is(err, done)
}

// finish ends the file, for the reason err.
func (g *reading) finish(err error) {
	g.flush()
	c := g.core
	c.mu.Lock()
	st := g.file.stat
	st.Done = true
	if g.disk != nil {
		st.Size = max(st.Size, g.disk.off)
	}
	st.Warning, st.Err = verdict(g.file.path, err, c.many)
	if n := g.r.badTimes; n > 0 && st.Err == nil && st.Warning == "" {
		st.Warning = fmt.Sprintf("%s: %d packets have no time from 1970 to 2262; each got that of the packet before", g.file.path, n)
	}
	c.mu.Unlock()
	g.shut()
}

// shut closes the file.
func (g *reading) shut() {
	if g.file == nil {
		return
	}
	g.r.close()
	if g.disk != nil {
		g.disk.close()
		if g.disk.keep {
			g.core.open--
		}
		g.disk = nil
	}
	g.file.close()
	g.file = nil
}

// close ends a stream's goroutine.
func (f *file) close() {
	if p, ok := f.stream.(*pump); ok {
		p.close()
		f.stream = nil
	}
}

// flush adds g's counts to core's.
func (g *reading) flush() {
	c := g.core
	c.mu.Lock()
	defer c.mu.Unlock()
	st := g.file.stat
	st.Packets, st.First, st.Last = g.packets, g.first, g.last
	st.Header = g.r.decode != nil && g.r.buf.offset() > 0
	c.stats.Packets += g.packets - g.counted
	g.counted = g.packets
	c.stats.Bytes += g.bytes
	g.bytes = 0
	d := g.r.drops
	c.stats.Dropped += d.kernel - g.drops.kernel
	c.stats.IfDropped += d.iface - g.drops.iface
	g.drops = d
}

// A feed is what a reading's reader reads: it counts, and looks at the context.
type feed struct {
	g   *reading
	src io.Reader
}

func (f *feed) Read(b []byte) (int, error) {
	f.g.flush()
	if err := f.g.core.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.src.Read(b)
	f.g.bytes += int64(n)
	return n, err
}
