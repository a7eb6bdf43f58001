package reassembly

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/tcpassembly"

	"btcsniff/record"
)

// A hold is the part of a flow that is kept: bytes behind a hole, or of a flow whose start is not known
// yet. It exists only while there are such bytes.
//
// Segments that are held mostly follow each other. As long as they do, their bytes are put together in tail; at the first segment that
// goes elsewhere tcpassembly is given all of them at once. So a segment of 24 bytes takes 24, and not a page of 2 KB, and what
// comes in order before a flow's start is known need not go there at all.
//
// tcpassembly is given places in the hold for sequence numbers: 64 bits, which never wrap. tcpassembly v1.1.19 keeps and
// orders bytes well if it is kept from what it does badly (docs/reassembly.md has the evidence):
//
//   - It takes a byte's time and content from whichever segment sorts first. So it is fed only bytes that it
//     does not have; what was captured first stays, and times are kept here.
//   - It ends a connection at any FIN or RST, and can't end just one or skip just one hole. So no FIN or RST
//     of the wire gets there; each hold is a connection of its own (a reused port can't be mistaken), ended
//     by a RST of ours, and a hole is skipped by an empty segment while the page limit is 1.
//   - It flushes by the age of pages, all connections at a time, and never waits for a start. So all waiting is done
//     here, in capture time.
//   - At its limit of pages it gives up whatever hole the latest segment lies behind. So limits are kept here, where the largest
//     holds go first.
//   - Its pages and connections are never given back. So it is replaced by a new one when it has grown and is empty.
//   - Its panics ("wtf", "why?") are on a page at the very place that it waits for, and on a stream that is
//     nil. The first can't be, because contiguous pages are always handed over; New below never returns nil.
type hold struct {
	a       *Assembler
	c       *conn
	side    int
	flow    gopacket.Flow // the hold's name in tcpassembly
	base    uint32        // sequence number of place 0
	spans   []span        // what is held, in order, disjoint; never empty, but while a segment is being taken
	tail    []byte        // the bytes of the latest spans, which follow each other; tcpassembly has those of all others
	tailLo  int64         // place of the first of them
	opened  bool          // in tcpassembly; before the flow has started it need not be
	stored  int           // pages in tcpassembly
	pages   int           // these, and as much memory as the rest takes
	cutTo   int64         // bytes before this place and not before the flow's position never come: cut off at the snap length
	ackedAt record.Time   // when the other side acknowledged all before the first byte held
	acked   bool          // ackedAt is known
	closed  bool
}

// A span is a range of places in a hold, and the time when its bytes were captured.
type span struct {
	lo, hi int64
	cut    int64 // up to this place, what is behind the span was cut off
	at     record.Time
	pages  int // in tcpassembly, of this and the spans that it was given together with
}

const (
	holdOrigin = 1 << 30  // place 0 as a sequence number for tcpassembly: far from both ends, so that nothing wraps
	maxPlace   = 1 << 29  // a hold that lives for so many bytes is emptied
	noPlace    = -1 << 40 // before all places
)

const (
	pageBytes   = 1900 // what one of tcpassembly's pages holds
	spanBytes   = 40   // a span's own memory
	maxTail     = 64 << 10
	firstLot    = 1024 // pages that tcpassembly allocates first; then twice as many each time
	pagesToKeep = 3072 // a tcpassembly that needed more (its first two lots) is replaced once it is empty
	spare       = 64   // pages for the segment that is being taken
)

// wholeLots returns how many of n pages tcpassembly can use before it allocates more than n.
func wholeLots(n int) int {
	sum := 0
	for lot := firstLot; sum+lot <= n; lot *= 2 {
		sum += lot
	}
	if sum == 0 {
		return n
	}
	return sum - spare
}

// pagesFor is the number of pages that n bytes of one segment take.
func pagesFor(n int64) int { return int((n + pageBytes - 1) / pageBytes) }

// An engine is a tcpassembly.Assembler with the holds that are in it.
type engine struct {
	asm     *tcpassembly.Assembler
	opening *hold // whose first segment is being given to asm
	holds   int   // open ones that it was given
	names   uint64
	pages   int // in use
	most    int // the largest pages
}

