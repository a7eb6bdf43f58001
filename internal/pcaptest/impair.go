package pcaptest

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"btcsniff/capture"
)

// A packet is a segment on its way into the capture.
type packet struct {
	at       int64 // nanoseconds; when it passes the place of the capture
	order    int   // among packets of one time
	side     int
	from, to int // what it carries of its side's stream; -1 for a SYN
	flags    uint8
	shift    uint32 // added to the sequence number: the segment is a stray
	arrives  bool   // the receiver takes it
	captured bool
	garbled  bool // its payload is not the stream's
	precious bool // must be captured, and in time
	copied   bool // comes again after another, or has moved: no more is done to it
	pure     bool // an acknowledgement and nothing else
	fragment bool
	offload  bool
}

const reorderWithin = 3 * millis

// capture sends the packets past the capture, with all that goes wrong on the way, and adds what it sees.
func (c *conn) capture(all *Traffic) {
	c.sort()
	c.impair()
	c.sort()
	c.muteAfterRST()
	if !c.cfg.NoACKs {
		c.acknowledge()
		c.sort()
	}
	for i := range c.packets {
		p := &c.packets[i]
		if p.at < Start || p.side == c.deaf {
			p.captured = false
		}
	}
	var seen [2]coverage
	c.record(all, &seen)
	c.report(all, &seen)
}

// sort puts the packets in order of time, and leaves those of one time in the order in which they were added or moved.
func (c *conn) sort() {
	slices.SortStableFunc(c.packets, func(a, b packet) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order))
	})
	for i := range c.packets {
		c.packets[i].order = 2 * i
	}
	c.order = 2 * len(c.packets)
}

func (c *conn) add(p packet) {
	p.order = c.order
	c.order += 2
	p.copied = true
	c.packets = append(c.packets, p)
}

// impair goes through each side's segments.
func (c *conn) impair() {
	for side := range 2 {
		var own []int // the side's packets, as they are sent
		for i := range c.packets {
			if p := &c.packets[i]; p.side == side && p.from >= 0 {
				own = append(own, i)
			}
		}
		// A flow joined mid-stream begins at the first byte that was captured. Nothing from before may come later,
		// other than by reordering.
		calm := int64(0)
		if c.midstream {
			calm = math.MaxInt64
		}
		for n := range own {
			c.lose(own, n, calm)
			if p := &c.packets[own[n]]; calm == math.MaxInt64 && p.from < p.to && p.captured && p.at >= Start {
				calm = p.at + 2*reorderWithin
			}
		}
		for n := range own {
			c.reorder(own, n)
		}
		for n := range own {
			c.repeat(own, n)
			c.disturb(own, n)
			c.wrap(own[n])
		}
	}
}

func (c *conn) roll(probability float64) bool { return probability > 0 && c.r.Float64() < probability }

func (c *conn) delay() int64 { return 30*millis + c.r.Int64N(maxDelay-30*millis) }

// lose takes a segment out of the capture: for good, or until its retransmission.
func (c *conn) lose(own []int, n int, calm int64) {
	p := &c.packets[own[n]]
	if p.from == p.to || p.precious {
		return
	}
	switch {
	case c.roll(c.cfg.Impair.Hole):
		p.captured, p.copied = false, true
	case p.at >= calm && c.roll(c.cfg.Impair.Late):
		again := *p
		p.captured, p.arrives, p.copied = false, false, true
		again.at += c.delay()
		c.add(again)
	}
}

// reorder lets a segment pass the capture after some of those that follow it. FIN and RST count as followers.
func (c *conn) reorder(own []int, n int) {
	p := &c.packets[own[n]]
	if p.copied || p.from == p.to || !c.roll(c.cfg.Impair.Reorder) {
		return
	}
	last := n
	for k := n + 1; k < len(own) && k <= n+4 && c.packets[own[k]].at-p.at < reorderWithin && c.r.IntN(3) > 0; k++ {
		last = k
	}
	if last == n {
		return
	}
	behind := &c.packets[own[last]]
	p.at, p.order, p.copied = behind.at, behind.order+1, true
	if c.r.IntN(2) == 0 {
		p.at += c.r.Int64N(100 * micros)
	}
}

