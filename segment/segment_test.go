package segment

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Parts of packets. A packet in a table is the concatenation of such parts, in hex.
const (
	ether4 = "020000000001 020000000002 0800"
	ether6 = "020000000001 020000000002 86dd"

	// 192.0.2.1:8333 > 198.51.100.2:50000, seq 1000, ack 2000, PSH ACK.
	ip4   = "45 00 002d 0001 4000 40 06 0000 c0000201 c6336402" // 20 + 20 + 5 bytes
	tcp20 = "208d c350 000003e8 000007d0 50 18 ffff 0000 0000"
	hello = "68656c6c6f"

	ip6Addresses = " 20010db8000000000000000000000001 20010db8000000000000000000000002"
	ip6          = "60000000 0019 06 3f" + ip6Addresses // 20 + 5 bytes
)

var (
	v4 = Segment{
		Src: netip.MustParseAddrPort("192.0.2.1:8333"), Dst: netip.MustParseAddrPort("198.51.100.2:50000"),
		Seq: 1000, Ack: 2000, Flags: PSH | ACK, Payload: []byte("hello"), TTL: 64,
	}
	v6 = Segment{
		Src: netip.MustParseAddrPort("[2001:db8::1]:8333"), Dst: netip.MustParseAddrPort("[2001:db8::2]:50000"),
		Seq: 1000, Ack: 2000, Flags: PSH | ACK, Payload: []byte("hello"), TTL: 63,
	}
)

// with returns s changed by f.
func with(s Segment, f func(*Segment)) Segment {
	f(&s)
	return s
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("packet %q: %v", s, err)
	}
	return b
}

var cmpSegment = cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

