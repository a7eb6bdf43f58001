package capture

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// Block types of pcapng. Source for this file: draft-ietf-opsawg-pcapng.
const (
	blockSection    = 0x0a0d0d0a // the same in both byte orders
	blockInterface  = 1
	blockPacket     = 2 // obsolete
	blockSimple     = 3
	blockStatistics = 5
	blockEnhanced   = 6
)

const (
	maxBlock      = maxPacket + 1<<20 // bytes of a block that is looked into; others are skipped whatever their size
	maxInterfaces = 1 << 16           // of one section
)

// An iface is one interface of a section.
type iface struct {
	link    LinkType
	snaplen uint32 // 0: no limit
	binary  bool   // a tick is 2^-exp seconds, not 10^-exp
	exp     uint8
	offset  int64 // seconds to add
}

// nextBlock decodes blocks up to and with the next packet of a pcapng file.
func (r *reader) nextBlock(p *Packet) error {
	for {
		if r.skipping > 0 {
			var err error
			if r.skipping, err = r.buf.skip(r.skipping); err != nil {
				return r.ended(1, err, "a block")
			}
		}
		h, err := r.buf.peek(12)
		if err != nil {
			return r.ended(len(h), err, "a block's header")
		}
		typ := r.uint32(h)
		if typ == blockSection {
			if err := r.byteOrder(h[8:12]); err != nil {
				return err
			}
		}
		size := r.uint32(h[4:])
		switch {
		case typ|size == 0:
			return &zeros{r.buf.offset()}
		case size < 12 || size%4 != 0:
			return r.damaged("a block of %d bytes", size)
		}
		switch typ {
		case blockSection, blockInterface, blockStatistics, blockEnhanced, blockPacket, blockSimple:
		default:
			r.skipping = int64(size)
			continue
		}
		found, err := r.block(p, typ, size)
		if found || err != nil {
			return err
		}
	}
}

// block takes one block of a type that is looked into, and says whether it filled in p.
func (r *reader) block(p *Packet, typ, size uint32) (found bool, err error) {
	if size > maxBlock {
		return false, r.damaged("a block of %d bytes", size)
	}
	b, err := r.buf.peek(int(size))
	if err != nil {
		return false, r.ended(len(b), err, "a block")
	}
	if again := r.uint32(b[size-4:]); again != size {
		return false, r.damaged("a block of %d bytes whose end says %d", size, again)
	}
	body := b[8 : size-4 : size-4]
	switch typ {
	case blockEnhanced:
		found, err = true, r.enhanced(p, body)
	case blockPacket:
		found, err = true, r.obsolete(p, body)
	case blockSimple:
		found, err = true, r.simple(p, body)
	case blockSection:
		err = r.sectionHeader(body)
	case blockInterface:
		err = r.describeInterface(body)
	case blockStatistics:
		r.statistics(body)
	}
	if err == nil {
		r.buf.take(int(size))
	}
	return found, err
}

func (r *reader) damaged(format string, args ...any) error {
	return &damage{r.buf.offset(), fmt.Sprintf(format, args...)}
}

// byteOrder learns a section's byte order from its byte-order magic.
func (r *reader) byteOrder(b []byte) error {
	const magic = 0x1a2b3c4d
	switch le := binary.LittleEndian.Uint32(b); le {
	case magic:
		r.big = false
	case bits.ReverseBytes32(magic):
		r.big = true
	default:
		if r.buf.offset() == 0 {
			return &notCapture{"a file that begins as pcapng does and goes on otherwise"}
		}
		return r.damaged("a section without a byte order")
	}
	return nil
}

func (r *reader) sectionHeader(body []byte) error {
	if len(body) < 16 {
		return r.damaged("a section header of %d bytes", len(body))
	}
	// Minor version 2 is written by some and means the same as 0. Source: draft-ietf-opsawg-pcapng, section 4.1.
	if major := r.uint16(body[4:]); major != 1 {
		return &notCapture{fmt.Sprintf("a pcapng section of version %d.%d, where 1.0 is known", major, r.uint16(body[6:]))}
	}
	r.ifaces = r.ifaces[:0]
	r.section++
	return nil
}

func (r *reader) describeInterface(body []byte) error {
	if len(body) < 8 {
		return r.damaged("an interface description of %d bytes", len(body))
	}
	if len(r.ifaces) == maxInterfaces {
		return r.damaged("more than %d interfaces", maxInterfaces)
	}
	f := iface{link: LinkType(r.uint16(body)), snaplen: r.uint32(body[4:]), exp: 6}
	r.options(body[8:], func(code uint16, v []byte) {
		switch {
		case code == 9 && len(v) >= 1: // if_tsresol
			f.binary, f.exp = v[0]&0x80 != 0, v[0]&0x7f
		case code == 14 && len(v) >= 8: // if_tsoffset
			f.offset = int64(r.uint64(v))
		}
	})
	r.ifaces = append(r.ifaces, f)
	return nil
}

