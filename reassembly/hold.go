package reassembly

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/tcpassembly"

	"btcsniff/record"
)

// A hold is the part of a flow that tcpassembly keeps: bytes behind a hole, or of a flow whose start is not known
// yet. It exists only while there are such bytes.
//
// tcpassembly v1.1.19 keeps and orders them well if it is kept from what it does badly:
//
//   - It takes a byte's time and content from whichever segment sorts first. So it is fed only bytes that it
//     does not have; what was captured first stays.
//   - It computes distances across the wrap of sequence numbers wrongly by one. So it is fed places in
//     the hold instead, which never wrap.
//   - It ends a connection at any FIN or RST, and can't end just one or skip just one hole. So no FIN or RST
//     of the wire gets there; each hold is a connection of its own (a reused port can't be mistaken), ended
//     by a RST of ours, and a hole is skipped by an empty segment while the page limit is 1.
//   - It flushes by the wall clock's age of pages. So all waiting is done here, in capture time.
//   - Its pages and connections are never given back. So it is replaced by a new one when it has grown and is empty.
//   - Its panics ("wtf", "why?") are on a page at the very place that it waits for, and on a stream that is
//     nil. The first can't be, because contiguous pages are always handed over; New below never returns nil.
type hold struct {
	a        *Assembler
	c        *conn
	side     int
	flow     gopacket.Flow // the hold's name in tcpassembly
	base     uint32        // sequence number of place 0
	spans    []span        // what tcpassembly has, in order, disjoint
	cuts     []cut         // what never comes: cut off at the snap length
	eng      *engine
	skipping bool // a hole is being given up by our own decision
	closed   bool
}

// A span is a range of places in a hold, and the time when its bytes were captured.
type span struct {
	lo, hi int64
	at     record.Time
}

// A cut is a range of places that the capture does not have.
type cut struct{ lo, hi int64 }

const (
	holdOrigin  = 1 << 30 // place 0 as a sequence number for tcpassembly: far from both ends, so that nothing wraps
	maxPlace    = 1 << 29 // a hold that lives for so many bytes is emptied
	pagesToKeep = 4096    // a tcpassembly that needed more is replaced once it is empty
	maxCuts     = 1024    // cuts that a hold remembers; others wait like any hole
)

// An engine is a tcpassembly.Assembler with the holds that are in it.
type engine struct {
	asm     *tcpassembly.Assembler
	opening *hold // whose first segment is being given to asm
	holds   int   // open ones
	names   uint64
	pages   int // pages in use, about: as tcpassembly counts them
	most    int // the largest pages
}

func newEngine(cfg *Config) *engine {
	e := &engine{}
	e.asm = tcpassembly.NewAssembler(tcpassembly.NewStreamPool(e))
	e.asm.MaxBufferedPagesPerConnection = cfg.MaxPagesPerFlow
	e.asm.MaxBufferedPagesTotal = cfg.MaxPages
	return e
}

// New implements tcpassembly.StreamFactory.
func (e *engine) New(_, _ gopacket.Flow) tcpassembly.Stream { return e.opening }

func (a *Assembler) newHold(c *conn, side int, base uint32) *hold {
	if a.eng == nil || a.eng.holds == 0 && a.eng.most > pagesToKeep {
		a.eng = newEngine(&a.cfg)
	}
	e := a.eng
	e.holds++
	e.names++
	var name [8]byte
	binary.BigEndian.PutUint64(name[:], e.names)
	h := &hold{a: a, c: c, side: side, base: base, eng: e, flow: gopacket.NewFlow(gopacket.EndpointInvalid, name[:], nil)}
	c.half[side].hold = h
	a.holds = append(a.holds, h)
	return h
}

func (h *hold) half() *half { return &h.c.half[h.side] }

// place turns a sequence number into a place.
func (h *hold) place(seq uint32) int64 { return int64(int32(seq - h.base)) }

// first is the sequence number of the first byte held.
func (h *hold) first() uint32 { return h.base + uint32(h.spans[0].lo) }

// give hands a segment to tcpassembly, which hands back whatever is in order now through Reassembled.
func (h *hold) give(place int64, p []byte, syn, rst bool, at record.Time) {
	tcp := layers.TCP{Seq: uint32(holdOrigin + place), SYN: syn, RST: rst, BaseLayer: layers.BaseLayer{Payload: p}}
	h.eng.opening = h
	h.eng.asm.AssembleWithTimestamp(h.flow, &tcp, time.UnixMicro(int64(at)))
}

// holdBack keeps the bytes of a segment that does not simply continue its flow.
func (a *Assembler) holdBack(c *conn, side int, seq uint32, p []byte, missing int, at record.Time) {
	half := &c.half[side]
	h := half.hold
	if h == nil {
		base := seq
		if half.started {
			base = half.next
		}
		h = a.newHold(c, side, base)
		if half.started {
			h.give(-1, nil, true, false, at)
		}
	}
	lo := h.place(seq)
	hi := lo + int64(len(p))
	if missing > 0 && len(h.cuts) < maxCuts {
		h.cuts = append(h.cuts, cut{hi, hi + int64(missing)})
	}
	if half.started {
		if old := min(h.place(half.next), hi) - lo; old > 0 {
			a.repeated(half, seq, int(old))
			lo += old
			p = p[old:]
		}
	}
	h.addNew(lo, p, at)
	a.tidy(c, side)
	for half.hold != nil && hi > maxPlace {
		a.release(c, side)
	}
}

