package tshark

import (
	"cmp"
	"slices"

	"btcsniff/record"
)

// A Comparison tells what two readers of one capture found: first all that theirs did, then ours. It keeps about 150 bytes for each thing
// that theirs found.
type Comparison struct {
	theirs map[Item]found
	sides  map[record.Kind]*Sides
}

// found are the times at which the same was found, once or more often.
type found struct {
	at   record.Time
	more []record.Time
}

// Sides says who found how much of one kind.
type Sides struct {
	Both      uint64
	OtherTime uint64 // of these, not in the same microsecond
	Ours      uint64 // found by us alone
	Theirs    uint64 // found by them alone

	OursFirst, TheirsFirst []Sighting // the first few of them
}

const maxExamples = 3

// NewComparison returns an empty Comparison.
func NewComparison() *Comparison {
	c := &Comparison{theirs: map[Item]found{}, sides: map[record.Kind]*Sides{}}
	for _, k := range Kinds() {
		c.sides[k] = &Sides{}
	}
	return c
}

// Theirs adds something that the other reader found.
func (c *Comparison) Theirs(s Sighting) {
	f, again := c.theirs[s.Item]
	if again {
		f.more = append(f.more, s.SeenAt)
	} else {
		f.at = s.SeenAt
	}
	c.theirs[s.Item] = f
}

// Ours adds something that we found, when all of theirs was added.
func (c *Comparison) Ours(s Sighting) {
	side := c.sides[s.Kind]
	f, ok := c.theirs[s.Item]
	if !ok {
		side.Ours++
		if len(side.OursFirst) < maxExamples {
			side.OursFirst = append(side.OursFirst, s)
		}
		return
	}
	side.Both++
	if i := slices.Index(f.more, s.SeenAt); i >= 0 && f.at != s.SeenAt {
		f.at, f.more[i] = f.more[i], f.at
	}
	if f.at != s.SeenAt {
		side.OtherTime++
	}
	if n := len(f.more); n > 0 {
		c.theirs[s.Item] = found{f.more[n-1], f.more[:n-1]}
	} else {
		delete(c.theirs, s.Item)
	}
}

// Sides returns the result for one of Kinds, when all was added.
func (c *Comparison) Sides(k record.Kind) Sides {
	s := *c.sides[k]
	for item, f := range c.theirs {
		if item.Kind != k {
			continue
		}
		s.Theirs += uint64(1 + len(f.more))
		s.TheirsFirst = append(s.TheirsFirst, Sighting{item, f.at})
		if len(s.TheirsFirst) > 1000 {
			s.TheirsFirst = earliest(s.TheirsFirst)
		}
	}
	s.TheirsFirst = earliest(s.TheirsFirst)
	return s
}

// earliest returns the first few in order of time.
func earliest(s []Sighting) []Sighting {
	slices.SortFunc(s, func(a, b Sighting) int {
		return cmp.Or(cmp.Compare(a.SeenAt, b.SeenAt), a.From.Compare(b.From), slices.Compare(a.What[:], b.What[:]))
	})
	return s[:min(len(s), maxExamples)]
}
