package record

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPlaceOf(t *testing.T) {
	for _, tt := range []struct {
		name, host string
		want       PlaceKind
	}{
		{"public IPv4", "8.8.8.8", PlaceUnknown},
		{"public IPv6", "2a02:8388::1", PlaceUnknown},
		{"before 10.0.0.0/8", "9.255.255.255", PlaceUnknown},
		{"first private", "10.0.0.0", PlacePrivate},
		{"last private", "10.255.255.255", PlacePrivate},
		{"after 10.0.0.0/8", "11.0.0.0", PlaceUnknown},
		{"carrier", "100.127.255.255", PlacePrivate},
		{"after carriers", "100.128.0.0", PlaceUnknown},
		{"after 172.16.0.0/12", "172.32.0.0", PlaceUnknown},
		{"documentation", "203.0.113.55", PlacePrivate},
		{"IPv4 in IPv6", "::ffff:192.0.2.1", PlacePrivate},
		{"public IPv4 in IPv6", "::ffff:8.8.8.8", PlaceUnknown},
		{"multicast", "239.255.255.255", PlacePrivate},
		{"broadcast", "255.255.255.255", PlacePrivate},
		{"loopback", "::1", PlacePrivate},
		{"documentation IPv6", "2001:db8::1", PlacePrivate},
		{"link-local with zone", "fe80::1%eth0", PlacePrivate},
		{"unique local", "fd77:a::10", PlacePrivate},
		{"CJDNS", "fc12::1", PlaceCJDNS},
		{"OnionCat", "fd87:d87e:eb43::1", PlaceTor},
		{"onion version 3", strings.Repeat("a", 56) + ".onion", PlaceTor},
		{"onion in capitals", strings.Repeat("A", 56) + ".ONION", PlaceTor},
		{"onion version 2", "expyuzz4wqqyqhjn.onion", PlaceTor},
		{"onion of no length", "abc.onion", PlaceUnknown},
		{"onion with a control character", strings.Repeat("a", 55) + "\x1b.onion", PlaceUnknown},
		{"onion of a wrong alphabet", strings.Repeat("1", 56) + ".onion", PlaceUnknown},
		{"I2P", strings.Repeat("a", 52) + ".b32.i2p", PlaceI2P},
		{"I2P name", "example.i2p", PlaceI2P},
		{"only .i2p", ".i2p", PlaceUnknown},
		{"host name", "peer.example", PlaceUnknown},
		{"empty", "", PlaceUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := PlaceOf(tt.host); got != (Place{Kind: tt.want}) {
				t.Errorf("PlaceOf(%q) = %+v, want kind %s alone", tt.host, got, tt.want)
			}
		})
	}
}

func TestPeerHost(t *testing.T) {
	a, b := netip.MustParseAddrPort("[2001:db8::7]:51234"), netip.MustParseAddrPort("203.0.113.1:8333")
	for _, tt := range []struct {
		name   string
		conn   *Conn
		asked  string // of a proxy
		want   string
		isPeer netip.AddrPort
	}{
		{"no side is local", &Conn{A: a, B: b}, "", "203.0.113.1", b},
		{"A is local", &Conn{A: a, B: b, LocalA: true}, "", "203.0.113.1", b},
		{"B is local", &Conn{A: a, B: b, LocalB: true}, "", "2001:db8::7", a},
		{"both are local", &Conn{A: a, B: b, LocalA: true, LocalB: true}, "", "203.0.113.1", b},
		{"asked for a name", &Conn{A: a, B: b}, "peer.example:8333", "peer.example", b},
		{"asked for IPv4", &Conn{A: a, B: b}, "198.51.100.7:8333", "198.51.100.7", b},
		{"asked for IPv6", &Conn{A: a, B: b}, "[2001:db8::9]:8333", "2001:db8::9", b},
		{"asked for nothing but a port", &Conn{A: a, B: b}, ":8333", "", b},
		{"asked for a name without port", &Conn{A: a, B: b}, "peer", "peer", b},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.asked != "" {
				tt.conn.SetPeerName(tt.asked)
			}
			if got := tt.conn.PeerHost(); got != tt.want {
				t.Errorf("PeerHost() = %q, want %q", got, tt.want)
			}
			if got := tt.conn.Peer(); got != tt.isPeer {
				t.Errorf("Peer() = %v, want %v", got, tt.isPeer)
			}
		})
	}
}
