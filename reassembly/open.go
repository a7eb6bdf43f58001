package reassembly

import (
	"time"

	"btcsniff/record"
	"btcsniff/segment"
)

// syn takes a segment with SYN set and returns the connection that it belongs to: c itself, or a new one on the
// same ports. fits is false for one that belongs to neither. c is nil if the ports are not in the table.
func (a *Assembler) syn(c *conn, k key, s *segment.Segment, at record.Time, number uint64) (_ *conn, fits bool) {
	if c == nil {
		c = a.newConn(k, s.Src, s.Dst, at, number)
		a.setISN(c, s, at)
		return c, true
	}
	side := c.side(s)
	h, other := &c.half[side], &c.half[1-side]
	isAck := s.Flags&segment.ACK != 0
	switch {
	case h.hasISN && h.isn == s.Seq: // sent again, or the second half of a simultaneous open
		c.repeatedISN(isAck, at)
		return c, true
	case isAck && c.pending != nil && c.pending.fromB == (side == 0) && s.Ack == c.pending.seq+1:
		c = a.reopen(c, k)
		a.setISN(c, s, at)
		return c, true
	case !c.over() && !h.hasISN && c.begins(side, s):
		a.setISN(c, s, at)
		return c, true
	case c.over(), len(s.Payload)+s.Missing > 0 && !isAck: // RFC 7413: a SYN with data is sent by nobody by mistake
		c = a.replace(c, s.Src, s.Dst, at, number)
		a.setISN(c, s, at)
		return c, true
	case isAck:
		// A new connection whose SYN was not captured, unless it acknowledges what this one sends.
		if d := int32(s.Ack - other.next); other.started && d > -nearStart && d < nearStart {
			return c, false
		}
		c = a.replace(c, s.Src, s.Dst, at, number)
		a.setISN(c, s, at)
		return c, true
	}
	// RFC 9293, section 3.10.7.4: a node answers a SYN on a live connection with an ACK and goes on. So this is a
	// new connection only once the other side agrees, or data with its numbers come.
	if p := c.pending; p != nil && p.seq == s.Seq && p.fromB == (side == 1) {
		p.again = p.again || !sameCapture(p.at, at)
		p.segments++
		return c, true
	}
	c.pending = &opening{fromB: side == 1, seq: s.Seq, at: at, number: number, segments: 1}
	return c, true
}

// confirm looks whether a segment without SYN belongs to the connection that a pending SYN opened, the SYN-ACK of which
// was not captured: it has the very number behind that SYN, or acknowledges it.
func (a *Assembler) confirm(c *conn, k key, s *segment.Segment) *conn {
	p := c.pending
	fromOpener := p.fromB == (c.side(s) == 1)
	opener := &c.half[0]
	if p.fromB {
		opener = &c.half[1]
	}
	first := p.seq + 1
	if opener.started && opener.next == first {
		return c // the live flow continues just there
	}
	if fromOpener && s.Seq == first || !fromOpener && s.Flags&segment.ACK != 0 && s.Ack == first {
		return a.reopen(c, k)
	}
	return c
}

// reopen closes c and begins the connection that its pending SYN opened.
func (a *Assembler) reopen(c *conn, k key) *conn {
	p := c.pending
	from, to := c.a, c.b
	opener := 0
	if p.fromB {
		from, to, opener = to, from, 1
	}
	c.half[opener].count.segments -= p.segments
	n := a.replace(c, from, to, p.at, p.number)
	n.opener, n.synAt = true, p.at
	if p.again {
		n.synAt = -1
	}
	n.half[0].count.segments += p.segments
	a.setStart(n, 0, p.seq)
	return n
}

// setISN starts a flow at its SYN, and the other one at what a SYN-ACK acknowledges.
func (a *Assembler) setISN(c *conn, s *segment.Segment, at record.Time) {
	side := c.side(s)
	isAck := s.Flags&segment.ACK != 0
	if isAck {
		c.openedBy(1 - side)
	} else {
		c.openedBy(side)
	}
	side = c.side(s) // its name may have changed
	switch {
	case !isAck && c.synAt == 0:
		c.synAt = at
	case isAck && c.synAckAt == 0:
		c.synAckAt = at
	}
	if o := &c.half[1-side]; isAck && !o.hasISN && o.beginsAt(s.Ack) {
		a.setStart(c, 1-side, s.Ack-1)
	}
	a.setStart(c, side, s.Seq)
}

// repeatedISN takes a SYN or SYN-ACK that was captured before. If it was sent again, nobody knows which one was
// answered (Karn's algorithm; RFC 6298, section 3).
func (c *conn) repeatedISN(isAck bool, at record.Time) {
	t := &c.synAt
	if isAck {
		t = &c.synAckAt
	}
	if *t == 0 || !sameCapture(*t, at) {
		*t = -1
	}
}

// sameCapture says whether two equal SYNs are one packet captured twice (on the interface any, on a bridge): no
// system sends one again so soon. Linux' lower limit of the retransmission time-out is 200 ms, RFC 6298's is 1 s.
func sameCapture(x, y record.Time) bool {
	d := y.Sub(x)
	return -100*time.Millisecond < d && d < 100*time.Millisecond
}

// setStart notes a flow's initial sequence number and, unless it has begun, begins it there.
func (a *Assembler) setStart(c *conn, side int, isn uint32) {
	h := &c.half[side]
	h.hasISN, h.isn = true, isn
	if !h.started {
		a.begin(c, side, isn+1)
	}
}

const maxFastOpen = 1 << 16 // bytes that a SYN may carry, which the SYN-ACK acknowledges; RFC 7413

// begins says whether a SYN can be the beginning of c, whose flow from that side has none yet.
func (c *conn) begins(side int, s *segment.Segment) bool {
	h, other := &c.half[side], &c.half[1-side]
	first := s.Seq + 1
	if s.Flags&segment.ACK != 0 && other.hasISN {
		return s.Ack-other.isn-1 < maxFastOpen && h.beginsAt(first)
	}
	if h.hasAck && !within(h.acked, first) {
		return false // the other side acknowledges another connection's numbers
	}
	if s.Flags&segment.ACK != 0 && (other.hasAck && !within(other.acked, s.Ack) || !other.beginsAt(s.Ack)) {
		return false
	}
	return h.beginsAt(first)
}

// lateStart is how many bytes of a flow at the most are captured before its SYN, where the capture swaps packets.
const lateStart = 1 << 16

// beginsAt says whether a flow may have first as its first sequence number: nothing of it was captured, or only
// bytes a little behind that.
func (h *half) beginsAt(first uint32) bool {
	switch {
	case h.started:
		return h.isn+1-first < lateStart
	case h.hold != nil:
		return within(h.hold.first(), first)
	}
	return true
}

// within says whether seq is at first or a little behind it.
func within(seq, first uint32) bool { return seq-first < nearStart }
