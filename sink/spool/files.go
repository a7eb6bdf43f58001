package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"btcsniff/record"
)

const (
	suffix      = ".spool"
	refusedName = "refused"
	maxFile     = 16 << 20 // bytes, then the next file is begun; a whole file is deleted when its entries are stored
	minFile     = 64 << 10
)

var (
	errFull = errors.New("the spool is full")
	errDone = errors.New("no more entries")
	errSum  = errors.New("a checksum is wrong")
	errGone = errors.New("entries have gone")
)

// files are a folder's: entries, one behind the other, in files of some size each, the oldest first. Each run begins a file of its
// own. One goroutine appends while another reads and removes; counts may be looked at by any.
type files struct {
	dir   string
	place string // where the entries are to go; files of another place are refused
	limit int64  // bytes of all files
	lock  *os.File

	mu    sync.Mutex
	list  []*file
	out   *os.File // the last of list, open for appending; nil: there is none, a new one is begun
	next  uint64   // number of the next file
	in    *os.File // list[0], open for reading; nil: it is not yet
	at    int64    // where to read on in it
	head  header   // of the entry there; valid if ahead
	ahead bool
	cut   int64 // bytes that were cut off at the ends of earlier runs' files
}

// A file is some entries that wait.
type file struct {
	name    string
	size    int64  // up to the end of the last whole entry
	entries uint64 // not yet removed; of a damaged file, those that can be found
	records uint64 // in these
	own     bool   // this run made it
}

// openFiles opens the folder, which it makes if need be, for this process alone. What an earlier run left half-written is cut off.
func openFiles(dir, place string, limit int64) (*files, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &UseError{fmt.Sprintf("spool %s: another sniff uses it: give each its own with --spool", dir)}
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	f := &files{dir: dir, place: place, limit: limit, lock: lock}
	if err := f.recover(); err != nil {
		lock.Close()
		return nil, err
	}
	return f, nil
}

// A UseError says that a folder can't be used by this process, though nothing is wrong with it.
type UseError struct{ text string }

func (e *UseError) Error() string { return e.text }

