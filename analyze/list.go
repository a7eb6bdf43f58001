package analyze

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"btcsniff/record"
)

// A ListQuery says which transactions are listed. Zero fields mean what their comments say.
type ListQuery struct {
	Since, Until record.Time   // when they were first seen: from Since up to Until; 0: no limit
	Peer         string        // who was first: an address, with or without port, or the name that a proxy was asked for; "": anybody
	Place        string        // where the first was: a country as two letters, or tor, i2p, cjdns, private; "": anywhere
	MinLead      time.Duration // the least lead over the second. Where it is not 0, somebody must have been second
	Limit        int           // how many, at most; 0: 20
	Oldest       bool          // begin with the oldest, not the latest

	sensors int64 // that there are
}

const defaultLimit = 20

// A First is a transaction with its first announcer.
type First struct {
	Hash         string // txid where a tx message told it, else the hash as announced
	SeenAt       record.Time
	Sensor       string // that saw it first, by its own clock
	Network      string
	Conn         int64
	Peer         string
	Place        string // as in Sighting
	Country      string
	ASN          int64
	Organisation string
	Lead         time.Duration // over the second connection of that sensor; less than 0: there was none
	Peers        int64         // connections on which a node learned of it, at all sensors
}

// A slice is a part of the time asked for: from lo up to hi.
type slice struct{ lo, hi record.Time }

// Times that every database holds, with room for a day on either side.
const (
	minTime = record.Time(-62135596800_000000 + 2*86400_000000) // in the year 1
	maxTime = record.Time(253402300799_000000 - 2*86400_000000) // in the year 9999
)

// firstSlice is the length of time that List looks at first; each one after it is four times longer, so that a short list from a large
// database costs little and a search through all of it few questions.
const firstSlice = 10 * time.Second

// List returns transactions in the order of their first sightings.
func (db *DB) List(ctx context.Context, q ListQuery) ([]First, error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	all, err := db.Extent(ctx)
	if err != nil {
		return nil, err
	}
	if all.Last == 0 {
		return nil, nil
	}
	want := slice{minTime, maxTime}
	if q.Since != 0 {
		want.lo = max(q.Since, minTime)
	}
	if q.Until != 0 {
		want.hi = min(q.Until, maxTime)
	}
	if q.sensors, err = db.count(ctx, "sensor"); err != nil {
		return nil, err
	}
	var list []First
	for length := firstSlice; len(list) < q.Limit && want.lo < want.hi; length *= 4 {
		part := want.cut(length, all, q.Oldest)
		found, err := db.listSlice(ctx, &q, part, q.Limit-len(list))
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
		if q.Oldest {
			want.lo = part.hi
		} else {
			want.hi = part.lo
		}
		length = min(length, math.MaxInt64/8)
	}
	return list, nil
}

// count counts the rows of a table, which is one of ours.
func (db *DB) count(ctx context.Context, table string) (n int64, err error) {
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		return 0, fmt.Errorf("count %s: %w", table, err)
	}
	return n, nil
}

// cut returns the part of s that is looked at next. What is outside of all, where there can hardly be anything, counts as no time.
func (s slice) cut(length time.Duration, all Extent, oldest bool) slice {
	part := s
	if oldest {
		if edge := max(s.lo, all.First).Add(length); edge < all.Last {
			part.hi = min(s.hi, edge)
		}
		return part
	}
	if edge := min(s.hi, all.Last).Add(-length); edge > all.First {
		part.lo = max(s.lo, edge)
	}
	return part
}

// listSlice returns the transactions that were first seen in a part of the time, n at most.
func (db *DB) listSlice(ctx context.Context, q *ListQuery, part slice, n int) (list []First, err error) {
	page := n
	if q.MinLead > 0 {
		page = max(page, defaultLimit) // some of them will be left out
	}
	for skip := 0; ; skip += page {
		found, err := db.listPage(ctx, q, part, page, skip)
		if err != nil {
			return nil, err
		}
		if err := db.addLeads(ctx, found); err != nil {
			return nil, err
		}
		for i := range found {
			if q.MinLead > 0 && found[i].Lead < q.MinLead {
				continue
			}
			if list = append(list, found[i]); len(list) == n {
				return list, nil
			}
		}
		if len(found) < page {
			return list, nil
		}
	}
}

// listPage asks for transactions, without their leads.
func (db *DB) listPage(ctx context.Context, q *ListQuery, part slice, n, skip int) ([]First, error) {
	lead := q.MinLead.Microseconds()
	if q.sensors > 1 {
		lead = 0 // the lead on one sensor's clock may be greater
	}
	rows, err := db.QueryContext(ctx, db.text("list"), part.lo.Std(), part.hi.Std(), q.Peer, q.Place, int64(n), lead, q.Oldest, int64(skip))
	if err != nil {
		return nil, fmt.Errorf("list transactions: %w", err)
	}
	defer rows.Close()
	var list []First
	for rows.Next() {
		var f First
		var seen time.Time
		var address string
		var port int
		var network, name, place, country, organisation sql.NullString
		var asn sql.NullInt64
		if err := rows.Scan(&f.Hash, &seen, &f.Sensor, &network, &address, &port, &name, &place, &country, &asn, &organisation, &f.Conn); err != nil {
			return nil, fmt.Errorf("list transactions: %w", err)
		}
		f.SeenAt, f.Network, f.Peer = record.Time(seen.UnixMicro()), network.String, peerText(address, port, name.String)
		f.Place, f.Country, f.ASN, f.Organisation = place.String, country.String, asn.Int64, organisation.String
		list = append(list, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list transactions: %w", err)
	}
	return list, nil
}

// addLeads fills in leads and numbers of peers.
func (db *DB) addLeads(ctx context.Context, list []First) error {
	if len(list) == 0 {
		return nil
	}
	place := map[string]int{}
	var hashes []string
	for i := range list {
		list[i].Lead = -1
		place[list[i].Hash] = i
		hashes = append(hashes, list[i].Hash)
	}
	rows, err := db.QueryContext(ctx, db.text("told")+db.text("leads"), strings.Join(hashes, ","))
	if err != nil {
		return fmt.Errorf("look for leads: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var hash, sensor string
		var first time.Time
		var second sql.NullTime
		var peers int64
		if err := rows.Scan(&hash, &sensor, &first, &second, &peers); err != nil {
			return fmt.Errorf("look for leads: %w", err)
		}
		f := &list[place[hash]]
		f.Peers += peers
		if sensor == f.Sensor && second.Valid {
			f.Lead = second.Time.Sub(first)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for leads: %w", err)
	}
	return nil
}
