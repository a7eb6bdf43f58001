package pipeline

import (
	"sync/atomic"
	"time"

	"btcsniff/capture"
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
	r.files.look = now + int64(time.Second)
	r.files.waiting = append(r.files.waiting, r.cfg.Finished()...)
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
	if r.cfg.Finished != nil {
		r.stored(r.started(), append(r.files.waiting, r.cfg.Finished()...))
		r.files.waiting = nil
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
