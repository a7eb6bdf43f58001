package decode

import (
	"encoding/binary"
	"errors"
)

// errMalformed says that a payload is not of its command's form: Bitcoin Core's deserialisation would throw, or its
// limits are broken. The decoders below wrap nothing into it: there is nothing to allocate on the way of bad input.
var errMalformed = errors.New("payload is not of its command's form")

const maxCompactSize = 0x02000000 // Bitcoin Core, serialize.h, MAX_SIZE: no count or length may be more

// A cursor reads a payload from front to back. After a read beyond the end, or of a number that is not in its
// shortest form, bad is true, every further read gives zero, and left is 0.
type cursor struct {
	b   []byte // borrowed: what is still to be read
	bad bool
}

// left is the number of bytes that are still to be read.
func (c *cursor) left() int { return len(c.b) }

func (c *cursor) fail() { c.b, c.bad = nil, true }

// take reads the next n bytes. They are borrowed from the payload.
func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail()
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

// u16be reads a port, the only number that the protocol has in network byte order.
func (c *cursor) u16be() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// number reads a CompactSize of any value up to 64 bits.
// As in Bitcoin Core (serialize.h, ReadCompactSize) it must be in its shortest form.
func (c *cursor) number() uint64 {
	switch first := c.u8(); first {
	case 0xfd:
		if p := c.take(2); p != nil {
			return c.atLeast(uint64(binary.LittleEndian.Uint16(p)), 0xfd)
		}
		return 0
	case 0xfe:
		return c.atLeast(uint64(c.u32()), 1<<16)
	case 0xff:
		return c.atLeast(c.u64(), 1<<32)
	default:
		return uint64(first)
	}
}

func (c *cursor) atLeast(n, least uint64) uint64 {
	if n < least {
		c.fail()
		return 0
	}
	return n
}

// count reads a CompactSize that says how many things follow, each of at least size bytes: a number
// that the bytes at hand can't hold is bad. So what is made for n things is bounded by the payload.
func (c *cursor) count(size int) int {
	n := c.number()
	if n > maxCompactSize || n > uint64(c.left()/size) {
		c.fail()
		return 0
	}
	return int(n)
}
