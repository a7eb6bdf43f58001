package sinktest

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"btcsniff/record"
	"btcsniff/sink"
)

// connLine returns what most queries of the cases begin a row with for m: seen_at, first_byte_at, conn, from_b, outbound, pos.
func connLine(m record.Meta) string {
	return fmt.Sprint(m.SeenAt, " ", m.FirstByteAt, " ", m.Conn.ID, " ", m.FromB, " ", m.Outbound(), " ", m.Pos)
}

const connColumns = "seen_at, first_byte_at, conn, from_b, outbound, pos"

func everyKind(t *testing.T, e *env) {
	c := newCapture("lab")
	conn := newConn(c, "192.0.2.7:51234", 0)
	conn.SetPeerName("peer.example:8333")
	b := full(c, conn)
	e.run([]*record.Batch{b}, 0, uint64(b.Len()))

	inv, own := connLine(b.Invs[0].Meta), connLine(b.Invs[1].Meta)
	const peer = " 192.0.2.7 51234 peer.example:8333"
	e.want("SELECT "+connColumns+", index, count, type, hash, peer_address, peer_port, peer_name FROM inv ORDER BY seen_at, index",
		inv+" 0 3 5 "+hashOf(0xa1).String()+peer,
		inv+" 1 3 1 "+hashOf(0xa2).String()+peer,
		inv+" 2 3 2 "+hashOf(0xb1).String()+peer,
		own+" 0 1 5 "+hashOf(0xa1).String()+peer)

	e.want("SELECT "+connColumns+", encode(txid, 'hex'), encode(wtxid, 'hex'), version, lock_time, size, weight FROM tx ORDER BY seen_at",
		connLine(b.Txs[0].Meta)+" "+hashOf(0xa2).String()+" "+hashOf(0xa1).String()+" 2 916999 222 561",
		connLine(b.Txs[1].Meta)+" "+hashOf(0xa3).String()+" "+hashOf(0xa3).String()+" -1 0 10 40")
	e.want("SELECT conn, from_b, pos, seen_at, txid, index, prev_txid, prev_vout, sequence FROM tx_input ORDER BY index",
		fmt.Sprint(conn.ID, " false 300 ", b.Txs[0].SeenAt, " ", hashOf(0xa2), " 0 ", hashOf(0xc1), " 3 4294967293"),
		fmt.Sprint(conn.ID, " false 300 ", b.Txs[0].SeenAt, " ", hashOf(0xa2), " 1 ", hashOf(0xc2), " 4294967295 0"))
	e.want("SELECT txid, index, value, script_type, address FROM tx_output ORDER BY index",
		hashOf(0xa2).String()+" 0 5000000000 witness_v0_keyhash bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
		hashOf(0xa2).String()+" 1 0 nulldata null")
	e.want("SELECT "+connColumns+", index, via, hash, prev FROM block ORDER BY index",
		connLine(b.Blocks[0].Meta)+" 0 headers "+hashOf(0xb1).String()+" "+hashOf(0xb0).String(),
		connLine(b.Blocks[1].Meta)+" 1 headers "+hashOf(0xb2).String()+" "+hashOf(0xb1).String())
	e.want("SELECT "+connColumns+", nonce FROM ping ORDER BY seen_at",
		connLine(b.Pings[0].Meta)+" 18446744073709551615",
		connLine(b.Pings[1].Meta)+" 0")
	e.want("SELECT "+connColumns+", nonce, rtt_us FROM pong ORDER BY seen_at",
		connLine(b.Pongs[0].Meta)+" 18446744073709551615 1500321",
		connLine(b.Pongs[1].Meta)+" 5 null")
	e.want("SELECT "+connColumns+", protocol, services, claimed_at, addr_recv, addr_from, nonce, user_agent, start_height, relay FROM version ORDER BY seen_at",
		connLine(b.Versions[0].Meta)+" 70016 1033 2025-10-06T22:56:42.000000Z 203.0.113.1:8333 [2001:db8::5]:8333 77 /Satoshi:28.1.0/ 917000 true",
		connLine(b.Versions[1].Meta)+" 31402 1 2025-10-06T22:56:43.000000Z 192.0.2.7:51234 null 0 /btcwire:0.5.0/ -1 false")
	e.want("SELECT "+connColumns+", index, address, port, services, last_seen FROM addr ORDER BY index",
		connLine(b.Addrs[0].Meta)+" 0 198.51.100.9 8333 1033 2025-10-06T22:50:00.000000Z",
		connLine(b.Addrs[1].Meta)+" 1 2001:db8::9 65535 18446744073709551615 1970-01-01T00:00:00.000000Z")
	wantConnection(e, conn)
	e.want("SELECT s.name, c.name, c.first_at, encode(c.digest, 'hex'), c.complete FROM capture c JOIN sensor s ON s.id = c.sensor",
		fmt.Sprintf("lab eth0 %s %x false", start, c.Digest))
	e.want("SELECT count(*) FROM tx t JOIN capture c ON c.id = t.capture JOIN connection k ON k.id = t.conn AND k.capture = c.id", "2")
}

