package reassembly

import (
	"bytes"

	"btcsniff/record"
	"btcsniff/segment"
)

// payload takes the bytes of a segment, the first of which has sequence number seq, and returns the connection that they were
// of: c, or a new one on the same ports.
func (a *Assembler) payload(c *conn, side int, seq uint32, s *segment.Segment, at record.Time, number uint64) *conn {
	h := &c.half[side]
	p, missing := s.Payload, s.Missing
	if d := h.distance(seq); d > maxAhead || d < -maxAhead {
		return a.misfit(c, side, seq, s, at, number)
	} else if h.hold == nil && h.started && d <= 0 {
		a.dropStray(h)
		a.inOrder(c, side, p, missing, int(-d), at)
		return c
	}
	a.dropStray(h)
	a.holdBack(c, side, seq, p, missing, at)
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
		a.gap(c, side, missing)
		h.next += uint32(missing)
	}
}

// repeated counts n bytes from lo on, all before the flow's position: captured before, or late for their hole.
func (a *Assembler) repeated(h *half, lo uint32, n int) {
	late := 0
	for _, l := range h.late {
		from, to := max(0, int(int32(l.lo-lo))), min(n, int(int32(l.hi-lo)))
		late += max(0, to-from)
	}
	late = min(late, n)
	a.stats.Late += uint64(late)
	a.stats.Retransmitted += uint64(n - late)
	h.count.Retransmitted += uint64(n - late)
}

// deliver hands bytes to the user. The caller moves h.next.
func (a *Assembler) deliver(c *conn, side int, p []byte, at record.Time) {
	if c.user == nil {
		a.open(c)
	}
	a.stats.Delivered += uint64(len(p))
	c.user.Data(side == 1, p, at)
}

// gap tells the user that n bytes are missing. The caller moves h.next.
func (a *Assembler) gap(c *conn, side, n int) {
	h := &c.half[side]
	a.stats.Lost += uint64(n)
	a.stats.Holes++
	h.count.Lost += uint64(n)
	if len(h.late) == maxLate {
		h.late = append(h.late[:0], h.late[1:]...)
	}
	h.late = append(h.late, hole{h.next, h.next + uint32(n)})
	if c.user == nil {
		a.open(c)
	}
	c.user.Gap(side == 1, int64(n))
}

// maxStrays bounds the memory of copied strays: 1,024 segments of at most 64 KiB.
const maxStrays = 1024

// misfit takes a segment far from its flow's position. Two that follow each other are a new connection on
// the same ports whose SYN was not captured; so is one after the old connection's end. Others are set aside.
func (a *Assembler) misfit(c *conn, side int, seq uint32, s *segment.Segment, at record.Time, number uint64) *conn {
	h := &c.half[side]
	size := uint64(len(s.Payload))
	st := h.stray
	follows := st != nil && seq-st.seq-uint32(len(st.data)) < nearStart
	if !follows && !c.over() {
		a.dropStray(h)
		if a.strays == maxStrays || size == 0 {
			a.stats.Stray += size
			return c
		}
		a.strays++
		h.stray = &stray{seq: seq, data: bytes.Clone(s.Payload), at: at, number: number}
		return c
	}

	h.count.Segments--
	h.count.Bytes -= size
	if follows {
		h.count.Segments--
		h.count.Bytes -= uint64(len(st.data))
		h.stray = nil
		a.strays--
		at, number = st.at, st.number
	}
	a.close(c)
	n := a.newConn(c.key, s.Src, s.Dst, at, number)
	n.last = c.last
	h = &n.half[0]
	if follows {
		h.count.Segments++
		h.count.Bytes += uint64(len(st.data))
		a.holdBack(n, 0, st.seq, st.data, 0, st.at)
	}
	h.count.Segments++
	h.count.Bytes += size
	a.holdBack(n, 0, seq, s.Payload, s.Missing, a.now)
	return n
}

func (a *Assembler) dropStray(h *half) {
	if h.stray != nil {
		a.stats.Stray += uint64(len(h.stray.data))
		a.strays--
		h.stray = nil
	}
}
