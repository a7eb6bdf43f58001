package capture

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Magic numbers of pcap files, as the writer's machine sees them. Sources: draft-ietf-opsawg-pcap, section 4;
// libpcap, sf-pcap.c, for KUZNETZOV_TCPDUMP_MAGIC (Linux of the 1990s, and Android), whose packet headers are longer.
const (
	pcapMicro    = 0xa1b2c3d4
	pcapNano     = 0xa1b23c4d
	pcapModified = 0xa1b2cd34
)

// openPcap reads the 24 bytes of a pcap file's header.
func (r *reader) openPcap(magic uint32, big bool) error {
	b, err := r.buf.peek(24)
	if err != nil {
		return r.ended(len(b), err, "its header")
	}
	r.big = big
	r.header, r.unit = 16, 1000
	switch magic {
	case pcapNano:
		r.unit = 1
	case pcapModified:
		r.header = 24
	}
	if major := r.uint16(b[4:]); major != 2 {
		return &notCapture{fmt.Sprintf("a pcap file of version %d.%d, where 2.4 is known", major, r.uint16(b[6:]))}
	}
	r.limit = min(max(r.uint32(b[16:]), maxSnaplen), maxPacket)
	// The upper half has the length of the frame check sequence. Source: draft-ietf-opsawg-pcap, section 4.
	r.link = LinkType(r.uint32(b[20:]) & 0xffff)
	r.buf.take(24)
	r.decode = (*reader).nextPcap
	return nil
}

// nextPcap decodes the next packet of a pcap file.
func (r *reader) nextPcap(p *Packet) error {
	h, err := r.buf.peek(r.header)
	if err != nil {
		return r.ended(len(h), err, "a packet's header")
	}
	sec, frac := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:])
	n, wire := binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	if r.big {
		sec, frac = bits.ReverseBytes32(sec), bits.ReverseBytes32(frac)
		n, wire = bits.ReverseBytes32(n), bits.ReverseBytes32(wire)
	}
	if n > r.limit {
		return &damage{r.buf.offset(), fmt.Sprintf("a packet of %d bytes", n)}
	}
	if sec|frac|n|wire == 0 {
		return &zeros{r.buf.offset()}
	}
	size := r.header + int(n)
	b, err := r.buf.peek(size)
	if err != nil {
		return r.ended(len(b), err, "a packet")
	}
	r.buf.take(size)
	// Both fields are unsigned: no time before 1970, none after 2106, no overflow. Some broken writers have more than
	// a second in the second one; it counts as it is there.
	p.Time = int64(sec)*1e9 + int64(frac)*r.unit
	p.Data = b[r.header:size:size]
	p.Len = max(int(wire), int(n))
	p.Link = r.link
	return nil
}

func (r *reader) uint16(b []byte) uint16 {
	if r.big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (r *reader) uint32(b []byte) uint32 {
	if r.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (r *reader) uint64(b []byte) uint64 {
	if r.big {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}