// wantConnection compares the connection of full.
func wantConnection(e *env, conn *record.Conn) {
	e.t.Helper()
	e.want("SELECT id, a_address, a_port, b_address, b_port, local_a, local_b, opener_known, peer_address, peer_port, peer_name, network FROM connection",
		fmt.Sprint(conn.ID, " 192.0.2.7 51234 203.0.113.1 8333 false true true 192.0.2.7 51234 peer.example:8333 mainnet"))
	e.want("SELECT opened_at, closed_at, start, transport, handshake_rtt_us, user_agent FROM connection",
		"2025-10-06T22:56:42.000000Z 2025-10-06T22:56:51.000000Z syn v1 20001 /Satoshi:28.1.0/")
	e.want("SELECT a_segments, a_bytes, a_retransmitted, a_lost, a_unseen, a_resyncs, a_messages, "+
		"b_segments, b_bytes, b_retransmitted, b_lost, b_unseen, b_resyncs, b_messages FROM connection",
		"11 12000000000 13 14 17 15 16 21 22 23 24 27 25 26")
}

// oneText asks what researchers ask, in words that all databases understand.
func oneText(t *testing.T, e *env) {
	c := newCapture("lab")
	conn := newConn(c, "192.0.2.7:51234", 0)
	b := full(c, conn)
	second := newConn(c, "[2001:db8::9]:8333", 50)
	b.Inv(sent(second, 61_000_000, 9), []record.InvVect{{Type: record.InvWTx, Hash: hashOf(0xa1)}})
	b.Inv(sent(second, 1_002_000, 99), []record.InvVect{{Type: record.InvTx, Hash: hashOf(0xa9)}})
	e.run([]*record.Batch{b}, 0, uint64(b.Len()))

	e.want("SELECT count(*) FROM inv WHERE hash = decode('"+hashOf(0xa1).String()+"', 'hex')", "3")
	e.want("SELECT count(*) FROM inv WHERE encode(hash, 'hex') = '"+hashOf(0xa1).String()+"'", "3")
	e.want("SELECT type, count(*), min(seen_at), max(seen_at) FROM inv GROUP BY type ORDER BY type",
		"1 2 2025-10-06T22:56:42.001001Z 2025-10-06T22:56:43.002000Z",
		"2 1 2025-10-06T22:56:42.001001Z 2025-10-06T22:56:42.001001Z",
		"5 3 2025-10-06T22:56:42.001001Z 2025-10-06T22:57:43.000000Z")
	e.want("SELECT DISTINCT minute FROM inv ORDER BY minute", "2025-10-06T22:56:00.000000Z", "2025-10-06T22:57:00.000000Z")
	e.want("SELECT count(*) FROM inv WHERE seen_at >= '2025-10-06 22:56:43+00' AND seen_at < '2025-10-06 22:57:00+00'", "1")
	e.want("SELECT DISTINCT ON (peer_port) peer_address, peer_port, seen_at FROM announcement ORDER BY peer_port, seen_at",
		"2001:db8::9 8333 2025-10-06T22:56:43.002000Z", "192.0.2.7 51234 2025-10-06T22:56:42.001001Z")
	e.want("SELECT peer_address, count(*) AS n FROM inv GROUP BY peer_address HAVING count(*) > 1 ORDER BY n DESC",
		"192.0.2.7 4", "2001:db8::9 2")
	e.want("SELECT a.hash, b.seen_at - a.seen_at > INTERVAL '1 minute' FROM announcement a JOIN announcement b ON b.hash = a.hash AND b.seen_at > a.seen_at",
		hashOf(0xa1).String()+" true")
	e.want("SELECT sum(o.value), count(o.address) FROM tx t JOIN tx_output o ON o.txid = t.txid AND o.conn = t.conn AND o.pos = t.pos",
		"5000000000 1")
	e.want("SELECT nonce FROM ping WHERE nonce = 18446744073709551615", "18446744073709551615")
	e.want("SELECT max(rtt_us), count(*) FROM pong", "1500321 2")
	e.want("SELECT k.peer_address, v.user_agent FROM version v JOIN connection k ON k.id = v.conn WHERE NOT v.outbound",
		"192.0.2.7 /Satoshi:28.1.0/")
	e.want("SELECT address FROM addr WHERE address LIKE '2001:%'", "2001:db8::9")
	e.want("SELECT closed_at IS NULL, start IS NULL FROM connection ORDER BY id", boolLines(conn.ID < second.ID)...)
}

