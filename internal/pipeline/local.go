package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"btcsniff/capture"
	"btcsniff/segment"
)

// A LocalAddr is an address of the observed node.
type LocalAddr struct {
	Prefix netip.Prefix
	Reason string // how it is known
}

// locals are the observed node's addresses.
type locals struct {
	addrs []LocalAddr
}

func (l *locals) contains(a netip.Addr) bool {
	for i := range l.addrs {
		if l.addrs[i].Prefix.Contains(a) {
			return true
		}
	}
	return false
}

func (l *locals) list() []LocalAddr { return slices.Clone(l.addrs) }

func (l *locals) add(p netip.Prefix, reason string) {
	l.addrs = append(l.addrs, LocalAddr{p, reason})
}

// How much of a capture is looked at before its first record is made, to work out which addresses are local.
const (
	headPackets = 32 << 10
	headBytes   = 16 << 20
)

// Of a busy node less will do: as soon as what firstLook packets told, or twice, four times as many, explains all connections of the
// next as many. A hundred addresses are no accident.
const (
	firstLook = 4 << 10
	busyAddrs = 100
)

// A head is the first packets, copied.
type head struct {
	packets []capture.Packet
	room    []byte // of which parts are given to packets
}

// clone copies a packet's bytes into as few pieces of memory as may be.
func (h *head) clone(b []byte) []byte {
	const piece = 256 << 10 // bytes
	if len(b) > len(h.room) {
		h.room = make([]byte, max(piece, len(b)))
	}
	n := copy(h.room, b)
	b, h.room = h.room[:n:n], h.room[n:]
	return b
}

// locate works out the local addresses. It returns the packets that it read for that, and the error that
// ended reading, if one did.
func (r *run) locate(ctx context.Context) (head, error) {
	var h head
	if r.cfg.Local != nil {
		for _, p := range r.cfg.Local {
			r.local.add(p, "given")
		}
		return h, nil
	}
	ev := newEvidence()
	var dis segment.Dissector
	var seg segment.Segment
	var err error
	limit := deadline{within: int64(r.cfg.LocalWithin)}
	look := looks{next: firstLook}
	for size := 0; len(h.packets) < headPackets && size < headBytes; {
		var p capture.Packet
		if err = r.src.Next(ctx, &p); err != nil {
			break
		}
		over := limit.over(&p, ev)
		if p.Data == nil || len(h.packets)%1024 == 0 {
			r.show()
		}
		if p.Data == nil {
			if over {
				break
			}
			continue
		}
		if dis.Packet(uint32(p.Link), p.Data, p.Len, p.Time, &seg) == segment.Found {
			ev.segment(&seg)
		}
		size += len(p.Data)
		p.Data, p.Block = h.clone(p.Data), nil
		h.packets = append(h.packets, p)
		if over || look.settled(len(h.packets), ev) {
			break
		}
	}
	ev.conclude(&r.local)
	return h, err
}

// A deadline is Config.LocalWithin.
type deadline struct {
	within, first, look int64 // nanoseconds; of the first packet; when to look again
}

// over says whether the time to work out local addresses has ended with p, which may be a heartbeat.
func (d *deadline) over(p *capture.Packet, ev *evidence) bool {
	if d.within <= 0 {
		return false
	}
	if d.first == 0 {
		if p.Data == nil {
			return false
		}
		d.first, d.look = p.Time, p.Time+d.within
	}
	if p.Time < d.look {
		return false
	}
	d.look = p.Time + int64(time.Second)
	return p.Time >= d.first+6*d.within || ev.enough()
}

// looks are the times when a busy node's addresses may be known already.
type looks struct {
	next int    // how many packets there have to be for the next one
	last locals // what the last one concluded
}

// settled says whether what the last look concluded still explains all connections, after n packets.
func (k *looks) settled(n int, ev *evidence) bool {
	if n < k.next {
		return false
	}
	k.next *= 2
	if len(ev.peers) >= busyAddrs && len(k.last.addrs) > 0 && ev.explained(&k.last) {
		return true
	}
	k.last = locals{}
	ev.conclude(&k.last)
	return false
}