// addNew gives tcpassembly those of the bytes that it does not have.
func (h *hold) addNew(lo int64, p []byte, at record.Time) {
	for len(p) > 0 {
		half := h.half()
		if half.started { // bytes may have been handed over since the last round
			if n := min(h.place(half.next)-lo, int64(len(p))); n > 0 {
				h.a.repeated(half, h.base+uint32(lo), int(n))
				lo, p = lo+n, p[n:]
				continue
			}
		}
		i, covered := slices.BinarySearchFunc(h.spans, lo, func(s span, at int64) int {
			switch {
			case s.hi <= at:
				return -1
			case s.lo > at:
				return 1
			}
			return 0
		})
		if covered {
			n := min(h.spans[i].hi-lo, int64(len(p)))
			h.a.stats.Retransmitted += uint64(n)
			half.count.Retransmitted += uint64(n)
			lo, p = lo+n, p[n:]
			continue
		}
		n := int64(len(p))
		if i < len(h.spans) {
			n = min(n, h.spans[i].lo-lo)
		}
		h.spans = slices.Insert(h.spans, i, span{lo, lo + n, at})
		h.eng.use(n)
		h.give(lo, p[:n], false, false, at)
		lo, p = lo+n, p[n:]
	}
}

const pageBytes = 1900 // what one of tcpassembly's pages holds

func (e *engine) use(n int64) {
	e.pages += int(n+pageBytes-1) / pageBytes
	e.most = max(e.most, e.pages)
}

// Reassembled implements tcpassembly.Stream: it hands on what is in order now. Skips in it are holes that were given
// up, by skip or because too much was held.
func (h *hold) Reassembled(rs []tcpassembly.Reassembly) {
	a, half := h.a, h.half()
	for _, r := range rs {
		if !half.started && len(r.Bytes) > 0 { // too much is held to wait for the start
			half.started, half.next = true, h.first()
			a.stats.EvictedHolds++
		}
		if r.Skip > 0 {
			if !h.skipping {
				a.stats.EvictedHolds++
			}
			a.gap(h.c, h.side, r.Skip)
			half.next += uint32(r.Skip)
		}
		if len(r.Bytes) == 0 {
			continue
		}
		// Seen is the span's own time: a span is fed once and whole.
		a.deliver(h.c, h.side, r.Bytes, record.Time(r.Seen.UnixMicro()))
		half.next += uint32(len(r.Bytes))
	}
	if !half.started {
		return
	}
	next := h.place(half.next)
	n := 0
	for n < len(h.spans) && h.spans[n].hi <= next {
		h.eng.pages -= int(h.spans[n].hi-h.spans[n].lo+pageBytes-1) / pageBytes
		n++
	}
	h.spans = slices.Delete(h.spans, 0, n)
}

// ReassemblyComplete implements tcpassembly.Stream.
func (h *hold) ReassemblyComplete() {}

// close ends an empty hold.
func (h *hold) close() {
	half := h.half()
	if half.started {
		h.give(h.place(half.next), nil, false, true, 0)
	}
	half.hold = nil
	h.closed = true
	h.eng.holds--
}

// begin starts a flow at the given sequence number and hands over what is held from there on.
func (a *Assembler) begin(c *conn, side int, seq uint32) {
	half := &c.half[side]
	half.started, half.next = true, seq
	h := half.hold
	if h == nil {
		return
	}
	h.give(h.place(seq)-1, nil, true, false, a.now)
	a.tidy(c, side)
}

// skip gives up the hole before the first byte held.
func (h *hold) skip() {
	limit := h.eng.asm.MaxBufferedPagesPerConnection
	h.eng.asm.MaxBufferedPagesPerConnection = 1
	h.skipping = true
	h.give(h.spans[0].lo, nil, true, false, h.a.now)
	h.skipping = false
	h.eng.asm.MaxBufferedPagesPerConnection = limit
}

// release stops waiting: the flow starts at the first byte held, or goes on behind its hole.
func (a *Assembler) release(c *conn, side int) {
	h := c.half[side].hold
	if !c.half[side].started {
		a.begin(c, side, h.first())
		return
	}
	h.skip()
	a.tidy(c, side)
}

// tidy gives up holes that never fill because their bytes were cut off at the snap length, and ends a hold that
// is empty.
func (a *Assembler) tidy(c *conn, side int) {
	half := &c.half[side]
	h := half.hold
	for half.started {
		next := h.place(half.next)
		h.cuts = slices.DeleteFunc(h.cuts, func(x cut) bool { return x.hi <= next })
		to := next // up to where nothing will come
		for _, x := range h.cuts {
			if x.lo <= to {
				to = max(to, x.hi)
			}
		}
		switch {
		case len(h.spans) > 0 && to >= h.spans[0].lo:
			h.skip()
			continue
		case len(h.spans) == 0 && to > next:
			h.close()
			a.gap(c, side, int(to-next))
			half.next += uint32(to - next)
		case len(h.spans) == 0:
			h.close()
		}
		return
	}
}

// expire gives up what was waited for long enough by now.
func (a *Assembler) expire(c *conn, side int, now record.Time) {
	half := &c.half[side]
	for half.hold != nil && now > half.deadline() {
		a.release(c, side)
	}
}

// deadline is the capture time at which waiting for the first missing byte ends. h.hold is not nil.
func (h *half) deadline() record.Time {
	at := h.hold.spans[0].at
	acked := h.hasAck && int32(h.acked-h.hold.first()) >= 0
	switch {
	case acked && h.started:
		return max(at.Add(ackedHoleWait), h.ackedAt.Add(settle))
	case acked:
		return max(at, h.ackedAt).Add(settle)
	case h.started || h.hasAck:
		return at.Add(holeWait)
	}
	return at.Add(startWait)
}
