// Package record defines what we know about one message: the record types, the words for
// connections, and the ledger that accounts for everything else. It leaves reading, decoding and storing
// to others and does no input or output.
package record

import "net/netip"

// Meta says who sent a message to whom, on which connection and when it was captured.
type Meta struct {
	Conn *Conn

	// SeenAt is the latest first-capture time among the segments that carry the message's own bytes.
	SeenAt Time
	// FirstByteAt is the capture time of the packet that first carried its first byte.
	FirstByteAt Time

	// Pos is the place of the message's first byte in its flow, counted from the first byte that was
	// captured, gaps of known size included. (Conn.ID, FromB, Pos) identifies a message in every run.
	Pos uint64
	// FromB is true for a message that Conn.B sent, false for one that Conn.A sent.
	FromB bool
}

// From is the endpoint that sent the message.
func (m *Meta) From() netip.AddrPort {
	if m.FromB {
		return m.Conn.B
	}
	return m.Conn.A
}

// To is the endpoint that the message was sent to.
func (m *Meta) To() netip.AddrPort {
	if m.FromB {
		return m.Conn.A
	}
	return m.Conn.B
}

// Outbound says whether the observed node sent the message. Such a message is never a first sighting.
// On a connection between two local addresses that a proxy was asked for, the one that opened it is the node.
func (m *Meta) Outbound() bool {
	c := m.Conn
	if c.LocalA && c.LocalB {
		return c.PeerName() == "" || !m.FromB
	}
	if m.FromB {
		return c.LocalB
	}
	return c.LocalA
}

// InvType is the number on the wire that says what an inventory vector's hash is of.
type InvType uint32

// Inventory types. Source: Bitcoin Core, protocol.h, GetDataMsg; BIP 144, BIP 152, BIP 339.
const (
	InvTx            InvType = 1
	InvBlock         InvType = 2
	InvFilteredBlock InvType = 3
	InvCmpctBlock    InvType = 4
	InvWTx           InvType = 5 // BIP 339: the hash is a wtxid
	InvWitness       InvType = 1 << 30
)

// An InvVect is one inventory vector: 36 bytes on the wire.
type InvVect struct {
	Type InvType
	Hash Hash
}

// An Inv is one inv message. Its N vectors are Batch.Vects[First : First+N].
type Inv struct {
	Meta
	First, N int
}

// A Tx is one tx message. Its slices are owned by the record.
type Tx struct {
	Meta
	TxID, WTxID Hash
	Version     int32
	LockTime    uint32
	Size        int // bytes as serialised on the wire, witnesses included
	Weight      int // BIP 141 weight units
	Inputs      []TxIn
	Outputs     []TxOut
}

// A TxIn names the output that a transaction spends.
type TxIn struct {
	TxID     Hash
	Vout     uint32
	Sequence uint32
}

// A TxOut is one output of a transaction.
type TxOut struct {
	Value      int64  // satoshi
	ScriptType string // Bitcoin Core's names: pubkeyhash, witness_v1_taproot, nonstandard, ...
	Address    string // "" where none exists
}

// A Block is a block that a headers, cmpctblock or block message announced.
type Block struct {
	Meta
	Via        string // the message's command
	Hash, Prev Hash
	Index      int // place within its message; 0 but for headers
}

// A Ping is one ping message. Nonce is 0 for one of before BIP 31, which has none.
type Ping struct {
	Meta
	Nonce uint64
}

// A Pong answers a ping.
type Pong struct {
	Meta
	Nonce uint64
	// Ping is the capture time of the matching ping on the same connection, or 0 if that was not
	// captured. The round-trip time is SeenAt less Ping.
	Ping Time
}

// RTT returns the round-trip time in microseconds; ok is false if the ping was not captured.
func (p *Pong) RTT() (us int64, ok bool) { return int64(p.SeenAt - p.Ping), p.Ping != 0 }

// A Version is one version message. Fields that old versions lack are zero.
type Version struct {
	Meta
	Protocol    int32
	Services    uint64
	Timestamp   int64 // seconds since the Unix epoch, as the sender claims
	AddrRecv    netip.AddrPort
	AddrFrom    netip.AddrPort
	Nonce       uint64
	UserAgent   string // as sent: any bytes
	StartHeight int32
	Relay       bool // true where the field is absent (BIP 37)
}

// An Addr is one address in an addr or addrv2 message.
type Addr struct {
	Meta
	Address  string // text form: IPv4, IPv6, Tor v3 (.onion), I2P (.b32.i2p), CJDNS; "network N: hex" for others
	Port     uint16
	Services uint64
	LastSeen int64 // seconds since the Unix epoch, as the sender claims
	Index    int   // place within its message
}

// A FlowCount counts what one side of a connection sent.
type FlowCount struct {
	Segments      uint64 // TCP segments of the flow
	Bytes         uint64 // payload bytes captured, retransmitted ones included
	Retransmitted uint64 // of these, bytes that had been captured before
	Lost          uint64 // bytes that are missing: holes that never filled, cut at the snap length
	Unseen        uint64 // bytes that the receiver acknowledged and the capture never had: see Ledger.UnseenBytes
	Resyncs       uint64 // times the next message had to be searched for
	Messages      uint64 // messages decoded
}

// A ConnEnd is what is known of a connection when it closes or the run ends.
type ConnEnd struct {
	Conn         *Conn
	ClosedAt     Time // capture time of the last packet
	SYN          bool // its opening was captured; otherwise it was joined mid-stream
	OpenerKnown  bool // Conn.A opened it; by SYN, else by the version messages
	Transport    Transport
	HandshakeRTT int64     // microseconds from SYN to the ACK of the SYN-ACK, as seen here; -1: not captured
	UserAgent    string    // the peer's: of the side that is not local, else B's
	A, B         FlowCount // what A sent, what B sent
}
