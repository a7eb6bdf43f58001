package record

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync/atomic"
)

// A Capture is one continuous recording at one place: a live interface, or the files that a
// rotating tcpdump wrote. Its fields don't change once its first record was made.
type Capture struct {
	Sensor string   // the vantage point's name; stored with every record
	Name   string   // the capture's own name: its files' without time stamp or counter, or the interface
	First  Time     // capture time of the first packet
	Digest [32]byte // SHA-256 over the first packet's bytes; with Sensor and First it identifies the capture
}

// A Transport says how a connection carries Bitcoin messages.
type Transport uint8

const (
	TransportUnknown Transport = iota // no Bitcoin message and no v2 handshake was seen
	TransportV1                       // plain messages
	TransportV2                       // BIP 324: encrypted
)

// String returns the name users see: v1, v2 or unknown.
func (t Transport) String() string {
	switch t {
	case TransportV1:
		return "v1"
	case TransportV2:
		return "v2"
	}
	return "unknown"
}

// A Conn is one TCP connection. Records point to it; it is made by reassembly when the
// connection's first packet is seen. All fields but those behind methods are fixed from then
// on, so that sinks in other goroutines may read them.
type Conn struct {
	ID      uint64 // see ConnID
	Capture *Capture

	// A and B are the endpoints. A opened the connection if OpenerKnown, else A sent the
	// first packet that was captured.
	A, B        netip.AddrPort
	OpenerKnown bool
	OpenedAt    Time   // capture time of the first packet
	Number      uint64 // of the first packet, counted from 1 in its capture: connections in the order of their beginning

	// LocalA and LocalB say which of the endpoints belong to the observed node.
	LocalA, LocalB bool

	network  atomic.Pointer[string]
	peerName atomic.Pointer[string]
}

// ConnID computes a connection's id from the sensor's name, the endpoints and the capture
// time of its first packet: the first eight bytes, big-endian, with the top bit cleared (databases'
// 64-bit integers have a sign), of the SHA-256 of
//
//	sensor 0x00 lower endpoint 0x00 higher endpoint 0x00 microseconds since 1970 in decimal
//
// with the endpoints as text ("ip:port", "[v6]:port"), ordered by address and then port. The same capture has
// the same ids on every machine, whichever side's packet was seen first.
func ConnID(sensor string, a, b netip.AddrPort, first Time) uint64 {
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	buf := make([]byte, 0, 128)
	buf = append(buf, sensor...)
	buf = append(buf, 0)
	buf = a.AppendTo(buf)
	buf = append(buf, 0)
	buf = b.AppendTo(buf)
	buf = append(buf, 0)
	buf = strconv.AppendInt(buf, int64(first), 10)
	sum := sha256.Sum256(buf)
	return binary.BigEndian.Uint64(sum[:8]) &^ (1 << 63)
}

// SetNetwork names the network that the connection's messages are of. It is called by decode, before the
// connection's first record is made, and once only.
func (c *Conn) SetNetwork(name string) { c.network.Store(&name) }

// Network is the network's name, or "" while no Bitcoin message was seen.
func (c *Conn) Network() string { return load(&c.network) }

// SetPeerName names the peer as the node asked a proxy for it ("host:port"). It is called by decode, before the
// connection's first Bitcoin record is made, and once only.
func (c *Conn) SetPeerName(name string) { c.peerName.Store(&name) }

// PeerName is the name that a proxy was asked to connect to, or "".
func (c *Conn) PeerName() string { return load(&c.peerName) }

func load(p *atomic.Pointer[string]) string {
	if s := p.Load(); s != nil {
		return *s
	}
	return ""
}
