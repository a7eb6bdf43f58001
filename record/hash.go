package record

import (
	"encoding/binary"
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

// AppendHex appends the 64 lower-case digits that block explorers show to b, eight digits at a time: hashes are half of
// what a line about an announcement costs.
func (h *Hash) AppendHex(b []byte) []byte {
	n := len(b)
	b = slices.Grow(b, 64)[:n+64]
	out := (*[64]byte)(b[n:])
	for i := 0; i < 32; i += 4 {
		x := uint64(binary.LittleEndian.Uint32(h[28-i:]))
		x = (x | x<<16) & 0x0000ffff0000ffff
		x = (x | x<<8) & 0x00ff00ff00ff00ff
		x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f // one digit's value a byte
		letters := (x + 0x0606060606060606) >> 4 & 0x0101010101010101
		binary.BigEndian.PutUint64(out[2*i:], x+0x3030303030303030+letters*('a'-'0'-10))
	}
	return b
}

// String returns the 64 lower-case digits that block explorers show.
func (h Hash) String() string { return string(h.AppendHex(nil)) }
