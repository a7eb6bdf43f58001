package analyze

import (
	"cmp"
	"context"
	"slices"

	"btcsniff/record"
)

// fillEnds says of each transaction at an end how sure its origin is.
func (db *DB) fillEnds(ctx context.Context, list []Crossing) error {
	var ends []*End
	var txids []string
	for i := range list {
		ends = append(ends, &list[i].From, &list[i].To)
		if list[i].Change != nil {
			ends = append(ends, list[i].Change)
		}
	}
	for _, e := range ends {
		txids = append(txids, e.TxID)
	}
	slices.Sort(txids)
	lists, err := db.announcers(ctx, slices.Compact(txids))
	if err != nil {
		return err
	}
	filled := map[string]*End{}
	times := pongTimes{db: db}
	for _, e := range ends {
		if was := filled[e.TxID]; was != nil {
			*e = *was
			continue
		}
		if err := e.fill(ctx, lists[e.TxID], &times); err != nil {
			return err
		}
		filled[e.TxID] = e
	}
	return nil
}

// fill takes what there is to say of a transaction from its announcers: those of the sensor that saw it first, as times of others are by
// other clocks.
func (e *End) fill(ctx context.Context, list []Announcer, times *pongTimes) error {
	var seen []Announcer
	for part := range bySensor(list) {
		if len(seen) == 0 || cmp.Or(cmp.Compare(part[0].SeenAt, seen[0].SeenAt), cmp.Compare(part[0].Conn, seen[0].Conn)) < 0 {
			seen = part
		}
	}
	if len(seen) == 0 {
		return nil
	}
	measured, err := times.near(ctx, seen[0].SeenAt)
	if err != nil {
		return err
	}
	correct(seen, measured)
	first := &seen[0]
	e.Place, e.Peer, e.SeenAt, e.Peers, e.Lead = first.Place, first.Peer, first.SeenAt, len(seen), -1
	if len(seen) > 1 {
		e.Lead = seen[1].SeenAt.Sub(first.SeenAt)
	}
	sightings := make([]Sighting, len(seen))
	for i := range seen {
		sightings[i] = seen[i].Sighting
	}
	v := Origin(sightings, Model{})
	e.Ties, e.Likely, e.Confidence = len(v.Ties), v.Place, v.Confidence
	return nil
}

// pongTimes are measurements of round-trip times that many transactions share: those of a stretch of rttReach, with as much to both sides.
type pongTimes struct {
	db    *DB
	known map[record.Time]map[int64]pongs // by beginning of the stretch
}

// near returns the measurements around a moment.
func (p *pongTimes) near(ctx context.Context, at record.Time) (map[int64]pongs, error) {
	begin := at - at%record.Time(rttReach.Microseconds())
	if m, ok := p.known[begin]; ok {
		return m, nil
	}
	m, err := p.db.pongsFrom(ctx, begin.Add(-rttReach), begin.Add(2*rttReach))
	if err != nil {
		return nil, err
	}
	if p.known == nil {
		p.known = map[record.Time]map[int64]pongs{}
	}
	p.known[begin] = m
	return m, nil
}
