package reassembly

import (
	"bytes"
	"slices"

	"btcsniff/record"
	"btcsniff/segment"
)

// A stray is a segment far from its flow's position. It may be the first of a new connection on the same ports.
type stray struct {
	side    int
	seq     uint32
	size    int    // payload bytes
	data    []byte // a copy of them; nil where there was no room
	missing int    // bytes behind them that were cut off
	at      record.Time
	number  uint64
}

// end is the sequence number behind the stray.
func (st *stray) end() uint32 { return st.seq + uint32(st.size+st.missing) }

// maxStrays bounds the bytes that all strays of an Assembler hold. A hostile sender that uses them up makes
// others lose the first segment of a connection on reused ports whose SYN was not captured.
const maxStrays = 1 << 20

// misfit takes a segment far from its flow's position. Two that are near each other, or one that answers one of
// the other side, are a new connection on the same ports whose SYN was not captured; so is one after the old
// connection's end. Others are set aside.
func (a *Assembler) misfit(c *conn, side int, seq uint32, s *segment.Segment, at record.Time, number uint64) *conn {
	h, other := &c.half[side], &c.half[1-side]
	st := &stray{side: side, seq: seq, size: len(s.Payload), missing: s.Missing, at: at, number: number}
	near := h.stray != nil && h.stray.near(st)
	answers := other.stray != nil && s.Flags&segment.ACK != 0 && s.Ack-other.stray.end() < nearStart
	if !near {
		a.dropStray(h)
	}
	if !near && !answers && !c.over() {
		if a.strays+st.size <= maxStrays {
			st.data = bytes.Clone(s.Payload)
			a.strays += st.size
		} else {
			a.stats.Stray += uint64(st.size)
		}
		h.stray = st
		return c
	}

	st.data = s.Payload
	all := []*stray{st}
	for i := range c.half {
		if old := a.takeStray(&c.half[i]); old != nil {
			all = append(all, old)
		}
	}
	h.gave(st.size)
	slices.SortFunc(all, func(x, y *stray) int { return int(int64(x.number) - int64(y.number)) })
	from, to := s.Src, s.Dst
	if all[0].side != side {
		from, to = to, from
	}
	n := a.replace(c, from, to, all[0].at, all[0].number)
	first := all[0].side
	for _, x := range all {
		to := x.side ^ first // the earliest is what A sent
		a.took(n, to, x.size)
		n.last = max(n.last, x.at)
		a.holdBack(n, to, x.seq, x.data, x.missing, x.at)
	}
	if s.Flags&segment.ACK != 0 {
		n.half[1-side^first].acknowledge(s.Ack, at)
	}
	return n
}

// near says whether two strays are different segments of one flow.
func (st *stray) near(x *stray) bool {
	d := int32(x.seq - st.seq)
	return d != 0 && d > -nearStart && d < nearStart
}

// takeStray takes a flow's stray away, for the connection that it belongs to. It returns nil if there is none with bytes.
func (a *Assembler) takeStray(h *half) *stray {
	st := h.stray
	if st == nil || st.data == nil && st.size > 0 {
		h.stray = nil
		return nil
	}
	h.stray = nil
	h.gave(st.size)
	a.strays -= st.size
	return st
}

// dropStray sets a flow's stray aside for good.
func (a *Assembler) dropStray(h *half) {
	if h.stray != nil {
		a.stats.Stray += uint64(len(h.stray.data))
		a.strays -= len(h.stray.data)
		h.stray = nil
	}
}
