package duckdb

import "btcsniff/record"

// A sighting is a moment at which a connection told the node of an item.
type sighting struct {
	at   record.Time
	conn int64 // id, as it is stored
}

// before says whether s comes first. Of two in the same microsecond the connection with the lesser id does.
func (s sighting) before(o sighting) bool { return s.at < o.at || s.at == o.at && s.conn < o.conn }

// A pair has the first sightings of an item on the two connections that were the first to tell of it.
type pair struct {
	item          int64
	first, second sighting
	two           bool // there is a second
}

// firsts finds the pairs of a batch's items. Those of several batches together hold the pairs of all: a connection that is one of the
// first two in all is so in the batch that has its first sighting.
type firsts struct {
	pairs []pair        // in the order in which items came
	at    map[int64]int // where an item's pair is
}

// add takes a sighting of an item.
func (f *firsts) add(item int64, s sighting) {
	i, ok := f.at[item]
	if !ok {
		f.at[item] = len(f.pairs)
		f.pairs = append(f.pairs, pair{item: item, first: s})
		return
	}
	p := &f.pairs[i]
	switch {
	case s.conn == p.first.conn:
		p.first.at = min(p.first.at, s.at)
	case s.before(p.first):
		p.first, p.second, p.two = s, p.first, true
	case !p.two || s.before(p.second):
		p.second, p.two = s, true
	}
}

// appendFirsts appends a row of inv_first for each pair.
func appendFirsts(w *writer, f *firsts) error {
	for i := range f.pairs {
		p := &f.pairs[i]
		var second, conn any
		if p.two {
			second, conn = p.second.at.Std(), p.second.conn
		}
		if err := w.row("", "inv_first", p.item, p.first.at.Std(), p.first.conn, second, conn); err != nil {
			return err
		}
	}
	return nil
}
