package sinktest

import (
	"fmt"
	"testing"

	"btcsniff/record"
)

// firstSeen tells a story of four peers, in two batches, whose answers are known: the node's own announcements never count; a tie
// goes to the lower connection id; a transaction that one peer announced by wtxid and another by txid is one, once it was captured
// itself; blocks are no transactions.
func firstSeen(t *testing.T, e *env) {
	c := newCapture("lab")
	var p [4]*record.Conn
	for i := range p {
		p[i] = newConn(c, fmt.Sprintf("192.0.2.%d:8333", i+1), int64(i))
	}
	p[3].SetPeerName("expyuzz4wqqyqhjn.onion:8333")
	inv := func(b *record.Batch, conn int, us int64, typ record.InvType, hash uint64) {
		b.Inv(sent(p[conn], us, uint64(us)), []record.InvVect{{Type: typ, Hash: hashOf(hash)}})
	}
	first, second := newBatch(c, 0), newBatch(c, 1)

	first.Inv(answered(p[0], 10, 0), []record.InvVect{{Type: 5, Hash: hashOf(0x31)}, {Type: 5, Hash: hashOf(0x41)}})
	inv(first, 1, 900, record.InvTx, 0x11)   // 0x11 is the txid,
	inv(first, 0, 1000, record.InvWTx, 0x21) // 0x21 the wtxid of one transaction
	inv(first, 2, 2000, record.InvWTx, 0x31)
	inv(first, 0, 2000, record.InvWTx, 0x31)
	inv(first, 0, 2100, record.InvBlock, 0x45)
	inv(second, 1, 2500, record.InvWTx, 0x31)
	inv(second, 2, 3000, record.InvWTx, 0x51)
	inv(second, 2, 3500, record.InvWTx, 0x51)
	inv(second, 3, 4000, record.InvTx|record.InvWitness, 0x61)
	inv(second, 0, 4100, record.InvTx, 0x61)
	second.Tx(record.Tx{Meta: sent(p[0], 5000, 5000), TxID: hashOf(0x11), WTxID: hashOf(0x21)})
	second.Tx(record.Tx{Meta: sent(p[1], 6000, 6000), TxID: hashOf(0x71), WTxID: hashOf(0x72)})
	second.Tx(record.Tx{Meta: answered(p[1], 6500, 6500), TxID: hashOf(0x81), WTxID: hashOf(0x81)})
	e.run([]*record.Batch{first, second}, 0, uint64(first.Len()+second.Len()))

	tied := "192.0.2.1"
	if p[2].ID < p[0].ID {
		tied = "192.0.2.3"
	}
	row := func(hash uint64, us int, peer, name, country, lead, peers string) string {
		return fmt.Sprintf("%s %s lab mainnet %s 8333 %s %s %s %s", hashOf(hash), start+record.Time(us), peer, name, country, lead, peers)
	}
	want := []string{
		row(0x11, 900, "192.0.2.2", "null", "private", "100", "2"),
		row(0x31, 2000, tied, "null", "private", "0", "3"),
		row(0x51, 3000, "192.0.2.3", "null", "private", "null", "1"),
		row(0x61, 4000, "192.0.2.4", "expyuzz4wqqyqhjn.onion:8333", "tor", "100", "2"),
		row(0x71, 6000, "192.0.2.2", "null", "private", "null", "1"),
	}
	const columns = "hash, first_seen, sensor, network, peer_address, peer_port, peer_name, country, lead_us, peers"
	e.want("SELECT "+columns+" FROM first_seen ORDER BY first_seen, hash", want...)
	e.want("SELECT "+columns+" FROM first_seen WHERE hash = '"+hashOf(0x31).String()+"'", want[1])
	e.want("SELECT seen_at, peer_address, peer_port, peer_name, country, type, hash FROM announcement WHERE seen_at < '2025-10-06 22:56:42.002+00' ORDER BY seen_at",
		fmt.Sprint(start+900, " 192.0.2.2 8333 null private 1 ", hashOf(0x11)),
		fmt.Sprint(start+1000, " 192.0.2.1 8333 null private 5 ", hashOf(0x21)))
	e.want("SELECT count(*) FROM announcement", "10")
}
