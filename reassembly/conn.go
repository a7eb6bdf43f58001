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

func makeKey(src, dst netip.AddrPort) key {
	s, d := src.Addr().As16(), dst.Addr().As16()
	k := key{
		binary.BigEndian.Uint64(s[:8]), binary.BigEndian.Uint64(s[8:]),
		binary.BigEndian.Uint64(d[:8]), binary.BigEndian.Uint64(d[8:]),
		src.Port(), dst.Port(),
	}
	if k.aHi > k.bHi || k.aHi == k.bHi && (k.aLo > k.bLo || k.aLo == k.bLo && k.aPort > k.bPort) {
		k.aHi, k.aLo, k.aPort, k.bHi, k.bLo, k.bPort = k.bHi, k.bLo, k.bPort, k.aHi, k.aLo, k.aPort
	}
	return k
}

// A conn is one connection in the table.
type conn struct {
	key    key
	number uint64 // of its first packet: the order in which connections are swept
	a, b   netip.AddrPort
	opener bool // a opened it: a SYN or SYN-ACK was captured

	first, last record.Time // capture times of its first packet, of its latest
	half        [2]half     // what a sent, what b sent
	user        Conn        // nil until the first payload byte
	rec         *record.Conn

	reset   bool     // a RST that fits was seen
	pending *opening // a SYN on a connection that looks alive

	synAt, synAckAt record.Time // first capture times; 0: not seen, -1: seen more than once
	rtt             int64       // microseconds, -1: not known
}

// An opening is a SYN that may begin a new connection on the same ports.
type opening struct {
	fromB  bool
	seq    uint32
	at     record.Time
	number uint64
}

// A half is one flow: what one side sends.
type half struct {
	started bool   // next is known
	hasISN  bool   // from a SYN
	hasAck  bool   // acked is known
	fin     bool   // finSeq is known
	isn     uint32 // initial sequence number
	next    uint32 // sequence number of the next byte to hand on
	acked   uint32 // highest acknowledgment number that the other side sent
	finSeq  uint32 // sequence number of the FIN
	ackedAt record.Time
	hold    *hold  // what came out of order; nil for nearly every flow at nearly all times
	stray   *stray // a segment that fits no position
	late    []hole // the latest holes that were given up
	count   record.FlowCount
}

// A hole is a range of sequence numbers.
type hole struct{ lo, hi uint32 }

// A stray is a copied segment that may be the first of a new connection on the same ports.
type stray struct {
	seq    uint32
	data   []byte
	at     record.Time
	number uint64
}

const maxLate = 4 // given-up holes that a flow remembers

// over says that both sides have closed or one has reset: what comes next with a SYN is a new connection.
func (c *conn) over() bool {
	return c.reset || c.half[0].ended() && c.half[1].ended()
}

func (h *half) ended() bool { return h.fin && h.started && int32(h.next-h.finSeq) >= 0 }

// hadData says whether the connection ever carried a byte.
func (c *conn) hadData() bool { return c.half[0].count.Bytes+c.half[1].count.Bytes > 0 }

// side tells which half a packet's source is.
func (c *conn) side(s *segment.Segment) int {
	if s.Src == c.a {
		return 0
	}
	return 1
}

// acknowledge notes that the other side has received all before ack.
func (h *half) acknowledge(ack uint32, at record.Time) {
	if h.started {
		if d := int32(ack - h.next); d > maxAhead || d < -maxAhead {
			return
		}
	}
	if !h.hasAck || int32(ack-h.acked) > 0 {
		h.hasAck, h.acked, h.ackedAt = true, ack, at
	}
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

// newConn puts a connection into the table. a is the side that opened it, if that is known.
func (a *Assembler) newConn(k key, from, to netip.AddrPort, at record.Time, number uint64) *conn {
	if len(a.conns) >= a.cfg.MaxConns {
		a.evict()
	}
	c := &conn{key: k, number: number, a: from, b: to, first: at, last: at, rtt: -1}
	a.conns[k] = c
	a.stats.Opened++
	return c
}

// close hands over what is held, closes c and takes it from the table.
func (a *Assembler) close(c *conn) {
	for i := range c.half {
		h := &c.half[i]
		for h.hold != nil {
			a.release(c, i)
		}
		a.dropStray(h)
	}
	if c.user == nil {
		a.open(c)
	}
	c.user.Close(record.ConnEnd{
		Conn: c.rec, ClosedAt: c.last, SYN: c.half[0].hasISN || c.half[1].hasISN, OpenerKnown: c.opener,
		HandshakeRTT: c.rtt, A: c.half[0].count, B: c.half[1].count,
	})
	delete(a.conns, c.key)
}

// deadline is the capture time after which c is closed if no packet of it comes.
func (a *Assembler) deadline(c *conn) record.Time {
	switch {
	case c.over():
		return c.last.Add(linger)
	case !c.hadData():
		return c.last.Add(min(halfOpenIdle, a.cfg.Idle))
	}
	return c.last.Add(a.cfg.Idle)
}

// byNumber orders connections by their first packet.
func byNumber(x, y *conn) int { return cmp.Compare(x.number, y.number) }
