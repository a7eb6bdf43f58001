package sink

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"btcsniff/record"
)

// Digest says which records b holds, whatever its place among its capture's batches: SHA-256 over each record's identity
// (connection, direction, position), times and, for inv messages, vectors. The same capture read again gives the same digests as
// long as its batches have the same borders.
func Digest(b *record.Batch) [32]byte {
	d := digester{h: sha256.New(), buf: make([]byte, 0, 64<<10)}
	for _, ref := range b.Order {
		d.byte(byte(ref.Kind))
		switch i := ref.Index; ref.Kind {
		case record.KindInv:
			r := &b.Invs[i]
			d.meta(&r.Meta)
			d.vects(b.Vects[r.First : r.First+r.N])
		case record.KindTx:
			r := &b.Txs[i]
			d.meta(&r.Meta)
			d.bytes(r.WTxID[:])
		case record.KindBlock:
			r := &b.Blocks[i]
			d.meta(&r.Meta)
			d.uint64(uint64(r.Index))
			d.bytes(r.Hash[:])
		case record.KindPing:
			d.meta(&b.Pings[i].Meta)
		case record.KindPong:
			r := &b.Pongs[i]
			d.meta(&r.Meta)
			d.uint64(uint64(r.Ping))
		case record.KindVersion:
			d.meta(&b.Versions[i].Meta)
		case record.KindAddr:
			r := &b.Addrs[i]
			d.meta(&r.Meta)
			d.uint64(uint64(r.Index))
		case record.KindConn:
			d.conn(&b.Conns[i])
		}
	}
	d.flush()
	return [32]byte(d.h.Sum(nil))
}

// A digester feeds a hash in large pieces.
type digester struct {
	h   hash.Hash
	buf []byte
}

func (d *digester) flush() {
	d.h.Write(d.buf)
	d.buf = d.buf[:0]
}

func (d *digester) byte(v byte)     { d.buf = append(d.buf, v) }
func (d *digester) uint64(v uint64) { d.buf = binary.LittleEndian.AppendUint64(d.buf, v) }
func (d *digester) bytes(v []byte)  { d.buf = append(d.buf, v...) }

func (d *digester) meta(m *record.Meta) {
	if len(d.buf) > 32<<10 {
		d.flush()
	}
	d.uint64(m.Conn.ID)
	d.uint64(m.Pos)
	d.uint64(uint64(m.SeenAt))
	d.uint64(uint64(m.FirstByteAt))
	if m.FromB {
		d.byte(1)
	} else {
		d.byte(0)
	}
}

func (d *digester) vects(vects []record.InvVect) {
	d.uint64(uint64(len(vects)))
	for i := range vects {
		if len(d.buf) > 32<<10 {
			d.flush()
		}
		d.buf = binary.LittleEndian.AppendUint32(d.buf, uint32(vects[i].Type))
		d.bytes(vects[i].Hash[:])
	}
}

func (d *digester) conn(r *record.ConnEnd) {
	d.meta(&record.Meta{Conn: r.Conn, SeenAt: r.ClosedAt, FirstByteAt: r.Conn.OpenedAt})
	for _, f := range []*record.FlowCount{&r.A, &r.B} {
		d.uint64(f.Segments)
		d.uint64(f.Bytes)
		d.uint64(f.Lost)
		d.uint64(f.Messages)
	}
}
