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
	Src, Dst netip.AddrPort // IPv4 addresses are never IPv4-mapped IPv6; zones are dropped
	Seq, Ack uint32
	Flags    uint8
	Payload  []byte // borrowed from the packet, or from the Dissector until its next call if it came in fragments
	Missing  int    // payload bytes after Payload that were on the wire but are cut off (snap length)
	TTL      uint8  // or hop limit
	Sent     bool   // the link layer says that the capturing host sent it (Linux cooked captures)
	First    int64  // capture time in nanoseconds of the packet's earliest fragment; 0 for one that is whole
}
