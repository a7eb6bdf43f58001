package reassembly

import (
	"cmp"
	"slices"

	"btcsniff/record"
	"btcsniff/segment"
)

// An Assembler follows the connections of one capture. It is used by one goroutine.
type Assembler struct {
	cfg    Config
	conns  map[key]*conn
	holds  []*hold // open ones, and closed ones until the next Advance
	eng    *engine
	now    record.Time // the latest capture time
	stats  Stats
	strays int // copied ones, of all flows

	nextSweep record.Time
}

// New returns an Assembler.
func New(cfg Config) *Assembler {
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 200_000)
	cfg.MaxPages = cmp.Or(cfg.MaxPages, 32_768)
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
	a.now = max(a.now, at)
	a.stats.Segments++
	a.stats.Bytes += uint64(len(s.Payload))

	k := makeKey(s.Src, s.Dst)
	c := a.conns[k]
	if c != nil && at > a.deadline(c) {
		a.close(c)
		c = nil
	}
	if c != nil {
		a.expire(c, 0, at)
		a.expire(c, 1, at)
	}
	switch {
	case s.Flags&segment.SYN != 0:
		if c = a.syn(c, k, s, at, number); c == nil {
			a.stats.Stray += uint64(len(s.Payload))
			return
		}
	case c == nil:
		if s.Flags&segment.RST != 0 && len(s.Payload) == 0 {
			return // an answer to a packet for nobody; no connection begins with it
		}
		c = a.newConn(k, s.Src, s.Dst, at, number)
	case c.pending != nil:
		c = a.confirm(c, k, s)
	}

	side := c.side(s)
	h, other := &c.half[side], &c.half[1-side]
	c.last = max(c.last, at)
	h.count.Segments++
	h.count.Bytes += uint64(len(s.Payload))
	if s.Flags&(segment.ACK|segment.RST) == segment.ACK {
		other.acknowledge(s.Ack, at)
		if c.rtt < 0 && c.synAckAt > 0 && c.synAt > 0 && side == 0 && s.Flags&segment.SYN == 0 {
			c.rtt = int64(at - c.synAt)
			c.synAt = -1
		}
	}
	if len(s.Payload)+s.Missing > 0 {
		seq := s.Seq
		if s.Flags&segment.SYN != 0 {
			seq++ // RFC 9293, section 3.4: the SYN itself takes the first number
		}
		c = a.payload(c, side, seq, s, at, number)
		h = &c.half[c.side(s)]
	}
	if s.Flags&(segment.FIN|segment.RST) != 0 {
		c.end(h, s)
	}
}

// end notes a FIN or RST that fits its flow. Neither stops the streams: bytes that still come are handed on, so
// that a forged or misplaced one does no harm. They only make the connection wait less long for more.
func (c *conn) end(h *half, s *segment.Segment) {
	seq := s.Seq + uint32(len(s.Payload)+s.Missing)
	if h.started {
		if d := int32(seq - h.next); d < 0 || d > maxAhead {
			return
		}
	}
	if s.Flags&segment.RST != 0 {
		c.reset = true
	} else {
		h.fin, h.finSeq = true, seq
	}
}

// Advance says that capture time has reached now: holes that were waited for long enough are given up, silent connections
// closed. It is called now and then, also when no packets come; how often changes when records appear, but not which.
func (a *Assembler) Advance(now record.Time) {
	a.now = max(a.now, now)
	if len(a.holds) > 0 {
		a.sweepHolds()
	}
	if a.now >= a.nextSweep {
		a.nextSweep = a.now.Add(sweepEvery)
		a.sweepConns()
	}
}

func (a *Assembler) sweepHolds() {
	slices.SortStableFunc(a.holds, func(x, y *hold) int { return byNumber(x.c, y.c) })
	open := a.holds[:0]
	for _, h := range a.holds {
		if !h.closed {
			a.expire(h.c, h.side, a.now)
		}
		if !h.closed {
			open = append(open, h)
		}
	}
	clear(a.holds[len(open):])
	a.holds = open
}

func (a *Assembler) sweepConns() {
	var over []*conn
	for _, c := range a.conns {
		if a.now > a.deadline(c) {
			over = append(over, c)
		}
	}
	slices.SortFunc(over, byNumber)
	for _, c := range over {
		a.close(c)
	}
}

// evict makes room in a full table: the tenth of the connections that were silent longest goes, those that never carried
// a byte before all others.
func (a *Assembler) evict() {
	all := make([]*conn, 0, len(a.conns))
	for _, c := range a.conns {
		all = append(all, c)
	}
	slices.SortFunc(all, func(x, y *conn) int {
		if dx, dy := x.hadData(), y.hadData(); dx != dy {
			if dy {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(x.last, y.last), byNumber(x, y))
	})
	for _, c := range all[:len(all)/10+1] {
		a.stats.EvictedConns++
		a.close(c)
	}
}

// Close hands over what is held and closes every connection, in the order of their first packets.
func (a *Assembler) Close() {
	all := make([]*conn, 0, len(a.conns))
	for _, c := range a.conns {
		all = append(all, c)
	}
	slices.SortFunc(all, byNumber)
	for _, c := range all {
		a.close(c)
	}
	a.holds = nil
}
