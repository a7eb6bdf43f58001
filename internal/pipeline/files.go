package pipeline

import (
	"fmt"
	"sync/atomic"
	"time"

	"btcsniff/capture"
	"btcsniff/segment"
)

// finishing are files that were read, and whose records are not all stored yet.
type finishing struct {
	look    int64 // capture time when to ask again, in nanoseconds
	waiting []capture.FileStats
}

// How long a file waits after its last packet, in capture time: as long as reassembly waits for a hole, and as
// messages may take that begin in it and end in the next one.
const fileWait = 60 * time.Second

// release lets go of files that nothing waits for any more. now is the capture time in nanoseconds.
func (r *run) release(now int64) {
	if r.cfg.Finished == nil || now < r.files.look {
		return
	}
	if now > 0 { // before the first packet, heartbeats have no time: each asks
		r.files.look = now + int64(time.Second)
	}
	r.collect()
	n := 0
	for n < len(r.files.waiting) && r.files.waiting[n].Last+int64(fileWait) < now {
		n++
	}
	done := r.files.waiting[:n:n]
	r.files.waiting = r.files.waiting[n:]
	if n > 0 {
		tracks := r.started()
		r.team.then(func() { r.stored(tracks, done) })
	}
}

// releaseAll lets go of all files, when everything is handed over.
func (r *run) releaseAll() {
	if r.cfg.Finished == nil {
		return
	}
	r.collect()
	r.stored(r.started(), r.files.waiting)
	r.files.waiting = nil
}

// collect takes over the files that the source has come to the end of.
func (r *run) collect() {
	for _, f := range r.cfg.Finished() {
		r.undecodable(&f)
		r.files.waiting = append(r.files.waiting, f)
	}
}

// undecodable gives a file an error if its capture was recorded in a way that we don't know: what is in it is stored nowhere.
func (r *run) undecodable(f *capture.FileStats) {
	if f.Err != nil || f.Packets == 0 || f.Capture < 0 || f.Capture >= len(r.tracks) || r.tracks[f.Capture] == nil {
		return
	}
	if t := r.tracks[f.Capture]; t.reasons[segment.Found]+t.reasons[segment.NotTCP] == 0 {
		f.Err = fmt.Errorf("%s: none of its packets could be decoded", f.Path)
	}
}

// stored calls Config.Stored for each of the files, once every output has stored what the tracks gave it so far.
func (r *run) stored(tracks []*track, files []capture.FileStats) {
	var left atomic.Int64
	finish := func() {
		if left.Add(-1) == 0 {
			for _, f := range files {
				r.cfg.Stored(f)
			}
		}
	}
	left.Store(1)
	for _, t := range tracks {
		for _, l := range t.out.lanes() {
			left.Add(1)
			l.Then(finish)
		}
	}
	finish()
}
