package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"btcsniff/record"
)

// A coder goes through a value's fields, in one order: to append them to b, or (read) to take them from b. So what is written and what
// is read can't be two different things. The first error stays; after it fields that are read are zero.
type coder struct {
	b    []byte
	read bool
	err  error

	first record.Time // of the capture: times are relative to it
	conns map[*record.Conn]uint64
	table []*record.Conn
}

var errShort = errors.New("ends in the middle of a value")

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

// unsigned is a number of one to ten bytes.
func unsigned[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int](c *coder, v *T) {
	if !c.read {
		c.b = binary.AppendUvarint(c.b, uint64(*v))
		return
	}
	u, n := binary.Uvarint(c.b)
	if n <= 0 || uint64(T(u)) != u {
		c.fail(errShort)
		return
	}
	*v, c.b = T(u), c.b[n:]
}

// signed is a number of one to ten bytes, small if it is near 0.
func signed[T ~int32 | ~int64 | ~int](c *coder, v *T) {
	if !c.read {
		c.b = binary.AppendVarint(c.b, int64(*v))
		return
	}
	i, n := binary.Varint(c.b)
	if n <= 0 || int64(T(i)) != i {
		c.fail(errShort)
		return
	}
	*v, c.b = T(i), c.b[n:]
}

func (c *coder) bool(v *bool) {
	var u uint8
	if *v {
		u = 1
	}
	unsigned(c, &u)
	*v = u == 1
}

// bytes is all of to: its length is known.
func (c *coder) bytes(to []byte) {
	switch {
	case !c.read:
		c.b = append(c.b, to...)
	case len(c.b) < len(to):
		c.fail(errShort)
	default:
		copy(to, c.b)
		c.b = c.b[len(to):]
	}
}

func (c *coder) string(v *string) {
	n := uint64(len(*v))
	unsigned(c, &n)
	switch {
	case !c.read:
		c.b = append(c.b, *v...)
	case n > uint64(len(c.b)):
		c.fail(errShort)
	default:
		*v, c.b = string(c.b[:n]), c.b[n:]
	}
}

func (c *coder) addr(v *netip.AddrPort) {
	var s string
	if !c.read {
		b, err := v.MarshalBinary()
		if err != nil {
			c.fail(err)
		}
		s = string(b)
	}
	c.string(&s)
	if c.read && c.err == nil {
		if err := v.UnmarshalBinary([]byte(s)); err != nil {
			c.fail(err)
		}
	}
}

// time is relative to the capture's first packet.
func (c *coder) time(v *record.Time) {
	d := *v - c.first
	signed(c, &d)
	*v = c.first + d
}

// list is a slice. Each element takes at least so many bytes, so that a length is compared with what is there before room is
// made for it.
func list[T any](c *coder, s *[]T, least int, each func(*T)) {
	n := len(*s)
	unsigned(c, &n)
	if c.read {
		if c.err != nil || n < 0 || n > len(c.b)/least {
			c.fail(errShort)
			return
		}
		if n > 0 {
			*s = make([]T, n)
		}
	}
	for i := range *s {
		if each(&(*s)[i]); c.err != nil {
			return
		}
	}
}

func (c *coder) capture(v *record.Capture) {
	c.string(&v.Sensor)
	c.string(&v.Name)
	signed(c, &v.First)
	c.bytes(v.Digest[:])
	c.first = v.First
}

// conn is all that is known of a connection by now.
func (c *coder) conn(v *record.Conn) {
	network, peer := v.Network(), v.PeerName()
	unsigned(c, &v.ID)
	c.addr(&v.A)
	c.addr(&v.B)
	c.bool(&v.OpenerKnown)
	c.time(&v.OpenedAt)
	unsigned(c, &v.Number)
	c.bool(&v.LocalA)
	c.bool(&v.LocalB)
	c.string(&network)
	c.string(&peer)
	if c.read && network != "" {
		v.SetNetwork(network)
	}
	if c.read && peer != "" {
		v.SetPeerName(peer)
	}
}

// ref is a connection by its place in the table, where it comes to be if it is not there.
func (c *coder) ref(v **record.Conn) {
	var i uint64
	if !c.read {
		known := false
		if i, known = c.conns[*v]; !known {
			i = uint64(len(c.table))
			c.conns[*v] = i
			c.table = append(c.table, *v)
		}
	}
	unsigned(c, &i)
	if c.read {
		if i >= uint64(len(c.table)) {
			c.fail(fmt.Errorf("connection %d of %d", i, len(c.table)))
			return
		}
		*v = c.table[i]
	}
}

func (c *coder) meta(v *record.Meta) {
	c.ref(&v.Conn)
	c.time(&v.SeenAt)
	taken := v.SeenAt - v.FirstByteAt
	signed(c, &taken)
	v.FirstByteAt = v.SeenAt - taken
	unsigned(c, &v.Pos)
	c.bool(&v.FromB)
}
