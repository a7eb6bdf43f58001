package pipeline

import (
	"encoding/binary"
	"sync"
	"time"

	"btcsniff/capture"
	"btcsniff/record"
	"btcsniff/segment"
)

// A crew is a team of several goroutines. Every connection falls to one of them, by a hash that is the same for
// both directions. The reading goroutine puts segments into loads, one for each hand, and hands them out
// together; payloads stay where they were read, if that can be held. One more goroutine brings the records back into the order of the packets that they come from,
// so that nothing depends on how many hands there are.
type crew struct {
	cfg    *Config
	local  *locals
	hands  []*hand
	loads  []*load // being filled, one for each hand
	bytes  int     // payload in them
	packet uint64  // of all tracks together, that were looked at
	wait   sync.WaitGroup
}

// A hand is a goroutine with one worker for each track.
type hand struct {
	tagger tagger
	todo   chan *load   // from the reading goroutine, which closes it; when it is full, reading waits
	done   chan *tagged // to the merging goroutine, one for each load; when it is full, the hand waits
	loads  chan *load   // empty ones, to be used again
	spare  chan *tagged // likewise
}

// A load is a hand's share of some consecutive packets.
type load struct {
	steps  []step
	blocks []*capture.Block // held for the steps
	data   []byte           // payloads that are in no block, one after the other
	look   func()           // if not nil: called by the hand, after the steps
	then   func()           // if not nil: called when all records of this and the other hands' loads are with the outputs
}

// A step is one thing for a worker to do.
type step struct {
	kind   stepKind
	worker *worker
	seg    segment.Segment
	size   int // if not 0: the payload is the next so many bytes of the load's data
	at     record.Time
	number uint64 // of the packet in its capture
	order  uint64 // of the step in the run
}

type stepKind uint8

const (
	takeSegment stepKind = iota
	advanceTime
	endTrack
)

// tagged are records with what they are ordered by.
type tagged struct {
	batch record.Batch
	tags  []tag // of batch.Order's elements
	then  func()
}

// A tag says which step made a record and, of a step that all hands take, for which connection. out is where it goes.
type tag struct {
	step, conn uint64
	at         record.Time // of the step; 0 at the end
	out        *output
}

const (
	loadSteps  = 256         // segments for each worker that are handed out at once: few enough to be found in the caches
	loadBytes  = 64 << 10    // payload bytes for each worker
	loadsAhead = 3           // loads that may wait for each worker
	loadAge    = time.Second // of capture time that a load may take to fill
)

func newCrew(cfg *Config, local *locals) *crew {
	t := &crew{cfg: cfg, local: local}
	for range cfg.Workers {
		h := &hand{
			todo: make(chan *load, loadsAhead), done: make(chan *tagged, loadsAhead),
			loads: make(chan *load, loadsAhead+2), spare: make(chan *tagged, loadsAhead+2),
		}
		t.hands = append(t.hands, h)
		t.loads = append(t.loads, new(load))
		t.wait.Go(h.work)
	}
	t.wait.Go(t.merge)
	return t
}

func (t *crew) join(k *track) {
	for _, h := range t.hands {
		k.workers = append(k.workers, newWorker(k, t.cfg, t.local, &h.tagger, len(t.hands)))
	}
}

// share is the worker that a segment falls to.
func (t *crew) share(s *segment.Segment) int {
	a, b := s.Src.Addr().As16(), s.Dst.Addr().As16()
	// Sums are the same for both directions; the multiplier (of splitmix64) spreads them.
	h := binary.LittleEndian.Uint64(a[8:]) + binary.LittleEndian.Uint64(b[8:]) + uint64(s.Src.Port()) + uint64(s.Dst.Port())
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	return int((h >> 33) % uint64(len(t.hands)))
}

func (t *crew) segment(k *track, s *segment.Segment, at record.Time, block *capture.Block) {
	i := t.share(s)
	l := t.loads[i]
	t.packet++
	l.steps = append(l.steps, step{worker: k.workers[i], seg: *s, at: at, number: k.number, order: t.packet})
	if len(s.Payload) > 0 {
		l.keep(&l.steps[len(l.steps)-1], block)
	}
	t.bytes += len(s.Payload)
	if n := len(t.hands); t.bytes >= n*loadBytes || len(l.steps) >= n*loadSteps {
		t.flush()
	}
}

// keep holds the block that the step's payload is in, or copies the payload if there is none.
func (l *load) keep(s *step, block *capture.Block) {
	if block == nil {
		l.data = append(l.data, s.seg.Payload...)
		s.size, s.seg.Payload = len(s.seg.Payload), nil
		return
	}
	if n := len(l.blocks); n == 0 || l.blocks[n-1] != block {
		block.Hold()
		l.blocks = append(l.blocks, block)
	}
}

// empty makes the load ready to be used again.
func (l *load) empty() {
	for _, b := range l.blocks {
		b.Release()
	}
	*l = load{steps: l.steps[:0], blocks: l.blocks[:0], data: l.data[:0]}
}

func (t *crew) advance(k *track, now record.Time) {
	t.all(k, step{kind: advanceTime, at: now})
	if d := now.Sub(k.handed); d >= loadAge || d < 0 {
		k.handed = now
		t.then(func() { k.out.advance(now) })
	}
}

