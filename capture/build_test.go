package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// got is a Packet to compare.
type got struct {
	Data    string
	Time    int64
	Len     int
	Link    LinkType
	Capture int
}

// readAll reads src to its end.
func readAll(t testing.TB, src Source) (all []got) {
	t.Helper()
	var p Packet
	for {
		err := src.Next(context.Background(), &p)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		all = append(all, got{string(p.Data), p.Time, p.Len, p.Link, p.Capture})
	}
}

// A pcapFile describes a pcap file to be built.
type pcapFile struct {
	order   binary.AppendByteOrder // default: little-endian
	magic   uint32                 // default: pcapMicro
	major   uint16                 // default: 2
	snaplen uint32                 // default: 262144
	link    uint32                 // default: 1
	packets []pcapPacket
}

type pcapPacket struct {
	sec, frac uint32
	data      string
	wire      uint32 // default: len(data)
}

func (f pcapFile) bytes() []byte {
	if f.order == nil {
		f.order = binary.LittleEndian
	}
	o := f.order
	b := o.AppendUint32(nil, or(f.magic, pcapMicro))
	b = o.AppendUint16(b, or(f.major, 2))
	b = o.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, or(f.snaplen, 262_144))
	b = o.AppendUint32(b, or(f.link, 1))
	for _, p := range f.packets {
		b = o.AppendUint32(b, p.sec)
		b = o.AppendUint32(b, p.frac)
		b = o.AppendUint32(b, uint32(len(p.data)))
		b = o.AppendUint32(b, or(p.wire, uint32(len(p.data))))
		if f.magic == pcapModified {
			b = append(b, "ifixprtP"...)
		}
		b = append(b, p.data...)
	}
	return b
}

// or is v, or def if v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// An ng builds a pcapng file block by block.
type ng struct {
	o binary.AppendByteOrder
	b []byte
}

func (n *ng) block(typ uint32, body []byte) *ng {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	size := uint32(len(body) + 12)
	n.b = n.o.AppendUint32(n.b, typ)
	n.b = n.o.AppendUint32(n.b, size)
	n.b = append(n.b, body...)
	n.b = n.o.AppendUint32(n.b, size)
	return n
}

func (n *ng) section() *ng {
	b := n.o.AppendUint32(nil, 0x1a2b3c4d)
	b = n.o.AppendUint16(b, 1)
	b = n.o.AppendUint16(b, 0)
	return n.block(blockSection, n.o.AppendUint64(b, 1<<64-1))
}

// An opt is an option of a block.
type opt struct {
	code  uint16
	value []byte
}

func (n *ng) options(b []byte, opts []opt) []byte {
	for _, o := range opts {
		b = n.o.AppendUint16(b, o.code)
		b = n.o.AppendUint16(b, uint16(len(o.value)))
		b = append(b, o.value...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return append(b, 0, 0, 0, 0)
}

func (n *ng) iface(link uint16, snaplen uint32, opts ...opt) *ng {
	b := n.o.AppendUint16(nil, link)
	b = n.o.AppendUint16(b, 0)
	b = n.o.AppendUint32(b, snaplen)
	return n.block(blockInterface, n.options(b, opts))
}

func (n *ng) packet(iface uint32, ticks uint64, data string) *ng {
	b := n.o.AppendUint32(nil, iface)
	b = n.o.AppendUint32(b, uint32(ticks>>32))
	b = n.o.AppendUint32(b, uint32(ticks))
	b = n.o.AppendUint32(b, uint32(len(data)))
	b = n.o.AppendUint32(b, uint32(len(data)))
	return n.block(blockEnhanced, append(b, data...))
}

func (n *ng) obsolete(iface, drops uint16, ticks uint64, data string) *ng {
	b := n.o.AppendUint16(nil, iface)
	b = n.o.AppendUint16(b, drops)
	b = n.o.AppendUint32(b, uint32(ticks>>32))
	b = n.o.AppendUint32(b, uint32(ticks))
	b = n.o.AppendUint32(b, uint32(len(data)))
	b = n.o.AppendUint32(b, uint32(len(data)))
	return n.block(blockPacket, append(b, data...))
}

func (n *ng) simple(wire uint32, data string) *ng {
	return n.block(blockSimple, append(n.o.AppendUint32(nil, wire), data...))
}

func (n *ng) statistics(iface uint32, opts ...opt) *ng {
	b := append(n.o.AppendUint32(nil, iface), make([]byte, 8)...)
	return n.block(blockStatistics, n.options(b, opts))
}

func (n *ng) u64(v uint64) []byte { return n.o.AppendUint64(nil, v) }

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}
