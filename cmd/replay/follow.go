package main

import (
	"io"
	"slices"
	"sync"
	"time"

	"btcsniff/capture"
)

const (
	followAge    = time.Second      // of capture time that a database's batch may span while files are followed
	followLocal  = 10 * time.Second // of capture time, after which the first record is made: see pipeline.Config.LocalWithin
	keepFiles    = 10_000           // finished files that are told to the sinks at the end; more would take long
	keepProblems = 100              // of them that the summary names
)

// A feed is a source of files.
type feed interface {
	capture.Source
	Finished() []capture.FileStats
}

// openFeed opens the captures of the command line.
func openFeed(opt *options, stdin io.Reader) (feed, error) {
	if !opt.follow {
		return capture.Open(opt.paths, capture.Options{Stdin: stdin})
	}
	src, err := capture.Follow(opt.paths, capture.FollowOptions{})
	if err != nil {
		return nil, err
	}
	return &followed{Followed: src}, nil
}

// A followed is a source that remembers the latest of the files that were finished: they are told at the end.
type followed struct {
	*capture.Followed

	mu       sync.Mutex
	past     []capture.FileStats // at most keepFiles
	problems []capture.FileStats // at most keepProblems
	count    int                 // of all that were finished and had no error
	latest   int64               // capture time of the latest packet, nanoseconds
}

// Finished is capture.Followed's.
func (f *followed) Finished() []capture.FileStats {
	files := f.Followed.Finished()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, st := range files {
		f.latest = max(f.latest, st.Last)
		if st.Err == nil {
			f.count++
		}
		if st.Err == nil && st.Warning == "" {
			f.past = append(f.past, st)
		} else if len(f.problems) < keepProblems {
			f.problems = append(f.problems, st)
		}
	}
	if n := len(f.past); n > keepFiles+keepFiles/10 {
		f.past = slices.Delete(f.past, 0, n-keepFiles)
	}
	return files
}

// Stats is Source's, with the finished files that are remembered.
func (f *followed) Stats() capture.Stats {
	st := f.Followed.Stats()
	f.mu.Lock()
	defer f.mu.Unlock()
	st.Files = slices.Concat(f.past, st.Files, f.problems)
	return st
}

// look says how far following has come.
func (f *followed) look() sample {
	st := f.Followed.Stats()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := sample{follow: true, begun: f.count, bytes: st.Bytes, latest: f.latest}
	for _, file := range st.Files {
		s.latest = max(s.latest, file.Last)
		if file.Packets > 0 {
			s.begun++
		}
	}
	return s
}