// boolLines is what a closed and an open connection look like, the closed one first or not.
func boolLines(closedFirst bool) []string {
	if closedFirst {
		return []string{"false false", "true true"}
	}
	return []string{"true true", "false false"}
}

func sameBatch(t *testing.T, e *env) {
	c := newCapture("lab")
	b := full(c, newConn(c, "192.0.2.7:51234", 0))
	e.open()
	e.begin(c, 0)
	e.write(b, uint64(b.Len()))
	before := tableCounts(e)
	e.write(b, 0)
	e.close()
	e.want(countsQuery, before...)
}

// countsQuery counts the rows of every table that holds records.
const countsQuery = `SELECT 'inv', count(*) FROM inv UNION ALL SELECT 'tx', count(*) FROM tx
UNION ALL SELECT 'tx_input', count(*) FROM tx_input UNION ALL SELECT 'tx_output', count(*) FROM tx_output
UNION ALL SELECT 'block', count(*) FROM block UNION ALL SELECT 'ping', count(*) FROM ping
UNION ALL SELECT 'pong', count(*) FROM pong UNION ALL SELECT 'version', count(*) FROM version
UNION ALL SELECT 'addr', count(*) FROM addr UNION ALL SELECT 'connection', count(*) FROM connection
UNION ALL SELECT 'batch', count(*) FROM batch UNION ALL SELECT 'capture', count(*) FROM capture
UNION ALL SELECT 'sensor', count(*) FROM sensor ORDER BY 1`

func tableCounts(e *env) []string {
	e.t.Helper()
	return e.lines(countsQuery)
}

// A maker appends one message's records.
type maker func(b *record.Batch)

// messages returns n messages of all kinds on three connections.
func messages(c *record.Capture, n int) []maker {
	conns := []*record.Conn{newConn(c, "192.0.2.7:51234", 0), newConn(c, "192.0.2.8:8333", 10), newConn(c, "[2001:db8::7]:8333", 20)}
	var out []maker
	for i := range n {
		m := sent(conns[i%3], int64(1000*i/3), uint64(100*i))
		m.FromB = i%5 == 0
		h := hashOf(uint64(i / 4))
		out = append(out, func(b *record.Batch) {
			switch i % 7 {
			case 0:
				b.Tx(record.Tx{Meta: m, TxID: h, WTxID: h, Inputs: make([]record.TxIn, 2), Outputs: make([]record.TxOut, 3)})
			case 1:
				b.Block(record.Block{Meta: m, Via: "headers", Hash: h})
				b.Block(record.Block{Meta: m, Via: "headers", Hash: h, Index: 1})
			case 2:
				b.Ping(record.Ping{Meta: m, Nonce: uint64(i)})
				b.Pong(record.Pong{Meta: m, Nonce: uint64(i)})
			case 3:
				b.Addr(record.Addr{Meta: m, Address: "192.0.2.1"})
				b.Addr(record.Addr{Meta: m, Address: "192.0.2.2", Index: 1})
				b.Version(record.Version{Meta: m})
			default:
				b.Inv(m, []record.InvVect{{Type: 1, Hash: h}, {Type: 5, Hash: h}, {Type: 1, Hash: hashOf(7)}})
			}
		})
	}
	return out
}

