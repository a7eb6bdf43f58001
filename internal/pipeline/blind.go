package pipeline

import (
	"btcsniff/capture"
	"btcsniff/record"
)

// blind takes what became known of times in which captures could not see to the outputs. A capture that had no packet yet is
// nobody's: its times wait for the first one.
func (r *run) blind() {
	if r.cfg.Blind == nil {
		return
	}
	r.unseen = append(r.unseen, r.cfg.Blind()...)
	if len(r.unseen) == 0 {
		return
	}
	var wait, ready []capture.Blind
	for _, b := range r.unseen {
		if b.Capture < len(r.tracks) && r.tracks[b.Capture] != nil {
			ready = append(ready, b)
		} else if n := len(wait); n > 0 && wait[n-1].Capture == b.Capture && wait[n-1].Reason == b.Reason && wait[n-1].From == b.From {
			wait[n-1] = b // the same, later
		} else if n < maxUnseen {
			wait = append(wait, b)
		}
	}
	r.unseen = wait
	if len(ready) == 0 {
		return
	}
	tracks := r.tracks
	r.team.then(func() {
		for _, b := range ready {
			for _, lane := range tracks[b.Capture].out.lanes() {
				lane.Blind(record.Blind{
					Reason: record.Reason(b.Reason), From: record.FromNanos(b.From), To: record.FromNanos(b.To), Open: b.Open, Packets: b.Packets,
				})
			}
		}
	})
}

const maxUnseen = 1000 // blind times of captures without a packet; each goes on until it ends