// options calls f with each option in b, up to the end or the first that does not fit.
func (r *reader) options(b []byte, f func(code uint16, v []byte)) {
	for len(b) >= 4 {
		code, n := r.uint16(b), int(r.uint16(b[2:]))
		b = b[4:]
		if code == 0 || n > len(b) {
			return
		}
		f(code, b[:n:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

func (r *reader) enhanced(p *Packet, body []byte) error {
	if len(body) < 20 {
		return r.damaged("a packet block of %d bytes", len(body))
	}
	ticks := uint64(r.uint32(body[4:]))<<32 | uint64(r.uint32(body[8:]))
	return r.packet(p, r.uint32(body), ticks, r.uint32(body[12:]), r.uint32(body[16:]), body[20:])
}

func (r *reader) obsolete(p *Packet, body []byte) error {
	if len(body) < 20 {
		return r.damaged("a packet block of %d bytes", len(body))
	}
	ticks := uint64(r.uint32(body[4:]))<<32 | uint64(r.uint32(body[8:]))
	err := r.packet(p, uint32(r.uint16(body)), ticks, r.uint32(body[12:]), r.uint32(body[16:]), body[20:])
	if n := r.uint16(body[2:]); err == nil && n != math.MaxUint16 {
		r.drops.kernel += uint64(n) // since the packet before; the highest number means "not known"
	}
	return err
}

// packet fills in p from the fields of a packet block.
func (r *reader) packet(p *Packet, id uint32, ticks uint64, n, wire uint32, data []byte) error {
	if uint64(id) >= uint64(len(r.ifaces)) {
		return r.damaged("a packet of interface %d, which was not described", id)
	}
	if n > maxPacket || int(n) > len(data) {
		return r.damaged("a packet of %d bytes in a block with room for %d", n, len(data))
	}
	f := &r.ifaces[id]
	p.Data = data[:n:n]
	p.Len = max(int(wire), int(n))
	p.Link = f.link
	ns, ok := f.nanos(ticks)
	r.timed(p, ns, ok)
	return nil
}

// simple fills in p from a block that says nothing about time or interface: it is of the first one.
func (r *reader) simple(p *Packet, body []byte) error {
	if len(body) < 4 {
		return r.damaged("a packet block of %d bytes", len(body))
	}
	if len(r.ifaces) == 0 {
		return r.damaged("a packet of interface 0, which was not described")
	}
	f := &r.ifaces[0]
	wire, data := r.uint32(body), body[4:]
	n := min(int64(wire), int64(len(data)), maxPacket)
	if f.snaplen > 0 {
		n = min(n, int64(f.snaplen))
	}
	p.Data = data[:n:n]
	p.Len = int(wire)
	p.Link = f.link
	r.timed(p, 0, false)
	return nil
}

// nanos converts ticks to nanoseconds since 1970, if that is between 1970 and 2262.
func (f *iface) nanos(ticks uint64) (ns int64, ok bool) {
	var sec, frac uint64 // frac in nanoseconds
	switch {
	case !f.binary && f.exp == 6:
		sec, frac = ticks/1e6, ticks%1e6*1e3
	case !f.binary && f.exp == 9:
		sec, frac = ticks/1e9, ticks%1e9
	case !f.binary && f.exp <= 9:
		per := pow10(f.exp)
		sec, frac = ticks/per, ticks%per*pow10(9-f.exp)
	case !f.binary && f.exp-9 < 20: // finer than a nanosecond; 10^19 is the last power that fits
		ns := ticks / pow10(f.exp-9)
		sec, frac = ns/1e9, ns%1e9
	case f.binary && f.exp < 64:
		hi, lo := bits.Mul64(ticks&(1<<f.exp-1), 1e9)
		sec, frac = ticks>>f.exp, lo>>f.exp|hi<<(64-f.exp)
	case f.binary && f.exp < 128:
		hi, _ := bits.Mul64(ticks, 1e9)
		frac = hi >> (f.exp - 64)
	default:
		return 0, false
	}
	const last = math.MaxInt64/1_000_000_000 - 1
	if sec > last || f.offset > last || f.offset < -last {
		return 0, false
	}
	s := int64(sec) + f.offset
	if s < 0 || s > last {
		return 0, false
	}
	return s*1e9 + int64(frac), true
}

// pow10 is 10^n, for n up to 19.
func pow10(n uint8) uint64 {
	p := uint64(1)
	for ; n > 0; n-- {
		p *= 10
	}
	return p
}

// maxCounters bounds the interfaces whose counters are kept apart.
const maxCounters = 4096

// drops counts lost packets, as interface statistics blocks have them: totals since the capture's start, which
// dumpcap writes at the end of each file of a rotating capture.
type drops struct {
	kernel, iface uint64 // totals of all
	of            map[counter]counts
	file          int // the file being read, so that counters without a start are kept apart
}

// A counter is one interface's since one start.
type counter struct {
	iface, section uint32
	file           int // -1 if start is known: the counters go on from file to file
	start          uint64
}

type counts struct{ kernel, iface uint64 }

// statistics takes an interface statistics block. One of a wrong form says nothing.
func (r *reader) statistics(body []byte) {
	if len(body) < 12 {
		return
	}
	var now counts
	key := counter{iface: r.uint32(body), section: uint32(r.section), file: r.drops.file}
	r.options(body[12:], func(code uint16, v []byte) {
		if len(v) < 8 || r.uint64(v) == math.MaxUint64 { // the highest number means "not known"
			return
		}
		switch code {
		case 2: // isb_starttime
			key.file = -1
			key.start = uint64(r.uint32(v))<<32 | uint64(r.uint32(v[4:]))
		case 5: // isb_ifdrop
			now.iface = r.uint64(v)
		case 7: // isb_osdrop
			now.kernel = r.uint64(v)
		}
	})
	r.drops.note(key, now)
}

// note takes the counters of one interface, which only grow.
func (d *drops) note(key counter, now counts) {
	if now == (counts{}) {
		return
	}
	was, known := d.of[key]
	if !known && len(d.of) == maxCounters {
		return
	}
	if d.of == nil {
		d.of = map[counter]counts{}
	}
	now.kernel, now.iface = max(now.kernel, was.kernel), max(now.iface, was.iface)
	d.of[key] = now
	d.kernel += now.kernel - was.kernel
	d.iface += now.iface - was.iface
}