// recover finds what earlier runs left.
func (f *files) recover() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		number, is := strings.CutSuffix(e.Name(), suffix)
		n, err := strconv.ParseUint(number, 16, 64)
		if !is || err != nil || len(number) != 16 {
			continue
		}
		f.next = max(f.next, n+1)
		found, err := f.examine(e.Name())
		if err != nil {
			return err
		}
		if found.entries > 0 {
			f.list = append(f.list, found)
		} else if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil { // nothing in it was ever kept safe
			return err
		}
	}
	slices.SortFunc(f.list, func(a, b *file) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// examine counts a file's entries, and cuts off what was half-written when its run was killed.
func (f *files) examine(name string) (*file, error) {
	path := filepath.Join(f.dir, name)
	in, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	found := &file{name: name}
	at, err := f.checkHead(in, path, info.Size())
	if errors.Is(err, errDone) {
		f.cut += info.Size()
		return found, nil
	} else if err != nil {
		return nil, err
	}
	var last struct {
		at int64
		header
	}
	found.size = at
	for {
		h, where, err := findEntry(in, at, info.Size())
		if errors.Is(err, errDone) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		at = where + headerLen + int64(h.size)
		found.entries++
		found.records += uint64(h.records)
		found.size = at
		last.at, last.header = where, h
	}
	// The last entry may not have been synced.
	if found.entries > 0 {
		if _, err := readEntry(in, last.at, last.header); err != nil {
			found.entries--
			found.records -= uint64(last.records)
			found.size = last.at
		}
	}
	if found.size == info.Size() {
		return found, nil
	}
	f.cut += info.Size() - found.size
	return found, in.Truncate(found.size)
}

// checkHead reads a file's beginning, and returns where its entries begin. errDone: it was never finished.
func (f *files) checkHead(in io.ReaderAt, path string, size int64) (at int64, err error) {
	fixed := make([]byte, fileHead)
	if _, err := in.ReadAt(fixed, 0); errors.Is(err, io.EOF) {
		return 0, errDone
	} else if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	switch n := int64(binary.LittleEndian.Uint16(fixed[9:])); {
	case bytes.Equal(fixed, make([]byte, fileHead)):
		return 0, errDone // the machine crashed before its first sync
	case string(fixed[:8]) != fileMagic:
		return 0, &UseError{fmt.Sprintf("spool: %s is no file of btcsniff's: move it away, or give another folder with --spool", path)}
	case fixed[8] != version:
		return 0, &UseError{fmt.Sprintf("spool: %s was written by another version of btcsniff, in format %d, and this one knows %d: "+
			"let that one store it, or move it away", path, fixed[8], version)}
	case fileHead+n > size:
		return 0, errDone
	default:
		place := make([]byte, n)
		if _, err := in.ReadAt(place, fileHead); err != nil {
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
		if string(place) != f.place {
			return 0, &UseError{fmt.Sprintf("spool: %s holds records for %q, not for %q: move it away", path, place, f.place)}
		}
		return fileHead + n, nil
	}
}

// findEntry returns the header of the first entry at or behind at, and where it is: bytes that are none are passed over.
func findEntry(in io.ReaderAt, at, size int64) (h header, where int64, err error) {
	buf := make([]byte, headerLen)
	if size-at < headerLen {
		return h, 0, errDone
	}
	if _, err := in.ReadAt(buf, at); err != nil {
		return h, 0, err
	}
	if h.parse(buf) && at+headerLen+int64(h.size) <= size {
		return h, at, nil
	}
	buf = make([]byte, 1<<20)
	magic := binary.LittleEndian.AppendUint32(nil, entryMagic)
	for at++; size-at >= headerLen; {
		n, err := in.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) || n < headerLen {
			return h, 0, cmp.Or(err, io.ErrUnexpectedEOF)
		}
		i := bytes.Index(buf[:n], magic)
		switch {
		case i < 0:
			at += int64(n - len(magic) + 1)
		case n-i < headerLen:
			at += int64(i) // again, with more behind it; size says whether there is more
			if size-at < headerLen {
				return h, 0, errDone
			}
		case h.parse(buf[i:n]) && at+int64(i)+headerLen+int64(h.size) <= size:
			return h, at + int64(i), nil
		default:
			at += int64(i) + 1
		}
	}
	return h, 0, errDone
}

// readEntry returns what is behind a header, compressed.
func readEntry(in io.ReaderAt, at int64, h header) ([]byte, error) {
	b := make([]byte, h.size)
	if _, err := in.ReadAt(b, at+headerLen); err != nil {
		return nil, err
	}
	if crc32.Checksum(b, castagnoli) != h.sum {
		return nil, errSum
	}
	return b, nil
}

// append adds an entry behind all others and syncs it to disk. errFull: it would take more than the limit, which over lets it.
// After another error nothing was added.
func (f *files) append(h header, body []byte, over bool) error {
	h.size, h.sum = uint32(len(body)), crc32.Checksum(body, castagnoli)
	f.mu.Lock()
	defer f.mu.Unlock()
	total := int64(0)
	for _, x := range f.list {
		total += x.size
	}
	if total+headerLen+int64(len(body)) > f.limit && !over {
		return errFull
	}
	if f.out != nil && f.list[len(f.list)-1].size >= min(maxFile, max(minFile, f.limit/16)) {
		f.out.Close()
		f.out = nil
	}
	began := f.out == nil
	if began {
		if err := f.begin(); err != nil {
			return err
		}
	}
	last := f.list[len(f.list)-1]
	_, err := f.out.WriteAt(append(h.append(make([]byte, 0, headerLen+len(body))), body...), last.size)
	if err == nil {
		err = f.out.Sync()
	}
	if err == nil && began {
		err = f.lock.Sync() // the file's name
	}
	if err != nil {
		// What was written in part is passed over by the next entry, or cut off by the next run.
		if began {
			f.list = f.list[:len(f.list)-1]
			os.Remove(f.out.Name()) //nolint:errcheck // the first error counts
			f.out.Close()
			f.out = nil
		} else if cut := f.out.Truncate(last.size); cut != nil {
			f.out.Close()
			f.out = nil
		}
		return err
	}
	last.size += headerLen + int64(len(body))
	last.entries++
	last.records += uint64(h.records)
	return nil
}

// begin begins a file.
func (f *files) begin() error {
	name := fmt.Sprintf("%016x%s", f.next, suffix)
	out, err := os.OpenFile(filepath.Join(f.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	f.next++
	head := append([]byte(fileMagic), version)
	head = append(binary.LittleEndian.AppendUint16(head, uint16(len(f.place))), f.place...)
	if _, err := out.Write(head); err != nil {
		os.Remove(out.Name()) //nolint:errcheck // the first error counts
		out.Close()
		return err
	}
	f.out = out
	f.list = append(f.list, &file{name: name, size: int64(len(head)), own: true})
	return nil
}

// first returns the oldest entry; it stays until removed. errDone: there is none. With another error, the entry can't be
// read; without a header, what is left of its file can't.
func (f *files) first() (header, []byte, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(); err != nil {
		return header{}, nil, false, err
	}
	b, err := readEntry(f.in, f.at, f.head)
	return f.head, b, f.list[0].own, err
}

// look finds the header of the oldest entry.
func (f *files) look() error {
	for !f.ahead {
		if len(f.list) == 0 {
			return errDone
		}
		old := f.list[0]
		if f.in == nil {
			in, err := os.Open(filepath.Join(f.dir, old.name))
			if err != nil {
				return err
			}
			f.in, f.at = in, fileHead+int64(len(f.place))
		}
		h, where, err := findEntry(f.in, f.at, old.size)
		if err == nil {
			f.head, f.at, f.ahead = h, where, true
			return nil
		}
		if !errors.Is(err, errDone) {
			return err
		}
		if old.entries > 0 {
			return fmt.Errorf("%s: %w", filepath.Join(f.dir, old.name), errGone)
		}
		f.drop()
	}
	return nil
}

// remove removes the oldest entry, which first returned.
func (f *files) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at += headerLen + int64(f.head.size)
	f.list[0].entries--
	f.list[0].records -= uint64(f.head.records)
	f.ahead = false
	if f.list[0].entries == 0 {
		f.drop()
	}
}

// skip gives up what is left of the oldest file, and returns how many records that are. The file is kept under another name.
func (f *files) skip() (records uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.list[0]
	records = old.records
	path := filepath.Join(f.dir, old.name)
	os.Rename(path, path+".bad") //nolint:errcheck // if it can't be renamed either, the next run meets it again
	f.drop()
	return records
}

// drop deletes the oldest file.
func (f *files) drop() {
	if len(f.list) == 1 && f.out != nil {
		f.out.Close()
		f.out = nil
	}
	if f.in != nil {
		f.in.Close()
		f.in = nil
	}
	f.ahead = false
	os.Remove(filepath.Join(f.dir, f.list[0].name)) //nolint:errcheck // what it holds is stored; storing it again adds nothing
	f.list = f.list[1:]
}

// aside keeps an entry that can't be stored in a file of its own kind, which a repaired database may be given again.
func (f *files) aside(h header, body []byte) error {
	h.size, h.sum = uint32(len(body)), crc32.Checksum(body, castagnoli)
	out, err := os.OpenFile(filepath.Join(f.dir, refusedName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return err
	}
	if info.Size()+int64(len(body)) > f.limit/4 {
		return fmt.Errorf("%s has grown to a quarter of --spool-size", out.Name())
	}
	var b []byte
	if info.Size() == 0 {
		b = append(b, fileMagic...)
		b = append(b, version)
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(f.place))), f.place...)
	}
	if _, err := out.Write(append(h.append(b), body...)); err != nil {
		return err
	}
	return out.Sync()
}

