package record

import (
	"net/netip"
	"strings"
)

// A PlaceKind says in which network a peer is. It is one of the words below, which users see.
type PlaceKind string

const (
	PlaceUnknown  PlaceKind = "unknown"  // a name, or an address in no database
	PlaceInternet PlaceKind = "internet" // a public address that a database knows
	PlaceTor      PlaceKind = "tor"      // an onion address
	PlaceI2P      PlaceKind = "i2p"
	PlaceCJDNS    PlaceKind = "cjdns"
	PlacePrivate  PlaceKind = "private" // an address that isn't of the public Internet: private, reserved, for documentation
)

// A Place is where a peer is, as far as it is known: all but Kind may be missing.
type Place struct {
	Kind                PlaceKind
	Country             string // two letters, as ISO 3166-1 has them; "" if not known
	City                string
	Latitude, Longitude float64 // degrees, where Located
	Located             bool
	TimeZone            string // as the tz database names it
	ASN                 uint32 // number of the autonomous system; 0 if not known
	Organisation        string // that runs the autonomous system
	AsOf                Time   // when the database was built that says so; 0: the address itself does
}

// Known says whether p tells anything: what kind of place it is, or that a database of some date doesn't know it.
func (p *Place) Known() bool { return p.AsOf != 0 || p.Kind != PlaceUnknown && p.Kind != "" }

// Peer is the endpoint that isn't the observed node's: B where none or both are.
func (c *Conn) Peer() netip.AddrPort {
	if c.LocalB && !c.LocalA {
		return c.A
	}
	return c.B
}

// PeerHost is the name that a proxy was asked for, without its port, or else the peer's address.
func (c *Conn) PeerHost() string {
	name := c.PeerName()
	if name == "" {
		return c.Peer().Addr().String()
	}
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[:i]
	}
	return strings.Trim(name, "[]")
}

// PlaceOf says what kind of place a host is at, by its address or name alone: tor, i2p, cjdns, private, or else unknown.
func PlaceOf(host string) Place {
	if a, err := netip.ParseAddr(host); err == nil {
		kind, _ := Reserved(a)
		return Place{Kind: kind}
	}
	host = strings.ToLower(host)
	onion, isOnion := strings.CutSuffix(host, ".onion")
	switch {
	// 16 letters or digits in version 2, 56 in version 3. Source: Tor's rend-spec-v2 and rend-spec-v3.
	case isOnion && (len(onion) == 16 || len(onion) == 56) && base32(onion):
		return Place{Kind: PlaceTor}
	case strings.HasSuffix(host, ".i2p") && len(host) > len(".i2p"): // the top-level domain of I2P's names and addresses
		return Place{Kind: PlaceI2P}
	}
	return Place{Kind: PlaceUnknown}
}

// base32 says whether s has only what RFC 4648's base 32 has, in lower case.
func base32(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Reserved returns the range that a is in if that isn't of the public Internet, and what kind of place it is. Other addresses
// are unknown and in no range.
func Reserved(a netip.Addr) (PlaceKind, netip.Prefix) {
	a = a.Unmap().WithZone("")
	for _, r := range reserved {
		if r.prefix.Contains(a) {
			return r.kind, r.prefix
		}
	}
	return PlaceUnknown, netip.Prefix{}
}

// reserved are the ranges that aren't globally reachable, narrower ones before wider ones. Source: IANA's registries of IPv4 and
// IPv6 special-purpose addresses (RFC 6890), but for what is noted.
var reserved = []struct {
	prefix netip.Prefix
	kind   PlaceKind
}{
	{netip.MustParsePrefix("0.0.0.0/8"), PlacePrivate},       // "this network", RFC 791
	{netip.MustParsePrefix("10.0.0.0/8"), PlacePrivate},      // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), PlacePrivate},   // shared by carriers, RFC 6598
	{netip.MustParsePrefix("127.0.0.0/8"), PlacePrivate},     // loopback, RFC 1122
	{netip.MustParsePrefix("169.254.0.0/16"), PlacePrivate},  // link-local, RFC 3927
	{netip.MustParsePrefix("172.16.0.0/12"), PlacePrivate},   // RFC 1918
	{netip.MustParsePrefix("192.0.0.0/24"), PlacePrivate},    // protocol assignments, RFC 6890
	{netip.MustParsePrefix("192.0.2.0/24"), PlacePrivate},    // documentation, RFC 5737
	{netip.MustParsePrefix("192.168.0.0/16"), PlacePrivate},  // RFC 1918
	{netip.MustParsePrefix("198.18.0.0/15"), PlacePrivate},   // benchmarking, RFC 2544
	{netip.MustParsePrefix("198.51.100.0/24"), PlacePrivate}, // documentation, RFC 5737
	{netip.MustParsePrefix("203.0.113.0/24"), PlacePrivate},  // documentation, RFC 5737
	{netip.MustParsePrefix("224.0.0.0/4"), PlacePrivate},     // multicast, RFC 5771
	{netip.MustParsePrefix("240.0.0.0/4"), PlacePrivate},     // reserved, RFC 1112
	{netip.MustParsePrefix("::/128"), PlacePrivate},          // unspecified, RFC 4291
	{netip.MustParsePrefix("::1/128"), PlacePrivate},         // loopback, RFC 4291
	{netip.MustParsePrefix("64:ff9b:1::/48"), PlacePrivate},  // translation, RFC 8215
	{netip.MustParsePrefix("100::/64"), PlacePrivate},        // discard only, RFC 6666
	{netip.MustParsePrefix("2001:2::/48"), PlacePrivate},     // benchmarking, RFC 5180
	{netip.MustParsePrefix("2001:10::/28"), PlacePrivate},    // ORCHID, RFC 4843
	{netip.MustParsePrefix("2001:db8::/32"), PlacePrivate},   // documentation, RFC 3849
	{netip.MustParsePrefix("3fff::/20"), PlacePrivate},       // documentation, RFC 9637
	{netip.MustParsePrefix("5f00::/16"), PlacePrivate},       // segment routing, RFC 9602
	{netip.MustParsePrefix("fc00::/8"), PlaceCJDNS},          // Bitcoin Core, netaddress.h, CJDNS_PREFIX
	{netip.MustParsePrefix("fd87:d87e:eb43::/48"), PlaceTor}, // OnionCat; Bitcoin Core, netaddress.h, TORV2_IN_IPV6_PREFIX
	{netip.MustParsePrefix("fd00::/8"), PlacePrivate},        // unique local, RFC 4193
	{netip.MustParsePrefix("fe80::/10"), PlacePrivate},       // link-local, RFC 4291
	{netip.MustParsePrefix("fec0::/10"), PlacePrivate},       // site-local, RFC 3879
	{netip.MustParsePrefix("ff00::/8"), PlacePrivate},        // multicast, RFC 4291
}
