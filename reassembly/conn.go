package reassembly

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"btcsniff/record"
	"btcsniff/segment"
)

// A key names a connection whichever side sent the packet: the endpoints, lower one first. A plain struct of
// integers is hashed in one pass; gopacket's own key of two Flows has 112 bytes.
type key struct {
	aHi, aLo, bHi, bLo uint64
	aPort, bPort       uint16
}

// makeKey also says whether src is the higher endpoint.
func makeKey(src, dst netip.AddrPort) (k key, high bool) {
	s, d := src.Addr().As16(), dst.Addr().As16()
	k = key{
		binary.BigEndian.Uint64(s[:8]), binary.BigEndian.Uint64(s[8:]),
		binary.BigEndian.Uint64(d[:8]), binary.BigEndian.Uint64(d[8:]),
		src.Port(), dst.Port(),
	}
	if k.aHi > k.bHi || k.aHi == k.bHi && (k.aLo > k.bLo || k.aLo == k.bLo && k.aPort > k.bPort) {
		k.aHi, k.aLo, k.aPort, k.bHi, k.bLo, k.bPort = k.bHi, k.bLo, k.bPort, k.aHi, k.aLo, k.aPort
		high = true
	}
	return k, high
}

// A conn is one connection in the table. There may be very many, most of them half-open ones of a hostile
// sender, so what few connections need is behind pointers.
type conn struct {
	// What an ordinary segment needs comes first, for the cache's sake.
	user     Conn // nil until the first payload byte
	pending  *opening
	synAckAt record.Time
	high     bool        // a is the higher one in the key
	opener   bool        // a opened it: a SYN or SYN-ACK was captured
	size     int32       // what it is counted with in the table, in bytes
	last     record.Time // capture time of its latest packet
	half     [2]half     // what a sent, what b sent

	a, b   netip.AddrPort
	rec    *record.Conn
	number uint64 // of its first packet: the order in which connections are swept
	first  record.Time
	synAt  record.Time // capture time of the SYN; 0: not captured, -1: sent again, so it is not known which one was answered
	rtt    int64       // microseconds, -1: not known
}

// An opening is a SYN on a connection that looks alive; it may begin a new one on the same ports.
type opening struct {
	fromB    bool
	again    bool // it was sent more than once
	seq      uint32
	at       record.Time
	number   uint64
	segments uint64 // SYNs
}

// A half is one flow: what one side sends.
type half struct {
	hold    *hold  // what came out of order; nil for nearly every flow at nearly all times
	stray   *stray // a segment that fits no position
	next    uint32 // sequence number of the next byte to hand on
	acked   uint32 // highest acknowledgment number that the other side sent
	sent    uint32 // if ahead of next: what the side's segments without bytes say that it sent before
	started bool   // next is known
	hasAck  bool   // acked is known
	hasISN  bool   // isn is known, from a SYN or its acknowledgment
	fin     bool   // a FIN that fits was seen
	rst     bool   // a RST that fits was seen
	count   count

	late   *late  // the latest holes that were given up
	isn    uint32 // initial sequence number; without hasISN, the number before the flow's first captured byte
	endSeq uint32 // sequence number of the FIN or RST
}

// A count is what a record.FlowCount says about segments.
type count struct{ segments, bytes, retransmitted, lost, unseen uint64 }

func (n count) flow() record.FlowCount {
	return record.FlowCount{Segments: n.segments, Bytes: n.bytes, Retransmitted: n.retransmitted, Lost: n.lost, Unseen: n.unseen}
}

// A late has the latest holes of a flow that were given up, as ranges of sequence numbers.
type late struct {
	holes [4]struct{ lo, hi uint32 }
	n     int // ever
}

func (l *late) add(lo, hi uint32) {
	h := &l.holes[l.n%len(l.holes)]
	h.lo, h.hi = lo, hi
	l.n++
}

// over says that both sides have closed or one has reset, and nothing came that contradicts it: what comes next with a SYN
// is a new connection.
func (c *conn) over() bool {
	a, b := &c.half[0], &c.half[1]
	return a.reset() || b.reset() || a.ended() && b.ended()
}

// ended says whether the side has closed its flow, and all of it was handed on. A FIN with data behind it was none of this
// connection.
func (h *half) ended() bool {
	return h.fin && (h.started && h.next == h.endSeq || !h.started && h.hold == nil)
}

// reset says whether the side has sent a RST, and no data behind it.
func (h *half) reset() bool {
	return h.rst && (!h.started || int32(h.next-h.endSeq) <= 0)
}

// hadData says whether the connection ever carried a byte.
func (c *conn) hadData() bool { return c.half[0].count.bytes+c.half[1].count.bytes > 0 }

// side tells which half a packet's source is.
func (c *conn) side(s *segment.Segment) int {
	if s.Src == c.a {
		return 0
	}
	return 1
}

