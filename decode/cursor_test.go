package decode

import (
	"encoding/hex"
	"testing"
)

// fromHex reads hex digits; blanks between them are there for people.
func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	digits := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] > ' ' {
			digits = append(digits, s[i])
		}
	}
	b, err := hex.DecodeString(string(digits))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantTruncationsRefused checks that parse refuses every payload that is whole but for its last bytes, except those
// of the given lengths.
func wantTruncationsRefused(t *testing.T, whole []byte, parse func([]byte) error, except ...int) {
	t.Helper()
	ok := map[int]bool{}
	for _, n := range except {
		ok[n] = true
	}
	for n := range whole {
		err := parse(whole[:n:n])
		if (err == nil) != ok[n] {
			t.Errorf("first %d of %d bytes: error %v, want error: %v", n, len(whole), err, !ok[n])
		}
	}
	if err := parse(whole); err != nil {
		t.Errorf("all %d bytes: %v", len(whole), err)
	}
}

func TestNumber(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     uint64
		bad      bool
	}{
		{"one byte", "fc", 0xfc, false},
		{"two bytes", "fdfd00", 0xfd, false},
		{"two bytes, most", "fdffff", 0xffff, false},
		{"four bytes", "fe00000100", 1 << 16, false},
		{"eight bytes", "ff0000000001000000", 1 << 32, false},
		{"eight bytes, most", "ffffffffffffffffff", 1<<64 - 1, false},
		{"nothing", "", 0, true},
		{"two bytes cut", "fdfd", 0, true},
		{"four bytes cut", "fe000001", 0, true},
		{"eight bytes cut", "ff00000000010000", 0, true},
		{"two bytes for one", "fdfc00", 0, true},
		{"four bytes for two", "feffff0000", 0, true},
		{"eight bytes for four", "ffffffffff00000000", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cursor{b: fromHex(t, tt.in)}
			if got := c.number(); got != tt.want || c.bad != tt.bad || c.left() != 0 {
				t.Errorf("number(%s) = %d, bad %v, %d left, want %d, bad %v, 0 left", tt.in, got, c.bad, c.left(), tt.want, tt.bad)
			}
		})
	}
}

func TestCountIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		size     int
		want     int
		bad      bool
	}{
		{"fits", "02 00000000", 2, 2, false},
		{"one too many", "03 00000000", 2, 0, true},
		{"huge", "ffffffffffffffffff 00", 1, 0, true},
		{"none", "00", 100, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cursor{b: fromHex(t, tt.in)}
			if got := c.count(tt.size); got != tt.want || c.bad != tt.bad {
				t.Errorf("count = %d, bad %v, want %d, bad %v", got, c.bad, tt.want, tt.bad)
			}
		})
	}
}
