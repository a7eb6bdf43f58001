package pipeline

import (
	"time"

	"btcsniff/capture"
	"btcsniff/record"
	"btcsniff/segment"
)

// A track takes one capture's packets from source to outputs.
type track struct {
	capture *record.Capture
	index   int // of the capture
	out     *output
	workers []*worker // that share the connections
	dis     segment.Dissector
	reasons reasons
	seg     segment.Segment
	number  uint64      // packets so far
	tick    record.Time // when to advance next
	handed  record.Time // when a crew last handed out what it has
}

// A team moves the tracks' segments to the workers, and the workers' records to the outputs.
type team interface {
	// join gives a new track its workers.
	join(t *track)
	// segment takes the segment of t's packet t.number; s is borrowed for the call. block is what can be held to keep its payload,
	// nil if there is nothing.
	segment(t *track, s *segment.Segment, at record.Time, block *capture.Block)
	// advance says that t's capture time has reached now, before the packet t.number.
	advance(t *track, now record.Time)
	// then calls f once all records of what was taken so far are with the outputs.
	then(f func())
	// survey adds what the workers did to each track's accounts, in to, and calls f once all records of that are with the outputs. It
	// doesn't wait for that.
	survey(tracks []*track, to []CaptureProgress, f func())
	// close ends all connections of all tracks, in their order, and hands over all records.
	close(tracks []*track)
}

// tickEvery is how often, in capture time, what is waited for is looked at. It changes when records appear, not which.
const tickEvery = 50 * time.Millisecond

// packet takes the track's next packet. ticked says that capture time has moved on by tickEvery.
func (t *track) packet(p *capture.Packet, team team) (ticked bool) {
	t.number++
	at := record.FromNanos(p.Time)
	if at >= t.tick {
		t.tick = at.Add(tickEvery)
		team.advance(t, at)
		ticked = true
	}
	reason := t.dis.Packet(uint32(p.Link), p.Data, p.Len, p.Time, &t.seg)
	t.reasons[reason]++
	if reason == segment.Found {
		block := p.Block
		if t.seg.First != 0 { // it came in fragments: its payload is in the dissector's memory
			block = nil
		}
		team.segment(t, &t.seg, at, block)
	}
	return ticked
}

// packetLag is how far behind a heartbeat's time packets may still come, because a capture program keeps them in its buffers.
const packetLag = 10 * time.Second

// beat says that capture time has reached now, without a packet. Holes are given up as if it were packetLag earlier, so that
// packets that come late are treated as if they had come in time.
func (r *run) beat(now record.Time) {
	tracks := r.started()
	for _, t := range tracks {
		if past := now.Add(-packetLag); past >= t.tick {
			t.tick = past.Add(tickEvery)
			r.team.advance(t, past)
		}
	}
	// Batches are in more of a hurry.
	r.team.then(func() {
		for _, t := range tracks {
			t.out.advance(now)
		}
	})
}

// ledger returns the accounts of a track that has ended.
func (t *track) ledger() record.Ledger {
	var l record.Ledger
	t.reasons.account(&l)
	for _, w := range t.workers {
		w.account(&l)
	}
	l.Made = t.out.made()
	return l
}

// A solo is a team of one worker for each track, all in the reading goroutine.
type solo struct {
	cfg   *Config
	local *locals
}

func (s *solo) join(t *track) {
	t.workers = []*worker{newWorker(t, s.cfg, s.local, t.out, 1)}
}

func (s *solo) segment(t *track, seg *segment.Segment, at record.Time, _ *capture.Block) {
	t.out.now = at
	t.workers[0].asm.Segment(seg, at, t.number)
}

func (s *solo) advance(t *track, now record.Time) {
	t.out.advance(now)
	t.workers[0].asm.Advance(now)
}

func (s *solo) then(f func()) { f() }

func (s *solo) survey(tracks []*track, to []CaptureProgress, f func()) {
	for i, t := range tracks {
		t.workers[0].report(&to[i])
	}
	f()
}

func (s *solo) close(tracks []*track) {
	for _, t := range tracks {
		t.out.now = 0
		t.workers[0].asm.Close()
	}
}
