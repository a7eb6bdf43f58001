package analyze

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"btcsniff/record"
)

// CoverageReach is how far around a first sighting a sensor's blindness is counted, to both sides. Within a minute of its beginning a
// transaction has reached nearly all nodes (Decker and Wattenhofer, "Information Propagation in the Bitcoin Network", 2013: 95 % after 40 s).
const CoverageReach = time.Minute

// A Coverage is what a sensor could see of a network at a moment.
type Coverage struct {
	Watched    int64         // connections to peers that were open and could be read
	Unreadable int64         // such that were encrypted (BIP 324) and are not among the former. One that is open still is counted when it ends
	Since      record.Time   // when the recording began; 0: not known
	Blind      time.Duration // how long the sensor could not see, or not everything, within a minute of the moment. Before Since it could not
	Reasons    []string      // why
	Silent     bool          // the observed node announced nothing then, though it sent other things: it only listens
}

// coverage returns what each sensor could see of a network at a moment.
func (db *DB) coverage(ctx context.Context, at record.Time, network string) (map[string]Coverage, error) {
	rows, err := db.QueryContext(ctx, db.text("watch"), at.Std(), network)
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	defer rows.Close()
	all := map[string]Coverage{}
	for rows.Next() {
		var sensor string
		var c Coverage
		var since sql.NullTime
		if err := rows.Scan(&sensor, &c.Watched, &c.Unreadable, &since); err != nil {
			return nil, fmt.Errorf("count connections: %w", err)
		}
		if since.Valid {
			c.Since = record.Time(since.Time.UnixMicro())
		}
		all[sensor] = c
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	if err := db.addSilent(ctx, at, all); err != nil {
		return nil, err
	}
	return all, db.addBlind(ctx, at, all)
}

// silentReach is how far from a moment, to both sides, an observed node must have announced nothing to be taken for one that only
// listens. One that relays announces to its peers every few seconds.
const silentReach = 2 * time.Minute

// addSilent notes whose observed node only listens.
func (db *DB) addSilent(ctx context.Context, at record.Time, all map[string]Coverage) error {
	rows, err := db.QueryContext(ctx, db.text("silent"), at.Add(-silentReach).Std(), at.Add(silentReach).Std())
	if err != nil {
		return fmt.Errorf("look for who only listens: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var sensor string
		if err := rows.Scan(&sensor); err != nil {
			return fmt.Errorf("look for who only listens: %w", err)
		}
		if c, ok := all[sensor]; ok {
			c.Silent = true
			all[sensor] = c
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for who only listens: %w", err)
	}
	return nil
}

// A span is a part of time, and why nothing was seen in it.
type span struct {
	from, to record.Time
	reason   string
}

// addBlind adds the blind times to what each sensor could see.
func (db *DB) addBlind(ctx context.Context, at record.Time, all map[string]Coverage) error {
	since, until := at.Add(-CoverageReach), at.Add(CoverageReach)
	spans := map[string][]span{}
	for sensor, c := range all {
		if c.Since > since {
			spans[sensor] = []span{{since, min(c.Since, until), "not yet recording"}}
		}
	}
	rows, err := db.QueryContext(ctx, db.text("blind"), since.Std(), until.Std())
	if err != nil {
		return fmt.Errorf("look for blind times: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var sensor, reason string
		var from, to time.Time
		if err := rows.Scan(&sensor, &from, &to, &reason); err != nil {
			return fmt.Errorf("look for blind times: %w", err)
		}
		spans[sensor] = append(spans[sensor], span{record.Time(from.UnixMicro()), record.Time(to.UnixMicro()), reason})
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for blind times: %w", err)
	}
	for sensor, list := range spans {
		c := all[sensor]
		c.Blind, c.Reasons = union(list)
		all[sensor] = c
	}
	return nil
}

// union returns how long the spans are together, counting no moment twice, and their reasons.
func union(list []span) (sum time.Duration, reasons []string) {
	slices.SortFunc(list, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	var end record.Time
	for i, s := range list {
		if i == 0 || s.from > end {
			sum += s.to.Sub(s.from)
			end = s.to
		} else if s.to > end {
			sum += s.to.Sub(end)
			end = s.to
		}
		if !slices.Contains(reasons, s.reason) {
			reasons = append(reasons, s.reason)
		}
	}
	return sum, reasons
}

// clockReach is how far from a moment, to both sides, version messages may be to tell how a sensor's clock stands.
const clockReach = 12 * time.Hour

// A Clock is what is known of a sensor's clock. Its only witnesses are its peers, which say in their version messages what time it is
// by theirs. Bitcoin Core took the median of that for the network's time (timedata.cpp, up to 27).
type Clock struct {
	Peers int64         // that said so; 0: nothing is known
	Ahead time.Duration // how far the sensor's clock is ahead of the median of its peers'
	Error time.Duration // of Ahead: half of the middle half's spread, and half a second at least, as peers say whole seconds
}

// clocks returns what is known of each sensor's clock around a moment.
func (db *DB) clocks(ctx context.Context, at record.Time) (map[string]Clock, error) {
	rows, err := db.QueryContext(ctx, db.text("clock"), at.Add(-clockReach).Std(), at.Add(clockReach).Std())
	if err != nil {
		return nil, fmt.Errorf("compare clocks: %w", err)
	}
	defer rows.Close()
	all := map[string]Clock{}
	for rows.Next() {
		var sensor string
		var c Clock
		var ahead, spread float64
		if err := rows.Scan(&sensor, &c.Peers, &ahead, &spread); err != nil {
			return nil, fmt.Errorf("compare clocks: %w", err)
		}
		c.Ahead = -fromSeconds(ahead + 0.5) // the seconds that peers say are cut off: half a second is missing, on average
		c.Error = max(fromSeconds(spread/2), time.Second/2)
		all[sensor] = c
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("compare clocks: %w", err)
	}
	return all, nil
}

// fromSeconds is s as a Duration of whole microseconds, at most some 290 years.
func fromSeconds(s float64) time.Duration {
	s = min(max(s, -9e9), 9e9)
	return time.Duration(s*1e6) * time.Microsecond
}

// A Difference is how two sensors' first sightings of one transaction compare, as far as their clocks can be compared.
type Difference struct {
	A, B    string        // sensors
	Known   bool          // something is known of both clocks
	Earlier time.Duration // how long before B's first sighting A's was; less than 0: after it
	Error   time.Duration // how much that may be off
}

// Differences compares the first sightings of each two sensors by the clock of their peers.
func Differences(scenes []Scene) (all []Difference) {
	for i := range scenes {
		for j := i + 1; j < len(scenes); j++ {
			a, b := &scenes[i], &scenes[j]
			d := Difference{A: a.Sensor, B: b.Sensor, Known: a.Clock.Peers > 0 && b.Clock.Peers > 0}
			if d.Known {
				onA, onB := a.Announcers[0].SeenAt.Add(-a.Clock.Ahead), b.Announcers[0].SeenAt.Add(-b.Clock.Ahead)
				d.Earlier, d.Error = onB.Sub(onA), a.Clock.Error+b.Clock.Error
			}
			all = append(all, d)
		}
	}
	return all
}
