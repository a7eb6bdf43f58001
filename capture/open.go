package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options are for Open. The zero value is good.
type Options struct {
	Stdin io.Reader // what the path "-" reads; nil: os.Stdin
}

// Open finds the captures in paths: files, folders (the captures in it, not below), patterns that the shell did not expand, named
// pipes, and "-" for standard input. Formats are told by content, not by name: pcap and pcapng, plain or compressed with
// gzip or zstd. A file that is named twice, or by two names, is read once.
//
// What can't be read is said in Stats, with an error that names it, and does not hide the rest: a path
// that is not there, a folder without captures, a file that is no capture. In a folder, files that are no captures and
// don't have a capture's extension either are none of our business. Open itself fails only when nothing is left. An empty
// file, or one that was cut off within its header, is a mere warning beside others, since tcpdump -G leaves one when it is stopped;
// alone it is an error.
func Open(paths []string, opt Options) (*Files, error) {
	if len(paths) == 0 {
		return nil, errors.New("no capture files: name files, folders, patterns, or - for standard input")
	}
	o := opener{opt: opt, seen: map[stamp][]os.FileInfo{}}
	for _, p := range paths {
		o.path(p)
	}
	o.copies()
	o.empties()
	if len(o.files) == 0 {
		return nil, o.nothing()
	}
	src := newFiles(sets(o.files, func(f *file) (int64, bool) { return o.pr.last(f.path, f.head) }))
	for i := range o.problems {
		src.files = append(src.files, &o.problems[i])
		src.many = true
	}
	return src, nil
}

// An opener collects files.
type opener struct {
	opt      Options
	pr       prober
	files    []*file
	problems []FileStats
	seen     map[stamp][]os.FileInfo // files that we have, or found to be no captures
	stdin    bool
}

// A stamp is the same for two names of one file.
type stamp struct {
	size int64
	time time.Time
}

func (o *opener) problem(path string, err error) {
	o.problems = append(o.problems, FileStats{Path: path, Capture: -1, Done: true, Err: err})
}

// path takes one argument.
func (o *opener) path(path string) {
	if path == "-" {
		if !o.stdin {
			o.stdin = true
			o.stream("-", "stdin", func() (io.Reader, error) {
				if o.opt.Stdin != nil {
					return o.opt.Stdin, nil
				}
				return os.Stdin, nil
			})
		}
		return
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, "*?["):
		o.pattern(path)
	case err != nil:
		_, err = verdict(path, err, false)
		o.problem(path, err)
	default:
		o.known(path, info)
	}
}

// known takes something that exists and was named.
func (o *opener) known(path string, info os.FileInfo) {
	switch {
	case info.IsDir():
		o.folder(path)
	case o.again(info):
	case info.Mode().IsRegular():
		o.file(path, info, true)
	default:
		name := unnamed // what a shell makes of <(command), /dev/fd/63, is another one every time
		if !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/proc/") {
			name = parseName(filepath.Base(path)).capture()
		}
		o.stream(path, name, func() (io.Reader, error) { return os.Open(path) })
	}
}

func (o *opener) stream(path, capture string, open func() (io.Reader, error)) {
	o.files = append(o.files, &file{path: path, name: name{rest: capture}, stream: newPump(open)})
}

// again says whether a file was found before, by this or another name.
func (o *opener) again(info os.FileInfo) bool {
	k := stamp{info.Size(), info.ModTime()}
	if slices.ContainsFunc(o.seen[k], func(i os.FileInfo) bool { return os.SameFile(i, info) }) {
		return true
	}
	o.seen[k] = append(o.seen[k], info)
	return false
}

func (o *opener) pattern(pattern string) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		o.problem(pattern, fmt.Errorf("%s: %w; close each [ with a ]", pattern, err))
		return
	}
	if len(paths) == 0 {
		o.problem(pattern, fmt.Errorf("%s: no file matches; check the pattern and the folder", pattern))
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err != nil {
			_, err = verdict(p, err, false)
			o.problem(p, err)
		} else {
			o.known(p, info)
		}
	}
}

// folder takes the captures in a folder.
func (o *opener) folder(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		_, err = verdict(dir, err, false)
		o.problem(dir, err)
		return
	}
	// Links last: of two names the file's own is taken.
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { return int(a.Type()&fs.ModeSymlink) - int(b.Type()&fs.ModeSymlink) })
	found := false
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			if parseName(e.Name()).isCapture() {
				_, err = verdict(path, err, false)
				o.problem(path, err)
				found = true
			}
			continue
		}
		if info.Mode().IsRegular() {
			found = o.again(info) || o.file(path, info, false) || found
		}
	}
	if !found {
		o.problem(dir, fmt.Errorf("%s: no capture files in this folder; give the folder that has them, or files", dir))
	}
}

// file takes one file. It says whether that is a capture, or claims to be one.
func (o *opener) file(path string, info os.FileInfo, named bool) bool {
	f := &file{path: path, name: parseName(filepath.Base(path)), size: info.Size(), head: o.pr.head(path)}
	var none *notCapture
	var system *fs.PathError
	unreadable := errors.As(f.head.err, &none) || errors.As(f.head.err, &system)
	if (unreadable || f.head.err == errEmpty) && !named && !f.name.isCapture() {
		return false
	}
	if unreadable {
		_, err := verdict(path, f.head.err, false)
		o.problem(path, err)
		return true
	}
	o.files = append(o.files, f)
	return true
}

// copies takes out files that are there in a compressed form too: of those the plain one, else the first, is read.
func (o *opener) copies() {
	byPath := map[string]*file{}
	plain := func(path string) string { return compression.ReplaceAllString(path, "") }
	for _, f := range o.files {
		if k := plain(f.path); f.head.packet && (byPath[k] == nil || f.path == k) {
			byPath[k] = f
		}
	}
	o.files = slices.DeleteFunc(o.files, func(f *file) bool {
		other := byPath[plain(f.path)]
		if other == nil || other == f || !f.head.packet || f.head.first != other.head.first || f.head.digest != other.head.digest {
			return false
		}
		o.problems = append(o.problems, FileStats{Path: f.path, Capture: -1, Size: f.size, Done: true,
			Warning: fmt.Sprintf("%s: not read, it begins as %s does, which was", f.path, other.path)})
		return true
	})
}

// empties makes empty files problems if there is nothing but them.
func (o *opener) empties() {
	if slices.ContainsFunc(o.files, func(f *file) bool { return !hollow(f.head.err) }) {
		return
	}
	for _, f := range o.files {
		_, err := verdict(f.path, f.head.err, false)
		o.problem(f.path, err)
	}
	o.files = nil
}

// nothing is the error if nothing can be read.
func (o *opener) nothing() error {
	var errs []error
	for _, p := range o.problems {
		if p.Err != nil {
			errs = append(errs, p.Err)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return fmt.Errorf("%w (and %d more paths that can't be read)", errs[0], len(errs)-1)
}
