package pcaptest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"github.com/btcsuite/btcd/wire/v2"

	"btcsniff/record"
)

// A Net builds the messages of one Bitcoin network, by the magic that they begin with. All its methods return whole messages:
// header and payload.
type Net [4]byte

// Magics. Source: Bitcoin Core, kernel/chainparams.cpp.
var (
	Mainnet  = Net{0xf9, 0xbe, 0xb4, 0xd9}
	Testnet3 = Net{0x0b, 0x11, 0x09, 0x07}
	Testnet4 = Net{0x1c, 0x16, 0x3f, 0x28}
	Signet   = Net{0x0a, 0x03, 0xcf, 0x40}
	Regtest  = Net{0xfa, 0xbf, 0xb5, 0xda}
	Simnet   = Net{0x16, 0x1c, 0x14, 0x12}
)

// HeaderLen is the length of a message's header in bytes: magic, command, payload length, checksum.
const HeaderLen = 24

// Message builds a message of any command. Source: Bitcoin Core, protocol.h, CMessageHeader.
func (n Net) Message(command string, payload []byte) []byte {
	return n.AppendMessage(make([]byte, 0, HeaderLen+len(payload)), command, payload)
}

// AppendMessage appends a message of any command to b.
func (n Net) AppendMessage(b []byte, command string, payload []byte) []byte {
	b = append(b, n[:]...)
	var name [12]byte
	copy(name[:], command)
	b = append(b, name[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	sum := double(payload)
	b = append(b, sum[:4]...)
	return append(b, payload...)
}

func double(b []byte) [32]byte {
	first := sha256.Sum256(b)
	return sha256.Sum256(first[:])
}

// A Version holds the fields of a version message.
type Version struct {
	Protocol    int32
	Services    uint64
	Timestamp   int64 // seconds since the Unix epoch
	Recv, From  netip.AddrPort
	Nonce       uint64
	UserAgent   string
	StartHeight int32
	Relay       bool
}

// Version builds a version message. Source: Bitcoin Core, net_processing.cpp, PushNodeVersion.
func (n Net) Version(v Version) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(v.Protocol))
	b = le.AppendUint64(b, v.Services)
	b = le.AppendUint64(b, uint64(v.Timestamp))
	b = appendNetAddr(b, v.Services, v.Recv)
	b = appendNetAddr(b, v.Services, v.From)
	b = le.AppendUint64(b, v.Nonce)
	b = append(appendCount(b, len(v.UserAgent)), v.UserAgent...)
	b = le.AppendUint32(b, uint32(v.StartHeight))
	if v.Relay {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return n.Message("version", b)
}

func appendNetAddr(b []byte, services uint64, a netip.AddrPort) []byte {
	b = binary.LittleEndian.AppendUint64(b, services)
	ip := a.Addr().As16()
	b = append(b, ip[:]...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// appendCount appends a CompactSize. Source: Bitcoin Core, serialize.h.
func appendCount(b []byte, n int) []byte {
	le := binary.LittleEndian
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n <= 0xffff:
		return le.AppendUint16(append(b, 0xfd), uint16(n))
	case n <= 0xffffffff:
		return le.AppendUint32(append(b, 0xfe), uint32(n))
	}
	return le.AppendUint64(append(b, 0xff), uint64(n))
}

// Verack builds a verack message.
func (n Net) Verack() []byte { return n.Message("verack", nil) }

// Ping builds a ping message. Source: BIP 31.
func (n Net) Ping(nonce uint64) []byte {
	return n.Message("ping", binary.LittleEndian.AppendUint64(nil, nonce))
}

// Pong builds a pong message. Source: BIP 31.
func (n Net) Pong(nonce uint64) []byte {
	return n.Message("pong", binary.LittleEndian.AppendUint64(nil, nonce))
}

// Inv builds an inv message.
func (n Net) Inv(vects ...record.InvVect) []byte { return n.Message("inv", appendVects(nil, vects)) }

// GetData builds a getdata message.
func (n Net) GetData(vects ...record.InvVect) []byte {
	return n.Message("getdata", appendVects(nil, vects))
}

func appendVects(b []byte, vects []record.InvVect) []byte {
	b = appendCount(b, len(vects))
	for i := range vects {
		b = binary.LittleEndian.AppendUint32(b, uint32(vects[i].Type))
		b = append(b, vects[i].Hash[:]...)
	}
	return b
}

// Tx builds a tx message, with its witnesses where it has any.
func (n Net) Tx(tx *wire.MsgTx) []byte { return n.Message("tx", txBytes(tx)) }

// txBytes is a transaction as sent. Writing into a buffer can't fail.
func txBytes(tx *wire.MsgTx) []byte {
	var buf bytes.Buffer
	_ = tx.Serialize(&buf)
	return buf.Bytes()
}

// Headers builds a headers message.
func (n Net) Headers(headers ...wire.BlockHeader) []byte {
	b := appendCount(nil, len(headers))
	for i := range headers {
		b = append(append(b, headerBytes(&headers[i])...), 0) // no transactions
	}
	return n.Message("headers", b)
}

func headerBytes(h *wire.BlockHeader) []byte {
	var buf bytes.Buffer
	_ = h.Serialize(&buf)
	return buf.Bytes()
}

// Block builds a block message.
func (n Net) Block(header *wire.BlockHeader, txs ...*wire.MsgTx) []byte {
	b := appendCount(headerBytes(header), len(txs))
	for _, tx := range txs {
		b = append(b, txBytes(tx)...)
	}
	return n.Message("block", b)
}

// CmpctBlock builds a cmpctblock message: six-byte short ids, and the first transaction in full. Source: BIP 152.
func (n Net) CmpctBlock(header *wire.BlockHeader, nonce uint64, shortIDs [][6]byte, first *wire.MsgTx) []byte {
	b := binary.LittleEndian.AppendUint64(headerBytes(header), nonce)
	b = appendCount(b, len(shortIDs))
	for _, id := range shortIDs {
		b = append(b, id[:]...)
	}
	b = append(appendCount(b, 1), 0) // one transaction, at place 0
	return n.Message("cmpctblock", append(b, txBytes(first)...))
}

// An Addr is one address in an addr or addrv2 message.
type Addr struct {
	LastSeen uint32 // seconds since the Unix epoch
	Services uint64
	Network  uint8  // of addrv2: 1 IPv4, 2 IPv6, 4 Tor v3, 5 I2P, 6 CJDNS; addr has no such field
	Address  []byte // of addrv2: 4, 16 or 32 bytes; of addr: 4 or 16
	Port     uint16
}

// Addr builds an addr message.
func (n Net) Addr(addrs ...Addr) []byte {
	b := appendCount(nil, len(addrs))
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.Address)
		b = binary.LittleEndian.AppendUint32(b, a.LastSeen)
		b = appendNetAddr(b, a.Services, netip.AddrPortFrom(ip, a.Port))
	}
	return n.Message("addr", b)
}

// AddrV2 builds an addrv2 message. Source: BIP 155.
func (n Net) AddrV2(addrs ...Addr) []byte {
	b := appendCount(nil, len(addrs))
	for _, a := range addrs {
		b = binary.LittleEndian.AppendUint32(b, a.LastSeen)
		b = appendCount(b, int(a.Services))
		b = append(b, a.Network)
		b = append(appendCount(b, len(a.Address)), a.Address...)
		b = binary.BigEndian.AppendUint16(b, a.Port)
	}
	return n.Message("addrv2", b)
}
