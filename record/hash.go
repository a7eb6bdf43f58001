package record

import (
	"slices"
)

// A Hash is the double SHA-256 of a transaction or block, in the byte order of the wire.
// Everything that people see (String, databases, JSON) has it reversed, as Bitcoin tools do.
type Hash [32]byte

// Display returns h in the order that block explorers show.
func (h Hash) Display() Hash {
	slices.Reverse(h[:])
	return h
}

// AppendHex appends the 64 lower-case digits that block explorers show to b.
func (h *Hash) AppendHex(b []byte) []byte {
	const digits = "0123456789abcdef"
	n := len(b)
	b = slices.Grow(b, 2*len(h))[:n+2*len(h)]
	out := b[n : n+2*len(h)]
	for i, c := range h {
		j := 2 * (len(h) - 1 - i)
		out[j], out[j+1] = digits[c>>4], digits[c&15]
	}
	return b
}

// String returns the 64 lower-case digits that block explorers show.
func (h Hash) String() string { return string(h.AppendHex(nil)) }
