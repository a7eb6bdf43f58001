package segment

import "net/netip"

// IP protocol numbers and IPv6 extension headers. Source: IANA, assigned internet protocol numbers.
const (
	protoHopByHop    = 0
	protoTCP         = 6
	protoRouting     = 43
	protoFragment    = 44
	protoAH          = 51
	protoDestination = 60
	protoMobility    = 135
	protoHIP         = 139
	protoShim6       = 140
)

// ipv4 parses the IPv4 packet that b begins with. size is its length on the wire, link layer padding included.
// Source: RFC 791, section 3.1.
func (d *Dissector) ipv4(b []byte, size int, nanos int64, out *Segment) Reason {
	if len(b) < 20 {
		return TruncatedIP
	}
	header := int(b[0]&0x0f) * 4
	total := int(be16(b[2:]))
	if total == 0 { // an offloaded segment, captured before the card filled it in, or one of more than 65,535 bytes
		total = size
	}
	if header < 20 || total < header {
		return BadIP
	}
	protocol := b[9]
	if protocol != protoTCP && protocol != protoAH {
		return NotTCP
	}
	if len(b) < header {
		return TruncatedIP
	}
	out.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:16])), 0)
	out.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), 0)
	out.TTL = b[8]
	payload, n := b[header:min(total, len(b))], total-header

	place := be16(b[6:])
	if place&0x3fff == 0 { // neither "more fragments" nor an offset
		return upper(protocol, payload, n, out)
	}
	key := fragKey{out.Src.Addr(), out.Dst.Addr(), uint32(be16(b[4:])), protocol}
	return d.fragment(key, piece{payload, int(place&0x1fff) * 8, n, place&0x2000 != 0, nanos}, out)
}

// ipv6 parses the IPv6 packet that b begins with. size is its length on the wire, link layer padding included.
// Source: RFC 8200, section 3.
func (d *Dissector) ipv6(b []byte, size int, nanos int64, out *Segment) Reason {
	if len(b) < 40 {
		return TruncatedIP
	}
	total := 40 + int(be16(b[4:]))
	if total == 40 { // RFC 2675: a jumbogram; Linux calls it BIG TCP, and need not add the option
		total = size
	}
	out.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), 0)
	out.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[24:40])), 0)
	out.TTL = b[7]
	next, payload, n := b[6], b[40:min(total, len(b))], total-40
	if next == protoTCP {
		return tcp(payload, n, out)
	}
	next, payload, n, reason := extensions(next, payload, n)
	if reason != Found {
		return reason
	}
	if next != protoFragment {
		return upper(next, payload, n, out)
	}
	return d.fragment6(payload, n, nanos, out)
}

// fragment6 takes an IPv6 packet from its fragment header on. Source: RFC 8200, section 4.5.
func (d *Dissector) fragment6(b []byte, size int, nanos int64, out *Segment) Reason {
	if size < 8 {
		return BadIP
	}
	if len(b) < 8 {
		return TruncatedIP
	}
	next, place := b[0], be16(b[2:])
	if place&0xfff9 == 0 { // RFC 6946: an atomic fragment, which is whole
		return upper(next, b[8:], size-8, out)
	}
	if !carriesTCP(next) {
		return NotTCP
	}
	// RFC 8200: the protocol is no part of the key, but of one datagram only the first fragment's counts; keeping them
	// apart is what an honest sender can't notice.
	key := fragKey{out.Src.Addr(), out.Dst.Addr(), be32(b[4:]), next}
	return d.fragment(key, piece{b[8:], int(place &^ 7), size - 8, place&1 != 0, nanos}, out)
}

// upper takes what follows the IP header: the segment, with extension headers before it or not.
func upper(next uint8, b []byte, size int, out *Segment) Reason {
	next, b, size, reason := extensions(next, b, size)
	if reason != Found {
		return reason
	}
	if next != protoTCP {
		return NotTCP
	}
	return tcp(b, size, out)
}

// carriesTCP says whether a header of that kind is TCP's or may have TCP's behind it.
func carriesTCP(next uint8) bool {
	switch next {
	case protoTCP, protoHopByHop, protoRouting, protoAH, protoDestination, protoMobility, protoHIP, protoShim6:
		return true
	}
	return false
}

// extensions skips extension headers up to TCP, a fragment header or one that it can't skip. It returns that
// one's number, what was captured from there on and how much was on the wire.
func extensions(next uint8, b []byte, size int) (uint8, []byte, int, Reason) {
	for next != protoTCP && carriesTCP(next) {
		if size < 8 {
			return 0, nil, 0, BadIP
		}
		if len(b) < 8 {
			return 0, nil, 0, TruncatedIP
		}
		n := (int(b[1]) + 1) * 8 // RFC 8200, section 4
		if next == protoAH {
			n = (int(b[1]) + 2) * 4 // RFC 4302, section 2.2
		}
		if n > size {
			return 0, nil, 0, BadIP
		}
		if n > len(b) {
			return 0, nil, 0, TruncatedIP
		}
		next, b, size = b[0], b[n:], size-n
	}
	return next, b, size, Found
}
