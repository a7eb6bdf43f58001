package reassembly

import (
	"btcsniff/record"
	"btcsniff/segment"
)

// payload takes the bytes of a segment, the first of which has sequence number seq, and returns the connection that they were
// of: c, or a new one on the same ports.
func (a *Assembler) payload(c *conn, side int, seq uint32, s *segment.Segment, at record.Time, number uint64) *conn {
	h := &c.half[side]
	d := h.distance(seq)
	if d > maxAhead || d < -maxAhead {
		return a.misfit(c, side, seq, s, at, number)
	}
	if h.stray != nil {
		a.dropStray(h)
	}
	if h.hold == nil && h.started && d <= 0 {
		a.inOrder(c, side, s.Payload, s.Missing, int(-d), at)
		return c
	}
	a.holdBack(c, side, seq, s.Payload, s.Missing, at)
	return c
}

// distance is how far seq is ahead of what h waits for.
func (h *half) distance(seq uint32) int32 {
	switch {
	case h.started:
		return int32(seq - h.next)
	case h.hold != nil:
		return int32(seq - h.hold.base)
	}
	return 0
}

// inOrder takes a segment whose first old bytes lie before the flow's position, and nothing is held.
func (a *Assembler) inOrder(c *conn, side int, p []byte, missing, old int, at record.Time) {
	h := &c.half[side]
	if old > 0 {
		n := min(old, len(p))
		a.repeated(h, h.next-uint32(old), n)
		p = p[n:]
		missing = max(0, min(missing, missing+n-old))
	}
	if len(p) > 0 {
		a.deliver(c, side, p, at)
		h.next += uint32(len(p))
	}
	if missing > 0 {
		a.gap(c, side, missing, missing)
	}
}

// repeated counts n bytes from lo on, all before the flow's position: captured before, or late for their hole.
func (a *Assembler) repeated(h *half, lo uint32, n int) {
	late := 0
	if h.late != nil {
		for _, l := range h.late.holes {
			from, to := max(0, int(int32(l.lo-lo))), min(n, int(int32(l.hi-lo)))
			late += max(0, to-from)
		}
	}
	late = min(late, n)
	a.stats.Late += uint64(late)
	a.stats.Retransmitted += uint64(n - late)
	h.count.retransmitted += uint64(n - late)
}

// deliver hands bytes to the user. The caller moves h.next.
func (a *Assembler) deliver(c *conn, side int, p []byte, at record.Time) {
	if c.user == nil {
		a.open(c)
	}
	a.stats.Delivered += uint64(len(p))
	c.user.Data(side == 1, p, at)
}

// gap tells the user that the next n bytes of a flow are missing, the first of which were cut off at the snap length.
func (a *Assembler) gap(c *conn, side, n, cut int) {
	h := &c.half[side]
	if h.hasAck {
		a.missed(h, min(n, int(int32(h.acked-h.next)))-cut)
	}
	a.stats.Lost += uint64(n)
	a.stats.Holes++
	h.count.lost += uint64(n)
	if h.late == nil {
		h.late = new(late)
	}
	h.late.add(h.next, h.next+uint32(n))
	h.next += uint32(n)
	if c.user == nil {
		a.open(c)
	}
	c.user.Gap(side == 1, int64(n))
}
