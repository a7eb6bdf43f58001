package segment

// Link types that Packet knows. Source: https://www.tcpdump.org/linktypes.html.
const (
	LinkNull      = 0 // BSD loopback: the address family in the byte order of the capturing host
	LinkEthernet  = 1
	LinkPPP       = 9
	LinkRawBSD    = 12  // DLT_RAW as most systems number it; files should say LinkRaw, some don't
	LinkRawOBSD   = 14  // DLT_RAW as OpenBSD numbers it
	LinkPPPoE     = 51  // LINKTYPE_PPP_ETHER
	LinkRaw       = 101 // begins with an IP header
	LinkLoop      = 108 // OpenBSD loopback: the address family in network byte order
	LinkLinuxSLL  = 113 // Linux cooked, version 1
	LinkIPv4      = 228
	LinkIPv6      = 229
	LinkLinuxSLL2 = 276 // Linux cooked, version 2: what `tcpdump -i any` writes
)

// EtherTypes. Source: IEEE 802 numbers, IANA.
const (
	etherIPv4   = 0x0800
	etherIPv6   = 0x86dd
	etherVLAN   = 0x8100 // 802.1Q
	etherQinQ   = 0x88a8 // 802.1ad
	etherQinQ91 = 0x9100 // before 802.1ad
	etherQinQ92 = 0x9200
	etherMPLS   = 0x8847
	etherMPLSM  = 0x8848 // multicast, or upstream-assigned labels
	etherPPPoE  = 0x8864 // session stage; RFC 2516
	minEther    = 0x0600 // less is the length of an 802.3 frame
)

// maxTags is how many VLAN tags and MPLS labels a packet may have; networks use three at most.
const maxTags = 8

// linkPayload returns what follows the link layer's headers: an IP packet, by what they say.
func linkPayload(link uint32, b []byte, out *Segment) ([]byte, Reason) {
	switch link {
	case LinkEthernet:
		if len(b) < 14 {
			return nil, TruncatedLink
		}
		return etherPayload(be16(b[12:]), b[14:])
	case LinkLinuxSLL:
		if len(b) < 16 {
			return nil, TruncatedLink
		}
		cooked(uint8(min(be16(b), 0xff)), out)
		return etherPayload(be16(b[14:]), b[16:])
	case LinkLinuxSLL2:
		if len(b) < 20 {
			return nil, TruncatedLink
		}
		cooked(b[10], out)
		return etherPayload(be16(b), b[20:])
	case LinkNull, LinkLoop:
		return familyPayload(b)
	case LinkRaw, LinkRawBSD, LinkRawOBSD, LinkIPv4, LinkIPv6:
		return b, Found
	case LinkPPP:
		// RFC 1662: address and control, which negotiation may have removed.
		if len(b) >= 2 && b[0] == 0xff && b[1] == 0x03 {
			b = b[2:]
		}
		return pppPayload(b)
	case LinkPPPoE:
		return pppoePayload(b)
	}
	return nil, UnknownLink
}

// cooked notes the packet type of a Linux cooked header. Source: https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html.
func cooked(packetType uint8, out *Segment) {
	out.Received = packetType == 0
	out.Sent = packetType == 4
}

// etherPayload returns the IP packet in b, the payload of a frame of the given EtherType.
func etherPayload(ether uint16, b []byte) ([]byte, Reason) {
	for range maxTags {
		switch ether {
		case etherIPv4, etherIPv6:
			return b, Found
		case etherVLAN, etherQinQ, etherQinQ91, etherQinQ92:
			if len(b) < 4 {
				return nil, TruncatedLink
			}
			ether, b = be16(b[2:]), b[4:]
		case etherMPLS, etherMPLSM:
			return mplsPayload(b)
		case etherPPPoE:
			return pppoePayload(b)
		default:
			if ether < minEther { // also Linux cooked captures' 4 for frames that begin with an LLC header
				return llcPayload(b)
			}
			return nil, NotTCP
		}
	}
	return nil, NotTCP
}

// llcPayload unwraps IP in an 802.2 SNAP header. Source: RFC 1042.
func llcPayload(b []byte) ([]byte, Reason) {
	if len(b) < 8 || [6]byte(b[:6]) != [6]byte{0xaa, 0xaa, 0x03, 0, 0, 0} {
		return nil, NotTCP
	}
	switch be16(b[6:]) {
	case etherIPv4, etherIPv6:
		return b[8:], Found
	}
	return nil, NotTCP
}

// mplsPayload skips a stack of labels. What is below has no type: IP begins with its version, anything else is
// not for us. Source: RFC 3032; RFC 4928, section 3.
func mplsPayload(b []byte) ([]byte, Reason) {
	for range maxTags {
		if len(b) < 4 {
			return nil, TruncatedLink
		}
		bottom := b[2]&1 != 0
		b = b[4:]
		if bottom {
			return ipOrNothing(b)
		}
	}
	return nil, NotTCP
}

func ipOrNothing(b []byte) ([]byte, Reason) {
	if len(b) == 0 {
		return nil, TruncatedLink
	}
	if v := b[0] >> 4; v != 4 && v != 6 {
		return nil, NotTCP
	}
	return b, Found
}

// pppoePayload unwraps a session frame. Source: RFC 2516, section 4.
func pppoePayload(b []byte) ([]byte, Reason) {
	if len(b) < 6 {
		return nil, TruncatedLink
	}
	if b[1] != 0 { // the code of session data is 0
		return nil, NotTCP
	}
	return pppPayload(b[6:])
}

// pppPayload unwraps a PPP frame that begins with its protocol, of one or two bytes. Source: RFC 1661, section 2.
func pppPayload(b []byte) ([]byte, Reason) {
	if len(b) < 2 {
		return nil, TruncatedLink
	}
	protocol, n := be16(b), 2
	if b[0]&1 != 0 { // an odd first byte is the last: compressed
		protocol, n = uint16(b[0]), 1
	}
	switch protocol {
	case 0x0021, 0x0057: // IPv4, IPv6
		return b[n:], Found
	}
	return nil, NotTCP
}

// familyPayload unwraps the loopback headers of the BSDs. The file may come from a host of either byte order.
func familyPayload(b []byte) ([]byte, Reason) {
	if len(b) < 4 {
		return nil, TruncatedLink
	}
	family := be32(b)
	if family > 0xffff {
		family = uint32(b[0]) | uint32(b[1])<<8
	}
	switch family {
	case 2, // AF_INET, everywhere
		10, 24, 28, 30: // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS
		return b[4:], Found
	}
	return nil, NotTCP
}
