package decode

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"btcsniff/record"
	"btcsniff/v2"
)

// recorded is a v2 session of Bitcoin Core 28.1: its secret, and what the initiator and the responder sent.
func recorded(t testing.TB) (*v2.Keys, [2][]byte) {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("../v2/testdata", "core-28.1."+name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	keys, err := v2.ParseKeys(bytes.NewReader(read("keys")))
	if err != nil {
		t.Fatal(err)
	}
	return keys, [2][]byte{read("initiator"), read("responder")}
}

// bothSides mixes the segments of two flows as the bits of order say.
func bothSides(a, b []step, order []byte) (steps []step) {
	for i := 0; len(a)+len(b) > 0; i++ {
		takeB := len(a) == 0
		if len(a) > 0 && len(b) > 0 && len(order) > 0 {
			takeB = order[i/8%len(order)]>>(i%8)&1 == 1
		}
		if takeB {
			steps, b = append(steps, b[0]), b[1:]
		} else {
			steps, a = append(steps, a[0]), a[1:]
		}
	}
	return steps
}

func TestBoxes(t *testing.T) {
	keys, sent := recorded(t)
	got := play(t, New(Config{Keys: keys}), newConn(true), data(sent[0], 1), dataB(sent[1], 2))
	if got.end.Transport != record.TransportV2 || len(got.rows) != 6 {
		t.Errorf("%d records by transport %v of a recorded v2 session: %v", len(got.rows), got.end.Transport, got.rows)
	}
}

// FuzzBoxes checks that however a v2 session whose secret is known is cut, mixed, joined, damaged and full of holes, every byte is
// accounted for (play checks that), and that no record comes out that the undamaged session doesn't have.
func FuzzBoxes(f *testing.F) {
	keys, sent := recorded(f)
	whole := play(f, New(Config{Keys: keys}), newConn(true), data(sent[0], 1), dataB(sent[1], 2))
	want := untimed(whole.rows)

	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, uint16(0), true)
	f.Add([]byte{10, 20, 30, 255, 7, 100}, []byte{255, 0, 3}, []byte{0x55}, []byte{}, uint16(0), true)
	f.Add([]byte{0, 0, 0, 100, 255, 200, 100, 255, 3, 255, 0, 255, 255}, []byte{50, 255, 40}, []byte{0xf0}, []byte{}, uint16(0), false)
	f.Add([]byte{200, 200, 200, 200}, []byte{63, 15}, []byte{0x0f, 0x33}, []byte{1, 0, 2, 0}, uint16(0), true)
	f.Add([]byte{255, 100, 200, 200, 100}, []byte{255, 100, 40}, []byte{0xaa}, []byte{7, 7}, uint16(700), false)
	f.Fuzz(func(t *testing.T, cutsA, cutsB, order, damage []byte, joined uint16, opened bool) {
		var flows [2][]byte
		for i := range sent {
			flows[i] = slices.Clone(sent[i])
		}
		for len(damage) > 2 { // an offset of two bytes, and what is added to the byte there
			f := flows[damage[0]&1]
			at := (int(damage[0])>>1<<8 | int(damage[1])) % len(f)
			f[at] += damage[2]
			damage = damage[3:]
		}
		a, _ := fuzzSteps(flows[0], cutsA, false)
		b, _ := fuzzSteps(flows[1], cutsB, true)
		if n := int(joined) % len(sent[0]); !opened && n > 0 { // what was sent before is not even a gap: but its places are known
			a, _ = fuzzSteps(flows[0][n:], cutsA, false)
			a = append([]step{gap(n)}, a...)
		}
		got := play(t, New(Config{Keys: keys}), newConn(opened), bothSides(a, b, order)...)
		for _, r := range untimed(got.rows) {
			if !slices.Contains(want, r) {
				t.Errorf("%+v is in no message of the session", r)
			}
		}
		for _, s := range got.rows {
			if s.First > s.Seen {
				t.Errorf("%+v began after its end", s)
			}
		}
	})
}
