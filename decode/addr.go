package decode

import (
	"bytes"
	"crypto/sha3"
	"encoding/base32"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"btcsniff/record"
)

const (
	maxAddrs      = 1000              // entries; Bitcoin Core, net_processing.cpp, MAX_ADDR_TO_SEND
	addrSize      = 4 + 8 + 16 + 2    // bytes: time, services, address, port
	minAddrV2Size = 4 + 1 + 1 + 1 + 2 // bytes: time, services, network id, length of the address, port
	maxAddrV2     = 512               // bytes of an address; BIP 155
)

// Network ids of addrv2. Source: BIP 155; Bitcoin Core, netaddress.h, BIP155Network.
const (
	netIPv4  = 1
	netIPv6  = 2
	netTorV2 = 3
	netTorV3 = 4
	netI2P   = 5
	netCJDNS = 6
)

// parseAddr gives emit a record for each entry of an addr message, in order, without Meta. Nothing is emitted unless the
// whole payload is well-formed. Entries have their time, as since protocol 31402. Bytes after the last entry are
// ignored, as Bitcoin Core does.
func parseAddr(b []byte, emit func(record.Addr)) error {
	c := cursor{b: b}
	n := c.count(addrSize)
	if c.bad || n > maxAddrs {
		return errMalformed
	}
	for i := range n {
		seen, services := c.u32(), c.u64()
		text := addrV1Text([16]byte(c.take(16)))
		emit(record.Addr{Address: text, Port: c.u16be(), Services: services, LastSeen: int64(seen), Index: i})
	}
	return nil
}

// addrV1Text is the text form of the 16 bytes that an address has in an addr message.
func addrV1Text(a [16]byte) string {
	// OnionCat's prefix, fd87:d87e:eb43::/48, carried version 2 onion addresses. Source: BIP 155; Bitcoin Core,
	// netaddress.h, TORV2_IN_IPV6_PREFIX.
	if onion, ok := bytes.CutPrefix(a[:], []byte{0xfd, 0x87, 0xd8, 0x7e, 0xeb, 0x43}); ok {
		return lowerBase32(onion) + ".onion"
	}
	return netip.AddrFrom16(a).Unmap().String()
}

// parseAddrV2 is parseAddr for an addrv2 message (BIP 155). An address whose length is not that of its known network
// makes the message malformed; one of a network that nobody knows is given as "network N: hex".
func parseAddrV2(b []byte, emit func(record.Addr)) error {
	c := cursor{b: b}
	n := c.count(minAddrV2Size)
	if n > maxAddrs {
		return errMalformed
	}
	check := c
	for range n {
		readAddrV2(&check)
	}
	if c.bad || check.bad {
		return errMalformed
	}
	for i := range n {
		e := readAddrV2(&c)
		emit(record.Addr{
			Address: addrV2Text(e.network, e.address), Port: e.port,
			Services: e.services, LastSeen: int64(e.seen), Index: i,
		})
	}
	return nil
}

// An addrV2 is one entry of an addrv2 message. address is borrowed from the payload.
type addrV2 struct {
	seen     uint32 // seconds since the Unix epoch
	services uint64
	network  uint8
	address  []byte
	port     uint16
}

// readAddrV2 reads one entry and refuses what Bitcoin Core refuses (netaddress.cpp, SetNetFromBIP155Network).
// Version 2 onion addresses are unknown there since version 22, so any length will do for them.
func readAddrV2(c *cursor) (e addrV2) {
	e.seen, e.services, e.network = c.u32(), c.number(), c.u8()
	n := c.count(1)
	want := n
	switch e.network {
	case netIPv4:
		want = 4
	case netIPv6, netCJDNS:
		want = 16
	case netTorV3, netI2P:
		want = 32
	}
	if n != want || n > maxAddrV2 {
		c.fail()
	}
	e.address, e.port = c.take(n), c.u16be()
	return e
}

// addrV2Text is the text form of an address. Its length has been checked.
func addrV2Text(network uint8, a []byte) string {
	switch {
	case network == netIPv4:
		return netip.AddrFrom4([4]byte(a)).String()
	case network == netIPv6, network == netCJDNS:
		return netip.AddrFrom16([16]byte(a)).String()
	case network == netTorV2 && len(a) == 10:
		return lowerBase32(a) + ".onion"
	case network == netTorV3:
		return onionV3(a)
	case network == netI2P:
		return lowerBase32(a) + ".b32.i2p"
	}
	return "network " + strconv.Itoa(int(network)) + ": " + hex.EncodeToString(a)
}

// onionV3 is the name of a version 3 onion service with that public key.
// Source: Tor's rend-spec-v3, section 6: base32(key, checksum, version).
func onionV3(key []byte) string {
	const version = 3
	in := make([]byte, 0, 64)
	in = append(in, ".onion checksum"...)
	in = append(in, key...)
	in = append(in, version)
	sum := sha3.Sum256(in)
	return lowerBase32(append(append(in[:0], key...), sum[0], sum[1], version)) + ".onion"
}

func lowerBase32(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
