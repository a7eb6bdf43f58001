package pipeline

import (
	"context"
	"sync"
	"sync/atomic"

	"btcsniff/capture"
	"btcsniff/record"
)

// A Monitor lets other goroutines see how far a Run has come. The run's own goroutines make a copy of their accounts when somebody asks
// for one, at most every 50 ms of capture time, so that a Monitor that nobody asks costs nothing. Its zero value is ready for one Run.
type Monitor struct {
	wanted atomic.Bool

	mu     sync.Mutex
	latest Progress
	fresh  chan struct{} // closed when latest changes; nil if nobody waits
}

// Progress is how far a run has come. It is shared: don't change it.
type Progress struct {
	Captures []CaptureProgress // that had a packet, in the order of Result.Captures
	Number   uint64            // of the copy: each has another one, greater than that of the one before
	Done     bool              // the run has ended, and these are its Result's ledgers
}

// A CaptureProgress is how far one capture has come.
type CaptureProgress struct {
	Capture *record.Capture
	// Ledger closes once the run has ended; until then it lacks the bytes that are held, and what connections tell when they close.
	Ledger record.Ledger
	Open   map[string]uint64 // connections in the table, by transport
}

// Total is the sum of all captures' ledgers.
func (p *Progress) Total() *record.Ledger {
	var l record.Ledger
	for i := range p.Captures {
		l.Add(&p.Captures[i].Ledger)
	}
	return &l
}

// Progress returns the latest copy and asks for a newer one. It doesn't wait.
func (m *Monitor) Progress() Progress {
	m.wanted.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest
}

// Wait returns a copy that was made after the call, or the one of the run's end. If ctx is done first it returns the latest there is, and
// false: no packet came and no heartbeat, or the run waits for its outputs.
func (m *Monitor) Wait(ctx context.Context) (Progress, bool) {
	m.mu.Lock()
	if m.latest.Done {
		defer m.mu.Unlock()
		return m.latest, true
	}
	if m.fresh == nil {
		m.fresh = make(chan struct{})
	}
	fresh := m.fresh
	m.mu.Unlock()
	m.wanted.Store(true)
	moved := false
	select {
	case <-fresh:
		moved = true
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest, moved
}

func (m *Monitor) publish(p Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latest.Done {
		return
	}
	p.Number = m.latest.Number + 1
	m.latest = p
	if m.fresh != nil {
		close(m.fresh)
		m.fresh = nil
	}
}

// show publishes the accounts if somebody wants them.
func (r *run) show() {
	m := r.cfg.Monitor
	if m == nil || !m.wanted.Load() {
		return
	}
	m.wanted.Store(false)
	tracks := r.started()
	stats := r.src.Stats()
	all := make([]CaptureProgress, len(tracks))
	for i, t := range tracks {
		all[i] = CaptureProgress{Capture: t.capture, Open: map[string]uint64{}}
		t.reasons.account(&all[i].Ledger)
		t.drops(&all[i].Ledger, &stats, len(tracks))
	}
	r.team.survey(tracks, all, func() {
		for i, t := range tracks {
			all[i].Ledger.Made = t.out.made()
		}
		m.publish(Progress{Captures: all})
	})
}

// showEnd publishes the accounts of a run that has ended.
func (r *run) showEnd(res *Result) {
	if r.cfg.Monitor == nil {
		return
	}
	p := Progress{Done: true}
	for i := range res.Captures {
		c := &res.Captures[i]
		p.Captures = append(p.Captures, CaptureProgress{Capture: c.Capture, Ledger: c.Ledger})
	}
	r.cfg.Monitor.publish(p)
}

// drops adds what the source says was dropped. tracks is how many there are.
func (t *track) drops(l *record.Ledger, stats *capture.Stats, tracks int) {
	switch {
	case t.index < len(stats.Drops):
		l.KernelDropped, l.InterfaceDropped = stats.Drops[t.index].Kernel, stats.Drops[t.index].Interface
	case tracks == 1:
		l.KernelDropped, l.InterfaceDropped = stats.Dropped, stats.IfDropped
	}
}

// report adds what the worker did to its capture's accounts.
func (w *worker) report(to *CaptureProgress) {
	w.account(&to.Ledger)
	left := uint64(w.asm.Conns())
	for _, t := range []record.Transport{record.TransportV1, record.TransportV2} {
		n := w.dec.Open(t)
		to.Open[t.String()] += n
		left -= min(left, n)
	}
	to.Open[record.TransportUnknown.String()] += left
}
