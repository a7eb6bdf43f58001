package live

import (
	"time"

	"btcsniff/capture"
	"btcsniff/record"
)

const (
	tellEvery = 10 * time.Second // how far what was told of a time that goes on may be behind
	maxBlind  = 1000             // times of a port that nobody asked for yet; then the last grows instead
)

// A blindness is a time in which an interface is not captured, or not all of it, as long as it goes on.
type blindness struct {
	reason record.Reason
	from   time.Time // zero: it doesn't
	to     time.Time
	told   time.Time
	n      uint64 // packets
}

// Blind returns what became known, since it was last called, of times in which captures could not see. It may be called by any
// goroutine. Of drops the kernel has counts only, asked for about once a second: that is how exact their times are.
func (l *Live) Blind() (all []capture.Blind) {
	for i, p := range l.ports {
		p.mu.Lock()
		for _, b := range p.blind {
			b.Capture = i
			all = append(all, b)
		}
		p.blind = p.blind[:0]
		p.mu.Unlock()
	}
	return all
}

// sees goes on with a blindness: n packets more are missing since before, or it is there without any. Otherwise it has ended. p.mu is
// locked.
func (p *port) sees(b *blindness, on bool, n uint64, before, now time.Time) {
	switch {
	case on:
		if b.from.IsZero() {
			b.from = before
		}
		b.to = now
		b.n += n
		if b.told.IsZero() || now.Sub(b.told) >= tellEvery {
			p.tell(b, true)
			b.told = now
		}
	case !b.from.IsZero():
		p.tell(b, false)
		*b = blindness{reason: b.reason}
	}
}

// tell adds what is known of b to what Blind returns. p.mu is locked.
func (p *port) tell(b *blindness, open bool) {
	t := capture.Blind{Reason: string(b.reason), From: b.from.UnixNano(), To: b.to.UnixNano(), Packets: b.n, Open: open}
	for i := range p.blind {
		if old := &p.blind[i]; old.Reason == t.Reason && old.From == t.From {
			*old = t
			return
		}
	}
	if n := len(p.blind); n >= maxBlind {
		last := &p.blind[n-1]
		last.To, last.Packets = t.To, last.Packets+t.Packets
		return
	}
	p.blind = append(p.blind, t)
}
