package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A place is a folder, a pattern, or one file, that is watched.
type place struct {
	path string
	kind placeKind
	bad  bool // its trouble was reported
}

type placeKind uint8

const (
	folder placeKind = iota
	pattern
	single
)

func newPlace(path string) (place, error) {
	if path == "-" {
		return place{}, errors.New("-: standard input can't be followed; it is read as it comes anyway: leave out --follow")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, "*?["):
		if _, err := filepath.Match(path, ""); err != nil {
			return place{}, fmt.Errorf("%s: %w; close each [ with a ]", path, err)
		}
		return place{path: path, kind: pattern}, nil
	case err != nil:
		_, err = verdict(path, err, false)
		return place{}, err
	case info.IsDir():
		if _, err := os.ReadDir(path); err != nil {
			_, err = verdict(path, err, false)
			return place{}, err
		}
		return place{path: path, kind: folder}, nil
	case info.Mode().IsRegular():
		return place{path: path, kind: single}, nil
	}
	return place{}, fmt.Errorf("%s: neither a folder nor a file; only those can be followed", path)
}

// list returns the paths of the files in the place now.
func (p *place) list() ([]string, error) {
	switch p.kind {
	case pattern:
		return filepath.Glob(p.path)
	case single:
		if _, err := os.Lstat(p.path); err != nil {
			return nil, nil // it may come back
		}
		return []string{p.path}, nil
	}
	entries, err := os.ReadDir(p.path)
	var paths []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
			paths = append(paths, filepath.Join(p.path, e.Name()))
		}
	}
	return paths, err
}

// A state is what becomes of a file that was found.
type state uint8

const (
	waiting state = iota // can't be told from its content yet: empty, or compressed and still growing
	refused              // no capture, or none of our business any more
	double               // of twin, to be reported when that is done
	queued
	begun
	done
)

// A seen is a file that was found.
type seen struct {
	path   string
	plain  string // path without .gz or .zst
	packed bool   // compressed
	state  state
	info   os.FileInfo // as of the last look
	still  time.Time   // since when info is the same
	file   *file       // if queued, begun or done
	trail  *trail
	twin   *seen
	gone   bool // not there any more under this path
	late   bool // found when a later one had been begun
	doneAt time.Time
	told   bool // its trouble was reported
}

// forgetAfter is how long a file that was read and is gone is remembered: it may come back compressed.
const forgetAfter = 10 * time.Minute

type trailKey struct {
	dir, rest, ext string
	stamped        bool
}

// scan looks for new files, and what became of those known.
func (f *Followed) scan() {
	f.scanned = f.clock
	listed := map[string]bool{}
	var paths []string
	for i := range f.places {
		p := &f.places[i]
		found, err := p.list()
		if err != nil && !p.bad {
			_, err = verdict(p.path, err, false)
			f.report(FileStats{Path: p.path, Capture: -1, Err: err})
		}
		p.bad = err != nil
		for _, path := range found {
			if !listed[path] {
				listed[path] = true
				paths = append(paths, path)
			}
		}
	}
	slices.SortFunc(paths, naturalCompare)
	for path, s := range f.known {
		s.gone = !listed[path]
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if s := f.known[path]; s == nil {
			f.meet(path, info)
		} else {
			f.meetAgain(s, info)
		}
	}
	for _, path := range f.goners() {
		f.lose(f.known[path])
	}
}

