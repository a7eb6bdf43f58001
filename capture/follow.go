package capture

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

// FollowOptions are for Follow. A duration that is zero means its default.
type FollowOptions struct {
	// Poll is how often folders and files are looked at if no notice of a change comes before: network file systems
	// send none. Default: 500 ms.
	Poll time.Duration
	// Settle is how long a file that has a successor must not have grown until it is finished. Default: 1 s.
	Settle time.Duration
	// Heartbeat is how long Next waits at most. Default: 200 ms.
	Heartbeat time.Duration
	// Patience is how long a capture that has nothing new holds up the others. Default: 1 s.
	Patience time.Duration

	now  func() time.Time                           // default: the clock
	wait func(context.Context, time.Duration) error // until there may be news, for that long at most
}

func (o *FollowOptions) defaults() {
	for _, d := range []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&o.Poll, 500 * time.Millisecond}, {&o.Settle, time.Second}, {&o.Heartbeat, 200 * time.Millisecond}, {&o.Patience, time.Second},
	} {
		if *d.d <= 0 {
			*d.d = d.def
		}
	}
	if o.now == nil {
		o.now = time.Now
	}
}

// Followed is a Source of files that are still being written. It never ends by itself.
//
// A file is read as it grows; a packet that is not yet there as a whole is waited for. Once a later file of the same
// capture is there, or the file was renamed or deleted, and it has stopped growing, it is finished, and the next one goes
// on where it ended. A file that is renamed or compressed after its rotation is not read twice: it is
// known by its identity on disk, by its name without .gz or .zst, or by the time and bytes of its first packet. Compressed
// files are read when they have stopped growing.
//
// Several captures are merged by time as well as can be: a capture without news holds the others up for
// FollowOptions.Patience, and what it has later comes late. (tcpdump without -U keeps packets back for as long as it likes.) Packets of one
// capture always come in the order in which they are in its files.
//
// A heartbeat's Time is that of the latest packet, plus the time that went by since that was read, less
// FollowOptions.Patience; it never goes back, and not beyond a packet that is there already. Its Capture means nothing.
type Followed struct {
	core
	opt    FollowOptions
	places []place
	watch  *watch // nil if the tests wait
	infos  []Info
	trails []*trail // by capture
	byKey  map[trailKey]*trail
	known  map[string]*seen // by path; see scan
	pr     prober

	clock      time.Time // as of the latest look
	scanned    time.Time
	news       bool // files were read: time to look around
	returned   time.Time
	latest     int64 // capture time of the latest packet, or heartbeat
	latestRead time.Time
}

// A trail is one capture's files, one after the other.
type trail struct {
	reading
	index int
	queue []*file // not begun, in order

	head  Packet // the next packet, if ready
	ready bool
	read  bool // to its end, since we last looked around

	idle   time.Time // since when there is nothing new, unless ready
	end    int64     // offset where the file ended when it was last read
	endAt  time.Time // when that was first seen
	newest int64     // time of the first packet of the newest file begun
	heads  []head    // of the latest files begun
	oldest int       // of heads, once there are maxHeads
}

// maxHeads is how many files that were read are remembered by their first packets.
const maxHeads = 1024

// Follow watches paths: folders, patterns, or single files that grow. Files that are there already are read first. It fails
// if a folder or file can't be watched; whatever is wrong with a file later is said in Stats and Finished.
func Follow(paths []string, opt FollowOptions) (*Followed, error) {
	opt.defaults()
	f := &Followed{opt: opt, byKey: map[trailKey]*trail{}, known: map[string]*seen{}}
	f.many = true
	for _, p := range paths {
		pl, err := newPlace(p)
		if err != nil {
			return nil, err
		}
		f.places = append(f.places, pl)
	}
	if len(paths) == 0 {
		return nil, errors.New("nothing to follow: name the folder that capture files are written to")
	}
	if f.opt.wait == nil {
		f.watch = newWatch(f.places)
		f.opt.wait = f.watch.wait
	}
	f.clock = f.opt.now()
	f.returned, f.latestRead = f.clock, f.clock
	f.scan()
	return f, nil
}