// cut makes batches of size messages each.
func cut(c *record.Capture, m []maker, size int) (batches []*record.Batch, records uint64) {
	for i := 0; i < len(m); i += size {
		b := newBatch(c, uint64(len(batches)))
		for _, add := range m[i:min(i+size, len(m))] {
			add(b)
		}
		batches = append(batches, b)
		records += uint64(b.Len())
	}
	return batches, records
}

func sameCapture(t *testing.T, e *env) {
	batches, n := cut(newCapture("lab"), messages(newCapture("lab"), 60), 13)
	e.run(batches, 0, n)
	before := tableCounts(e)
	e.run(batches, n, 0)
	e.want(countsQuery, before...)
}

func otherBorders(t *testing.T, e *env) {
	c := newCapture("lab")
	all := messages(c, 90)
	first, n := cut(c, all[:55], 10)
	e.run(first, 0, n)
	longer, total := cut(c, all, 7)
	e.run(longer, n, total-n)
	e.run(first, total, 0)
	e.run(longer, total, 0)

	var want [record.NumKinds]uint64
	for _, b := range longer {
		for k, n := range b.Counts() {
			want[k] += n
		}
	}
	for k, n := range want {
		if kind := record.Kind(k); kind != record.KindConn {
			e.want("SELECT count(*) FROM "+kind.String(), fmt.Sprint(n))
		}
	}
	e.want("SELECT count(*) FROM tx_input", fmt.Sprint(2*want[record.KindTx]))
	e.want("SELECT count(*) FROM tx_output", fmt.Sprint(3*want[record.KindTx]))
	e.want("SELECT count(*) FROM (SELECT DISTINCT conn, from_b, pos, index FROM inv) d", fmt.Sprint(want[record.KindInv]))
	e.want("SELECT count(*) FROM connection", "3")
}