func newEngine() *engine {
	e := &engine{}
	e.asm = tcpassembly.NewAssembler(tcpassembly.NewStreamPool(e))
	return e
}

// New implements tcpassembly.StreamFactory.
func (e *engine) New(_, _ gopacket.Flow) tcpassembly.Stream { return e.opening }

// spent says whether e has much memory that nothing is in.
func (e *engine) spent() bool { return e.holds == 0 && e.most > pagesToKeep }

func (a *Assembler) newHold(c *conn, side int, base uint32) *hold {
	if len(a.holds) > 2*a.openHolds+100 {
		a.dropClosed()
	}
	a.openHolds++
	h := &hold{a: a, c: c, side: side, base: base, cutTo: noPlace}
	c.half[side].hold = h
	a.holds = append(a.holds, h)
	return h
}

// open opens the hold in tcpassembly.
func (h *hold) open() {
	if h.opened {
		return
	}
	a := h.a
	if a.eng == nil || a.eng.spent() {
		a.eng = newEngine()
	}
	a.eng.holds++
	a.eng.names++
	var name [8]byte
	binary.BigEndian.PutUint64(name[:], a.eng.names)
	h.flow = gopacket.NewFlow(gopacket.EndpointInvalid, name[:], nil)
	h.opened = true
}

// flush gives tcpassembly what is in tail.
func (h *hold) flush() {
	if len(h.tail) == 0 {
		return
	}
	i, _ := h.find(h.tailLo)
	b := h.tail
	if h.tail = h.tail[:0]; cap(b) > 2*pageBytes {
		h.tail = nil
	}
	h.store(i, b)
}

// store gives tcpassembly the bytes of the i-th span and maybe of those that follow it.
func (h *hold) store(i int, b []byte) {
	h.open()
	s := &h.spans[i]
	s.pages = pagesFor(int64(len(b)))
	h.use(s.pages)
	h.give(s.lo, b, false, false)
}

func (h *hold) half() *half { return &h.c.half[h.side] }

// place turns a sequence number into a place.
func (h *hold) place(seq uint32) int64 { return int64(int32(seq - h.base)) }

// first is the sequence number of the first byte held.
func (h *hold) first() uint32 { return h.base + uint32(h.spans[0].lo) }

// give hands a segment to tcpassembly, which hands back whatever is in order now through Reassembled.
func (h *hold) give(place int64, p []byte, syn, rst bool) {
	tcp := layers.TCP{Seq: uint32(holdOrigin + place), SYN: syn, RST: rst, BaseLayer: layers.BaseLayer{Payload: p}}
	h.a.eng.opening = h
	h.a.eng.asm.AssembleWithTimestamp(h.flow, &tcp, time.Time{}) // the spans have the times
}

// holdBack keeps the bytes of a segment that does not simply continue its flow.
func (a *Assembler) holdBack(c *conn, side int, seq uint32, p []byte, missing int, at record.Time) {
	half := &c.half[side]
	h := half.hold
	if h == nil {
		if len(p) == 0 { // cut to its headers
			if !half.started {
				a.begin(c, side, seq)
				a.gap(c, side, missing, missing)
			}
			return // else its hole is found when more comes
		}
		base := seq
		if half.started {
			base = half.next
		}
		h = a.newHold(c, side, base)
		if half.started {
			h.open()
			h.give(-1, nil, true, false)
		}
	}
	lo := h.place(seq)
	hi := lo + int64(len(p))
	h.addNew(lo, p, at)
	if missing > 0 {
		h.cut(hi, hi+int64(missing))
	}
	a.tidy(c, side)
	for !h.closed && (hi > maxPlace || h.pages > a.cfg.MaxPagesPerFlow) {
		a.stats.EvictedHolds++
		a.release(c, side)
	}
	if !h.closed {
		h.noteAck(at)
		if a.pages > a.cfg.MaxPages {
			a.makeRoom()
		}
	}
}

