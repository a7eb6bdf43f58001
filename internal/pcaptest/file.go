package pcaptest

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"btcsniff/capture"
)

// A Format is a capture file's format. The zero value is what tcpdump writes on most machines: pcap, little-endian, microseconds.
type Format struct {
	NG        bool // pcapng
	BigEndian bool
	Nanos     bool
}

// String is the format's name for flags and test cases.
func (f Format) String() string {
	s := "pcap"
	if f.NG {
		s = "pcapng"
	}
	if f.BigEndian {
		s += "-be"
	}
	if f.Nanos {
		s += "-ns"
	}
	return s
}

// Formats returns all formats.
func Formats() []Format {
	var all []Format
	for i := range 8 {
		all = append(all, Format{NG: i&4 != 0, BigEndian: i&2 != 0, Nanos: i&1 != 0})
	}
	return all
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func (f Format) order() byteOrder {
	if f.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

const snapLen = 262144 // bytes; tcpdump's default

// AppendHeader appends what a file of the format begins with, for packets of the given link types. A pcap file has one only.
func (f Format) AppendHeader(b []byte, links ...capture.LinkType) []byte {
	o := f.order()
	if f.NG {
		return f.appendSection(b, links)
	}
	magic := uint32(0xa1b2c3d4)
	if f.Nanos {
		magic = 0xa1b23c4d
	}
	b = o.AppendUint32(b, magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, 4)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = o.AppendUint32(b, snapLen)
	return o.AppendUint32(b, uint32(links[0]))
}

// appendSection appends a section header block and an interface description block for each link type.
// Source: IETF draft-ietf-opsawg-pcapng, section 4.
func (f Format) appendSection(b []byte, links []capture.LinkType) []byte {
	o := f.order()
	b = o.AppendUint32(b, 0x0a0d0d0a)
	b = o.AppendUint32(b, 28)
	b = o.AppendUint32(b, 0x1a2b3c4d)
	b = o.AppendUint16(b, 1)
	b = o.AppendUint16(b, 0)
	b = o.AppendUint64(b, ^uint64(0)) // section length: not known
	b = o.AppendUint32(b, 28)
	for _, link := range links {
		length := uint32(20)
		if f.Nanos {
			length = 32
		}
		b = o.AppendUint32(b, 1)
		b = o.AppendUint32(b, length)
		b = o.AppendUint16(b, uint16(link))
		b = o.AppendUint16(b, 0)
		b = o.AppendUint32(b, snapLen)
		if f.Nanos {
			b = o.AppendUint16(b, 9) // if_tsresol
			b = o.AppendUint16(b, 1)
			b = append(b, 9, 0, 0, 0) // 10^-9 s
			b = o.AppendUint32(b, 0)  // end of options
		}
		b = o.AppendUint32(b, length)
	}
	return b
}

// AppendPacket appends one packet of a file. iface is the interface's place among AppendHeader's link types.
func (f Format) AppendPacket(b []byte, p *capture.Packet, iface int) []byte {
	o := f.order()
	if !f.NG {
		unit := int64(1000)
		if f.Nanos {
			unit = 1
		}
		b = o.AppendUint32(b, uint32(p.Time/1e9))
		b = o.AppendUint32(b, uint32(p.Time%1e9/unit))
		b = o.AppendUint32(b, uint32(len(p.Data)))
		b = o.AppendUint32(b, uint32(p.Len))
		return append(b, p.Data...)
	}
	t := uint64(p.Time)
	if !f.Nanos {
		t /= 1000
	}
	pad := -len(p.Data) & 3
	length := uint32(32 + len(p.Data) + pad)
	b = o.AppendUint32(b, 6) // enhanced packet block
	b = o.AppendUint32(b, length)
	b = o.AppendUint32(b, uint32(iface))
	b = o.AppendUint32(b, uint32(t>>32))
	b = o.AppendUint32(b, uint32(t))
	b = o.AppendUint32(b, uint32(len(p.Data)))
	b = o.AppendUint32(b, uint32(p.Len))
	b = append(append(b, p.Data...), make([]byte, pad)...)
	return o.AppendUint32(b, length)
}

// Append appends a whole capture file to b. Packets of several link types need pcapng.
func (f Format) Append(b []byte, packets []capture.Packet) []byte {
	var links []capture.LinkType
	place := map[capture.LinkType]int{}
	for i := range packets {
		if _, ok := place[packets[i].Link]; !ok {
			place[packets[i].Link] = len(links)
			links = append(links, packets[i].Link)
		}
	}
	if len(links) == 0 {
		links = []capture.LinkType{Ethernet.LinkType()}
	}
	b = f.AppendHeader(b, links...)
	for i := range packets {
		b = f.AppendPacket(b, &packets[i], place[packets[i].Link])
	}
	return b
}

// Write writes a capture file to w.
func (f Format) Write(w io.Writer, packets []capture.Packet) error {
	if _, err := w.Write(f.Append(nil, packets)); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

// WriteRotated writes packets into files of dir as `tcpdump -i iface -G … -w %s.iface.pcap` would: one continuous capture, cut
// before each of the packets that cuts names, in ascending order. A file is named for its first packet's second, or a later one
// where that name is taken. It returns the paths, in order.
func (f Format) WriteRotated(dir, iface string, packets []capture.Packet, cuts ...int) ([]string, error) {
	var paths []string
	last := int64(0)
	for from := 0; from < len(packets); {
		to := len(packets)
		for len(cuts) > 0 && cuts[0] <= from {
			cuts = cuts[1:]
		}
		if len(cuts) > 0 {
			to = min(to, cuts[0])
		}
		last = max(last+1, packets[from].Time/1e9)
		path := filepath.Join(dir, fmt.Sprintf("%d.%s.pcap", last, iface))
		if err := os.WriteFile(path, f.Append(nil, packets[from:to]), 0o600); err != nil {
			return paths, fmt.Errorf("write capture: %w", err)
		}
		paths = append(paths, path)
		from = to
	}
	return paths, nil
}
