package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"

	"btcsniff/capture"
)

// A disposal takes the files whose records are stored: it says so, and with --rm it deletes them. Its methods may be called by several
// goroutines.
type disposal struct {
	remove bool
	log    *slog.Logger

	mu      sync.Mutex
	found   map[fileKey]os.FileInfo // what was on disk when a file had been read
	deleted int
	kept    int
	errs    []error // at most keepProblems
}

// A fileKey tells a file from another one of the same name, which a ring of files has.
type fileKey struct {
	path        string
	first, last int64
}

func keyOf(f *capture.FileStats) fileKey { return fileKey{f.Path, f.First, f.Last} }

func newDisposal(opt *options, log *slog.Logger) *disposal {
	return &disposal{remove: opt.remove, log: log, found: map[fileKey]os.FileInfo{}}
}

// finished takes files that were just read to their end, and passes them on. What is wrong with one is said at once if it is followed:
// the summary may be months away.
func (d *disposal) finished(files []capture.FileStats, follow bool) []capture.FileStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range files {
		f := &files[i]
		if d.remove {
			if info, err := os.Lstat(f.Path); err == nil && info.Mode().IsRegular() && info.Size() == f.Size {
				d.found[keyOf(f)] = info
			}
		}
		switch {
		case !follow:
		case f.Err != nil:
			d.log.Error(f.Err.Error())
		case f.Warning != "":
			d.log.Warn(f.Warning)
		default:
			d.log.Debug(fmt.Sprintf("file %s: %s packets read", f.Path, count(f.Packets)))
		}
	}
	return files
}

// stored takes a file whose records are stored in every sink.
func (d *disposal) stored(f capture.FileStats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.found[keyOf(&f)]
	delete(d.found, keyOf(&f))
	if !d.remove {
		if f.Err != nil {
			return // said already
		}
		d.log.Debug(fmt.Sprintf("file %s: %s packets, stored", f.Path, count(f.Packets)))
		return
	}
	why, err := d.reason(&f, was)
	switch {
	case err != nil:
		d.log.Error(err.Error())
		if len(d.errs) < keepProblems {
			d.errs = append(d.errs, err)
		}
		d.kept++
	case why != "":
		d.log.Warn(fmt.Sprintf("%s: kept, %s", f.Path, why))
		d.kept++
	default:
		d.log.Debug(fmt.Sprintf("file %s: %s packets, stored and deleted", f.Path, count(f.Packets)))
		d.deleted++
	}
}

// reason deletes a file, or says why it stays. was is what was on disk when it had been read.
func (d *disposal) reason(f *capture.FileStats, was os.FileInfo) (why string, err error) {
	switch {
	case f.Err != nil:
		return "since it could not be read to its end", nil
	case f.Warning != "":
		return "see the warning about it", nil
	case was == nil:
		return "since it is no ordinary file, or changed while it was read", nil
	}
	info, err := os.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil // somebody else deleted, renamed or compressed it
	case err == nil && (!os.SameFile(info, was) || info.Size() != was.Size() || !info.ModTime().Equal(was.ModTime())):
		return "since it changed after it was read", nil
	case err == nil:
		err = os.Remove(f.Path)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return "", fmt.Errorf("%s: its records are stored, but it can't be deleted: %w; delete it, or run as a user who may", f.Path, p.Err)
	}
	return "", err
}

// result returns how many files were deleted and how many were kept, and what went wrong.
func (d *disposal) result() (deleted, kept int, errs []error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.deleted, d.kept, slices.Clone(d.errs)
}