func TestPacket(t *testing.T) {
	sent := func(s *Segment) { s.Sent = true }
	received := func(s *Segment) { s.Received = true }
	tests := []struct {
		name   string
		link   uint32
		packet string
		wire   int // length on the wire; 0: as captured
		want   Segment
		reason Reason
	}{
		{name: "ethernet ipv4", link: LinkEthernet, packet: ether4 + ip4 + tcp20 + hello, want: v4},
		{name: "ethernet ipv6", link: LinkEthernet, packet: ether6 + ip6 + tcp20 + hello, want: v6},
		{name: "one vlan tag", link: LinkEthernet, packet: ether4[:26] + "8100 0064 0800" + ip4 + tcp20 + hello, want: v4},
		{name: "two vlan tags", link: LinkEthernet, packet: ether4[:26] + "88a8 0064 8100 0065 86dd" + ip6 + tcp20 + hello, want: v6},
		{name: "old QinQ", link: LinkEthernet, packet: ether4[:26] + "9100 0064 8100 0065 0800" + ip4 + tcp20 + hello, want: v4},
		{name: "vlan tags without end", link: LinkEthernet, packet: ether4[:26] + strings.Repeat("8100 0064", 20) + "0800", reason: NotTCP},
		{name: "vlan tag cut", link: LinkEthernet, packet: ether4[:26] + "8100 00", reason: TruncatedLink},
		{name: "mpls, two labels", link: LinkEthernet, packet: ether4[:26] + "8847 00064040 00065140" + ip4 + tcp20 + hello, want: v4},
		{name: "mpls pseudowire", link: LinkEthernet, packet: ether4[:26] + "8847 00065140 00000000" + ip4, reason: NotTCP},
		{name: "pppoe", link: LinkEthernet, packet: ether4[:26] + "8864 1100 0001 002f 0021" + ip4 + tcp20 + hello, want: v4},
		{name: "pppoe ipv6", link: LinkPPPoE, packet: "1100 0001 0043 0057" + ip6 + tcp20 + hello, want: v6},
		{name: "pppoe LCP", link: LinkPPPoE, packet: "1100 0001 0006 c021 0101", reason: NotTCP},
		{name: "802.3 SNAP", link: LinkEthernet, packet: ether4[:26] + "0035 aaaa03 000000 0800" + ip4 + tcp20 + hello, want: v4},
		{name: "802.3 spanning tree", link: LinkEthernet, packet: ether4[:26] + "0026 424203 0000000000", reason: NotTCP},
		{name: "arp", link: LinkEthernet, packet: ether4[:26] + "0806 0001 0800 0604 0001", reason: NotTCP},
		{name: "ethernet cut", link: LinkEthernet, packet: ether4[:26], reason: TruncatedLink},
		{name: "no packet at all", link: LinkEthernet, reason: TruncatedLink},

		{name: "cooked, to us", link: LinkLinuxSLL, packet: "0000 0001 0006 0200000000020000 0800" + ip4 + tcp20 + hello, want: with(v4, received)},
		{name: "cooked, sent", link: LinkLinuxSLL, packet: "0004 0001 0006 0200000000020000 86dd" + ip6 + tcp20 + hello, want: with(v6, sent)},
		{name: "cooked, to another host", link: LinkLinuxSLL, packet: "0003 0001 0006 0200000000020000 0800" + ip4 + tcp20 + hello, want: v4},
		{name: "cooked with vlan", link: LinkLinuxSLL, packet: "0000 0001 0006 0200000000020000 8100 0064 0800" + ip4 + tcp20 + hello, want: with(v4, received)},
		{name: "cooked cut", link: LinkLinuxSLL, packet: "0000 0001 0006 0200", reason: TruncatedLink},
		{name: "cooked v2, to us", link: LinkLinuxSLL2, packet: "0800 0000 00000002 0001 00 06 0200000000020000" + ip4 + tcp20 + hello, want: with(v4, received)},
		{name: "cooked v2, sent", link: LinkLinuxSLL2, packet: "86dd 0000 00000002 0001 04 06 0200000000020000" + ip6 + tcp20 + hello, want: with(v6, sent)},
		{name: "cooked v2 cut", link: LinkLinuxSLL2, packet: "0800 0000 00000002", reason: TruncatedLink},

		{name: "null, little-endian", link: LinkNull, packet: "02000000" + ip4 + tcp20 + hello, want: v4},
		{name: "null, big-endian", link: LinkNull, packet: "00000002" + ip4 + tcp20 + hello, want: v4},
		{name: "null, macOS ipv6", link: LinkNull, packet: "1e000000" + ip6 + tcp20 + hello, want: v6},
		{name: "null, FreeBSD ipv6, big-endian", link: LinkNull, packet: "0000001c" + ip6 + tcp20 + hello, want: v6},
		{name: "loop", link: LinkLoop, packet: "00000018" + ip6 + tcp20 + hello, want: v6},
		{name: "null, other family", link: LinkNull, packet: "07000000" + ip4, reason: NotTCP},
		{name: "null cut", link: LinkNull, packet: "0200", reason: TruncatedLink},
		{name: "raw ipv4", link: LinkRaw, packet: ip4 + tcp20 + hello, want: v4},
		{name: "raw ipv6", link: LinkRaw, packet: ip6 + tcp20 + hello, want: v6},
		{name: "raw, BSD's number", link: LinkRawBSD, packet: ip4 + tcp20 + hello, want: v4},
		{name: "raw, OpenBSD's number", link: LinkRawOBSD, packet: ip6 + tcp20 + hello, want: v6},
		{name: "link type ipv4", link: LinkIPv4, packet: ip4 + tcp20 + hello, want: v4},
		{name: "link type ipv6", link: LinkIPv6, packet: ip6 + tcp20 + hello, want: v6},
		{name: "link type ipv4, ipv6 in it", link: LinkIPv4, packet: ip6 + tcp20 + hello, reason: BadIP},
		{name: "link type ipv6, ipv4 in it", link: LinkIPv6, packet: ip4 + tcp20 + hello, reason: BadIP},
		{name: "raw, neither", link: LinkRaw, packet: "00" + ip4, reason: BadIP},
		{name: "raw, nothing", link: LinkRaw, packet: "", reason: TruncatedIP},
		{name: "ppp", link: LinkPPP, packet: "ff03 0021" + ip4 + tcp20 + hello, want: v4},
		{name: "ppp, compressed", link: LinkPPP, packet: "57" + ip6 + tcp20 + hello, want: v6},
		{name: "wlan", link: 105, packet: ip4 + tcp20 + hello, reason: UnknownLink},
		{name: "what a uint8 makes of cooked v2", link: 276 & 0xff, packet: ip4 + tcp20 + hello, reason: UnknownLink},

		{name: "ethernet padding is no payload", link: LinkEthernet, packet: ether4 + "45 00 0028 0001 4000 40 06 0000 c0000201 c6336402" + tcp20 + "000000000000",
			want: with(v4, func(s *Segment) { s.Payload = nil })},
		{name: "padding of an ipv6 packet", link: LinkEthernet, packet: ether6 + ip6 + tcp20 + hello + "00000000", want: v6},
		{name: "total length 0: offloaded", link: LinkEthernet, packet: ether4 + "45 00 0000 0001 4000 40 06 0000 c0000201 c6336402" + tcp20 + hello, want: v4},
		{name: "total length 0, cut", link: LinkEthernet, packet: ether4 + "45 00 0000 0001 4000 40 06 0000 c0000201 c6336402" + tcp20 + hello, wire: 70_054,
			want: with(v4, func(s *Segment) { s.Missing = 70_000 - 5 })},
		{name: "payload length 0: big TCP", link: LinkEthernet, packet: ether6 + "60000000 0000 06 3f" + ip6Addresses + tcp20 + hello, want: v6},
		{name: "jumbogram option", link: LinkEthernet, packet: ether6 + "60000000 0000 00 3f" + ip6Addresses + "06 00 c204 00000021" + tcp20 + hello, want: v6},
		{name: "ip options", link: LinkRaw, packet: "46 00 0031 0001 4000 40 06 0000 c0000201 c6336402 01010100" + tcp20 + hello, want: v4},
		{name: "ip options cut", link: LinkRaw, packet: "4f 00 0071 0001 4000 40 06 0000 c0000201 c6336402 01010100", reason: TruncatedIP},
		{name: "ip header length too small", link: LinkRaw, packet: "44 00 002d 0001 4000 40 06 0000 c0000201 c6336402" + tcp20 + hello, reason: BadIP},
		{name: "total length less than the header", link: LinkRaw, packet: "45 00 0013 0001 4000 40 06 0000 c0000201 c6336402" + tcp20 + hello, reason: BadIP},
		{name: "ipv4 cut", link: LinkRaw, packet: ip4[:29], reason: TruncatedIP},
		{name: "ipv6 cut", link: LinkRaw, packet: ip6[:59], reason: TruncatedIP},
		{name: "udp", link: LinkRaw, packet: "45 00 002d 0001 4000 40 11 0000 c0000201 c6336402" + tcp20 + hello, reason: NotTCP},
		{name: "udp, fragment", link: LinkRaw, packet: "45 00 002d 0001 2000 40 11 0000 c0000201 c6336402" + tcp20 + hello, reason: NotTCP},
		{name: "icmpv6", link: LinkRaw, packet: "60000000 0004 3a 3f" + ip6Addresses + "80000000", reason: NotTCP},
		{name: "ipv4-mapped addresses of ipv6 stay", link: LinkRaw, packet: "60000000 0019 06 3f 00000000000000000000ffffc0000201 00000000000000000000ffffc6336402" + tcp20 + hello,
			want: with(v6, func(s *Segment) {
				s.Src, s.Dst = netip.MustParseAddrPort("[::ffff:192.0.2.1]:8333"), netip.MustParseAddrPort("[::ffff:198.51.100.2]:50000")
			})},

		{name: "hop-by-hop, routing and destination options", link: LinkRaw,
			packet: "60000000 0039 00 3f" + ip6Addresses + "2b 00 010400000000" + "3c 01 0400000000000000000000000000" + "06 00 010400000000" + tcp20 + hello, want: v6},
		{name: "authentication header, ipv6", link: LinkRaw, packet: "60000000 0031 33 3f" + ip6Addresses + "06 04 0000 00000001 00000001 000000000000000000000000" + tcp20 + hello, want: v6},
		{name: "authentication header, ipv4", link: LinkRaw, packet: "45 00 0045 0001 4000 40 33 0000 c0000201 c6336402" + "06 04 0000 00000001 00000001 000000000000000000000000" + tcp20 + hello, want: v4},
		{name: "encrypted", link: LinkRaw, packet: "60000000 0008 32 3f" + ip6Addresses + "0000000100000001", reason: NotTCP},
		{name: "no next header", link: LinkRaw, packet: "60000000 0000 3b 3f" + ip6Addresses, reason: NotTCP},
		{name: "atomic fragment", link: LinkRaw, packet: "60000000 0021 2c 3f" + ip6Addresses + "0600 0000 00000007" + tcp20 + hello, want: v6},
		{name: "extension header cut", link: LinkRaw, packet: "60000000 0031 00 3f" + ip6Addresses + "2b 01 0104", reason: TruncatedIP},
		{name: "extension header longer than the packet", link: LinkRaw, packet: "60000000 0008 00 3f" + ip6Addresses + "06 05 010400000000", reason: BadIP},

		{name: "tcp options", link: LinkRaw, packet: "45 00 0039 0001 4000 40 06 0000 c0000201 c6336402 208d c350 000003e8 000007d0 80 18 ffff 0000 0000 0101080a0000000100000002" + hello, want: v4},
		{name: "snap length cuts the payload", link: LinkRaw, packet: ip4 + tcp20 + "6865", wire: 45,
			want: with(v4, func(s *Segment) { s.Payload, s.Missing = []byte("he"), 3 })},
		{name: "cut in a file that forgot the length on the wire", link: LinkRaw, packet: ip4 + tcp20 + "6865",
			want: with(v4, func(s *Segment) { s.Payload, s.Missing = []byte("he"), 3 })},
		{name: "snap length cuts only padding", link: LinkEthernet, packet: ether4 + "45 00 0028 0001 4000 40 06 0000 c0000201 c6336402" + tcp20, wire: 60,
			want: with(v4, func(s *Segment) { s.Payload = nil })},
		{name: "snap length cuts tcp options", link: LinkRaw, packet: "45 00 0039 0001 4000 40 06 0000 c0000201 c6336402 208d c350 000003e8 000007d0 80 18 ffff 0000 0000 0101",
			want: with(v4, func(s *Segment) { s.Payload, s.Missing = nil, 5 })},
		{name: "snap length cuts the tcp header", link: LinkRaw, packet: ip4 + tcp20[:30], reason: TruncatedTCP},
		{name: "data offset too small", link: LinkRaw, packet: ip4 + "208d c350 000003e8 000007d0 40 18 ffff 0000 0000" + hello, reason: BadTCP},
		{name: "data offset beyond the segment", link: LinkRaw, packet: ip4 + "208d c350 000003e8 000007d0 70 18 ffff 0000 0000" + hello, reason: BadTCP},
		{name: "ip length leaves no room for tcp", link: LinkRaw, packet: "45 00 0020 0001 4000 40 06 0000 c0000201 c6336402" + tcp20 + hello, reason: BadTCP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := unhex(t, tt.packet)
			var d Dissector
			got := Segment{Payload: []byte("stale"), Missing: 9, Sent: true, Received: true, First: 7, TTL: 1}
			reason := d.Packet(tt.link, data, max(tt.wire, len(data)), 1, &got)
			if reason != tt.reason {
				t.Fatalf("Packet(%d, %x) = %v, want %v", tt.link, data, reason, tt.reason)
			}
			if reason != Found {
				return
			}
			if diff := cmp.Diff(tt.want, got, cmpSegment); diff != "" {
				t.Errorf("Packet(%d, %x) (-want +got):\n%s", tt.link, data, diff)
			}
			// The pad of the wire must not matter where the IP header has a length.
			if tt.wire == 0 && !strings.Contains(tt.name, "length 0") && !strings.Contains(tt.name, "jumbo") {
				var padded Segment
				if reason := d.Packet(tt.link, data, len(data)+100, 1, &padded); reason != Found || !cmp.Equal(got, padded, cmpSegment) {
					t.Errorf("with 100 bytes more on the wire: %v %+v", reason, padded)
				}
			}
		})
	}
}

func TestReasonStrings(t *testing.T) {
	var seen []string
	for r := range NumReasons + 1 {
		if r.String() == "" || slices.Contains(seen, r.String()) {
			t.Errorf("Reason(%d).String() = %q", r, r)
		}
		seen = append(seen, r.String())
	}
}

func TestPacketDoesNotAllocate(t *testing.T) {
	packets := [][]byte{unhex(t, ether4+ip4+tcp20+hello), unhex(t, ether6+ip6+tcp20+hello), unhex(t, ether4[:26]+"8100 0064 0806")}
	var d Dissector
	var s Segment
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range packets {
			d.Packet(LinkEthernet, p, len(p), 1, &s)
		}
	}); n != 0 {
		t.Errorf("Packet allocates %v times for %d packets, want 0", n, len(packets))
	}
}
