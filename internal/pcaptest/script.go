package pcaptest

import (
	"net/netip"
	"slices"
	"time"

	"btcsniff/capture"
)

// A Script makes packets from a story: each call to a side's method is one packet, captured one Step after the one before it.
// The zero Script speaks Ethernet and begins at Start.
type Script struct {
	Layer Layer
	Step  time.Duration // between packets; 0: one millisecond

	now     int64 // nanoseconds since the Unix epoch; capture time of the next packet
	packets []capture.Packet
}

// Start is when scripts and generated captures begin by default: 2025-10-06 22:56:42 UTC, in nanoseconds since the Unix epoch.
const Start int64 = 1_759_791_402 * 1e9

// A Conn is one TCP connection of a script. A speaks first.
type Conn struct{ A, B *Side }

// A Side is one endpoint of a connection. Its fields may be changed at any time; they hold for the packets that follow.
type Side struct {
	Addr  netip.AddrPort
	ISN   uint32 // sequence number of the SYN: the stream's first byte has the next one
	Next  int    // stream offset of the next byte that Send sends
	Ack   int    // bytes of the other's stream that this side acknowledges; raised by what the other sends. Less than 0: no ACK flag
	Snap  int    // bytes of a packet's payload that are captured; 0: all
	Local bool   // it is the capturing host: cooked captures say that it sent its packets

	script *Script
	other  *Side
	opened bool // has sent a SYN
	ended  int  // 1 once a FIN was sent, which takes a sequence number too
	id     uint16
}

// Conn begins a connection between two endpoints ("192.0.2.1:8333"), with sequence numbers of 1,000 and 2,000.
func (s *Script) Conn(a, b string) *Conn {
	c := &Conn{
		A: &Side{Addr: netip.MustParseAddrPort(a), ISN: 1000, script: s},
		B: &Side{Addr: netip.MustParseAddrPort(b), ISN: 2000, script: s},
	}
	c.A.other, c.B.other = c.B, c.A
	return c
}

// Wait lets capture time pass.
func (s *Script) Wait(d time.Duration) *Script {
	s.now = s.Now() + int64(d)
	return s
}

// Now is the capture time of the next packet, in nanoseconds since the Unix epoch.
func (s *Script) Now() int64 {
	if s.now == 0 {
		s.now = Start
	}
	return s.now
}

// Packets returns all packets so far, in the order of capture. They are the caller's.
func (s *Script) Packets() []capture.Packet { return slices.Clone(s.packets) }

// Last returns the last packet, to be changed: to move it back in time, to cut it.
func (s *Script) Last() *capture.Packet { return &s.packets[len(s.packets)-1] }

// Add adds a frame as it is, captured whole.
func (s *Script) Add(frame []byte) *Script {
	return s.add(capture.Packet{Data: frame, Len: len(frame)})
}

func (s *Script) add(p capture.Packet) *Script {
	p.Time, p.Link = s.Now(), s.Layer.LinkType()
	s.packets = append(s.packets, p)
	step := s.Step
	if step == 0 {
		step = time.Millisecond
	}
	s.now += int64(step)
	return s
}

// Open is the whole handshake: SYN, SYN and ACK, ACK.
func (c *Conn) Open() *Conn {
	c.A.SYN()
	c.B.SYN()
	c.A.Nothing()
	return c
}

// Close is a FIN from each side, both acknowledged.
func (c *Conn) Close() *Conn {
	c.A.FIN()
	c.B.FIN()
	c.A.Nothing()
	return c
}

// Segment returns the segment with payload at a stream offset, which may be negative, as the side would send it now.
func (d *Side) Segment(flags uint8, offset int, payload []byte) Segment {
	d.id++
	s := Segment{
		Src: d.Addr, Dst: d.other.Addr, Seq: d.ISN + 1 + uint32(offset), Flags: flags, Window: 0xffff, Payload: payload, ID: d.id,
		Sent: d.Local,
	}
	if d.Ack >= 0 && flags&ACK != 0 {
		s.Ack = d.other.ISN + 1 + uint32(d.Ack)
		if d.other.ended > 0 && d.Ack == d.other.Next {
			s.Ack++
		}
	} else {
		s.Flags &^= ACK
	}
	return s
}

// Packet sends a segment with any flags and payload at any stream offset. Nothing follows from it for later packets.
func (d *Side) Packet(flags uint8, offset int, payload []byte) *Side {
	s := d.Segment(flags, offset, payload)
	frame := d.script.Layer.AppendFrame(nil, &s)
	p := capture.Packet{Data: frame, Len: len(frame)}
	if d.Snap > 0 && d.Snap < len(payload) {
		p.Data = frame[:d.script.Layer.headers(&s)+d.Snap]
	}
	d.script.add(p)
	return d
}

// SYN opens the connection from this side; after the other's SYN it is the answer to that.
func (d *Side) SYN() *Side {
	flags := uint8(SYN)
	if d.other.opened {
		flags |= ACK
	}
	d.Packet(flags, -1, nil)
	d.opened = true
	return d
}

// Send sends the next bytes of the stream, in one segment.
func (d *Side) Send(payload ...[]byte) *Side {
	b := slices.Concat(payload...)
	d.At(d.Next, b)
	d.Next += len(b)
	d.other.Ack = max(d.other.Ack, d.Next)
	return d
}

// SendIn sends the next bytes of the stream in segments of at most n bytes.
func (d *Side) SendIn(n int, payload ...[]byte) *Side {
	for piece := range slices.Chunk(slices.Concat(payload...), n) {
		d.Send(piece)
	}
	return d
}

// Skip leaves out the next n bytes of the stream: they were sent and arrived, but not captured (yet).
func (d *Side) Skip(n int) *Side {
	d.Next += n
	d.other.Ack = max(d.other.Ack, d.Next)
	return d
}

// At sends payload at a stream offset: again, late, or overlapping. What Send sends next does not change.
func (d *Side) At(offset int, payload []byte) *Side { return d.Packet(PSH|ACK, offset, payload) }

// Nothing sends an empty segment, which acknowledges.
func (d *Side) Nothing() *Side { return d.Packet(ACK, d.Next+d.ended, nil) }

// FIN ends the stream.
func (d *Side) FIN() *Side {
	d.Packet(FIN|ACK, d.Next, nil)
	d.ended = 1
	return d
}

// RST breaks the connection.
func (d *Side) RST() *Side { return d.Packet(RST, d.Next+d.ended, nil) }
