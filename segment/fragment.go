package segment

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// Limits on what is held of incomplete datagrams. TCP avoids fragments, so these are for a hostile sender.
const (
	maxDatagrams = 256
	maxHeld      = 4 << 20 // bytes
	unit         = 8       // bytes; fragments begin at multiples of it, and all but the last end at one
	maxDatagram  = 0xffff  // bytes; RFC 791, section 3.1
	fragTimeout  = 60 * time.Second
)

// FragmentStats counts datagrams that were given up. All should be zero but for loss and attacks.
type FragmentStats struct {
	Expired    uint64 // not complete 60 seconds after their first fragment (RFC 8200, section 4.5)
	Evicted    uint64 // the oldest ones, dropped to stay within the limits of memory
	Overlapped uint64 // IPv6 datagrams with overlapping fragments (RFC 5722, section 4)
}

// Fragments returns the counts of datagrams that were given up so far.
func (d *Dissector) Fragments() FragmentStats { return d.frags.stats }

// A fragKey identifies a datagram. Source: RFC 791, section 2.3; RFC 8200, section 4.5.
type fragKey struct {
	src, dst netip.Addr
	id       uint32
	protocol uint8
}

// A piece is one fragment.
type piece struct {
	data  []byte // what was captured of it
	off   int    // its place in the datagram, in bytes
	size  int    // its length on the wire
	more  bool   // others follow
	nanos int64
}

// A datagram is what is known of one that came in fragments.
type datagram struct {
	key     fragKey
	first   int64   // earliest capture time, in nanoseconds
	arrived int64   // capture time of the fragment that came first
	buf     []byte  // as long as the end of the furthest fragment
	have    []bool  // for each unit of buf, whether a fragment covered it
	covered int     // units that are covered
	total   int     // length in bytes, once the last fragment is there; else -1
	cut     int     // bytes from here on may not have been captured (snap length)
	dead    bool    // RFC 5722: overlapping; its other fragments are dropped too
	ttl     uint8   // of the fragment at offset 0
	sent    [2]bool // the link layer's Sent and Received, likewise
}

// fragments holds the datagrams that are not complete.
type fragments struct {
	byKey map[fragKey]*datagram
	order []*datagram // by arrival
	held  int         // bytes of all buffers
	done  []byte      // buffer of the datagram returned last; lent to the caller until the next
	stats FragmentStats
}

// fragment takes one fragment. If it completes its datagram, the datagram's segment is put into out.
func (d *Dissector) fragment(key fragKey, p piece, out *Segment) Reason {
	if p.size == 0 || p.off+p.size > maxDatagram || p.more && p.size%unit != 0 {
		return BadIP
	}
	f := &d.frags
	f.expire(p.nanos)
	g := f.byKey[key]
	if g == nil {
		g = f.begin(key, p.nanos)
	}
	if !f.add(g, p) {
		return Fragment
	}
	if p.off == 0 {
		g.ttl, g.sent = out.TTL, [2]bool{out.Sent, out.Received}
	}
	if g.total < 0 || g.covered < units(g.total) {
		f.limit()
		return Fragment
	}
	f.remove(g)
	f.done = g.buf
	out.TTL, out.Sent, out.Received, out.First = g.ttl, g.sent[0], g.sent[1], g.first
	return upper(key.protocol, g.buf[:min(g.cut, g.total)], g.total, out)
}

func units(n int) int { return (n + unit - 1) / unit }

func (f *fragments) begin(key fragKey, nanos int64) *datagram {
	if f.byKey == nil {
		f.byKey = make(map[fragKey]*datagram)
	}
	if len(f.order) >= maxDatagrams {
		f.stats.Evicted++
		f.remove(f.order[0])
	}
	// The last segment's buffer may be used again: it was borrowed until this call.
	g := &datagram{key: key, first: nanos, arrived: nanos, total: -1, cut: maxDatagram + 1, buf: f.done[:0]}
	f.done = nil
	f.byKey[key] = g
	f.order = append(f.order, g)
	f.held += cap(g.buf)
	return g
}

// add puts p in its place and reports whether that was of any use.
func (f *fragments) add(g *datagram, p piece) bool {
	end := p.off + p.size
	switch {
	case g.dead:
		return false
	case g.key.src.Is6() && g.overlaps(p):
		if !g.repeats(p) {
			f.stats.Overlapped++
			g.dead = true
			f.held -= cap(g.buf)
			g.buf, g.have = nil, nil
		}
		return false
	case g.total >= 0 && (end > g.total || !p.more && end != g.total):
		return false // beyond the end that the last fragment named: a mistake or an attack; the first wins
	case !p.more && end < len(g.buf):
		return false
	}
	if !p.more {
		g.total = end
	}
	g.first = min(g.first, p.nanos)
	if grow := end - len(g.buf); grow > 0 {
		f.held -= cap(g.buf)
		g.buf = append(g.buf, make([]byte, grow)...)
		f.held += cap(g.buf)
		g.have = append(g.have, make([]bool, units(end)-len(g.have))...)
	}
	g.fill(p)
	return true
}

// fill copies those units of p that no earlier fragment had.
func (g *datagram) fill(p piece) {
	end, captured := p.off+p.size, p.off+len(p.data)
	for from := p.off; from < end; from += unit {
		if g.have[from/unit] {
			continue
		}
		g.have[from/unit] = true
		g.covered++
		to := min(from+unit, end)
		if captured < to {
			g.cut = min(g.cut, max(from, captured))
			to = max(from, captured)
		}
		copy(g.buf[from:to], p.data[min(from, captured)-p.off:])
	}
}

// overlaps says whether any of p is there already.
func (g *datagram) overlaps(p piece) bool {
	from, to := g.unitsOf(p)
	return slices.Contains(g.have[from:to], true)
}

// repeats says whether p is all there already with the same bytes: a copy made by the network or by a capture on
// several interfaces, which RFC 8200, section 4.5, lets us ignore.
func (g *datagram) repeats(p piece) bool {
	from, to := g.unitsOf(p)
	return len(g.buf) >= p.off+p.size && !slices.Contains(g.have[from:to], false) &&
		bytes.Equal(g.buf[p.off:p.off+len(p.data)], p.data)
}

// unitsOf returns the range of units that p covers, as far as the datagram is known.
func (g *datagram) unitsOf(p piece) (from, to int) {
	return min(p.off/unit, len(g.have)), min(units(p.off+p.size), len(g.have))
}

func (f *fragments) expire(nanos int64) {
	for len(f.order) > 0 && nanos-f.order[0].arrived > int64(fragTimeout) {
		f.stats.Expired++
		f.remove(f.order[0])
	}
}

// limit keeps what is held within its bound.
func (f *fragments) limit() {
	for f.held > maxHeld {
		f.stats.Evicted++
		f.remove(f.order[0])
	}
}

func (f *fragments) remove(g *datagram) {
	delete(f.byKey, g.key)
	if i := slices.Index(f.order, g); i >= 0 {
		f.order = slices.Delete(f.order, i, i+1)
	}
	f.held -= cap(g.buf)
}
