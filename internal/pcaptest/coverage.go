package pcaptest

import "sort"

// A coverage says when each byte of a stream was first captured, or first received. It is an interval map: disjoint spans in
// order, each with one time.
type coverage struct{ spans []span }

type span struct {
	from, to int
	at       int64 // nanoseconds since the Unix epoch
}

// add notes that [from, to) came at a time. Bytes that came before keep theirs.
func (c *coverage) add(from, to int, at int64) {
	i := sort.Search(len(c.spans), func(i int) bool { return c.spans[i].to >= from })
	var fresh []span
	put := func(s span) {
		if s.from >= s.to {
			return
		}
		if n := len(fresh); n > 0 && fresh[n-1].to == s.from && fresh[n-1].at == s.at {
			fresh[n-1].to = s.to
			return
		}
		fresh = append(fresh, s)
	}
	j := i
	for ; j < len(c.spans) && c.spans[j].from <= to; j++ {
		put(span{from, min(to, c.spans[j].from), at})
		put(c.spans[j])
		from = max(from, c.spans[j].to)
	}
	put(span{from, to, at})
	c.spans = append(c.spans[:i], append(fresh, c.spans[j:]...)...)
}

// times returns when the first byte of [from, to) came and when the last one to come did. ok is false if some never came.
func (c *coverage) times(from, to int) (first, last int64, ok bool) {
	i := sort.Search(len(c.spans), func(i int) bool { return c.spans[i].to > from })
	for at := from; at < to; i++ {
		if i == len(c.spans) || c.spans[i].from > at {
			return 0, 0, false
		}
		if at == from {
			first = c.spans[i].at
		}
		last = max(last, c.spans[i].at)
		at = c.spans[i].to
	}
	return first, last, from < to
}

// through returns the end of what came without a hole from the stream's first byte on.
func (c *coverage) through() int {
	end := 0
	for _, s := range c.spans {
		if s.from > end {
			break
		}
		end = s.to
	}
	return end
}
