package reassembly

import (
	"cmp"
	"slices"
	"time"

	"btcsniff/record"
	"btcsniff/segment"
)

// An Assembler follows the connections of one capture. It is used by one goroutine.
type Assembler struct {
	cfg    Config
	conns  map[key]*conn
	holds  []*hold // open ones, and some closed ones
	eng    *engine // nil until something comes out of order
	now    record.Time
	stats  Stats
	strays int // bytes copied for them, of all flows
	table  int // bytes that conns are counted with

	openHolds int // of holds, the open ones
	pages     int // that they have, in tcpassembly or as much memory

	nextSweep record.Time
	due       []*conn // scratch of sweep
}

// New returns an Assembler.
func New(cfg Config) *Assembler {
	cfg.MaxTable = cmp.Or(cfg.MaxTable, 160_000_000)
	cfg.MaxPages = wholeLots(cmp.Or(cfg.MaxPages, 32_768))
	cfg.MaxPagesPerFlow = cmp.Or(cfg.MaxPagesPerFlow, 4_096)
	cfg.Idle = cmp.Or(cfg.Idle, defaultIdle)
	return &Assembler{cfg: cfg, conns: make(map[key]*conn)}
}

// Stats returns the counts so far.
func (a *Assembler) Stats() Stats { return a.stats }

// Conns is the number of connections in the table.
func (a *Assembler) Conns() int { return len(a.conns) }

// Segment takes a segment that was captured at the given time, as the packet of that number in its capture.
// s and its payload are borrowed for the call.
func (a *Assembler) Segment(s *segment.Segment, at record.Time, number uint64) {
	a.tick(at)
	if a.table > a.cfg.MaxTable {
		a.evict()
	}
	a.stats.Segments++
	a.stats.Bytes += uint64(len(s.Payload))

	k, high := makeKey(s.Src, s.Dst)
	c := a.conns[k]
	if c != nil {
		c = a.catchUp(c)
	}
	if s.Flags&segment.RST != 0 {
		if c == nil && len(s.Payload) == 0 {
			return // an answer to a packet for nobody; no connection begins with it
		}
	} else if s.Flags&segment.SYN != 0 {
		fits := true
		if c, fits = a.syn(c, k, s, at, number); !fits {
			a.took(c, c.side(s), len(s.Payload))
			a.stats.Stray += uint64(len(s.Payload))
			return
		}
	}
	switch {
	case c == nil:
		c = a.newConn(k, s.Src, s.Dst, at, number)
	case c.pending != nil && s.Flags&segment.SYN == 0:
		c = a.confirm(c, k, s)
	}

	side := 0
	if high != c.high {
		side = 1
	}
	other := &c.half[1-side]
	a.took(c, side, len(s.Payload))
	if s.Flags&(segment.ACK|segment.RST) == segment.ACK {
		other.acknowledge(s.Ack, at)
		if c.synAckAt > 0 && side == 0 && c.opener {
			c.answered(s, at)
		}
	}
	if len(s.Payload)+s.Missing > 0 {
		seq := s.Seq
		if s.Flags&segment.SYN != 0 {
			seq++ // RFC 9293, section 3.4: the SYN itself takes the first number
		}
		c = a.payload(c, side, seq, s, at, number)
	} else if h := &c.half[side]; int32(s.Seq-h.next) > 0 && s.Flags&segment.RST == 0 {
		h.reached(s.Seq)
	}
	if at > c.last {
		c.last = at
	}
	if s.Flags&(segment.FIN|segment.RST) != 0 {
		c.half[c.side(s)].end(s)
	}
}

// answered notes the handshake's RTT at the first segment behind it.
func (c *conn) answered(s *segment.Segment, at record.Time) {
	if s.Flags&segment.SYN == 0 {
		if c.synAt > 0 {
			c.rtt = int64(at - c.synAt)
		}
		c.synAckAt = -1
	}
}

