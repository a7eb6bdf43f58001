package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
)

// fuzz reads b in blocks of two sizes. Whatever b is: packets are bytes of b, the end comes, and both agree.
func fuzz(t *testing.T, b []byte) {
	if len(b) >= 4 && (b[0] == 0x1f || b[0] == 0x28 || b[0]&0xf0 == 0x50) {
		return // compressed: the decompressors have their own
	}
	src := NewReader(bytes.NewReader(b), "f")
	src.block = 64
	var p Packet
	var n uint64
	total := 0
	var sum int64
	for {
		err := src.Next(context.Background(), &p)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		total += len(p.Data)
		sum += p.Time
		if p.Time < 0 || p.Len < len(p.Data) || total > len(b) || cap(p.Data) != len(p.Data) {
			t.Fatalf("packet %+v", p)
		}
	}
	st := src.Stats()
	if st.Packets != n || st.Files[0].Packets != n {
		t.Fatalf("%d packets, %+v", n, st)
	}
	r := newReader(iotest.HalfReader(bytes.NewReader(b)), 16)
	for m := n; ; m-- {
		err := r.next(&p)
		if (err == nil) != (m > 0) {
			t.Fatalf("%d packets of %d left: %v", m, n, err)
		}
		if err != nil {
			break
		}
		sum -= p.Time
	}
	if sum != 0 {
		t.Fatal("times depend on the size of blocks")
	}
	// Its length: the allocator rounds the capacity up to a size class.
	if limit := 2*len(b) + 64; len(r.buf.b) > limit {
		t.Fatalf("a buffer of %d bytes for %d", len(r.buf.b), len(b))
	}
}

func FuzzPcap(f *testing.F) {
	two := []pcapPacket{{sec: 1, data: "one"}, {sec: 2, frac: 3, data: "three", wire: 9}}
	f.Add(pcapFile{packets: two}.bytes())
	f.Add(pcapFile{order: binary.BigEndian, magic: pcapNano, packets: two}.bytes())
	f.Add(pcapFile{magic: pcapModified, snaplen: 1 << 31, packets: two}.bytes())
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, b []byte) { fuzz(t, b) })
}

func FuzzPcapng(f *testing.F) {
	for _, o := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		n := &ng{o: o}
		n.section().iface(1, 3, opt{9, []byte{9}}).iface(276, 0, opt{14, n.u64(5)}, opt{9, []byte{0x83}}).
			packet(0, 1, "one").packet(1, 1<<62, "two").simple(9, "three").obsolete(1, 2, 3, "four").
			block(77, []byte("unknown")).statistics(0, opt{5, n.u64(1)}, opt{7, n.u64(2)}).section().iface(1, 0).packet(0, 2, "five")
		f.Add(n.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { fuzz(t, b) })
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"1590043904.eth0.pcap", "trace_00001_20251006225642.pcapng.gz", "t1", "2025-10-06-22-56-42.pcap1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if parseName(s).capture() == "" {
			t.Errorf("%q has no name", s)
		}
	})
}

// FuzzLast looks for the last packet in what may be no file at all.
func FuzzLast(f *testing.F) {
	f.Add(pcapFile{packets: []pcapPacket{{sec: 1, data: "one"}}}.bytes()[24:], false)
	n := &ng{o: binary.LittleEndian}
	f.Add(n.packet(0, 1, "one").statistics(0).b, true)
	f.Fuzz(func(t *testing.T, b []byte, ng bool) {
		r := reader{header: 16, unit: 1000, limit: maxSnaplen, ifaces: []iface{{exp: 6}}}
		if ng {
			r.lastBlock(b)
			return
		}
		r.lastPcap(b, 1e9)
	})
}