// evidence is what packets tell about which addresses are local.
type evidence struct {
	peers map[netip.Addr]map[netip.Addr]bool // with whom each address talks
	seen  map[pair]bool                      // of peers, each with the time to live of its packets: they tell nothing more
	sent  map[netip.Addr]bool                // sources of packets that the capturing host sent, by the link layer
	worn  map[netip.Addr]bool                // sources of packets that passed a router
}

// A pair is who sent packets to whom, and how.
type pair struct {
	src, dst netip.Addr
	ttl      uint8
	sent     bool
}

func newEvidence() *evidence {
	return &evidence{seen: map[pair]bool{}, peers: map[netip.Addr]map[netip.Addr]bool{}, sent: map[netip.Addr]bool{}, worn: map[netip.Addr]bool{}}
}

func (e *evidence) segment(s *segment.Segment) {
	src, dst := s.Src.Addr(), s.Dst.Addr()
	p := pair{src, dst, s.TTL, s.Sent}
	if e.seen[p] {
		return
	}
	e.seen[p] = true
	if s.Sent {
		e.sent[src] = true
	}
	// A node sends with 64, 128 or 255 hops to live; every router on the way takes one off.
	if s.TTL != 64 && s.TTL != 128 && s.TTL != 255 {
		e.worn[src] = true
	}
	e.pair(src, dst)
	e.pair(dst, src)
}

func (e *evidence) pair(a, b netip.Addr) {
	m := e.peers[a]
	if m == nil {
		m = map[netip.Addr]bool{}
		e.peers[a] = m
	}
	m[b] = true
}

// enough says whether each connection has a local end, as far as can be told.
func (e *evidence) enough() bool {
	var l locals
	e.conclude(&l)
	return e.explained(&l)
}

// explained says whether each connection has an end in l.
func (e *evidence) explained(l *locals) bool {
	for a, peers := range e.peers {
		for p := range peers {
			if !l.contains(a) && !l.contains(p) {
				return false
			}
		}
	}
	return true
}

// conclude names the local addresses: loopback ones; those that the link layer says; those that talk with
// nearly all others; and where just two addresses talk, the one whose packets passed no router.
func (e *evidence) conclude(l *locals) {
	addrs := make([]netip.Addr, 0, len(e.peers))
	for a := range e.peers {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, func(x, y netip.Addr) int {
		return cmp.Or(cmp.Compare(len(e.peers[y]), len(e.peers[x])), x.Compare(y))
	})
	found := map[netip.Addr]bool{}
	add := func(a netip.Addr, reason string) {
		if !found[a] {
			found[a] = true
			l.add(netip.PrefixFrom(a, a.BitLen()), reason)
		}
	}
	for _, a := range addrs {
		switch {
		case a.IsLoopback():
			add(a, "loopback")
		case e.sent[a]:
			add(a, "the capturing host sent its packets")
		}
	}
	if len(e.sent) > 0 {
		return
	}
	for _, a := range addrs { // busiest first
		left := 0
		for p := range e.peers[a] {
			if !found[p] {
				left++
			}
		}
		switch {
		case found[a]:
		case left > 1 && e.hub(a, found):
			add(a, fmt.Sprintf("has connections with %d other addresses", len(e.peers[a])))
		case left == 1 && len(e.peers[a]) == 1 && !e.worn[a]:
			for p := range e.peers[a] {
				if e.worn[p] && len(e.peers[p]) == 1 {
					add(a, fmt.Sprintf("its packets passed no router, those of %s did", p))
				}
			}
		}
	}
}

// hub says whether a is the centre of its connections: those that it talks with talk with no more others than it does.
func (e *evidence) hub(a netip.Addr, found map[netip.Addr]bool) bool {
	for p := range e.peers[a] {
		if !found[p] && len(e.peers[p]) >= len(e.peers[a]) {
			return false
		}
	}
	return true
}
