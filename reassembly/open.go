package reassembly

import (
	"btcsniff/record"
	"btcsniff/segment"
)

// syn takes a segment with SYN set and returns the connection that it belongs to: c itself, or a new one on the
// same ports. It returns nil for one that fits neither. c is nil if the ports are not in the table.
func (a *Assembler) syn(c *conn, k key, s *segment.Segment, at record.Time, number uint64) *conn {
	if c == nil {
		return a.opened(k, s, at, number)
	}
	side := c.side(s)
	h, other := &c.half[side], &c.half[1-side]
	isAck := s.Flags&segment.ACK != 0
	switch {
	case h.hasISN && h.isn == s.Seq: // sent again, or the second half of a simultaneous open
		if isAck {
			c.synAckAt = -1
		} else {
			c.synAt = -1
		}
		return c
	case isAck && c.pending != nil && c.pending.fromB == (side == 0) && s.Ack == c.pending.seq+1:
		return a.reopen(c, k, s)
	case !h.hasISN && h.beginsAt(s.Seq+1):
		if isAck && other.hasISN && s.Ack != other.isn+1 {
			return nil
		}
		a.setISN(c, side, s, at)
		return c
	case c.over():
		a.close(c)
		return a.opened(k, s, at, number)
	case isAck:
		// A new connection whose SYN was not captured, unless it acknowledges what this one sends.
		if d := int32(s.Ack - other.next); other.started && d > -maxAhead && d < maxAhead {
			return nil
		}
		a.close(c)
		return a.opened(k, s, at, number)
	case len(s.Payload) > 0: // RFC 7413: a SYN with data is sent by nobody by mistake
		a.close(c)
		return a.opened(k, s, at, number)
	}
	// RFC 9293, section 3.10.7.4: a node answers a SYN on a live connection with an ACK and goes on. So this is a
	// new connection only once the other side agrees, or data with its numbers come.
	c.pending = &opening{fromB: side == 1, seq: s.Seq, at: at, number: number}
	return c
}

// confirm looks whether a segment is the first of the connection that a pending SYN opened; the SYN-ACK was not captured.
func (a *Assembler) confirm(c *conn, k key, s *segment.Segment) *conn {
	p := c.pending
	side := c.side(s)
	h := &c.half[side]
	if p.fromB == (side == 1) && s.Seq == p.seq+1 {
		if d := int32(s.Seq - h.next); !h.started || d > nearStart || d < -nearStart {
			return a.reopen(c, k, s)
		}
	}
	return c
}

// reopen closes c and begins the connection that its pending SYN opened. s is that connection's second segment.
func (a *Assembler) reopen(c *conn, k key, s *segment.Segment) *conn {
	p := c.pending
	from, to := c.a, c.b
	opener := 0
	if p.fromB {
		from, to, opener = to, from, 1
	}
	c.half[opener].count.Segments-- // the SYN
	a.close(c)
	n := a.newConn(k, from, to, p.at, p.number)
	n.opener, n.synAt = true, p.at
	n.half[0].count.Segments++
	a.setStart(n, 0, p.seq)
	if s.Flags&segment.SYN != 0 {
		a.setISN(n, 1, s, a.now)
	}
	return n
}

// opened begins a connection with a SYN or SYN-ACK.
func (a *Assembler) opened(k key, s *segment.Segment, at record.Time, number uint64) *conn {
	from, to := s.Src, s.Dst
	side := 0
	if s.Flags&segment.ACK != 0 { // the SYN was not captured
		from, to = to, from
		side = 1
	}
	c := a.newConn(k, from, to, at, number)
	c.opener = true
	a.setISN(c, side, s, at)
	return c
}

// setISN starts a flow at its SYN, and the other one at what a SYN-ACK acknowledges.
func (a *Assembler) setISN(c *conn, side int, s *segment.Segment, at record.Time) {
	if s.Flags&segment.ACK == 0 {
		if c.synAt == 0 {
			c.synAt = at
		}
	} else {
		if c.synAckAt == 0 {
			c.synAckAt = at
		}
		if o := &c.half[1-side]; !o.hasISN && o.beginsAt(s.Ack) {
			a.setStart(c, 1-side, s.Ack-1)
		}
	}
	a.setStart(c, side, s.Seq)
}

func (a *Assembler) setStart(c *conn, side int, isn uint32) {
	h := &c.half[side]
	h.hasISN, h.isn = true, isn
	if !h.started {
		a.begin(c, side, isn+1)
	}
}

// beginsAt says whether a flow without a SYN may have first as its first sequence number: nothing of it was
// captured, or only bytes a little behind that.
func (h *half) beginsAt(first uint32) bool {
	switch {
	case h.started:
		d := int32(h.next - first)
		return d >= 0 && d < nearStart
	case h.hold != nil:
		d := int32(h.hold.first() - first)
		return d >= 0 && d < nearStart
	}
	return true
}