// closesLater has a connection that was open when the first run ended, and a second run that goes on.
func closesLater(t *testing.T, e *env) {
	c := newCapture("lab")
	conn := newConn(c, "192.0.2.7:51234", 0)
	run := func(messages int, closed int64) *record.Batch {
		b := newBatch(c, 0)
		for i := range messages {
			b.Ping(record.Ping{Meta: sent(conn, int64(100*i), uint64(32*i))})
		}
		b.Conn(record.ConnEnd{Conn: conn, ClosedAt: start + record.Time(closed), HandshakeRTT: -1, Transport: record.TransportV1,
			A: record.FlowCount{Messages: uint64(messages)}})
		return b
	}
	const query = "SELECT closed_at, start, handshake_rtt_us, user_agent, a_messages FROM connection"
	write := func(b *record.Batch) {
		t.Helper()
		e.open()
		if _, err := e.sink.Begin(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := e.sink.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		e.close()
	}
	write(run(2, 5_000_000))
	e.want(query, "2025-10-06T22:56:47.000000Z midstream null null 2")
	write(run(3, 9_000_000))
	e.want(query, "2025-10-06T22:56:51.000000Z midstream null null 3")
	write(run(2, 5_000_000))
	write(run(1, 4_000_000))
	e.want(query, "2025-10-06T22:56:51.000000Z midstream null null 3")
	e.want("SELECT count(*) FROM ping", "3")
}

// twoCaptures stores the same traffic as two sensors saw it, and another interface's of the first, through one sink.
func twoCaptures(t *testing.T, e *env) {
	other := newCapture("lab")
	other.Name, other.Digest = "lo", [32]byte{1}
	captures := []*record.Capture{newCapture("lab"), newCapture("far"), other}
	peers := []string{"192.0.2.7:51234", "192.0.2.7:51234", "192.0.2.8:51234"}
	e.open()
	for _, c := range captures {
		e.begin(c, 0)
	}
	var batches []*record.Batch
	for i, c := range captures {
		b := full(c, newConn(c, peers[i], 0))
		batches = append(batches, b)
		e.write(b, uint64(b.Len()))
	}
	e.close()
	e.want("SELECT s.name, c.name, count(*) FROM inv i JOIN capture c ON c.id = i.capture JOIN sensor s ON s.id = c.sensor GROUP BY s.name, c.name ORDER BY s.name, c.name",
		"far eth0 4", "lab eth0 4", "lab lo 4")
	e.open()
	for i, c := range captures {
		e.begin(c, uint64(batches[i].Len()))
		e.write(batches[i], 0)
	}
	e.close()
}

// sameConnection stores two captures of one sensor that hold the same connection: it is one, and ends once.
func sameConnection(t *testing.T, e *env) {
	one, two := newCapture("lab"), newCapture("lab")
	two.Name, two.Digest = "any", [32]byte{1}
	e.open()
	for i, c := range []*record.Capture{one, two} {
		e.begin(c, 0)
		b := newBatch(c, 0)
		conn := newConn(c, "192.0.2.7:51234", 0)
		b.Inv(sent(conn, 1000, 0), []record.InvVect{{Type: record.InvWTx, Hash: hashOf(1)}})
		b.Conn(record.ConnEnd{Conn: conn, ClosedAt: start + 5000})
		e.write(b, uint64(2-i))
	}
	e.begin(two, 1)
	e.close()
	e.want("SELECT count(*) FROM inv", "2")
	e.want("SELECT count(*) FROM connection", "1")
	e.want("SELECT peers, lead_us FROM first_seen", "1 null")
}

func hostileText(t *testing.T, e *env) {
	evil := "\x00\xff'; DROP TABLE tx; --\\ \\x00 \\N \"\r\n\t\x1b[2J\u202e\U0001f600\xed\xa0\x80" + strings.Repeat("é", 200)
	c := newCapture("l'a\"b\\ \u00fc")
	conn := newConn(c, "192.0.2.7:51234", 0)
	conn.SetPeerName("a\x00'.onion:1")
	b := newBatch(c, 0)
	b.Version(record.Version{Meta: sent(conn, 0, 0), UserAgent: evil})
	b.Addr(record.Addr{Meta: sent(conn, 1, 100), Address: "network 9: \xff\x00"})
	b.Block(record.Block{Meta: sent(conn, 2, 200), Via: "b\xff"})
	b.Tx(record.Tx{Meta: sent(conn, 3, 300), Outputs: []record.TxOut{{ScriptType: "'\xfe", Address: "\x01\x00"}}})
	b.Conn(record.ConnEnd{Conn: conn, ClosedAt: start + 9, UserAgent: evil})
	e.run([]*record.Batch{b}, 0, uint64(b.Len()))
	e.want("SELECT user_agent FROM version", sink.Text(evil))
	e.want("SELECT peer_name, user_agent FROM connection", sink.Text("a\x00'.onion:1")+" "+sink.Text(evil))
	e.want("SELECT name FROM sensor", c.Sensor)
	e.want("SELECT address FROM addr", sink.Text("network 9: \xff\x00"))
	e.want("SELECT via FROM block", sink.Text("b\xff"))
	e.want("SELECT script_type, address FROM tx_output", sink.Text("'\xfe")+" "+sink.Text("\x01\x00"))
	e.run([]*record.Batch{b}, uint64(b.Len()), 0)
}

// absurdTimes has times that peers claim, and capture times of a broken file: all that nanoseconds in 64 bits can say.
func absurdTimes(t *testing.T, e *env) {
	c := newCapture("lab")
	c.First = record.FromNanos(math.MinInt64)
	conn := newConn(c, "192.0.2.7:51234", 0)
	b := newBatch(c, 0)
	claims := []int64{math.MinInt64, -1, 0, 253402300799, 253402300800, math.MaxInt64}
	for i, claim := range claims {
		m := sent(conn, int64(i), uint64(100*i))
		b.Version(record.Version{Meta: m, Timestamp: claim})
		b.Addr(record.Addr{Meta: m, Address: "192.0.2.1", LastSeen: claim})
	}
	for i, ns := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		m := sent(conn, 0, uint64(1000+i))
		m.SeenAt, m.FirstByteAt = record.FromNanos(ns), record.FromNanos(ns)
		b.Ping(record.Ping{Meta: m})
		b.Inv(m, []record.InvVect{{Type: 1}})
	}
	e.run([]*record.Batch{b}, 0, uint64(b.Len()))
	claimed := []string{"null", "null", "1970-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.000000Z", "null", "null"}
	e.want("SELECT claimed_at FROM version ORDER BY pos", claimed...)
	e.want("SELECT last_seen FROM addr ORDER BY pos", claimed...)
	seen := []string{"1677-09-21T00:12:43.145224Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00.000000Z",
		"1970-01-01T00:00:00.000000Z", "2262-04-11T23:47:16.854775Z"}
	e.want("SELECT seen_at FROM ping ORDER BY pos", seen...)
	e.want("SELECT seen_at FROM inv ORDER BY pos", seen...)
	e.run([]*record.Batch{b}, uint64(b.Len()), 0)
}

