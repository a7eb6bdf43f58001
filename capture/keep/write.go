package keep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"btcsniff/capture"
)

// The pcap format. Source: IETF draft-ietf-opsawg-pcap.
const (
	fileHeader   = 24         // bytes
	packetHeader = 16         // bytes before each packet
	magicMicros  = 0xa1b2c3d4 // times are seconds and microseconds
	magicNanos   = 0xa1b23c4d // times are seconds and nanoseconds
)

func appendFileHeader(b []byte, link capture.LinkType, nanos bool, snapLen int) []byte {
	le := binary.LittleEndian
	magic := uint32(magicMicros)
	if nanos {
		magic = magicNanos
	}
	b = le.AppendUint32(b, magic)
	b = le.AppendUint16(b, 2) // version 2.4
	b = le.AppendUint16(b, 4)
	b = le.AppendUint64(b, 0) // reserved
	b = le.AppendUint32(b, uint32(snapLen))
	return le.AppendUint32(b, uint32(link))
}

func appendPacket(b []byte, p *capture.Packet, nanos bool) []byte {
	le := binary.LittleEndian
	fraction := uint32(p.Time % 1e9)
	if !nanos {
		fraction /= 1000
	}
	b = le.AppendUint32(b, uint32(p.Time/1e9))
	b = le.AppendUint32(b, fraction)
	b = le.AppendUint32(b, uint32(len(p.Data)))
	b = le.AppendUint32(b, uint32(p.Len))
	return append(b, p.Data...)
}

// An out is a file being written.
type out struct {
	f   *os.File // nil if it can't be written (any more)
	zip *zstd.Encoder
}

// write is the goroutine that writes.
func (k *Keeper) write() {
	defer close(k.done)
	files := map[int]*out{}
	for o := range k.work {
		if o.begin != nil {
			files[o.capture] = k.begin(o.begin)
		}
		k.append(files[o.capture], &o)
		if o.end {
			k.end(files[o.capture])
			delete(files, o.capture)
		}
		if o.chunk != nil {
			k.free <- o.chunk[:0]
		}
	}
}

// begin makes the file. If that fails what it returns swallows and counts.
func (k *Keeper) begin(t *title) *out {
	o := &out{}
	f, err := create(k.cfg.Dir, t, k.cfg.Zstd)
	if err != nil {
		k.fail(o, err)
		return o
	}
	o.f = f
	if k.cfg.Zstd {
		// One goroutine and the fastest level: the sniffer needs the machine more.
		o.zip, err = zstd.NewWriter(f, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			k.fail(o, fmt.Errorf("%s: %w", f.Name(), err))
			return o
		}
	}
	k.mu.Lock()
	k.stats.Files++
	k.mu.Unlock()
	return o
}

// create makes a file that is not there yet.
func create(dir string, t *title, zip bool) (*os.File, error) {
	name := "." + strings.ReplaceAll(t.name, string(filepath.Separator), "_") + ".pcap"
	if zip {
		name += ".zst"
	}
	var err error
	for unit := int64(1e9); unit > 0; unit /= 1000 {
		var f *os.File
		path := filepath.Join(dir, strconv.FormatInt(t.at/unit, 10)+name)
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, err
}

// append writes a chunk.
func (k *Keeper) append(f *out, o *order) {
	if f.f == nil {
		k.mu.Lock()
		k.stats.Lost += o.packets
		k.mu.Unlock()
		return
	}
	if o.packets == 0 {
		return
	}
	var err error
	if f.zip != nil {
		if _, err = f.zip.Write(o.chunk); err == nil {
			err = f.zip.Flush() // so that all of it can be read after a crash
		}
	} else {
		_, err = f.f.Write(o.chunk)
	}
	k.mu.Lock()
	if err != nil {
		k.stats.Lost += o.packets // at most: some may be there
	} else {
		k.stats.Packets += o.packets
		k.stats.Bytes += uint64(len(o.chunk))
	}
	k.mu.Unlock()
	if err != nil {
		k.fail(f, err)
	}
}

// end completes the file.
func (k *Keeper) end(f *out) {
	if f.f == nil {
		return
	}
	var err error
	if f.zip != nil {
		err = f.zip.Close()
	}
	if err == nil {
		err = f.f.Sync()
	}
	if errClose := f.f.Close(); err == nil {
		err = errClose
	}
	f.f = nil
	if err == nil {
		err = syncDir(k.cfg.Dir)
	}
	if err != nil {
		k.fail(f, err)
	}
}

// syncDir makes sure that the names of new files survive a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// fail gives a file up.
func (k *Keeper) fail(f *out, err error) {
	if f.f != nil {
		_ = f.f.Close() // it is lost anyway
		f.f = nil
	}
	err = fmt.Errorf("keep packets: %w", err)
	k.mu.Lock()
	k.stats.Broken++
	if k.err == nil {
		k.err = err
	}
	k.mu.Unlock()
	if k.cfg.Problem != nil {
		k.cfg.Problem(err)
	}
}
