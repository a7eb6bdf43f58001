package decode

import (
	"net/netip"

	"btcsniff/record"
)

const maxUserAgent = 256 // bytes; Bitcoin Core, net.h, MAX_SUBVERSION_LENGTH

// parseVersion fills in r but for its Meta. It takes every length that the message has had, by what is there and not
// by the protocol number, as Bitcoin Core does (net_processing.cpp, NetMsgType::VERSION): the fields from
// addr_from on came in steps (with protocol 106, 209 and 70001). Bytes after the last field are ignored. r is not touched on error.
func parseVersion(b []byte, r *record.Version) error {
	c := cursor{b: b}
	v := record.Version{Meta: r.Meta, Relay: true} // BIP 37: no field means true
	readVersion(&c, &v)
	if c.bad {
		return errMalformed
	}
	*r = v
	return nil
}

// readVersion reads the fields of v and leaves c behind the last one.
func readVersion(c *cursor, v *record.Version) {
	v.Protocol = int32(c.u32())
	v.Services = c.u64()
	v.Timestamp = int64(c.u64())
	v.AddrRecv = netAddr(c)
	if c.left() > 0 {
		v.AddrFrom = netAddr(c)
		v.Nonce = c.u64()
	}
	if c.left() > 0 {
		n := c.count(1)
		if n > maxUserAgent {
			c.fail()
		}
		v.UserAgent = string(c.take(n))
	}
	if c.left() > 0 {
		v.StartHeight = int32(c.u32())
	}
	if c.left() > 0 {
		v.Relay = c.u8() != 0
	}
}

// netAddr reads an address as it is in version messages: services, which are passed over, address, port.
func netAddr(c *cursor) netip.AddrPort {
	c.take(8)
	ip, ok := netip.AddrFromSlice(c.take(16))
	port := c.u16be()
	if !ok || c.bad {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.Unmap(), port)
}

// plausibleVersion says whether b can hardly be anything but the payload of a version message. It stands
// in for the checksum that these messages did not have before 2012-02-20.
func plausibleVersion(b []byte) bool {
	const (
		minTime     = 1230768000 // 2009-01-01, in seconds since the Unix epoch
		maxTime     = 4102444800 // 2100-01-01
		maxProtocol = 1_000_000
	)
	c := cursor{b: b}
	var v record.Version
	readVersion(&c, &v)
	if c.bad || c.left() != 0 {
		return false
	}
	for i := range len(v.UserAgent) {
		if v.UserAgent[i] < ' ' || v.UserAgent[i] > '~' {
			return false
		}
	}
	return v.Protocol > 0 && v.Protocol <= maxProtocol && v.Timestamp >= minTime && v.Timestamp < maxTime
}
