package spool

import (
	"fmt"

	"btcsniff/record"
)

// encodeBatch appends b to to. All of b's records are of its capture.
func encodeBatch(to []byte, b *record.Batch) ([]byte, error) {
	body := coder{conns: map[*record.Conn]uint64{}, first: b.Capture.First}
	body.batch(b)
	head := coder{b: to}
	head.capture(b.Capture)
	list(&head, &body.table, 1, func(v **record.Conn) { head.conn(*v) })
	if body.err != nil {
		return to, body.err
	}
	return append(head.b, body.b...), head.err
}

// decodeBatch is the reverse of encodeBatch. capture returns the one that an equal one was decoded to before.
func decodeBatch(from []byte, capture func(record.Capture) *record.Capture) (*record.Batch, error) {
	c := coder{b: from, read: true}
	var what record.Capture
	c.capture(&what)
	b := &record.Batch{Capture: capture(what)}
	list(&c, &c.table, 20, func(v **record.Conn) {
		*v = &record.Conn{Capture: b.Capture}
		c.conn(*v)
	})
	c.batch(b)
	if c.err == nil && len(c.b) > 0 {
		c.err = fmt.Errorf("%d bytes too many", len(c.b))
	}
	if c.err == nil {
		c.err = check(b)
	}
	if c.err != nil {
		return nil, fmt.Errorf("decode batch: %w", c.err)
	}
	return b, nil
}

// batch goes through the records, kind by kind. The least sizes are those of records that are all zero.
func (c *coder) batch(b *record.Batch) {
	unsigned(c, &b.Seq)
	list(c, &b.Order, 2, func(v *record.Ref) { unsigned(c, &v.Kind); unsigned(c, &v.Index) })
	list(c, &b.Invs, 7, func(v *record.Inv) { c.meta(&v.Meta); unsigned(c, &v.First); unsigned(c, &v.N) })
	list(c, &b.Vects, 33, func(v *record.InvVect) { unsigned(c, &v.Type); c.bytes(v.Hash[:]) })
	list(c, &b.Txs, 70, c.tx)
	list(c, &b.Blocks, 70, func(v *record.Block) {
		c.meta(&v.Meta)
		c.string(&v.Via)
		c.bytes(v.Hash[:])
		c.bytes(v.Prev[:])
		unsigned(c, &v.Index)
	})
	list(c, &b.Pings, 6, func(v *record.Ping) { c.meta(&v.Meta); unsigned(c, &v.Nonce) })
	list(c, &b.Pongs, 7, func(v *record.Pong) { c.meta(&v.Meta); unsigned(c, &v.Nonce); signed(c, &v.Ping) })
	list(c, &b.Versions, 14, c.version)
	list(c, &b.Addrs, 10, func(v *record.Addr) {
		c.meta(&v.Meta)
		c.string(&v.Address)
		unsigned(c, &v.Port)
		unsigned(c, &v.Services)
		signed(c, &v.LastSeen)
		unsigned(c, &v.Index)
	})
	list(c, &b.Conns, 20, c.end)
}

func (c *coder) tx(v *record.Tx) {
	c.meta(&v.Meta)
	c.bytes(v.TxID[:])
	c.bytes(v.WTxID[:])
	signed(c, &v.Version)
	unsigned(c, &v.LockTime)
	unsigned(c, &v.Size)
	unsigned(c, &v.Weight)
	list(c, &v.Inputs, 34, func(in *record.TxIn) { c.bytes(in.TxID[:]); unsigned(c, &in.Vout); unsigned(c, &in.Sequence) })
	list(c, &v.Outputs, 3, func(out *record.TxOut) { signed(c, &out.Value); c.string(&out.ScriptType); c.string(&out.Address) })
}

func (c *coder) version(v *record.Version) {
	c.meta(&v.Meta)
	signed(c, &v.Protocol)
	unsigned(c, &v.Services)
	signed(c, &v.Timestamp)
	c.addr(&v.AddrRecv)
	c.addr(&v.AddrFrom)
	unsigned(c, &v.Nonce)
	c.string(&v.UserAgent)
	signed(c, &v.StartHeight)
	c.bool(&v.Relay)
}

func (c *coder) end(v *record.ConnEnd) {
	c.ref(&v.Conn)
	c.time(&v.ClosedAt)
	c.bool(&v.SYN)
	c.bool(&v.OpenerKnown)
	unsigned(c, &v.Transport)
	signed(c, &v.HandshakeRTT)
	c.string(&v.UserAgent)
	for _, f := range []*record.FlowCount{&v.A, &v.B} {
		for _, n := range []*uint64{&f.Segments, &f.Bytes, &f.Retransmitted, &f.Lost, &f.Unseen, &f.Resyncs, &f.Messages} {
			unsigned(c, n)
		}
	}
}

// check looks whether what names places in the batch's slices stays within them.
func check(b *record.Batch) error {
	have := [record.NumKinds]int{
		record.KindInv: len(b.Invs), record.KindTx: len(b.Txs), record.KindBlock: len(b.Blocks), record.KindPing: len(b.Pings),
		record.KindPong: len(b.Pongs), record.KindVersion: len(b.Versions), record.KindAddr: len(b.Addrs), record.KindConn: len(b.Conns),
	}
	for _, r := range b.Order {
		if r.Kind >= record.NumKinds || int64(r.Index) >= int64(have[r.Kind]) {
			return fmt.Errorf("no record %d of kind %d", r.Index, r.Kind)
		}
	}
	for i := range b.Invs {
		if v := &b.Invs[i]; v.First < 0 || v.N < 0 || v.First > len(b.Vects) || v.N > len(b.Vects)-v.First {
			return fmt.Errorf("announcements %d to %d of %d", v.First, v.First+v.N, len(b.Vects))
		}
	}
	return nil
}