// makeRoom gives up holes before their time, those of the largest holds first, until an eighth of the pages is free.
func (a *Assembler) makeRoom() {
	a.sweep(false)
	open := slices.Clone(a.holds)
	slices.SortFunc(open, func(x, y *hold) int {
		return cmp.Or(cmp.Compare(y.pages, x.pages), byNumber(x.c, y.c), cmp.Compare(x.side, y.side))
	})
	for _, h := range open {
		for !h.closed {
			if a.pages <= a.cfg.MaxPages-a.cfg.MaxPages/8 {
				return
			}
			a.stats.EvictedHolds++
			a.release(h.c, h.side)
		}
	}
}

// addNew keeps those of the bytes that are not held, and that were not handed on.
func (h *hold) addNew(lo int64, p []byte, at record.Time) {
	half := h.half()
	for len(p) > 0 {
		if half.started { // bytes may have been handed over since the last round
			if n := min(h.place(half.next)-lo, int64(len(p))); n > 0 {
				h.a.repeated(half, h.base+uint32(lo), int(n))
				lo, p = lo+n, p[n:]
				continue
			}
		}
		i, covered := h.find(lo)
		if covered {
			n := min(h.spans[i].hi-lo, int64(len(p)))
			h.a.stats.Retransmitted += uint64(n)
			half.count.retransmitted += uint64(n)
			lo, p = lo+n, p[n:]
			continue
		}
		n := int64(len(p))
		if i < len(h.spans) {
			n = min(n, h.spans[i].lo-lo)
		}
		h.keep(i, span{lo: lo, hi: lo + n, cut: noPlace, at: at}, p[:n])
		lo, p = lo+n, p[n:]
	}
}

// keep keeps new bytes, which become the i-th span.
func (h *hold) keep(i int, s span, p []byte) {
	h.spans = slices.Insert(h.spans, i, s)
	if len(h.tail) > 0 && (s.lo != h.tailLo+int64(len(h.tail)) || len(h.tail) > maxTail) {
		h.flush()
	}
	if half := h.half(); half.started && s.lo == h.place(half.next) {
		h.store(i, p) // it is handed on at once
	} else {
		if len(h.tail) == 0 {
			h.tailLo = s.lo
		}
		h.tail = append(h.tail, p...)
	}
	h.use(0)
}

// find returns the span that the place is in, or the one that a span at the place would be put before.
func (h *hold) find(place int64) (i int, in bool) {
	return slices.BinarySearchFunc(h.spans, place, func(s span, at int64) int {
		switch {
		case s.hi <= at:
			return -1
		case s.lo > at:
			return 1
		}
		return 0
	})
}

// cut notes that bytes behind a segment that was just taken never come.
func (h *hold) cut(lo, hi int64) {
	if half := h.half(); half.started && h.place(half.next) >= lo {
		h.cutTo = max(h.cutTo, hi)
	} else if i, in := h.find(lo - 1); in {
		h.spans[i].cut = max(h.spans[i].cut, hi)
	}
}

// use counts so many more pages in tcpassembly, and what else there is.
func (h *hold) use(pages int) {
	if pages != 0 {
		e := h.a.eng
		h.stored += pages
		e.pages += pages
		e.most = max(e.most, e.pages)
	}
	all := h.stored + pagesFor(int64(cap(h.tail)+spanBytes*len(h.spans)))
	h.a.pages += all - h.pages
	h.pages = all
}

// Reassembled implements tcpassembly.Stream: it hands on what is in order now. A skip in it is a hole that was given
// up.
func (h *hold) Reassembled(rs []tcpassembly.Reassembly) {
	a, half := h.a, h.half()
	if !half.started {
		return // an empty segment that begins the hold; what is held comes with it only once the flow has started
	}
	for _, r := range rs {
		if r.Skip > 0 {
			a.gap(h.c, h.side, r.Skip, int(max(0, min(int64(r.Skip), h.cutTo-h.place(half.next)))))
		}
		h.deliver(r.Bytes)
	}
}