// repeat sends bytes of a captured segment again.
func (c *conn) repeat(own []int, n int) {
	im := &c.cfg.Impair
	p := c.packets[own[n]]
	if !p.captured || p.from == p.to || p.at < Start {
		return
	}
	if c.roll(im.Retransmit) {
		again := p
		if c.r.IntN(3) > 0 { // else the capture itself doubled it
			again.at += c.delay()
		}
		c.add(again)
	}
	if c.roll(im.Conflict) {
		again := p
		again.garbled = true
		again.arrives = false
		again.at += c.delay()
		if c.cfg.Snap == 0 {
			again.from += c.r.IntN(p.to - p.from)
		}
		c.add(again)
	}
	if c.cfg.Snap == 0 && c.roll(im.Resegment) {
		again := p
		again.at += c.delay()
		again.from -= c.r.IntN(300)
		again.to += c.r.IntN(300)
		c.clip(own, n, &again)
		c.add(again)
	}
}

// clip keeps a retransmission, of the n-th segment and of some bytes before and after it, within
// what was sent and captured by then.
func (c *conn) clip(own []int, n int, again *packet) {
	whole := func(k int) bool {
		p := &c.packets[own[k]]
		return p.captured && p.at >= Start && p.at < again.at
	}
	low, high := n, n
	for low > 0 && whole(low-1) {
		low--
	}
	for high+1 < len(own) && whole(high+1) {
		high++
	}
	again.from = max(again.from, c.packets[own[low]].from)
	again.to = min(again.to, c.packets[own[high]].to)
	again.to = min(again.to, again.from+65_000)
}

// disturb adds packets without news for the receiver.
func (c *conn) disturb(own []int, n int) {
	r, im := c.r, &c.cfg.Impair
	p := c.packets[own[n]]
	if !p.captured || p.from == p.to || p.at < Start {
		return
	}
	if c.roll(im.ZeroWindow) && n > 0 && c.packets[own[n-1]].at < p.at && !p.copied {
		probe := packet{at: p.at - 1 - r.Int64N(p.at-c.packets[own[n-1]].at), side: p.side, from: p.from, to: p.from + 1, flags: ACK, captured: true}
		c.add(probe)
	}
	if c.roll(im.Stray) {
		stray := packet{at: p.at + r.Int64N(10*millis), side: p.side, from: p.to, to: p.to, flags: RST, captured: true}
		if r.IntN(2) == 0 {
			stray.flags = FIN | ACK
		}
		stray.shift = []uint32{0x20000000 + r.Uint32N(0x40000000), -(70_000 + r.Uint32N(1e6))}[r.IntN(2)]
		c.add(stray)
	}
	// A keep-alive goes out while nothing else does.
	free := n+1 == len(own) || c.packets[own[n+1]].at > p.at+millis
	if free && !p.copied && c.roll(im.KeepAlive) {
		alive := packet{at: p.at + r.Int64N(millis), side: p.side, from: p.to - 1, to: p.to - 1, flags: ACK, captured: true}
		if c.cfg.Snap == 0 && r.IntN(2) == 0 {
			alive.to, alive.garbled = p.to, true
		}
		c.add(alive)
	}
}

// wrap decides what kind of packet a segment comes in.
func (c *conn) wrap(i int) {
	p := &c.packets[i]
	if p.to-p.from < 1 {
		return
	}
	p.fragment = c.cfg.Snap == 0 && c.roll(c.cfg.Impair.Fragment)
	p.offload = !p.fragment && c.roll(c.cfg.Impair.Offload)
}

// muteAfterRST drops what would come after a broken connection: nobody sends that. What was only reordered stays.
func (c *conn) muteAfterRST() {
	i := slices.IndexFunc(c.packets, func(p packet) bool { return p.flags&RST != 0 && p.shift == 0 })
	if i < 0 {
		return
	}
	for k := range c.packets[i+1:] {
		p := &c.packets[i+1+k]
		if p.at > c.packets[i].at+reorderWithin {
			p.captured, p.arrives = false, false
		}
	}
}

