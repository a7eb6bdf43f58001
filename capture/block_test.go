package capture

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// TestBlock reads packets of all sizes through small blocks and holds some of them for a while: their bytes stay, also where a
// block grows, another file begins in the same memory, or few bytes come at a time.
func TestBlock(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(io.Reader) io.Reader
		hold int // of so many packets, how many are held
	}{
		{"none", nil, 0},
		{"few", nil, 1},
		{"half, in bits", iotest.HalfReader, 5},
		{"all", nil, 10},
		{"all, byte by byte", iotest.OneByteReader, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			r := newReader(bytes.NewReader(nil), 256)
			type kept struct {
				p    Packet
				want []byte
			}
			var held []kept
			check := func(k kept) {
				if !bytes.Equal(k.p.Data, k.want) {
					t.Fatalf("a held packet is %x, was %x", k.p.Data, k.want)
				}
				k.p.Block.Release()
			}
			blocks := map[*Block]bool{}
			for range 3 {
				src := io.Reader(bytes.NewReader(packetsOf(rng, 300, 600)))
				if tt.wrap != nil {
					src = tt.wrap(src)
				}
				r.reset(src)
				for {
					var p Packet
					if err := r.next(&p); err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
					blocks[p.Block] = true
					if rng.IntN(10) < tt.hold {
						p.Block.Hold()
						held = append(held, kept{p, bytes.Clone(p.Data)})
					}
					for len(held) > 20 {
						check(held[0])
						held = held[1:]
					}
				}
			}
			for _, k := range held {
				check(k)
			}
			if n := len(blocks); tt.hold == 0 && n != 1 || n > 120 { // those from before it grew are not used again
				t.Errorf("%d blocks for %d of 10 packets held, 20 at a time", n, tt.hold)
			}
		})
	}
}

// TestBlockGrowing reads a file that grows by a packet at a time while all of the packets are held: they share memory.
func TestBlockGrowing(t *testing.T) {
	file := packetsOf(rand.New(rand.NewPCG(1, 2)), 100, 40)
	src := &trickle{b: file}
	r := newReader(src, 16<<10)
	blocks := map[*Block]bool{}
	for range 100 {
		src.more(100)
		for {
			var p Packet
			if r.next(&p) != nil {
				break
			}
			p.Block.Hold()
			blocks[p.Block] = true
		}
	}
	if len(blocks) != 1 {
		t.Errorf("%d blocks of 16 KiB for %d bytes", len(blocks), len(file))
	}
}

// A trickle has so many of its bytes yet.
type trickle struct {
	b     []byte
	ready int
}

func (s *trickle) more(n int) { s.ready = min(s.ready+n, len(s.b)) }

func (s *trickle) Read(b []byte) (int, error) {
	if s.ready == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.b[:s.ready])
	s.b, s.ready = s.b[n:], s.ready-n
	return n, nil
}

// packetsOf is a capture file of n packets of up to size random bytes.
func packetsOf(rng *rand.Rand, n, size int) []byte {
	var b bytes.Buffer
	b.WriteString("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00\x00")
	for i := range n {
		k := rng.IntN(size)
		fmt.Fprintf(&b, "%s", []byte{byte(i), byte(i >> 8), 0, 0x60, 0, 0, 0, 0, byte(k), byte(k >> 8), 0, 0, byte(k), byte(k >> 8), 0, 0})
		for range k {
			b.WriteByte(byte(rng.Uint32()))
		}
	}
	return b.Bytes()
}

// TestBlockFiles holds packets of a Source whose files follow each other.
func TestBlockFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	src := NewReader(bytes.NewReader(packetsOf(rng, 2000, 1400)), "x")
	defer src.Close()
	var held []Packet
	var want [][]byte
	var p Packet
	for src.Next(context.Background(), &p) == nil {
		p.Block.Hold()
		held, want = append(held, p), append(want, bytes.Clone(p.Data))
	}
	if len(held) != 2000 {
		t.Fatalf("%d packets, want 2000", len(held))
	}
	for i := range held {
		if !bytes.Equal(held[i].Data, want[i]) {
			t.Fatalf("packet %d changed while it was held", i)
		}
		held[i].Block.Release()
	}
}