// took counts a segment of a side.
func (a *Assembler) took(c *conn, side, payload int) {
	n := &c.half[side].count
	n.segments++
	n.bytes += uint64(payload)
	if payload > 0 && c.size == halfOpenSize {
		c.size += openSize
		a.table += openSize
	}
}

// gave takes a segment out of the counts again, because it is another connection's.
func (h *half) gave(payload int) {
	h.count.segments--
	h.count.bytes -= uint64(payload)
}

// acknowledge notes that the other side has received all before ack.
func (h *half) acknowledge(ack uint32, at record.Time) {
	if h.started {
		if d := int32(ack - h.next); d > maxAhead || d < -maxAhead {
			return
		}
	}
	if !h.hasAck || int32(ack-h.acked) > 0 {
		h.hasAck, h.acked = true, ack
		if h.hold != nil {
			h.hold.noteAck(at)
		}
	}
}

// end notes a FIN or RST that fits its flow. Neither stops the streams: bytes that still come are handed on, so
// that a forged or misplaced one does no harm. They only make the connection wait less long for more.
func (h *half) end(s *segment.Segment) {
	seq := s.Seq + uint32(len(s.Payload)+s.Missing)
	if s.Flags&segment.SYN != 0 {
		seq++
	}
	if d := h.distance(seq); d > maxAhead || d < -maxAhead || h.started && d < 0 {
		return
	}
	h.endSeq = seq
	if s.Flags&segment.RST != 0 {
		h.rst = true
	} else {
		h.fin = true
	}
}

// openedBy notes which side opened c. Once the connection is known to the user, its ends keep their names.
func (c *conn) openedBy(side int) {
	if c.opener {
		return
	}
	if side == 1 && c.user == nil {
		c.a, c.b, c.high = c.b, c.a, !c.high
		c.half[0], c.half[1] = c.half[1], c.half[0]
		for i := range c.half {
			if h := c.half[i].hold; h != nil {
				h.side = i
			}
		}
		side = 0
	}
	c.opener = side == 0
}

// open makes the connection known to the user.
func (a *Assembler) open(c *conn) {
	local := a.cfg.IsLocal
	c.rec = &record.Conn{
		ID:      record.ConnID(a.cfg.Capture.Sensor, c.a, c.b, c.first),
		Capture: a.cfg.Capture,
		A:       c.a, B: c.b, OpenerKnown: c.opener, OpenedAt: c.first, Number: c.number,
		LocalA: local != nil && local(c.a.Addr()),
		LocalB: local != nil && local(c.b.Addr()),
	}
	c.user = a.cfg.NewConn(c.rec)
}

// newConn puts a connection into the table; from sent its first packet or opened it.
func (a *Assembler) newConn(k key, from, to netip.AddrPort, at record.Time, number uint64) *conn {
	_, high := makeKey(from, to)
	c := &conn{number: number, a: from, b: to, high: high, first: at, last: at, rtt: -1, size: halfOpenSize}
	a.conns[k] = c
	a.table += halfOpenSize
	a.stats.Opened++
	return c
}

// replace closes c and puts a new connection on its ports. Its first packet is at least a microsecond later than
// c's, also where the capture's clock is coarser, because the time is part of a connection's id.
func (a *Assembler) replace(c *conn, from, to netip.AddrPort, at record.Time, number uint64) *conn {
	k, _ := makeKey(c.a, c.b)
	a.close(c)
	return a.newConn(k, from, to, max(at, c.first+1), number)
}

// close hands over what is held, closes c and takes it from the table.
func (a *Assembler) close(c *conn) {
	for i := range c.half {
		h := &c.half[i]
		for h.hold != nil {
			a.release(c, i)
		}
		a.dropStray(h)
		a.missed(h, h.tail())
	}
	if c.user == nil {
		a.open(c)
	}
	c.user.Close(record.ConnEnd{
		Conn: c.rec, ClosedAt: c.last, SYN: c.half[0].hasISN || c.half[1].hasISN, OpenerKnown: c.opener,
		HandshakeRTT: c.rtt, A: c.half[0].count.flow(), B: c.half[1].count.flow(),
	})
	k, _ := makeKey(c.a, c.b)
	delete(a.conns, k)
	a.table -= int(c.size)
}

// isOver says whether now is after the capture time at which c is closed if no packet of it comes.
func (a *Assembler) isOver(c *conn, now record.Time) bool {
	silent := now.Sub(c.last)
	switch {
	case silent <= min(linger, a.cfg.Idle):
		return false
	case c.over():
		return true
	case !c.hadData():
		return silent > min(halfOpenIdle, a.cfg.Idle)
	}
	return silent > a.cfg.Idle
}

// byNumber orders connections by their first packet.
func byNumber(x, y *conn) int { return cmp.Compare(x.number, y.number) }