// acknowledge adds the segments without data by which receivers acknowledge.
func (c *conn) acknowledge() {
	for _, p := range c.packets {
		if p.arrives && c.r.IntN(10) < 7 {
			at := p.at + 20*micros
			if c.r.IntN(2) == 0 {
				at += c.r.Int64N(40 * millis)
			}
			c.add(packet{at: at, side: 1 - p.side, pure: true, flags: ACK, captured: !c.roll(c.cfg.Impair.Hole)})
		}
	}
	c.sort()
	c.muteAfterRST()
}

// record makes frames of the packets that are captured, and notes which bytes were seen when.
func (c *conn) record(all *Traffic, seen *[2]coverage) {
	var received [2]coverage
	var sent, finished [2]int // bytes sent; 1 once a FIN was sent
	for i := range c.packets {
		p := &c.packets[i]
		if p.pure {
			p.from, p.to, p.shift = sent[p.side], sent[p.side], uint32(finished[p.side])
		}
		sent[p.side] = max(sent[p.side], p.to)
		if p.captured {
			ack := received[1-p.side].through()
			if finished[1-p.side] == 1 && ack == len(c.stream[1-p.side]) {
				ack++
			}
			payload := c.frames(all, p, ack)
			if p.garbled {
				c.mustHave(&seen[p.side], p.from, p.from+payload)
			}
			seen[p.side].add(p.from, p.from+payload, p.at)
		}
		if p.arrives {
			received[p.side].add(p.from, p.to, 0) // when does not matter
			if p.flags&FIN != 0 {
				finished[p.side] = 1
			}
		}
	}
}

// mustHave checks that bytes which are not the stream's are not the first ones that are captured in their place.
func (c *conn) mustHave(seen *coverage, from, to int) {
	if _, _, ok := seen.times(from, to); !ok && from < to {
		panic(fmt.Sprintf("pcaptest: garbled bytes %d to %d of %v are the first captured", from, to, c.ends))
	}
}

// frames adds the frame or frames of a packet, and returns how many bytes of its payload are captured.
func (c *conn) frames(all *Traffic, p *packet, ack int) int {
	s := Segment{
		Src: c.ends[p.side], Dst: c.ends[1-p.side], Seq: c.isn[p.side] + 1 + uint32(p.from) + p.shift, Flags: p.flags,
		Ack: c.isn[1-p.side] + 1 + uint32(ack), Window: 0xffff, ID: uint16(len(all.Packets)), Sent: p.side == c.local, Offload: p.offload,
	}
	if p.flags&ACK == 0 {
		s.Ack = 0
	}
	if p.to > p.from {
		s.Payload = c.stream[p.side][p.from:p.to]
	}
	if p.garbled {
		s.Payload = garble(c.stream[p.side][p.from:p.to])
	}
	if p.fragment && len(s.Payload) > 0 {
		frames := c.cfg.Layer.Fragments(&s, 8+8*c.r.IntN(185))
		c.r.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		for _, f := range frames {
			all.Packets = append(all.Packets, capture.Packet{Data: f, Time: p.at, Len: len(f), Link: c.cfg.Layer.LinkType()})
		}
		return len(s.Payload)
	}
	frame := c.cfg.Layer.AppendFrame(nil, &s)
	captured := frame
	if c.cfg.Snap > 0 && c.cfg.Snap < len(frame) {
		captured = frame[:c.cfg.Snap]
	}
	all.Packets = append(all.Packets, capture.Packet{Data: captured, Time: p.at, Len: len(frame), Link: c.cfg.Layer.LinkType()})
	return min(max(len(captured)-c.cfg.Layer.headers(&s), 0), len(s.Payload))
}

// garble returns b with every byte changed.
func garble(b []byte) []byte {
	g := bytes.Clone(b)
	for i := range g {
		g[i] ^= 0x5a
	}
	return g
}
