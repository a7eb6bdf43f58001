package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxSnaplen is what a packet may have where the file's header says less: tcpdump's MAXIMUM_SNAPLEN. Frames
	// put together by the card are larger than the snap length of some programs' headers.
	maxSnaplen = 262_144
	// maxPacket is the most that a packet may have whatever the header says. 16 MiB is far beyond any IP packet.
	maxPacket = 16 << 20
	// maxWindow is the most memory that a zstd file may ask for: what the zstd command allows by default.
	maxWindow = 128 << 20
)

// A cut is the end of a file within a packet, block or header, at an offset of the unpacked bytes. Everything before was read.
type cut struct {
	offset int64
	within string
}

func (e *cut) Error() string {
	return fmt.Sprintf("cut off within %s at offset %d", e.within, e.offset)
}

// damage is something in the middle of a file that can't be as it is.
type damage struct {
	offset int64
	what   string
}

func (e *damage) Error() string { return fmt.Sprintf("damaged at offset %d: %s", e.offset, e.what) }

// zeros is the end of a file that was allocated but never written, as after a power failure.
type zeros struct{ offset int64 }

func (e *zeros) Error() string {
	return fmt.Sprintf("nothing but zeros from offset %d on, as after a crash", e.offset)
}

// shrunk is a file that another program has cut to so many bytes while it was read.
type shrunk int64

func (n shrunk) Error() string {
	return fmt.Sprintf("cut to %d bytes by another program while it was read", int64(n))
}

// notCapture says what a file is that is no capture.
type notCapture struct{ what string }

func (e *notCapture) Error() string { return "no packet capture but " + e.what }

// errEmpty is a file without a single byte. tcpdump -G leaves one if it is stopped at the wrong moment.
var errEmpty = errors.New("empty (0 bytes)")

// A reader decodes one file of any format. pcapgo is not used for this: its link type is a uint8, so that 276
// (LINKTYPE_LINUX_SLL2, what tcpdump -i any writes) becomes 20, and it reads packet by packet and copies.
type reader struct {
	buf    buffer
	decode func(*reader, *Packet) error // the format's next; nil before the header was read
	closer func()                       // of the decompressor
	packed bool

	big      bool   // byte order of the file or section
	unit     int64  // pcap: nanoseconds
	header   int    // pcap: bytes before each packet
	limit    uint32 // pcap: longest packet believed
	link     LinkType
	ifaces   []iface // pcapng: of this section
	section  int     // pcapng: sections before this one
	skipping int64   // pcapng: bytes of a block still to be skipped
	drops    drops
	last     int64 // time of the packet before
	badTimes uint64
}

// newReader returns a reader of src that reads blocks of size bytes.
func newReader(src io.Reader, size int) *reader {
	return &reader{buf: newBuffer(src, size)}
}

// reset makes r read another file of the same capture, with the same memory.
func (r *reader) reset(src io.Reader) {
	r.close()
	r.drops.file++
	*r = reader{buf: r.buf, drops: r.drops}
	r.buf.reset(src)
}

func (r *reader) close() {
	if r.closer != nil {
		r.closer()
		r.closer = nil
	}
}

// next fills in p, but for Capture, with the next packet. At the end it returns io.EOF, a *cut or *zeros; a file that
// is no capture gives errEmpty or a *notCapture; else it returns *damage or the source's error. When the
// source has more after its end, or after its error, next goes on from there.
func (r *reader) next(p *Packet) error {
	if r.decode == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	err := r.decode(r, p)
	p.Block = r.buf.block
	return err
}

// open recognises the format by the file's first bytes and reads its header.
func (r *reader) open() error {
	b, err := r.buf.peek(4)
	if err != nil {
		return r.short(b, err)
	}
	if !r.packed {
		unpack, err := r.unpacker(b)
		if err != nil {
			return err
		}
		if unpack {
			return r.open()
		}
	}
	switch le := binary.LittleEndian.Uint32(b); le {
	case pcapMicro, pcapNano, pcapModified:
		return r.openPcap(le, false)
	case bits.ReverseBytes32(pcapMicro), bits.ReverseBytes32(pcapNano), bits.ReverseBytes32(pcapModified):
		return r.openPcap(bits.ReverseBytes32(le), true)
	case blockSection:
		r.decode = (*reader).nextBlock
		return nil
	}
	b, _ = r.buf.peek(512)
	return &notCapture{describe(b)}
}

