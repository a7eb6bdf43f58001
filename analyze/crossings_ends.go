package analyze

import (
	"context"
	"fmt"
	"time"

	"btcsniff/record"
)

// fillEnds says of each transaction at an end how sure its origin is.
func (db *DB) fillEnds(ctx context.Context, list []Crossing) error {
	var ends []*End
	for i := range list {
		ends = append(ends, &list[i].From, &list[i].To)
		if list[i].Change != nil {
			ends = append(ends, list[i].Change)
		}
	}
	var txids []string
	for _, e := range ends {
		txids = append(txids, e.TxID)
	}
	seen, err := db.sightings(ctx, txids)
	if err != nil {
		return err
	}
	for _, e := range ends {
		e.fill(seen[e.TxID])
	}
	return nil
}

// sightings returns each connection's first sighting of the transactions, in order of time.
func (db *DB) sightings(ctx context.Context, txids []string) (map[string][]Sighting, error) {
	rows, err := db.QueryContext(ctx, db.text("crossings_sightings"), commas(txids))
	if err != nil {
		return nil, fmt.Errorf("list sightings: %w", err)
	}
	defer rows.Close()
	all := map[string][]Sighting{}
	for rows.Next() {
		var txid string
		var s Sighting
		var seen time.Time
		var place, network *string
		var rtt *int64
		if err := rows.Scan(&txid, &s.Conn, &seen, &s.Via, &s.Peer, &place, &network, &s.PeerOpened, &rtt); err != nil {
			return nil, fmt.Errorf("list sightings: %w", err)
		}
		s.SeenAt = record.Time(seen.UnixMicro())
		if place != nil {
			s.Place = *place
		}
		if network != nil {
			s.Network = *network
		}
		if rtt != nil {
			s.RTT, s.RTTSource = time.Duration(*rtt)*time.Microsecond, "handshake"
			s.RTTError = s.RTT / 2
		}
		all[txid] = append(all[txid], s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list sightings: %w", err)
	}
	return all, nil
}

// fill takes what there is to say of a transaction from its sightings, which are in order of time.
func (e *End) fill(seen []Sighting) {
	if len(seen) == 0 {
		return
	}
	first := &seen[0]
	e.Place, e.Peer, e.SeenAt, e.Peers, e.Lead = first.Place, first.Peer, first.SeenAt, len(seen), -1
	if len(seen) > 1 {
		e.Lead = seen[1].SeenAt.Sub(first.SeenAt)
	}
	for i := range seen[1:] {
		s := &seen[1+i]
		if s.sent() <= first.sent()+record.Time((s.RTTError+first.RTTError).Microseconds()) {
			e.Ties++
		}
	}
}

// sent is the estimated moment when the peer sent what was seen: half a round-trip time earlier.
func (s *Sighting) sent() record.Time { return s.SeenAt.Add(-s.RTT / 2) }
