package sinktest

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"

	"btcsniff/record"
)

// start is 2025-10-06T22:56:42.000000Z, when all stories begin.
const start record.Time = 1759791402_000000

// node is the observed node in all stories.
var node = netip.MustParseAddrPort("203.0.113.1:8333")

// newCapture returns a capture that began at start. Its strings are on the heap, as a real one's are: cgo forbids some things then.
func newCapture(sensor string) *record.Capture {
	return &record.Capture{Sensor: strings.Clone(sensor), Name: strings.Clone("eth0"), First: start, Digest: sha256.Sum256([]byte(sensor))}
}

// newConn returns a connection that peer opened to the observed node, us microseconds after start. Its flows begin at position 0.
func newConn(c *record.Capture, peer string, us int64) *record.Conn {
	a := netip.MustParseAddrPort(peer)
	conn := &record.Conn{
		ID: record.ConnID(c.Sensor, a, node, start+record.Time(us)), Capture: c, A: a, B: node, OpenerKnown: true,
		OpenedAt: start + record.Time(us), LocalB: true,
	}
	conn.SetNetwork("mainnet")
	return conn
}

// sent is a message that the peer, side A, sent on c: seen us microseconds after start, its first byte 3 before.
func sent(c *record.Conn, us int64, pos uint64) record.Meta {
	return record.Meta{Conn: c, SeenAt: start + record.Time(us), FirstByteAt: start + record.Time(us-3), Pos: pos}
}

// answered is a message that the node, side B, sent on c.
func answered(c *record.Conn, us int64, pos uint64) record.Meta {
	m := sent(c, us, pos)
	m.FromB = true
	return m
}

// hashOf returns a hash that explorers show as n in 64 hex digits.
func hashOf(n uint64) (h record.Hash) {
	binary.LittleEndian.PutUint64(h[:], n)
	return h
}

// newBatch returns an empty batch.
func newBatch(c *record.Capture, seq uint64) *record.Batch {
	return &record.Batch{Capture: c, Seq: seq}
}

// full returns a batch with records of every kind, two or three of each.
func full(c *record.Capture, conn *record.Conn) *record.Batch {
	b := newBatch(c, 0)
	b.Version(record.Version{Meta: sent(conn, 100, 0), Protocol: 70016, Services: 1033, Timestamp: 1759791402,
		AddrRecv: node, AddrFrom: netip.MustParseAddrPort("[2001:db8::5]:8333"), Nonce: 77, UserAgent: "/Satoshi:28.1.0/",
		StartHeight: 917000, Relay: true})
	b.Version(record.Version{Meta: answered(conn, 200, 0), Protocol: 31402, Services: 1, Timestamp: 1759791403,
		AddrRecv: conn.A, UserAgent: "/btcwire:0.5.0/", StartHeight: -1})
	b.Inv(sent(conn, 1001, 126), []record.InvVect{{Type: record.InvWTx, Hash: hashOf(0xa1)}, {Type: record.InvTx, Hash: hashOf(0xa2)},
		{Type: record.InvBlock, Hash: hashOf(0xb1)}})
	b.Inv(answered(conn, 1002, 126), []record.InvVect{{Type: record.InvWTx, Hash: hashOf(0xa1)}})
	b.Inv(sent(conn, 1003, 258), nil)
	b.Tx(record.Tx{Meta: sent(conn, 2000, 300), TxID: hashOf(0xa2), WTxID: hashOf(0xa1), Version: 2, LockTime: 916999, Size: 222, Weight: 561,
		Inputs: []record.TxIn{{TxID: hashOf(0xc1), Vout: 3, Sequence: 4294967293}, {TxID: hashOf(0xc2), Vout: 4294967295, Sequence: 0}},
		Outputs: []record.TxOut{{Value: 5_000_000_000, ScriptType: "witness_v0_keyhash", Address: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},
			{Value: 0, ScriptType: "nulldata"}}})
	b.Tx(record.Tx{Meta: answered(conn, 2001, 200), TxID: hashOf(0xa3), WTxID: hashOf(0xa3), Version: -1, Size: 10, Weight: 40})
	b.Block(record.Block{Meta: sent(conn, 3000, 600), Via: "headers", Hash: hashOf(0xb1), Prev: hashOf(0xb0)})
	b.Block(record.Block{Meta: sent(conn, 3000, 600), Via: "headers", Hash: hashOf(0xb2), Prev: hashOf(0xb1), Index: 1})
	b.Ping(record.Ping{Meta: answered(conn, 4000, 500), Nonce: 18446744073709551615})
	b.Ping(record.Ping{Meta: sent(conn, 4001, 800)})
	b.Pong(record.Pong{Meta: sent(conn, 1_504_321, 900), Nonce: 18446744073709551615, Ping: start + 4000})
	b.Pong(record.Pong{Meta: sent(conn, 1_504_322, 940), Nonce: 5})
	b.Addr(record.Addr{Meta: sent(conn, 5000, 1000), Address: "198.51.100.9", Port: 8333, Services: 1033, LastSeen: 1759791000})
	b.Addr(record.Addr{Meta: sent(conn, 5000, 1000), Address: "2001:db8::9", Port: 65535, Services: 18446744073709551615, LastSeen: 0, Index: 1})
	b.Conn(record.ConnEnd{Conn: conn, ClosedAt: start + 9_000_000, SYN: true, OpenerKnown: true, Transport: record.TransportV1,
		HandshakeRTT: 20_001, UserAgent: "/Satoshi:28.1.0/",
		A: record.FlowCount{Segments: 11, Bytes: 12_000_000_000, Retransmitted: 13, Lost: 14, Unseen: 17, Resyncs: 15, Messages: 16},
		B: record.FlowCount{Segments: 21, Bytes: 22, Retransmitted: 23, Lost: 24, Unseen: 27, Resyncs: 25, Messages: 26}})
	return b
}
