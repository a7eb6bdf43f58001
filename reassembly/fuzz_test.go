package reassembly

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"btcsniff/record"
	"btcsniff/segment"
)

// fuzzSteps reads bytes as segments of three connections: 8 bytes say which flow, flags, place, length, and how much time
// has passed.
func fuzzSteps(b []byte) []step {
	var steps []step
	at, latest := scriptStart, scriptStart
	waits := [8]record.Time{0, 0, 1, 1000, 60_000, 2_000_000, 40_000_000, -500_000}
	flags := [8]uint8{0, segment.ACK, segment.ACK, segment.SYN, segment.SYN | segment.ACK, segment.FIN | segment.ACK, segment.RST, segment.SYN | segment.RST | segment.FIN}
	bases := [4]uint32{1000, 0xffff_ff00, 1 << 30, 3 << 30}
	for i := 0; i+8 <= len(b) && i < 8*1000; i += 8 {
		x := b[i : i+8]
		src, dst := addr(int(x[0]>>1&3)), node
		base, other := bases[x[0]>>3&3], bases[x[0]>>5&3]
		if x[0]&1 == 1 {
			src, dst = dst, src
		}
		at = max(at+waits[x[1]&7], latest.Add(-clockStep)) // swapped, but the clock is not set back
		latest = max(latest, at)
		s := segment.Segment{
			Src: src, Dst: dst, Flags: flags[x[1]>>3&7],
			Seq: base + uint32(binary.BigEndian.Uint16(x[2:]))%600, Ack: other + uint32(binary.BigEndian.Uint16(x[4:]))%700,
			Missing: int(x[7] & 7 / 6 * 30), Payload: slices.Repeat(x[6:7], int(x[6])*int(x[7]>>3&3)),
		}
		if x[7]>>5 == 7 {
			s.Seq += uint32(x[6]) << 24
		}
		steps = append(steps, step{at, s})
	}
	return steps
}

// FuzzAssembler: whatever segments come, nothing panics, all bytes are accounted for, what is held stays within its
// limits, and calling Advance more often changes nothing that is told.
func FuzzAssembler(f *testing.F) {
	for i := range scripts {
		b := make([]byte, 8*20)
		for j := range b {
			b[j] = byte(j * (2*i + 1))
		}
		f.Add(b)
	}
	f.Fuzz(checkSegments)
}

// TestRandomSegments is FuzzAssembler on random bytes.
func TestRandomSegments(t *testing.T) {
	rounds := 500
	if testing.Short() {
		rounds = 100
	}
	for i := range rounds {
		rng := rand.New(rand.NewPCG(2, uint64(i)))
		b := make([]byte, 8*(1+rng.IntN(60)))
		for j := range b {
			b[j] = byte(rng.Uint32())
			if j%8 == 0 && i%2 == 0 {
				b[j] &= 1 // one connection, near numbers
			}
			if j%8 == 2 {
				b[j] &= byte(i >> 4)
			}
		}
		checkSegments(t, b)
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}

func checkSegments(t *testing.T, b []byte) {
	steps := fuzzSteps(b)
	for _, cfg := range []Config{{}, {MaxTable: 2 * (halfOpenSize + openSize), MaxPages: 12, MaxPagesPerFlow: 5}} {
		r, a := run(t, cfg, steps, advanceNever)
		if a.eng != nil && cfg.MaxPages > 0 && a.eng.most > cfg.MaxPages+spare {
			t.Errorf("%d pages were in use, want at most %d", a.eng.most, cfg.MaxPages+spare)
		}
		again, _ := run(t, cfg, steps, advanceAlways)
		if x, y := told(r), told(again); !slices.Equal(x, y) {
			t.Errorf("with Advance: %q\nwithout: %q", y, x)
		}
	}
}

// told is what an Assembler said, in an order that does not depend on when it did.
func told(r *recorder) []string {
	out := r.strings()
	slices.Sort(out)
	return out
}