func greatNumbers(t *testing.T, e *env) {
	c := newCapture("lab")
	conn := newConn(c, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 0)
	conn.ID = math.MaxInt64
	b := newBatch(c, 1<<40)
	const pos = 1 << 62
	var all record.Hash
	for i := range all {
		all[i] = byte(0xe0 + i)
	}
	vects := make([]record.InvVect, 50_000)
	for i := range vects {
		vects[i] = record.InvVect{Type: math.MaxUint32, Hash: hashOf(uint64(i))}
	}
	vects[49_999].Hash = all
	b.Inv(sent(conn, 1, pos), vects)
	b.Version(record.Version{Meta: sent(conn, 2, pos+1), Protocol: math.MinInt32, Services: math.MaxUint64, StartHeight: math.MinInt32,
		Nonce: math.MaxUint64, AddrFrom: netip.MustParseAddrPort("[::ffff:192.0.2.1]:0")})
	b.Tx(record.Tx{Meta: sent(conn, 3, pos+2), TxID: all, Version: math.MinInt32, LockTime: math.MaxUint32, Size: 4_000_000, Weight: 16_000_000,
		Inputs: []record.TxIn{{Vout: math.MaxUint32, Sequence: math.MaxUint32}}, Outputs: []record.TxOut{{Value: math.MinInt64}, {Value: math.MaxInt64}}})
	e.run([]*record.Batch{b}, 0, uint64(b.Len()))
	e.want("SELECT pos, index, count, type, hash FROM inv WHERE index = 49999",
		fmt.Sprint(uint64(pos), " 49999 50000 4294967295 ", all))
	e.want("SELECT count(*), max(index) FROM inv", "50000 49999")
	e.want("SELECT conn, protocol, services, nonce, start_height, addr_from FROM version",
		"9223372036854775807 -2147483648 18446744073709551615 18446744073709551615 -2147483648 [::ffff:192.0.2.1]:0")
	e.want("SELECT version, lock_time, size, weight FROM tx", "-2147483648 4294967295 4000000 16000000")
	e.want("SELECT prev_vout, sequence FROM tx_input", "4294967295 4294967295")
	e.want("SELECT value FROM tx_output ORDER BY index", "-9223372036854775808", "9223372036854775807")
	e.want("SELECT seq FROM batch", "1099511627776")
	e.want("SELECT a_address, a_port FROM connection", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 65535")
}

func repeatedVectors(t *testing.T, e *env) {
	c := newCapture("lab")
	conn := newConn(c, "192.0.2.7:51234", 0)
	b := newBatch(c, 0)
	one, other := record.InvVect{Type: 1, Hash: hashOf(1)}, record.InvVect{Type: 5, Hash: hashOf(1)}
	b.Inv(sent(conn, 1, 0), []record.InvVect{one, one, other})
	b.Inv(sent(conn, 2, 200), []record.InvVect{one})
	e.run([]*record.Batch{b}, 0, 4)
	e.want("SELECT pos, index, count, type FROM inv ORDER BY pos, index", "0 0 3 1", "0 1 3 1", "0 2 3 5", "200 0 1 1")
	e.want("SELECT peers, lead_us FROM first_seen", "1 null")
}

func emptyBatch(t *testing.T, e *env) {
	c := newCapture("lab")
	b := newBatch(c, 0)
	e.open()
	e.begin(c, 0)
	e.write(b, 0)
	b.Inv(sent(newConn(c, "192.0.2.7:51234", 0), 1, 0), nil)
	e.write(b, 0)
	e.write(b, 0)
	e.close()
	e.want("SELECT count(*) FROM inv", "0")
	e.run([]*record.Batch{b}, 0, 0)
}

// storesLedger ends a capture three times: the ledger of the run that read most packets stays.
func storesLedger(t *testing.T, e *env) {
	c := newCapture("lab")
	b := full(c, newConn(c, "192.0.2.7:51234", 0))
	end := func(packets uint64, stored, added uint64, files ...record.File) {
		t.Helper()
		e.open()
		e.begin(c, stored)
		e.write(b, added)
		l := &record.Ledger{PacketsRead: packets, TCPBytes: 5000 + packets, Undecodable: map[string]uint64{"bad 'thing'": 1},
			Messages: map[string]record.Command{"inv": {Messages: 3, Bytes: 300}}}
		if err := e.sink.End(context.Background(), c, l, files); err != nil {
			t.Fatalf("End: %v", err)
		}
		e.close()
	}
	n := uint64(b.Len())
	end(90, 0, n, record.File{Name: "1.pcap", Size: 1 << 40, Packets: 90, First: start, Last: start + 1})
	end(100, n, 0, record.File{Name: "1.pcap", Size: 1 << 40, Packets: 90, First: start, Last: start + 1},
		record.File{Name: "2'.pcap", Packets: 0, Problem: "cut off\x00"})
	end(80, n, 0)
	e.want("SELECT complete, ledger->>'packets_read', ledger->>'tcp_bytes', ledger->'messages'->'inv'->>'bytes' FROM capture",
		"true 100 5100 300")
	e.want("SELECT name, size, packets, first_at, last_at, problem FROM capture_file ORDER BY name",
		"1.pcap 1099511627776 90 2025-10-06T22:56:42.000000Z 2025-10-06T22:56:42.000001Z null",
		"2'.pcap 0 0 null null "+sink.Text("cut off\x00"))
	e.want("SELECT count(*) FROM sensor", "1")
}

// blindTimes tells of intervals while they go on, once more than they grew, and of one that nothing else is known of.
func blindTimes(t *testing.T, e *env) {
	c := newCapture("lab")
	e.open()
	e.begin(c, 0)
	for _, b := range []record.Blind{
		{Reason: record.KernelDrops, From: start, To: start + 1_000_000, Open: true, Packets: 7},
		{Reason: record.KernelDrops, From: start, To: start + 2_000_001, Packets: 1 << 40},
		{Reason: record.KernelDrops, From: start, To: start + 1_000_000, Open: true, Packets: 7}, // again, after a crash
		{Reason: record.SpoolFull, From: start, To: start + 5, Records: 9, Bytes: 10},
		{Reason: record.InterfaceDown, From: start + 1, To: start + 1},
	} {
		b.Capture = c
		if err := e.sink.(sink.Blinder).Blind(context.Background(), &b); err != nil {
			t.Fatalf("Blind: %v", err)
		}
	}
	if err := e.sink.(sink.Blinder).Blind(context.Background(), &record.Blind{Capture: newCapture("other")}); err == nil {
		t.Error("Blind of a capture that was not begun succeeds")
	}
	e.close()
	e.want("SELECT s.name, c.name, reason, from_at, to_at, packets, records, bytes FROM blind b JOIN sensor s ON s.id = b.sensor "+
		"JOIN capture c ON c.id = b.capture ORDER BY reason",
		"lab eth0 interface down 2025-10-06T22:56:42.000001Z 2025-10-06T22:56:42.000001Z null null null",
		"lab eth0 kernel drops 2025-10-06T22:56:42.000000Z 2025-10-06T22:56:44.000001Z 1099511627776 null null",
		"lab eth0 spool full 2025-10-06T22:56:42.000000Z 2025-10-06T22:56:42.000005Z null 9 10")
}