// Next is Source's.
func (f *Followed) Next(ctx context.Context, p *Packet) error {
	f.ctx = ctx
	for {
		t, err := f.pick()
		if err != nil {
			return err
		}
		if t != nil {
			*p = t.head
			t.ready, t.read = false, false
			if p.Time > f.latest {
				f.latest, f.latestRead = p.Time, f.clock
			}
			f.returned = f.clock
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		f.clock = f.opt.now()
		left := f.opt.Heartbeat - f.clock.Sub(f.returned)
		if left <= 0 {
			f.returned = f.clock
			*p = Packet{Time: f.beat()}
			return nil
		}
		if err := f.opt.wait(ctx, min(left, f.opt.Poll)); err != nil {
			return err
		}
		f.look()
	}
}

// beat is the time of a heartbeat.
func (f *Followed) beat() int64 {
	if f.latest == 0 {
		return 0
	}
	t := f.latest + int64(f.clock.Sub(f.latestRead)-f.opt.Patience)
	for _, tr := range f.trails {
		if tr.ready {
			t = min(t, tr.head.Time)
		}
	}
	if t > f.latest {
		f.latest, f.latestRead = t, f.clock.Add(-f.opt.Patience)
	}
	return f.latest
}

// look looks whether files have grown, and from time to time, or when there is notice of it, for new ones.
func (f *Followed) look() {
	f.clock = f.opt.now()
	f.news = false
	if f.clock.Sub(f.scanned) >= f.opt.Poll || f.watch.changed() {
		f.scan()
	}
	for _, t := range f.trails {
		t.read = false
	}
}

// pick returns the capture whose packet is the next, or nil if there is none yet.
func (f *Followed) pick() (*trail, error) {
	if f.news {
		f.look()
	}
	var best *trail
	for _, t := range f.trails {
		if !t.ready && !t.read {
			if err := f.advance(t); err != nil {
				return nil, err
			}
		}
		if t.ready && (best == nil || t.head.Time < best.head.Time) {
			best = t
		}
	}
	if best == nil {
		return nil, nil
	}
	for _, t := range f.trails {
		if !t.ready && (t.successor() != nil || f.clock.Sub(t.idle) < f.opt.Patience) {
			return nil, nil
		}
	}
	return best, nil
}

// advance makes t's next packet ready if there is one. It returns nothing but the context's error.
func (f *Followed) advance(t *trail) error {
	for {
		if t.file == nil {
			if len(t.queue) == 0 || !f.settled(t.queue[0].seen) {
				t.rest(f.clock)
				return nil
			}
			f.begin(t)
		}
		before := t.disk.off
		err := t.next(&t.head, t.index)
		switch {
		case err == nil:
			f.news = f.news || t.disk.off > before
			if t.packets == 1 {
				t.remember(head{true, t.head.Time, t.head.Link, sha256.Sum256(t.head.Data), nil})
			}
			t.ready = true
			t.idle = time.Time{}
			return nil
		case t.stopped(err):
			return err
		case errors.Is(err, fs.ErrNotExist) && before == 0:
			f.putBack(t)
			return nil
		case !grows(err) || f.over(t):
			f.finish(t, err)
		default:
			t.rest(f.clock)
			return nil
		}
	}
}

// rest notes that there is nothing new.
func (t *trail) rest(now time.Time) {
	t.read = true
	if t.idle.IsZero() {
		t.idle = now
	}
}

// grows says whether err, which ended a file, may be gone when the file has grown.
func grows(err error) bool {
	var c *cut
	var z *zeros
	return err == io.EOF || err == errEmpty || errors.As(err, &c) || errors.As(err, &z)
}

// begin starts the next file.
func (f *Followed) begin(t *trail) {
	file := t.queue[0]
	t.queue = t.queue[1:]
	if file.head.packet {
		file.seen.late = file.head.first < t.newest
		t.newest = max(t.newest, file.head.first)
	}
	t.end, t.endAt = 0, f.clock
	t.start(file)
	file.seen.state = begun
}

// putBack undoes begin: the file has gone between. A scan finds out where to.
func (f *Followed) putBack(t *trail) {
	file := t.file
	t.shut()
	file.seen.state = queued
	t.queue = slices.Insert(t.queue, 0, file)
	t.rest(f.clock)
	f.scanned = time.Time{}
}

// over says whether the file that t has just read to its end will not grow any more.
func (f *Followed) over(t *trail) bool {
	s := t.file.seen
	if s.packed {
		return true // it had stopped growing when it was taken
	}
	// What is no whole packet yet is read again. Zeros too: on a network file system they may be a hole that data still comes to.
	t.bytes -= int64(t.r.buf.forget())
	t.disk.off = t.r.buf.offset()
	if t.disk.off != t.end {
		t.end, t.endAt = t.disk.off, f.clock
	}
	info, err := t.disk.stat()
	if err == nil && info.Size() < t.end {
		return true
	}
	successors := 0
	for _, q := range t.queue {
		if after(q, t.file) {
			successors++
		}
	}
	if successors == 0 && !s.gone {
		return false
	}
	// Files that are older than we need no patience.
	old := err == nil && f.clock.Sub(info.ModTime()) >= f.opt.Settle
	return successors > 1 || old || f.clock.Sub(t.endAt) >= f.opt.Settle
}

// successor returns the file that comes after the one being read, or nil if it isn't there yet.
func (t *trail) successor() *file {
	for _, q := range t.queue {
		if t.file == nil || after(q, t.file) {
			return q
		}
	}
	return nil
}

// finish ends the file being read.
func (f *Followed) finish(t *trail, err error) {
	file := t.file
	if info, statErr := t.disk.stat(); statErr == nil {
		if info.Size() < t.disk.off {
			err = shrunk(info.Size())
		}
		file.seen.info = info
	}
	t.reading.finish(err)
	file.seen.state = done
	file.seen.doneAt = f.clock
	if file.seen.late {
		f.mu.Lock()
		if st := file.stat; st.Err == nil && st.Warning == "" {
			st.Warning = file.path + ": appeared only when later files had been read; its packets came late"
		}
		f.mu.Unlock()
	}
}

// remember notes the first packet of a file.
func (t *trail) remember(h head) {
	t.file.head = h
	if len(t.heads) < maxHeads {
		t.heads = append(t.heads, h)
		return
	}
	t.heads[t.oldest] = h
	t.oldest = (t.oldest + 1) % maxHeads
}

// Captures is Source's. Files is nil: there is no end to them.
func (f *Followed) Captures() []Info { return slices.Clone(f.infos) }

// Stats is Source's. Files has those that are being read or wait for it, and those that Finished has not returned yet.
func (f *Followed) Stats() Stats { return f.snapshot() }

// Finished returns the files that were finished since it was last called, and forgets them: Next has returned all their packets, or
// they can't be read. They may be deleted when the records of all packets that Next returned up to now are stored. A
// compressed copy of a file that was read is among them, with no packets of its own. It is called by the goroutine that
// calls Next.
func (f *Followed) Finished() []FileStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []FileStats
	kept := f.files[:0]
	for _, st := range f.files {
		if st.Done {
			out = append(out, *st)
		} else {
			kept = append(kept, st)
		}
	}
	clear(f.files[len(kept):])
	f.files = kept
	return out
}

// Close stops watching.
func (f *Followed) Close() error {
	for _, t := range f.trails {
		t.shut()
	}
	f.trails = nil
	return f.watch.close()
}
