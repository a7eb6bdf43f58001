package capture

import (
	"cmp"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
)

// How files come together to captures. Names propose, times dispose:
//
//   - Files of one folder whose names differ in a time stamp, or in a counter of a form that tcpdump or dumpcap writes,
//     are one capture, unless the times of their packets overlap by more than a moment: then two programs wrote them.
//   - Files whose names differ in digits at the end of a kind that people write too (node1, node2) are one capture
//     only if that is likely: see counted.
//
// What decides is in the files and in their names, never in the folder's name or in which other captures are read.

const (
	// overlap is how far, in nanoseconds, a file's packets may reach into the time of the next of the same capture.
	// Packets of several queues come out of order by some milliseconds.
	overlap = 1e9
	// pause is how long the time from one file to the next may be, in nanoseconds, if it is one of those things that
	// have to make it likely that they are one capture.
	pause = 10e9
)

// A file is one capture file, or a stream.
type file struct {
	path string
	name name
	head head
	size int64 // bytes on disk
	stat *FileStats

	seen   *seen     // of a followed file
	stream io.Reader // standard input or a named pipe (then a *pump), or NewReader's; it has no head
}

// A set is the files of one capture, in the order in which they are read.
type set struct {
	name  string
	files []*file
}

// sets brings files together to captures, in the order of their names and times. last tells the time of a file's last packet.
func sets(files []*file, last func(*file) (int64, bool)) []set {
	type key struct {
		dir, rest, ext string
		stamped        bool
	}
	by := map[key][]*file{}
	var keys []key
	var all []set
	for _, f := range files {
		if f.stream != nil {
			all = append(all, set{f.name.capture(), []*file{f}})
			continue
		}
		k := key{filepath.Dir(f.path), f.name.rest, f.name.ext, f.name.stamped}
		if by[k] == nil {
			keys = append(keys, k)
		}
		by[k] = append(by[k], f)
	}
	var single []*file
	for _, k := range keys {
		fs := by[k]
		if len(fs) == 1 && !k.stamped {
			single = append(single, fs[0])
			continue
		}
		all = append(all, split(fs[0].name.capture(), inOrder(fs), last)...)
	}
	all = append(all, counted(single, last)...)
	slices.SortStableFunc(all, compareSets)
	return all
}

func compareSets(a, b set) int {
	if c := naturalCompare(a.name, b.name); c != 0 {
		return c
	}
	return cmp.Compare(a.first(), b.first())
}

// first is the time of the set's first packet, 0 if it has none.
func (s set) first() int64 {
	for _, f := range s.files {
		if f.head.packet {
			return f.head.first
		}
	}
	return 0
}

// inOrder sorts files by the time of their first packet, and those of the same time by name. Those without a packet go where
// their name puts them.
func inOrder(files []*file) []*file {
	byName := func(a, b *file) int { return naturalCompare(filepath.Base(a.path), filepath.Base(b.path)) }
	var timed, other []*file
	for _, f := range files {
		if f.head.packet {
			timed = append(timed, f)
		} else {
			other = append(other, f)
		}
	}
	slices.SortStableFunc(timed, func(a, b *file) int {
		if c := cmp.Compare(a.head.first, b.head.first); c != 0 {
			return c
		}
		return byName(a, b)
	})
	slices.SortStableFunc(other, byName)
	out := make([]*file, 0, len(files))
	for _, f := range timed {
		for len(other) > 0 && byName(other[0], f) < 0 {
			out, other = append(out, other[0]), other[1:]
		}
		out = append(out, f)
	}
	return append(out, other...)
}

// split divides files, which are in order, where their times overlap: into as many captures as were running at once.
func split(name string, files []*file, last func(*file) (int64, bool)) []set {
	if len(files) == 1 {
		return []set{{name, files}}
	}
	out := []set{{name: name}}
	ends := []int64{0}
	for _, f := range files {
		to := 0
		if f.head.packet {
			if to = fits(ends, f.head.first); to < 0 {
				to = len(out)
				out = append(out, set{name: name + "-" + strconv.Itoa(to+1)})
				ends = append(ends, 0)
			}
			ends[to] = f.head.first
			if ns, ok := last(f); ok {
				ends[to] = max(ns, f.head.first)
			}
		}
		out[to].files = append(out[to].files, f)
	}
	return out
}

// fits returns the capture that ended last before a file that begins at first, else the one that overlaps it least, or -1 if
// all were still running.
func fits(ends []int64, first int64) int {
	best, least := -1, int64(math.MaxInt64)
	for i, end := range ends {
		cost := first - end
		if cost < 0 {
			cost = math.MaxInt64/2 - cost
		}
		if first >= end-overlap && cost < least {
			best, least = i, cost
		}
	}
	return best
}

// counted brings those files together whose names end in digits that are likely a counter.
func counted(files []*file, last func(*file) (int64, bool)) []set {
	type key struct{ dir, stem, ext string }
	by := map[key][]*file{}
	bases := map[key]*file{}
	for _, f := range files {
		bases[key{filepath.Dir(f.path), f.name.rest, f.name.ext}] = f
	}
	var out []set
	used := map[*file]bool{}
	var keys []key
	for _, f := range files {
		if f.name.counter != "" {
			k := key{filepath.Dir(f.path), f.name.stem, f.name.ext}
			if by[k] == nil {
				keys = append(keys, k)
			}
			by[k] = append(by[k], f)
		}
	}
	for _, k := range keys {
		fs := slices.DeleteFunc(by[k], func(f *file) bool { return used[f] })
		slices.SortStableFunc(fs, func(a, b *file) int { return naturalCompare(a.name.counter, b.name.counter) })
		base := bases[k]
		if base != nil && !used[base] {
			fs = append([]*file{base}, fs...)
		}
		if len(fs) < 2 || !likely(fs, base != nil && k.ext == "", last) {
			continue
		}
		name := name{rest: k.stem}.capture()
		out = append(out, set{name, inOrder(fs)})
		for _, f := range fs {
			used[f] = true
		}
	}
	for _, f := range files {
		if !used[f] {
			out = append(out, set{f.name.capture(), []*file{f}})
		}
	}
	return out
}

// likely says whether files, which are in the order of the counter in their names, are one capture. They must be of one link
// type, in order of time, and must not overlap. The names that tcpdump -C makes of one without an extension (trace, trace1, trace2) need
// no more. Others, such as node1.pcap and node2.pcap, must also follow each other without a missing number or a pause.
func likely(files []*file, tcpdump bool, last func(*file) (int64, bool)) bool {
	var before *file
	for i, f := range files {
		if i > 0 && !tcpdump && !follows(files[i-1].name.counter, f.name.counter) {
			return false
		}
		if !f.head.packet {
			continue
		}
		if before != nil {
			end, known := last(before)
			switch {
			case f.head.link != before.head.link || f.head.first < before.head.first:
				return false
			case known && f.head.first < end-overlap:
				return false
			case !tcpdump && (!known || f.head.first > end+pause):
				return false
			}
		}
		before = f
	}
	return before != nil
}

// follows says whether counter b comes right after a, which is "" for the file without one.
func follows(a, b string) bool {
	if a == "" {
		return b == "0" || b == "1" || b == "2"
	}
	x, errX := strconv.ParseUint(a, 10, 32)
	y, errY := strconv.ParseUint(b, 10, 32)
	return errX == nil && errY == nil && y == x+1
}