// short explains a file of less than four bytes.
func (r *reader) short(b []byte, err error) error {
	switch {
	case !atEnd(err):
		return r.fail(err)
	case len(b) == 0 && err == io.EOF:
		return errEmpty
	case len(b) == 0 || startsMagic(b):
		return &cut{r.buf.offset(), "its header"}
	}
	return &notCapture{describe(b)}
}

// unpacker puts a decompressor between if b is the beginning of a compressed file.
func (r *reader) unpacker(b []byte) (bool, error) {
	switch {
	case b[0] == 0x1f && b[1] == 0x8b: // RFC 1952
		z, err := gzip.NewReader(bufio.NewReaderSize(r.buf.unread(), 64<<10))
		if err != nil {
			if atEnd(err) {
				return false, &cut{0, "its gzip header"}
			}
			return false, r.fail(err)
		}
		r.buf.src, r.closer = z, func() { _ = z.Close() }
	case binary.LittleEndian.Uint32(b) == 0xfd2fb528, // RFC 8878, section 3.1.1
		binary.LittleEndian.Uint32(b)&^0xf == 0x184d2a50: // skippable frames, section 3.1.2
		z, err := zstd.NewReader(r.buf.unread(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return false, r.fail(err)
		}
		r.buf.src, r.closer = z, z.Close
	default:
		return false, nil
	}
	r.packed = true
	return true, nil
}

// ended turns the end of the source, with some bytes of something left over, into io.EOF or a *cut.
func (r *reader) ended(left int, err error, within string) error {
	switch {
	case err == io.EOF && left == 0:
		return io.EOF
	case atEnd(err):
		return &cut{r.buf.offset(), within}
	}
	return r.fail(err)
}

// fail says where the source failed.
func (r *reader) fail(err error) error {
	if r.packed {
		return fmt.Errorf("unpack at offset %d: %w", r.buf.offset()+int64(r.buf.end-r.buf.pos), err)
	}
	return err
}

// timed sets p's time, which ok says is one from 1970 to 2262. A packet without such a time gets the one before it.
func (r *reader) timed(p *Packet, ns int64, ok bool) {
	if !ok {
		r.badTimes++
		ns = r.last
	}
	r.last = ns
	p.Time = ns
}

// describe says in a few words what the beginning b of a file looks like.
func describe(b []byte) string {
	for _, k := range [...]struct{ magic, what string }{
		{"\xfd7zXZ\x00", "an xz file: unpack it first (xz -d)"},
		{"BZh", "a bzip2 file: unpack it first (bzip2 -d)"},
		{"\x04\x22\x4d\x18", "an lz4 file: unpack it first (lz4 -d)"},
		{"PK\x03\x04", "a zip file: unpack it first"},
		{"7z\xbc\xaf\x27\x1c", "a 7-Zip file: unpack it first"},
		{"snoop\x00\x00\x00", "a Solaris snoop file: convert it first (editcap -F pcap)"},
		{"GMBU", "a Network Monitor file: convert it first (editcap -F pcap)"},
		{"XCP\x00", "a NetXRay file: convert it first (editcap -F pcap)"},
		{"\x7fELF", "a program"},
		{"SQLite format 3\x00", "an SQLite database"},
	} {
		if len(b) >= len(k.magic) && string(b[:len(k.magic)]) == k.magic {
			return k.what
		}
	}
	if len(b) >= 12 && string(b[8:12]) == "DUCK" {
		return "a DuckDB database"
	}
	if len(b) > 257+5 && string(b[257:262]) == "ustar" {
		return "a tar archive: unpack it first (tar -x)"
	}
	if isText(b) {
		return "text"
	}
	return fmt.Sprintf("a file that begins with % x", b[:min(len(b), 8)])
}

// isText says whether b has printable characters alone, in ASCII or UTF-8.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// startsMagic says whether b is the beginning of a capture file's magic number, cut off.
func startsMagic(b []byte) bool {
	for _, m := range [...]uint32{pcapMicro, pcapNano, pcapModified, blockSection} {
		le, be := binary.LittleEndian.AppendUint32(nil, m), binary.BigEndian.AppendUint32(nil, m)
		if n := min(len(b), 4); string(le[:n]) == string(b[:n]) || string(be[:n]) == string(b[:n]) {
			return true
		}
	}
	return b[0] == 0x1f && (len(b) == 1 || b[1] == 0x8b) || b[0] == 0x28 && (len(b) == 1 || b[1] == 0xb5)
}