// deliver hands on bytes, which are of the first spans and continue the flow, each with the time of its span, and forgets the spans that are
// all handed on.
func (h *hold) deliver(b []byte) {
	half, n, pages := h.half(), 0, 0
	for {
		for ; n < len(h.spans) && h.spans[n].hi <= h.place(half.next); n++ {
			pages += h.spans[n].pages
			h.cutTo = max(h.cutTo, h.spans[n].cut)
		}
		if len(b) == 0 {
			break
		}
		k := min(h.spans[n].hi-h.place(half.next), int64(len(b)))
		h.a.deliver(h.c, h.side, b[:k], h.spans[n].at)
		half.next += uint32(k)
		b = b[k:]
	}
	h.spans = slices.Delete(h.spans, 0, n)
	h.use(-pages)
}

// ReassemblyComplete implements tcpassembly.Stream.
func (h *hold) ReassemblyComplete() {}

// close ends an empty hold of a flow that has started.
func (h *hold) close() {
	half := h.half()
	if h.opened {
		h.give(h.place(half.next), nil, false, true)
		h.a.eng.holds--
	}
	h.spans, h.tail = nil, nil
	h.use(0)
	half.hold = nil
	h.closed = true
	h.a.openHolds--
}

// begin starts a flow at the given sequence number and hands over what is held from there on.
func (a *Assembler) begin(c *conn, side int, seq uint32) {
	half := &c.half[side]
	half.started, half.next, half.sent = true, seq, seq
	if !half.hasISN {
		half.isn = seq - 1
	}
	if d := int32(half.acked - seq); d > maxAhead || d < -maxAhead {
		half.hasAck = false // of another connection's numbers
	}
	if h := half.hold; h != nil {
		if !h.opened && seq == h.first() { // then there is no hole
			tail := h.tail
			h.tail = nil
			h.deliver(tail)
		} else {
			h.flush()
			h.open()
			h.give(h.place(seq)-1, nil, true, false)
		}
		a.tidy(c, side)
	}
}

// skip gives up the hole before the first byte held.
func (h *hold) skip() {
	h.flush()
	asm := h.a.eng.asm
	asm.MaxBufferedPagesPerConnection = 1
	h.give(h.spans[0].lo, nil, true, false)
	asm.MaxBufferedPagesPerConnection = 0
}

// release stops waiting: the flow starts at the first byte held, or goes on behind its hole.
func (a *Assembler) release(c *conn, side int) {
	half := &c.half[side]
	h := half.hold
	if half.started {
		h.skip()
		a.tidy(c, side)
	} else {
		a.begin(c, side, h.first())
	}
	if !h.closed {
		h.noteAck(a.now)
	}
}

// tidy gives up holes that never fill because their bytes were cut off at the snap length, and ends a hold that
// is empty.
func (a *Assembler) tidy(c *conn, side int) {
	half := &c.half[side]
	h := half.hold
	if !half.started {
		return
	}
	for len(h.spans) > 0 {
		if h.cutTo < h.spans[0].lo {
			return
		}
		h.skip()
	}
	h.close()
	if n := h.cutTo - h.place(half.next); n > 0 {
		a.gap(c, side, int(n), int(n))
	}
}

// noteAck keeps ackedAt after the first byte held, or what the other side has acknowledged, has changed.
func (h *hold) noteAck(at record.Time) {
	half := h.half()
	acked := half.hasAck && int32(half.acked-h.first()) >= 0
	if acked && !h.acked {
		h.ackedAt = at
	}
	h.acked = acked
}

// expire gives up what was waited for long enough.
func (a *Assembler) expire(c *conn, side int) {
	half := &c.half[side]
	for half.hold != nil && a.now > half.hold.deadline() {
		a.release(c, side)
	}
}

// deadline is the capture time at which waiting for the first missing byte ends.
func (h *hold) deadline() record.Time {
	half := h.half()
	at := h.spans[0].at
	switch {
	case h.acked && half.started:
		return max(at.Add(ackedHoleWait), h.ackedAt.Add(settle))
	case h.acked:
		return max(at, h.ackedAt).Add(settle)
	case half.started || half.hasAck:
		return at.Add(holeWait)
	}
	return at.Add(startWait)
}