// goners returns the paths of known files that are gone, in order.
func (f *Followed) goners() (paths []string) {
	for path, s := range f.known {
		if s.gone {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, naturalCompare)
	return paths
}

// report says something about a file that is not, or no longer, read.
func (f *Followed) report(st FileStats) {
	st.Done = true
	f.mu.Lock()
	f.files = append(f.files, &st)
	f.mu.Unlock()
}

// meet takes a path that is new.
func (f *Followed) meet(path string, info os.FileInfo) {
	for _, t := range f.trails {
		if t.file == nil || t.disk.f == nil {
			continue
		}
		// A file that we have open can't be another one with the same number.
		if open, err := t.disk.f.Stat(); err == nil && os.SameFile(open, info) {
			f.renamed(t.file.seen, path, info)
			return
		}
	}
	s := &seen{path: path, plain: compression.ReplaceAllString(path, ""), info: info, still: f.clock}
	s.packed = s.plain != path
	f.known[path] = s
	f.consider(s)
}

// renamed notes that the file being read has another name, or one more.
func (f *Followed) renamed(s *seen, path string, info os.FileInfo) {
	if f.known[s.path] == s && !s.gone {
		f.known[path] = &seen{path: path, state: refused, info: info}
		return
	}
	if f.known[s.path] == s {
		delete(f.known, s.path)
	}
	f.known[path] = s
	s.path, s.gone, s.info = path, false, info
	s.plain = compression.ReplaceAllString(path, "")
	f.mu.Lock()
	s.file.path, s.file.stat.Path = path, path
	f.mu.Unlock()
}

// meetAgain takes a path that is known.
func (f *Followed) meetAgain(s *seen, info os.FileInfo) {
	same := os.SameFile(s.info, info)
	changed := !same || s.info.Size() != info.Size() || !s.info.ModTime().Equal(info.ModTime())
	was := s.info
	if s.state != done {
		s.info = info
	}
	if changed {
		s.still = f.clock
	}
	switch s.state {
	case waiting:
		f.consider(s)
	case refused:
		if !same || info.Size() < was.Size() {
			f.replaced(s, info)
		}
	case double:
		f.reportDouble(s)
	case queued:
		if changed && (!same || !s.file.head.packet || info.Size() < was.Size()) {
			s.file.head = f.pr.head(s.path)
			s.trail.queue = inOrder(s.trail.queue)
		}
		f.mu.Lock()
		s.file.stat.Size = info.Size()
		f.mu.Unlock()
	case begun:
		if !same {
			s.gone = true
			f.replaced(s, info)
		}
	case done:
		if changed {
			f.changedAfter(s, info)
		}
	}
}

// replaced takes a path that is known, but now of another file, or of one with other content.
func (f *Followed) replaced(s *seen, info os.FileInfo) {
	delete(f.known, s.path)
	f.meet(s.path, info)
}

// changedAfter takes a file that changed after it was finished.
func (f *Followed) changedAfter(s *seen, info os.FileInfo) {
	h := f.pr.head(s.path)
	if !os.SameFile(s.info, info) || info.Size() < s.info.Size() || h.first != s.file.head.first || h.digest != s.file.head.digest {
		f.replaced(s, info) // a ring of files: tcpdump -W
		return
	}
	if n := info.Size() - s.info.Size(); n > 0 && !s.told {
		s.told = true
		f.report(FileStats{Path: s.path, Capture: s.trail.index, Size: n,
			Warning: fmt.Sprintf("%s: grew by %d bytes after the next file had been begun; they were not read", s.path, n)})
	}
	s.info = info
}

// consider decides what to do with a file of which nothing was decided yet.
func (f *Followed) consider(s *seen) {
	s.state = waiting
	if s.packed {
		if twin := f.known[s.plain]; twin != nil && (twin.state == begun || twin.state == done || twin.state == queued && !twin.gone) {
			s.state, s.twin = double, twin
			return
		}
	}
	n := parseName(filepath.Base(s.path))
	h := f.pr.head(s.path)
	if !f.settled(s) && !h.packet {
		return // with a packet its successors wait for it until it may be begun
	}
	var none *notCapture
	var system *fs.PathError
	switch {
	case errors.As(h.err, &none):
		s.state = refused
		f.complain(s, n, h.err)
		return
	case errors.As(h.err, &system):
		f.complain(s, n, h.err)
		return
	case h.err == errEmpty && !n.isCapture():
		return
	}
	t := f.trailOf(s.path, n)
	if h.packet {
		if twin, old := t.twin(h); twin != nil && twin.gone && twin.state == queued {
			f.drop(twin)
		} else if twin != nil || old {
			s.state, s.twin = double, twin
			s.trail = t
			return
		}
	}
	s.state, s.trail = queued, t
	s.file = &file{path: s.path, name: n, head: h, size: s.info.Size(), seen: s,
		stat: &FileStats{Path: s.path, Capture: t.index, Size: s.info.Size()}}
	f.mu.Lock()
	f.files = append(f.files, s.file.stat)
	f.mu.Unlock()
	t.queue = inOrder(append(t.queue, s.file))
}

// complain reports once that a file can't be read, if it was named itself, or its name says that it is a capture.
func (f *Followed) complain(s *seen, n name, err error) {
	named := slices.ContainsFunc(f.places, func(p place) bool { return p.kind == single && p.path == s.path })
	if !named && !n.isCapture() || s.told {
		return
	}
	s.told = true
	_, err = verdict(s.path, err, false)
	f.report(FileStats{Path: s.path, Capture: -1, Err: err})
}

// trailOf returns the capture that a file is of.
func (f *Followed) trailOf(path string, n name) *trail {
	k := trailKey{filepath.Dir(path), n.rest, n.ext, n.stamped}
	if n.counter != "" && n.ext == "" {
		// tcpdump -C without an extension: trace, trace1, trace2; with -W: trace0, trace1. Other than in Open, there is
		// no looking at all files first, and in a folder that one program rotates files in, no need to.
		k.rest = n.stem
	}
	t := f.byKey[k]
	if t == nil {
		t = &trail{reading: reading{core: &f.core}, index: len(f.trails), idle: f.clock}
		f.block = blockSize(len(f.trails) + 1)
		f.byKey[k] = t
		f.trails = append(f.trails, t)
		f.infos = append(f.infos, Info{Name: name{rest: k.rest}.capture()})
	}
	return t
}

// twin returns another file that begins with the same packet, or says that one was read some time ago.
func (t *trail) twin(h head) (s *seen, old bool) {
	same := func(o head) bool { return o.packet && o.first == h.first && o.digest == h.digest }
	for _, q := range t.queue {
		if same(q.head) {
			return q.seen, false
		}
	}
	if t.file != nil && same(t.file.head) {
		return t.file.seen, false
	}
	return nil, slices.ContainsFunc(t.heads, same)
}

// reportDouble reports a copy of another file, when that is finished: both may be deleted then.
func (f *Followed) reportDouble(s *seen) {
	if s.twin != nil && s.twin.state != done || !f.settled(s) {
		return
	}
	t := s.trail
	if t == nil {
		t = s.twin.trail
	}
	s.state = refused
	f.report(FileStats{Path: s.path, Capture: t.index, Size: s.info.Size()})
}

// lose takes a known file that is gone.
func (f *Followed) lose(s *seen) {
	switch s.state {
	case begun: // it is open, and finished when it has been read to its end
	case done:
		if f.clock.Sub(s.doneAt) >= forgetAfter {
			delete(f.known, s.path)
		}
	case queued:
		if o := f.packedTwin(s); o != nil {
			f.replacedBy(s, o)
			return
		}
		f.drop(s)
		if s.file.head.packet {
			f.report(FileStats{Path: s.path, Capture: s.trail.index, Size: s.info.Size(),
				Err: fmt.Errorf("%s: gone before it was read; keep files until they have been read", s.path)})
		}
	default:
		delete(f.known, s.path)
	}
}

// packedTwin returns the compressed form of a file that is gone, or nil.
func (f *Followed) packedTwin(s *seen) *seen {
	for _, o := range f.known {
		if o.packed && !o.gone && o.plain == s.plain && (o.state == waiting || o.state == double) {
			return o
		}
	}
	return nil
}

// replacedBy lets a compressed file take the place of the one that it was made from, which is gone and not begun.
func (f *Followed) replacedBy(s, o *seen) {
	delete(f.known, s.path)
	for _, other := range f.known {
		if other != o && other.twin == o {
			other.twin = s
		}
	}
	f.known[o.path] = s
	s.path, s.packed, s.gone, s.info, s.still = o.path, true, false, o.info, o.still
	f.mu.Lock()
	s.file.path, s.file.stat.Path, s.file.stat.Size = s.path, s.path, s.info.Size()
	f.mu.Unlock()
}

// settled says whether a file may be begun: a compressed one only when it has stopped growing.
func (f *Followed) settled(s *seen) bool {
	return !s.packed || f.clock.Sub(s.info.ModTime()) >= f.opt.Settle || f.clock.Sub(s.still) >= f.opt.Settle
}

// drop takes a file that is not begun out of its capture.
func (f *Followed) drop(s *seen) {
	if f.known[s.path] == s {
		delete(f.known, s.path)
	}
	s.trail.queue = slices.DeleteFunc(s.trail.queue, func(q *file) bool { return q == s.file })
	f.mu.Lock()
	f.files = slices.DeleteFunc(f.files, func(st *FileStats) bool { return st == s.file.stat })
	f.mu.Unlock()
}

// after says whether a comes after b in their capture: by first packet, or while one has none, by name.
func after(a, b *file) bool {
	if a.head.packet && b.head.packet {
		return a.head.first > b.head.first
	}
	return naturalCompare(filepath.Base(a.path), filepath.Base(b.path)) > 0
}
