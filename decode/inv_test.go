package decode

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

// invPayload has n vectors of types 0, 1, 2, ... with hashes that begin with their number.
func invPayload(n int) []byte {
	b := binary.LittleEndian.AppendUint16([]byte{0xfd}, uint16(n))
	if n < 0xfd {
		b = []byte{byte(n)}
	}
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, uint32(i%6))
		hash := record.Hash{byte(i), byte(i >> 8), 31: 0xee}
		b = append(b, hash[:]...)
	}
	return b
}

func TestInv(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want []record.InvVect
		err  error
	}{
		{"none", []byte{0}, nil, nil},
		{"wtxid", fromHex(t, "01 05000000 00"+"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
			[]record.InvVect{{
				Type: record.InvWTx,
				Hash: record.Hash{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
			}}, nil},
		{"several, bytes after them", append(invPayload(3), 1, 2, 3),
			[]record.InvVect{{Type: 0, Hash: record.Hash{31: 0xee}}, {Type: 1, Hash: record.Hash{1, 31: 0xee}}, {Type: 2, Hash: record.Hash{2, 31: 0xee}}}, nil},
		{"unknown type", append(fromHex(t, "01 efbeadde"), make([]byte, 32)...), []record.InvVect{{Type: 0xdeadbeef}}, nil},
		{"nothing", nil, nil, errMalformed},
		{"count in a long form", append([]byte{0xfd, 1, 0}, make([]byte, 36)...), nil, errMalformed},
		{"more than there are", append([]byte{2}, make([]byte, 71)...), nil, errMalformed},
		{"too many", invPayload(maxInv + 1), nil, errMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseInv(nil, tt.in)
			if err != tt.err {
				t.Fatalf("parseInv: error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parseInv (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvMost(t *testing.T) {
	got, err := parseInv(nil, invPayload(maxInv))
	if err != nil || len(got) != maxInv {
		t.Fatalf("parseInv of %d: %d, %v", maxInv, len(got), err)
	}
}

func TestInvTruncated(t *testing.T) {
	wantTruncationsRefused(t, invPayload(300), func(b []byte) error {
		_, err := parseInv(nil, b)
		return err
	})
}

func TestInvAppends(t *testing.T) {
	first := []record.InvVect{{Type: 77}}
	got, err := parseInv(first, invPayload(2))
	if err != nil || len(got) != 3 || got[0].Type != 77 || got[2].Type != 1 {
		t.Errorf("parseInv behind another = %v, %v", got, err)
	}
	if got, err := parseInv(first, []byte{1}); err == nil || len(got) != 1 {
		t.Errorf("parseInv of a bad payload = %v, %v, want what was there and an error", got, err)
	}
}

func TestInvAllocates(t *testing.T) {
	scratch := make([]record.InvVect, 0, 1000)
	payload := invPayload(1000)
	bad := payload[:len(payload)-1]
	n := testing.AllocsPerRun(100, func() {
		scratch, _ = parseInv(scratch[:0], payload)
		scratch, _ = parseInv(scratch[:0], bad)
	})
	if n != 0 {
		t.Errorf("parseInv with room in dst: %v allocations, want 0", n)
	}
}

func FuzzInv(f *testing.F) {
	f.Add(invPayload(0))
	f.Add(invPayload(2))
	f.Add(invPayload(300))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseInv(nil, b)
		if err != nil {
			return
		}
		var msg wire.MsgInv
		if err := msg.BtcDecode(bytes.NewReader(b), wire.ProtocolVersion, wire.WitnessEncoding); err != nil {
			t.Fatalf("wire refuses what parseInv takes: %v", err)
		}
		if len(got) != len(msg.InvList) {
			t.Fatalf("%d vectors, wire has %d", len(got), len(msg.InvList))
		}
		for i, v := range msg.InvList {
			if got[i] != (record.InvVect{Type: record.InvType(v.Type), Hash: record.Hash(v.Hash)}) {
				t.Fatalf("vector %d = %v, wire has %v", i, got[i], v)
			}
		}
	})
}

func BenchmarkInv(b *testing.B) {
	payload := invPayload(35)
	b.Run("ours", func(b *testing.B) {
		var scratch []record.InvVect
		for b.Loop() {
			scratch, _ = parseInv(scratch[:0], payload)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/35, "ns/entry")
	})
	b.Run("wire", func(b *testing.B) {
		r := bytes.NewReader(nil)
		for b.Loop() {
			var msg wire.MsgInv
			r.Reset(payload)
			_ = msg.BtcDecode(r, wire.ProtocolVersion, wire.WitnessEncoding)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/35, "ns/entry")
	})
}
