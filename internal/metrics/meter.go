package metrics

import (
	"sync"
	"time"

	"btcsniff/record"
)

// buckets are the upper bounds of the histogram of commits, in seconds: from a local database's to one that hardly keeps up.
var buckets = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// A Meter measures how long a sink takes to commit batches. Its methods may be called by any goroutine.
type Meter struct {
	now func() time.Time

	mu sync.Mutex
	c  Commits
}

// Commits says how a sink has committed.
type Commits struct {
	Count   uint64
	Failed  uint64
	Seconds float64              // all together
	Buckets [len(buckets)]uint64 // commits that took no longer than each bound of the histogram
	Begun   time.Time            // when the one that is under way began; zero if none is
	Last    time.Time            // when the last one ended; zero before
	Newest  record.Time          // capture time of the newest record that is committed; 0 before
}

// NewMeter returns a Meter that reads the given clock.
func NewMeter(now func() time.Time) *Meter { return &Meter{now: now} }

// Begin says that a batch is being written now. The function that it returns says that this is over.
func (m *Meter) Begin(b *record.Batch) (end func(error)) {
	begun := m.now()
	m.mu.Lock()
	m.c.Begun = begun
	m.mu.Unlock()
	return func(err error) {
		now := m.now()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.c.Begun = time.Time{}
		if err != nil {
			m.c.Failed++
			return
		}
		took := now.Sub(begun).Seconds()
		m.c.Last = now
		m.c.Count++
		m.c.Seconds += took
		for i, bound := range buckets {
			if took <= bound {
				m.c.Buckets[i]++
			}
		}
		m.c.Newest = max(m.c.Newest, b.Newest())
	}
}

// Commits returns what was measured so far.
func (m *Meter) Commits() Commits {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.c
}
