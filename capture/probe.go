package capture

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
)

// A head is what the beginning of a file says.
type head struct {
	packet bool // there is one
	first  int64
	link   LinkType
	digest [32]byte // SHA-256 over the first packet's bytes
	err    error    // of reading up to the first packet, nil if it has one
}

// maxProbe is how far a file is read for its first packet, in bytes on disk.
const maxProbe = maxBlock + 1<<20

// probeBlock is the size of the blocks that a file's beginning is read in: most files have a packet in the first.
const probeBlock = 16 << 10

// A prober looks at many files with the same memory.
type prober struct{ r *reader }

// head reads the file up to its first packet.
func (pr *prober) head(path string) head {
	f, err := os.Open(path)
	if err != nil {
		return head{err: err}
	}
	defer f.Close()
	src := io.LimitReader(f, maxProbe)
	if pr.r == nil {
		pr.r = newReader(src, probeBlock)
	} else {
		pr.r.reset(src)
	}
	defer pr.r.close()
	var p Packet
	if err := pr.r.next(&p); err != nil {
		return head{err: err}
	}
	return head{packet: true, first: p.Time, link: p.Link, digest: sha256.Sum256(p.Data)}
}

// tailWindow is how much of a file's end is looked at for its last packet's time.
const tailWindow = 128 << 10

// last returns the capture time of a file's last packet, if that can be told from its end: a file that is compressed,
// or cut off, does not say. h is the file's head.
func (pr *prober) last(path string, h head) (ns int64, ok bool) {
	f, err := os.Open(path)
	if err != nil || !h.packet {
		return 0, false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, false
	}
	if st.Size() <= tailWindow {
		return pr.lastOfAll(f)
	}
	pr.r.reset(io.LimitReader(f, maxProbe))
	defer pr.r.close()
	var p Packet
	if err := pr.r.next(&p); err != nil || pr.r.packed {
		return 0, false
	}
	b := make([]byte, tailWindow)
	if _, err := f.ReadAt(b, st.Size()-tailWindow); err != nil {
		return 0, false
	}
	if pr.r.section > 0 {
		return pr.r.lastBlock(b)
	}
	return pr.r.lastPcap(b, h.first)
}

// lastOfAll reads a small file through.
func (pr *prober) lastOfAll(f *os.File) (ns int64, ok bool) {
	pr.r.reset(f)
	defer pr.r.close()
	var p Packet
	for {
		err := pr.r.next(&p)
		switch {
		case err == nil:
			ns, ok = p.Time, true
		case errors.Is(err, io.EOF):
			return ns, ok
		default:
			var c *cut
			return ns, ok && errors.As(err, &c)
		}
	}
}

// lastPcap finds the last packet in b, the end of a pcap file. Packets can't be found backwards, so it looks for a place in b
// from which one packet after the other leads exactly to the end. first is the time of the file's first packet.
func (r *reader) lastPcap(b []byte, first int64) (ns int64, ok bool) {
	for at := 0; at+r.header <= len(b); at++ {
		if ns, ok := r.chain(b[at:], first); ok {
			return ns, true
		}
	}
	return 0, false
}

// chain walks over packets that fill b exactly, none more than a day older than the file's first, and returns the
// time of the last.
func (r *reader) chain(b []byte, first int64) (ns int64, ok bool) {
	const day = 86_400 * 1_000_000_000 // nanoseconds
	for len(b) >= r.header {
		n := r.uint32(b[8:])
		frac := int64(r.uint32(b[4:])) * r.unit
		ns = int64(r.uint32(b))*1e9 + frac
		if n > r.limit || frac >= 1e9 || ns < first-day || r.uint32(b[12:]) < n || int(n) > len(b)-r.header {
			return 0, false
		}
		b = b[r.header+int(n):]
	}
	return ns, len(b) == 0
}

// lastBlock finds the last packet in b, the end of a pcapng file, whose blocks have their length at both ends. It knows
// the interfaces that were described before the first packet.
func (r *reader) lastBlock(b []byte) (ns int64, ok bool) {
	for len(b) >= 12 {
		n := uint64(r.uint32(b[len(b)-4:]))
		if n < 12 || n > uint64(len(b)) {
			return 0, false
		}
		block := b[uint64(len(b))-n:]
		if uint64(r.uint32(block[4:])) != n {
			return 0, false
		}
		switch typ := r.uint32(block); {
		case typ == blockSection:
			return 0, false
		case typ == blockEnhanced && n >= 32:
			if id := r.uint32(block[8:]); uint64(id) < uint64(len(r.ifaces)) {
				return r.ifaces[id].nanos(uint64(r.uint32(block[12:]))<<32 | uint64(r.uint32(block[16:])))
			}
			return 0, false
		}
		b = b[:uint64(len(b))-n]
	}
	return 0, false
}
