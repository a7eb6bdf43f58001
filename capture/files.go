package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"
)

const (
	maxOpen      = 64        // files held open; with more captures at a time, files are opened for each block anew
	bufferMemory = 32 << 20  // bytes of all captures' block buffers together, as far as minBlock allows
	maxBlockSize = 512 << 10 // bytes of one capture's; more is not faster
	minBlockSize = 16 << 10
)

// Files is a Source of capture files: several captures, merged by the time of their packets. Packets of the same time
// come in the order of Captures. Within one capture the order is that of its files, also where time goes back a bit, as it
// does with cards of several queues.
type Files struct {
	infos []Info
	heap  []*group // those with packets left; the one with the earliest is the first
	all   []*group
	block int // bytes of a block
	open  int // files held open

	ctx context.Context // of the call of Next under way, for what reads and waits below it

	mu    sync.Mutex
	stats Stats // guarded by mu
}

// A group reads one capture's files.
type group struct {
	from  *Files
	index int     // into from.infos
	left  []*file // to be read; the first is being read if open
	open  bool
	r     *reader
	disk  *disk // under r, if it is a file on disk

	head  Packet // the next packet, if ready
	ready bool
	key   int64 // time of the next packet, or the earliest that it can have

	// Counts that are added to from.stats with each block.
	packets     uint64 // of the file being read
	first, time int64  // of its first and its latest packet
	bytes       int64
	counted     uint64 // of packets
	drops       drops
}

// NewReader returns a source of one capture file's bytes, whatever its format. name is the capture's, and r's in
// messages. It reads r while Next is called, and does not close it. That ctx is done is noticed between two reads.
func NewReader(r io.Reader, name string) *Files {
	return newFiles([]set{{name, []*file{{path: name, stream: r}}}})
}

func newFiles(sets []set) *Files {
	f := &Files{block: min(max(bufferMemory/max(len(sets), 1), minBlockSize), maxBlockSize)}
	streams := false
	for i, s := range sets {
		g := &group{from: f, index: i, left: s.files, key: math.MinInt64}
		info := Info{Name: s.name}
		for _, file := range s.files {
			file.stat = len(f.stats.Files)
			f.stats.Files = append(f.stats.Files, FileStats{Path: file.path, Capture: i, Size: file.size})
			f.stats.Total += file.size
			streams = streams || file.stream != nil
			info.Files = append(info.Files, file.path)
			if file.head.packet && g.key == math.MinInt64 {
				g.key = file.head.first
			}
		}
		f.infos = append(f.infos, info)
		f.all = append(f.all, g)
	}
	if streams {
		f.stats.Total = 0
	}
	f.heap = slices.Clone(f.all)
	for i := len(f.heap)/2 - 1; i >= 0; i-- {
		f.sift(i)
	}
	return f
}

// Next is Source's. The context is looked at whenever a block is read.
func (f *Files) Next(ctx context.Context, p *Packet) error {
	f.ctx = ctx
	for len(f.heap) > 0 {
		g := f.heap[0]
		if g.ready {
			*p = g.head
			g.ready = false
			return nil
		}
		switch err := g.advance(); err {
		case nil:
		case io.EOF:
			n := len(f.heap) - 1
			f.heap[0] = f.heap[n]
			f.heap = f.heap[:n]
		default:
			return err
		}
		f.sift(0)
	}
	return io.EOF
}

// sift puts the i-th group of the heap where it belongs at or below.
func (f *Files) sift(i int) {
	h := f.heap
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func (g *group) before(o *group) bool {
	return g.key < o.key || g.key == o.key && g.index < o.index
}

// Captures is Source's. It does not grow.
func (f *Files) Captures() []Info { return slices.Clone(f.infos) }

// Stats is Source's. Its figures are of whole blocks while a file is being read, and exact at its end. Files has the
// captures' files in the order in which they are read, then those that can't be.
func (f *Files) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Files = slices.Clone(s.Files)
	return s
}

// Close closes what is open. A goroutine that hangs reading standard input stays until that ends.
func (f *Files) Close() error {
	for _, g := range f.all {
		g.shut()
		for _, file := range g.left {
			if p, ok := file.stream.(*pump); ok {
				p.close()
			}
		}
		g.left = nil
	}
	f.heap = nil
	return nil
}

