package capture

import (
	"context"
	"io"
	"math"
	"slices"
)

const (
	maxOpen      = 64        // files held open; with more captures at a time, files are opened for each block anew
	bufferMemory = 32 << 20  // bytes of all captures' block buffers together, as far as minBlockSize allows
	maxBlockSize = 512 << 10 // bytes of one capture's; more is not faster
	minBlockSize = 16 << 10
)

// Files is a Source of capture files: several captures, merged by the time of their packets. Packets of the same time
// come in the order of Captures. Within one capture the order is that of its files, also where time goes back a bit, as it
// does with cards of several queues.
type Files struct {
	core
	infos []Info
	heap  []*group // those with packets left; the one with the earliest is the first
	all   []*group
}

// A group is one capture.
type group struct {
	reading
	index int     // into Files.infos
	left  []*file // to be read after the one being read
	head  Packet  // the next packet, if ready
	ready bool
	key   int64 // time of the next packet, or the earliest that it can have
}

// NewReader returns a source of one capture file's bytes, whatever its format. name is the capture's, and r's in
// messages. It reads r while Next is called, and does not close it. That ctx is done is noticed between two reads.
func NewReader(r io.Reader, name string) *Files {
	return newFiles([]set{{name, []*file{{path: name, stream: r}}}})
}

func newFiles(sets []set) *Files {
	f := &Files{core: core{block: blockSize(len(sets))}}
	streams := false
	for i, s := range sets {
		g := &group{reading: reading{core: &f.core}, index: i, left: s.files, key: math.MinInt64}
		info := Info{Name: s.name}
		for _, file := range s.files {
			file.stat = &FileStats{Path: file.path, Capture: i, Size: file.size}
			f.files = append(f.files, file.stat)
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
	f.many = len(f.files) > 1
	f.heap = slices.Clone(f.all)
	for i := len(f.heap)/2 - 1; i >= 0; i-- {
		f.sift(i)
	}
	return f
}

// blockSize is the size of blocks for so many captures.
func blockSize(captures int) int {
	return min(max(bufferMemory/max(captures, 1), minBlockSize), maxBlockSize)
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
func (f *Files) Stats() Stats { return f.snapshot() }

// Finished returns the files that were read to their end, or to an error, since it was last called: Next has returned all their
// packets. It is called by the goroutine that calls Next.
func (f *Files) Finished() []FileStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []FileStats
	for _, st := range f.ended {
		out = append(out, *st)
	}
	f.ended = nil
	return out
}

// Close closes what is open. A goroutine that hangs reading standard input stays until that ends.
func (f *Files) Close() error {
	for _, g := range f.all {
		g.shut()
		for _, file := range g.left {
			file.close()
		}
		g.left = nil
	}
	f.heap = nil
	return nil
}

// advance makes g's next packet ready. It returns io.EOF if there is none, and the context's error if that is done.
func (g *group) advance() error {
	for {
		if g.file == nil {
			if len(g.left) == 0 {
				g.r = nil // its memory
				return io.EOF
			}
			g.start(g.left[0])
			g.left = g.left[1:]
		}
		err := g.next(&g.head, g.index)
		if err == nil {
			g.key = g.head.Time
			g.ready = true
			return nil
		}
		if g.stopped(err) {
			return err
		}
		st := g.file.stat
		g.finish(err)
		g.core.end(st)
	}
}
