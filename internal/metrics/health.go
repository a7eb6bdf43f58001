package metrics

import (
	"fmt"
	"time"
)

// Problems says what is wrong with a run, one sentence each; none: it captures, and commits what it makes.
func (s *State) Problems() (wrong []string) {
	if s.Opened.IsZero() {
		return []string{"starting: not everything is open yet"}
	}
	for _, i := range s.Interfaces {
		switch {
		case i.Lost != "":
			wrong = append(wrong, fmt.Sprintf("%s can't be captured on any more: %s", i.Name, i.Lost))
		case i.Down:
			wrong = append(wrong, fmt.Sprintf("%s is down", i.Name))
		}
	}
	if d := s.stalled(); d > stallBound {
		wrong = append(wrong, fmt.Sprintf("no packet and no heartbeat was handled for %v: see whether a sink keeps up", d.Round(time.Second)))
	}
	for i := range s.Sinks {
		wrong = append(wrong, s.Sinks[i].problems(s)...)
	}
	return wrong
}

// problems says what is wrong with a sink.
func (k *Sink) problems(s *State) (wrong []string) {
	if d := k.waiting(s); d > commitBound {
		text := fmt.Sprintf("%s: nothing was committed for %v, while records wait", k.Name, d.Round(time.Second))
		if k.Deferred != nil && k.Deferred.Records > 0 {
			text += fmt.Sprintf("; %d of them are kept on disk", k.Deferred.Records)
		}
		wrong = append(wrong, text)
	}
	if d := k.Deferred; d != nil {
		if d.Problem != "" {
			wrong = append(wrong, fmt.Sprintf("%s: records can't be kept on disk: %s", k.Name, d.Problem))
		}
		if d.Dropped > 0 && d.Records > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: the spool was full, and %d records were dropped", k.Name, d.Dropped))
		}
	} else if k.Stats.Lost > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: failed, and %d records were not stored", k.Name, k.Stats.Lost))
	}
	return wrong
}

// waiting is for how long records have waited for a commit; 0 if none does.
func (k *Sink) waiting(s *State) time.Duration {
	if k.Stats.Waiting == 0 && (k.Deferred == nil || k.Deferred.Records == 0) {
		return 0
	}
	// The last commit may be long ago because there was nothing to commit.
	since := k.Meter.Begun
	if d := k.Deferred; d != nil {
		if d.Records == 0 {
			return 0 // all is in the queue, which doesn't wait for the sink
		}
		since = s.Opened
		for _, t := range []time.Time{k.Meter.Last, d.Oldest.Std()} {
			if t.After(since) {
				since = t
			}
		}
	} else if since.IsZero() {
		return 0 // on its way from the queue to the sink
	}
	return max(0, s.Now.Sub(since))
}

func (s *State) stalled() time.Duration {
	if s.Stalled.IsZero() {
		return 0
	}
	return max(0, s.Now.Sub(s.Stalled))
}

// unready says why nothing was stored yet and it isn't known whether it can be; none: every sink was opened, or reached.
func (s *State) unready() (wrong []string) {
	if s.Opened.IsZero() {
		return []string{"starting: not everything is open yet"}
	}
	for _, k := range s.Sinks {
		if k.Deferred != nil && k.Deferred.Away && k.Meter.Count == 0 {
			wrong = append(wrong, fmt.Sprintf("%s was not reached yet", k.Name))
		}
	}
	return wrong
}
