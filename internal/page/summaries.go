package page

import (
	"context"
	"slices"
	"sync"

	"btcsniff/analyze"
)

// summaries remembers the last few summaries, each until more is stored, and makes one only once when several ask for it.
type summaries struct {
	mu    sync.Mutex
	known []*remembered // the one that was asked for last at the end
}

type summaryKey struct {
	analyze.Range
	state int64 // of the database
}

type remembered struct {
	key  summaryKey
	done chan struct{} // closed by who made it
	s    *analyze.Summary
	err  error
}

const maxRemembered = 16 // of some 100 kB each

// get returns the summary of the range. Whoever asks first makes it; the others wait, and try themselves if that failed.
func (c *summaries) get(ctx context.Context, db *analyze.DB, key summaryKey) (*analyze.Summary, error) {
	for {
		c.mu.Lock()
		i := slices.IndexFunc(c.known, func(r *remembered) bool { return r.key == key })
		if i < 0 {
			return c.make(ctx, db, key) // unlocks
		}
		r := c.known[i]
		c.known = append(slices.Delete(c.known, i, i+1), r)
		c.mu.Unlock()
		select {
		case <-r.done:
			if r.err == nil {
				return r.s, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *summaries) make(ctx context.Context, db *analyze.DB, key summaryKey) (*analyze.Summary, error) {
	r := &remembered{key: key, done: make(chan struct{})}
	if len(c.known) == maxRemembered {
		c.known = slices.Delete(c.known, 0, 1)
	}
	c.known = append(c.known, r)
	c.mu.Unlock()
	r.s, r.err = db.Summarize(ctx, key.Range, analyze.RecentMessages)
	if r.err != nil {
		c.mu.Lock()
		c.known = slices.DeleteFunc(c.known, func(x *remembered) bool { return x == r })
		c.mu.Unlock()
	}
	close(r.done)
	return r.s, r.err
}