// advance makes g's next packet ready. It returns io.EOF if there is none, and the context's error if that is done.
func (g *group) advance() error {
	for len(g.left) > 0 {
		if !g.open {
			g.start()
		}
		err := g.r.next(&g.head)
		if err == nil {
			if g.packets == 0 {
				g.first = g.head.Time
			}
			g.packets++
			g.time = g.head.Time
			g.head.Capture = g.index
			g.key = g.head.Time
			g.ready = true
			return nil
		}
		if done := g.from.ctx.Err(); done != nil && errors.Is(err, done) {
			return err
		}
		g.finish(err)
	}
	g.r = nil
	return io.EOF
}

// start begins to read the next file.
func (g *group) start() {
	f := g.left[0]
	var src io.Reader = f.stream
	if p, ok := src.(*pump); ok {
		p.ctx = func() context.Context { return g.from.ctx }
	} else if src == nil {
		g.disk = &disk{path: f.path, keep: g.from.open < maxOpen}
		if g.disk.keep {
			g.from.open++
		}
		src = g.disk
	}
	src = &feed{g, src}
	if g.r == nil {
		g.r = newReader(src, g.from.block)
	} else {
		g.r.reset(src)
	}
	g.open = true
	g.packets, g.counted, g.first, g.time = 0, 0, 0, 0
}

// finish ends the file being read, for the reason err.
func (g *group) finish(err error) {
	f := g.left[0]
	g.flush()
	s := &g.from.stats
	g.from.mu.Lock()
	st := &s.Files[f.stat]
	st.Warning, st.Err = verdict(f.path, err, len(s.Files) > 1)
	if n := g.r.badTimes; n > 0 && st.Err == nil && st.Warning == "" {
		st.Warning = fmt.Sprintf("%s: %d packets have no time from 1970 to 2262; each got that of the packet before", f.path, n)
	}
	g.from.mu.Unlock()
	g.shut()
	g.left = g.left[1:]
}

// shut closes the file being read.
func (g *group) shut() {
	if !g.open {
		return
	}
	g.open = false
	g.r.close()
	if g.disk != nil {
		g.disk.close()
		if g.disk.keep {
			g.from.open--
		}
		g.disk = nil
	}
	if p, ok := g.left[0].stream.(*pump); ok {
		p.close()
		g.left[0].stream = nil
	}
}

// flush adds g's counts to the source's.
func (g *group) flush() {
	d := g.drops
	if g.r != nil {
		d = g.r.drops
	}
	s := &g.from.stats
	g.from.mu.Lock()
	defer g.from.mu.Unlock()
	st := &s.Files[g.left[0].stat]
	st.Packets, st.First, st.Last = g.packets, g.first, g.time
	s.Packets += g.packets - g.counted
	g.counted = g.packets
	s.Bytes += g.bytes
	g.bytes = 0
	s.Dropped += d.kernel - g.drops.kernel
	s.IfDropped += d.iface - g.drops.iface
	g.drops = d
}

// verdict says what err, which ended a file, means: nothing, a warning or an error. company says that there are other files.
func verdict(path string, err error, company bool) (warning string, _ error) {
	var c *cut
	var z *zeros
	var d *damage
	var n *notCapture
	switch {
	case err == io.EOF:
		return "", nil
	case errors.As(err, &c), errors.As(err, &z):
		return fmt.Sprintf("%s: %v; the whole packets before were read", path, err), nil
	case err == errEmpty && company:
		return fmt.Sprintf("%s: %v", path, err), nil
	case err == errEmpty:
		return "", fmt.Errorf("%s: %w; there is nothing to read: was it recorded with -w, and to its end?", path, err)
	case errors.As(err, &n):
		return "", fmt.Errorf("%s: %w; give pcap or pcapng files, plain or compressed with gzip or zstd", path, err)
	case errors.As(err, &d):
		return "", fmt.Errorf("%s: %w; the packets before were read: copy the file again, or repair it", path, err)
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: %w; check the name", path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s: %w; run as a user who may read it", path, fs.ErrPermission)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return "", fmt.Errorf("%s: %w; the packets before were read", path, err)
}