// A waiting says what waits.
type waiting struct {
	entries, records, own uint64
	bytes                 int64
	oldest                record.Time
}

func (f *files) waiting() (w waiting) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.list {
		w.entries += x.entries
		w.records += x.records
		w.bytes += x.size
		if x.own {
			w.own += x.records
		}
	}
	if w.entries > 0 && f.look() == nil {
		w.oldest = f.head.first
	}
	return w
}

func (f *files) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range []*os.File{f.out, f.in, f.lock} {
		if x != nil {
			x.Close()
		}
	}
}

// An Other is a folder with records for some place.
type Other struct {
	Dir     string
	Place   string
	Bytes   int64  // of its files
	Records uint64 // in whole batches
}

// Others returns the folders in dir that hold records for other places than these, unless another process is at work there.
func Others(dir string, places []string) (list []Other) {
	names, _ := filepath.Glob(filepath.Join(dir, "*", "*"+suffix)) // the pattern is a good one
	for _, name := range names {
		folder := filepath.Dir(name)
		place, size, ok := peek(name)
		if !ok || slices.Contains(places, place) || inUse(folder) {
			continue
		}
		if n := len(list); n == 0 || list[n-1].Dir != folder {
			list = append(list, Other{Dir: folder, Place: place})
		}
		list[len(list)-1].Bytes += size
		list[len(list)-1].Records += countRecords(name, fileHead+int64(len(place)), size)
	}
	return list
}

// peek returns which place a file's records are for.
func peek(name string) (place string, size int64, ok bool) {
	in, err := os.Open(name)
	if err != nil {
		return "", 0, false
	}
	defer in.Close()
	head := make([]byte, fileHead)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:8]) != fileMagic {
		return "", 0, false
	}
	b := make([]byte, binary.LittleEndian.Uint16(head[9:]))
	if _, err := io.ReadFull(in, b); err != nil {
		return "", 0, false
	}
	info, err := in.Stat()
	if err != nil {
		return "", 0, false
	}
	return string(b), info.Size(), true
}

// countRecords returns how many records a file holds.
func countRecords(name string, at, size int64) (n uint64) {
	in, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer in.Close()
	for {
		h, where, err := findEntry(in, at, size)
		if err != nil {
			return n
		}
		n += uint64(h.records)
		at = where + headerLen + int64(h.size)
	}
}

// inUse says whether another process has locked the folder.
func inUse(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return true
	}
	defer f.Close() // and with it the lock
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}
