package analyze

import (
	"cmp"
	"context"
	"slices"
	"time"

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
	around := surroundings{db: db, pongs: map[record.Time]map[int64]pongs{}, watched: map[watch]map[string]Coverage{}}
	for _, e := range ends {
		if was := filled[e.TxID]; was != nil {
			*e = *was
			continue
		}
		if err := e.fill(ctx, lists[e.TxID], &around); err != nil {
			return err
		}
		filled[e.TxID] = e
	}
	return nil
}

// fill takes what there is to say of a transaction from its announcers: those of the sensor that saw it first, as times of others are by
// other clocks.
func (e *End) fill(ctx context.Context, list []Announcer, around *surroundings) error {
	var seen []Announcer
	for part := range bySensor(list) {
		if len(seen) == 0 || cmp.Or(cmp.Compare(part[0].SeenAt, seen[0].SeenAt), cmp.Compare(part[0].Conn, seen[0].Conn)) < 0 {
			seen = part
		}
	}
	if len(seen) == 0 {
		return nil
	}
	measured, err := around.times(ctx, seen[0].SeenAt)
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
	covered, err := around.coverage(ctx, first)
	if err != nil {
		return err
	}
	v := Origin(sightings, Model{Peers: int(covered.Watched), Silent: covered.Silent})
	e.Ties, e.Likely, e.Confidence = len(v.Ties), v.Place, v.Confidence
	return nil
}

// surroundings are what many transactions share.
type surroundings struct {
	db      *DB
	pongs   map[record.Time]map[int64]pongs // by the beginning of a stretch of rttReach: those in it, and in as much before and after
	watched map[watch]map[string]Coverage   // by sensor, when the first transaction of a minute was seen
}

// A watch is a minute on a network.
type watch struct {
	minute  record.Time
	network string
}

// times returns measurements of round-trip times around a moment.
func (s *surroundings) times(ctx context.Context, at record.Time) (map[int64]pongs, error) {
	begin := at - at%record.Time(rttReach.Microseconds())
	if m, ok := s.pongs[begin]; ok {
		return m, nil
	}
	m, err := s.db.pongsFrom(ctx, begin.Add(-rttReach), begin.Add(2*rttReach))
	if err == nil {
		s.pongs[begin] = m
	}
	return m, err
}

// coverage returns what the sensor could see when a transaction was announced first.
func (s *surroundings) coverage(ctx context.Context, first *Announcer) (Coverage, error) {
	key := watch{first.SeenAt - first.SeenAt%record.Time(time.Minute.Microseconds()), first.Network}
	covered, ok := s.watched[key]
	if !ok {
		var err error
		if covered, err = s.db.coverage(ctx, first.SeenAt, first.Network); err != nil {
			return Coverage{}, err
		}
		s.watched[key] = covered
	}
	return covered[first.Sensor], nil
}