// clockStep is how far captured packets may be from their order in time. What is further back was captured by a
// clock that was set back.
const clockStep = time.Second

// tick lets capture time reach at.
func (a *Assembler) tick(at record.Time) {
	if at > a.now {
		a.now = at
	} else if at < a.now.Add(-clockStep) {
		a.now, a.nextSweep = at, at
	}
}

// catchUp does what Advance has not yet been called for: it returns nil if the connection has been silent for too long.
func (a *Assembler) catchUp(c *conn) *conn {
	for i := range c.half {
		if c.half[i].hold != nil {
			a.expire(c, i)
		}
	}
	if a.isOver(c, a.now) {
		a.close(c)
		return nil
	}
	return c
}

// Advance says that capture time has reached now: holes that were waited for long enough are given up, silent connections
// closed. It is called now and then, also when no packets come; how often changes when records appear, but not which.
func (a *Assembler) Advance(now record.Time) {
	a.tick(now)
	conns := a.now >= a.nextSweep
	if conns {
		a.nextSweep = a.now.Add(sweepEvery)
	}
	if conns || len(a.holds) > 0 {
		a.sweep(conns)
	}
	if a.eng != nil && a.eng.spent() {
		a.eng = nil
	}
}

// sweep gives up the holes that were waited for long enough and, if conns, closes the connections that were silent for too
// long: one connection after the other, in the order of their first packets.
func (a *Assembler) sweep(conns bool) {
	a.dropClosed()
	due := a.due[:0]
	for _, h := range a.holds {
		if a.now > h.deadline() {
			due = append(due, h.c)
		}
	}
	if conns {
		for _, c := range a.conns {
			if a.isOver(c, a.now) {
				due = append(due, c)
			}
		}
	}
	slices.SortFunc(due, byNumber)
	for _, c := range slices.Compact(due) {
		for side := range c.half {
			a.expire(c, side)
		}
		if conns && a.isOver(c, a.now) {
			a.close(c)
		}
	}
	clear(due)
	a.due = due[:0]
	a.dropClosed()
}

// dropClosed forgets closed holds.
func (a *Assembler) dropClosed() {
	a.holds = slices.DeleteFunc(a.holds, func(h *hold) bool { return h.closed })
}

// evict makes room in a full table: those connections go that were silent longest. Those that never carried a byte go before all
// others, until a quarter is free, since a flood of them fills the table again and again; the others only until a tenth is.
func (a *Assembler) evict() {
	a.sweep(true)
	if a.table <= a.cfg.MaxTable {
		return
	}
	for _, hadData := range []bool{false, true} {
		enough := a.cfg.MaxTable - a.cfg.MaxTable/4
		if hadData {
			enough = a.cfg.MaxTable - a.cfg.MaxTable/10
		}
		if a.table <= enough {
			return
		}
		var victims []victim
		for _, c := range a.conns {
			if c.hadData() == hadData {
				victims = append(victims, victim{c.last, c.number, c})
			}
		}
		slices.SortFunc(victims, func(x, y victim) int {
			return cmp.Or(cmp.Compare(x.last, y.last), cmp.Compare(x.number, y.number))
		})
		for _, v := range victims {
			if a.table <= enough {
				return
			}
			a.stats.EvictedConns++
			a.close(v.c)
		}
	}
}

// A victim is a connection that may be evicted, with what it is compared by: there may be very many.
type victim struct {
	last   record.Time
	number uint64
	c      *conn
}

// all returns the connections in the table, in any order.
func (a *Assembler) all() []*conn {
	all := make([]*conn, 0, len(a.conns))
	for _, c := range a.conns {
		all = append(all, c)
	}
	return all
}

// Close hands over what is held and closes every connection, in the order of their first packets.
func (a *Assembler) Close() {
	all := a.all()
	slices.SortFunc(all, byNumber)
	for _, c := range all {
		a.close(c)
	}
	a.holds = nil
}
