// Package segment finds the TCP segment inside one captured packet, or says why there is none. It knows link
// layers, VLAN tags, IPv4 and IPv6 with fragments and extension headers; streams it leaves to reassembly.
package segment

import "net/netip"

// Flags of a TCP segment. Source: RFC 9293, section 3.1.
const (
	FIN = 1 << 0
	SYN = 1 << 1
	RST = 1 << 2
	PSH = 1 << 3
	ACK = 1 << 4
)

// A Segment is one TCP segment. TCP checksums are never looked at: captures on a sending host have them unfilled.
type Segment struct {
	Src, Dst netip.AddrPort // of an IPv4 packet: IPv4, never IPv4-mapped IPv6; zones are dropped
	Seq, Ack uint32
	Flags    uint8
	Payload  []byte // borrowed from the packet, or from the Dissector until its next call if it came in fragments
	Missing  int    // payload bytes after Payload that were on the wire but are cut off (snap length)
	TTL      uint8  // or hop limit
	Sent     bool   // the link layer says that the capturing host sent it (Linux cooked captures)
	Received bool   // the link layer says that it was sent to the capturing host (Linux cooked captures)
	First    int64  // capture time in nanoseconds of the packet's earliest fragment; 0 for one that is whole
}

// A Reason says why a packet has no TCP segment for the caller. The zero Reason is that it has one.
type Reason uint8

const (
	Found         Reason = iota // a segment was found
	NotTCP                      // another protocol: UDP, ICMP, ARP, encrypted (ESP), a tunnel, ...
	Fragment                    // a fragment of a datagram that is not complete yet; the fragment that completes it is Found
	UnknownLink                 // the link type is none that the package knows
	TruncatedLink               // captured bytes end within the link layer's header
	TruncatedIP                 // captured bytes end within the IP header or an extension header
	BadIP                       // the IP header or an extension header contradicts itself
	TruncatedTCP                // captured bytes end within the first 20 bytes of the TCP header
	BadTCP                      // the TCP header contradicts itself or the IP header
	NumReasons
)

// String is the reason's name in ledgers and metrics.
func (r Reason) String() string {
	if r >= NumReasons {
		return "unknown"
	}
	return [...]string{
		"TCP segment", "not TCP", "fragment", "unknown link type", "truncated link header", "truncated IP header",
		"bad IP header", "truncated TCP header", "bad TCP header",
	}[r]
}

// A Dissector takes packets apart. Its zero value is ready to use; it holds the fragments of datagrams that are not
// complete yet, so use one for each capture, in one goroutine.
//
// It parses by hand what gopacket's layers would: their link type is a uint8, which can't hold Linux cooked v2
// (276), and they cost 0.1 s more for every 717,000 frames, which is a tenth of all that the program does.
type Dissector struct {
	frags fragments
}

// Packet finds the TCP segment in a packet and overwrites *out with it, unless it returns another Reason
// than Found; then *out is undefined.
//
// link is the LINKTYPE_ number of tcpdump.org's registry; data is what was captured, borrowed as long as out.Payload is used; wireLen is the packet's
// length on the wire, which matters only where the IP header doesn't say (offloaded segments of 64 KiB and more);
// nanos is the capture time in nanoseconds since the Unix epoch. It does not allocate, but for fragments.
func (d *Dissector) Packet(link uint32, data []byte, wireLen int, nanos int64, out *Segment) Reason {
	*out = Segment{}
	ip, reason := linkPayload(link, data, out)
	if reason != Found {
		return reason
	}
	if len(ip) == 0 {
		return TruncatedIP
	}
	size := max(wireLen, len(data)) - (len(data) - len(ip))
	switch ip[0] >> 4 {
	case 4:
		if link != LinkIPv6 {
			return d.ipv4(ip, size, nanos, out)
		}
	case 6:
		if link != LinkIPv4 {
			return d.ipv6(ip, size, nanos, out)
		}
	}
	return BadIP
}

const tcpHeader = 20 // bytes without options; RFC 9293, section 3.1

// tcp parses a TCP header. b is what was captured of the segment, size its length on the wire.
func tcp(b []byte, size int, out *Segment) Reason {
	if size < tcpHeader {
		return BadTCP
	}
	if len(b) < tcpHeader {
		return TruncatedTCP
	}
	header := int(b[12]>>4) * 4
	if header < tcpHeader || header > size {
		return BadTCP
	}
	out.Src = netip.AddrPortFrom(out.Src.Addr(), be16(b))
	out.Dst = netip.AddrPortFrom(out.Dst.Addr(), be16(b[2:]))
	out.Seq = be32(b[4:])
	out.Ack = be32(b[8:])
	out.Flags = b[13]
	// Options that are cut off are no loss: the header says how many payload bytes there were.
	out.Payload = b[min(header, len(b)):]
	out.Missing = size - header - len(out.Payload)
	return Found
}

func be16(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 }

func be32(b []byte) uint32 {
	return uint32(b[3]) | uint32(b[2])<<8 | uint32(b[1])<<16 | uint32(b[0])<<24
}