// all gives every hand the same step.
func (t *crew) all(k *track, s step) {
	t.packet++
	s.order = t.packet
	for i, l := range t.loads {
		s.worker = k.workers[i]
		l.steps = append(l.steps, s)
	}
}

// flush gives every hand its load, also an empty one: loads and results stay in step.
func (t *crew) flush() {
	for i, h := range t.hands {
		h.todo <- t.loads[i]
		select {
		case t.loads[i] = <-h.loads:
		default:
			t.loads[i] = new(load)
		}
	}
	t.bytes = 0
}

func (t *crew) then(f func()) {
	t.loads[0].then = f
	t.flush()
}

// survey has each hand look at its own workers, and adds that up when the last one has.
func (t *crew) survey(tracks []*track, to []CaptureProgress, f func()) {
	parts := make([][]CaptureProgress, len(t.hands))
	for i, l := range t.loads {
		parts[i] = make([]CaptureProgress, len(tracks))
		workers := make([]*worker, len(tracks))
		for j, k := range tracks {
			parts[i][j].Open = map[string]uint64{}
			workers[j] = k.workers[i]
		}
		l.look = func() {
			for j, w := range workers {
				w.report(&parts[i][j])
			}
		}
	}
	t.then(func() {
		for _, part := range parts {
			for j := range part {
				to[j].Ledger.Add(&part[j].Ledger)
				for transport, n := range part[j].Open {
					to[j].Open[transport] += n
				}
			}
		}
		f()
	})
}

func (t *crew) close(tracks []*track) {
	for _, k := range tracks {
		t.all(k, step{kind: endTrack})
	}
	t.flush()
	for _, h := range t.hands {
		close(h.todo)
	}
	t.wait.Wait()
}

// work is a hand's goroutine.
func (h *hand) work() {
	defer close(h.done)
	for l := range h.todo {
		select {
		case h.tagger.to = <-h.spare:
		default:
			h.tagger.to = new(tagged)
		}
		h.take(l)
		if l.look != nil {
			l.look()
		}
		h.tagger.to.then = l.then
		l.empty()
		select {
		case h.loads <- l:
		default:
		}
		h.done <- h.tagger.to
	}
}

func (h *hand) take(l *load) {
	data := l.data
	for i := range l.steps {
		s := &l.steps[i]
		h.tagger.next = tag{step: s.order, at: s.at, out: s.worker.track.out}
		h.tagger.shared = s.kind != takeSegment
		switch s.kind {
		case takeSegment:
			if s.size > 0 {
				s.seg.Payload, data = data[:s.size:s.size], data[s.size:]
			}
			s.worker.asm.Segment(&s.seg, s.at, s.number)
		case advanceTime:
			s.worker.asm.Advance(s.at)
		case endTrack:
			s.worker.asm.Close()
		}
	}
}

// merge hands the records to the outputs in order, load by load.
func (t *crew) merge() {
	parts := make([]*tagged, len(t.hands))
	next := make([]int, len(t.hands))
	for {
		for i, h := range t.hands {
			r, ok := <-h.done
			if !ok {
				return // all hands have handed over as many
			}
			parts[i], next[i] = r, 0
		}
		for i := first(parts, next); i >= 0; i = first(parts, next) {
			g := &parts[i].tags[next[i]]
			g.out.now = g.at
			g.out.copy(&parts[i].batch, parts[i].batch.Order[next[i]])
			next[i]++
		}
		for i, h := range t.hands {
			if parts[i].then != nil {
				parts[i].then()
			}
			parts[i].batch.Reset()
			parts[i].tags, parts[i].then = parts[i].tags[:0], nil
			select {
			case h.spare <- parts[i]:
			default:
			}
		}
	}
}

// first is the index of the part whose next record comes before the others', or -1 if none has one.
func first(parts []*tagged, next []int) int {
	best := -1
	var least *tag
	for i, p := range parts {
		if next[i] == len(p.tags) {
			continue
		}
		if g := &p.tags[next[i]]; best < 0 || g.step < least.step || g.step == least.step && g.conn < least.conn {
			best, least = i, g
		}
	}
	return best
}

// A tagger keeps a hand's records with their tags. It is a decode.Recorder.
type tagger struct {
	to     *tagged
	next   tag  // of the step at hand; conn is not set
	shared bool // all hands take that step, so that connections have to be told apart
}

func (g *tagger) tag(c *record.Conn) *record.Batch {
	if g.shared { // else c is not looked at, which would be a wait for memory
		g.next.conn = c.Number
	}
	g.to.tags = append(g.to.tags, g.next)
	return &g.to.batch
}

func (g *tagger) Inv(m record.Meta, v []record.InvVect) { g.tag(m.Conn).Inv(m, v) }
func (g *tagger) Tx(r record.Tx)                        { g.tag(r.Meta.Conn).Tx(r) }
func (g *tagger) Block(r record.Block)                  { g.tag(r.Meta.Conn).Block(r) }
func (g *tagger) Ping(r record.Ping)                    { g.tag(r.Meta.Conn).Ping(r) }
func (g *tagger) Pong(r record.Pong)                    { g.tag(r.Meta.Conn).Pong(r) }
func (g *tagger) Version(r record.Version)              { g.tag(r.Meta.Conn).Version(r) }
func (g *tagger) Addr(r record.Addr)                    { g.tag(r.Meta.Conn).Addr(r) }
func (g *tagger) Conn(r record.ConnEnd)                 { g.tag(r.Conn).Conn(r) }
