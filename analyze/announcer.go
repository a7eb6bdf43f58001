package analyze

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"btcsniff/record"
)

// An Announcer is a connection on which the node learned of a transaction, with what is known of the peer. Ranks, and what comes
// after the first, are among the announcers of one sensor, on its one clock.
type Announcer struct {
	Sighting
	Sensor       string
	Type         int64  // of the inventory vector: 1 transaction, 5 transaction by wtxid; 0: it was a tx message
	Country      string // as Place, where the peer has a country; ""
	City         string
	ASN          int64 // autonomous system; 0: not known
	Organisation string
	UserAgent    string // as the peer sent it, any characters; "": not known
	Transport    string // v1, v2, unknown; "": the connection goes on

	Rank          int           // 1: the first, by capture time
	Behind        time.Duration // the first
	CorrectedAt   record.Time   // SeenAt less half of RTT: about when the peer sent it
	CorrectedRank int           // 1: the first by CorrectedAt; 0: the round-trip time is not known, so that it has none
	Pongs         int64         // that RTT was measured with
}

// announcers returns the announcers of transactions, by their hashes in hex digits, txid or wtxid. Each list is in order of sensor, SeenAt
// and Conn. The key is the txid where a tx message told it, else the hash that was asked for.
func (db *DB) announcers(ctx context.Context, hashes []string) (map[string][]Announcer, error) {
	rows, err := db.QueryContext(ctx, db.text("told")+db.text("sightings"), strings.Join(hashes, ","))
	if err != nil {
		return nil, fmt.Errorf("list announcers: %w", err)
	}
	defer rows.Close()
	all := map[string][]Announcer{}
	for rows.Next() {
		key, a, err := scanAnnouncer(rows)
		if err != nil {
			return nil, fmt.Errorf("list announcers: %w", err)
		}
		all[key] = append(all[key], a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list announcers: %w", err)
	}
	for _, list := range all {
		for part := range bySensor(list) {
			for i := range part {
				part[i].Rank, part[i].Behind = i+1, part[i].SeenAt.Sub(part[0].SeenAt)
			}
		}
	}
	return all, nil
}

// scanAnnouncer reads a row of the text sightings. The handshake's round-trip time is in RTT until correct replaces it.
func scanAnnouncer(rows *sql.Rows) (key string, a Announcer, err error) {
	var (
		seen                                                                time.Time
		kind, asn, rtt                                                      sql.NullInt64
		address                                                             string
		port                                                                int
		name, network, agent, transport, place, country, city, organisation sql.NullString
	)
	if err := rows.Scan(&key, &a.Conn, &a.Sensor, &seen, &a.Via, &kind, &address, &port, &name, &network, &a.PeerOpened, &agent,
		&transport, &rtt, &place, &country, &city, &asn, &organisation); err != nil {
		return "", a, err
	}
	a.SeenAt, a.Type = record.Time(seen.UnixMicro()), kind.Int64
	a.Peer, a.Network = peerText(address, port, name.String), network.String
	a.UserAgent, a.Transport = agent.String, transport.String
	a.Country, a.City, a.ASN, a.Organisation = country.String, city.String, asn.Int64, organisation.String
	a.Place = place.String
	if rtt.Valid {
		a.RTT, a.RTTSource = time.Duration(rtt.Int64)*time.Microsecond, FromHandshake
	}
	return key, a, nil
}

// peerText names a peer as a URL does: the name that a proxy was asked for, or address and port.
func peerText(address string, port int, name string) string {
	if name != "" {
		return name
	}
	return net.JoinHostPort(address, strconv.Itoa(port))
}

// bySensor yields the parts of a list that are of one sensor each. The list is in order of sensors.
func bySensor(list []Announcer) func(yield func([]Announcer) bool) {
	return func(yield func([]Announcer) bool) {
		for begin := 0; begin < len(list); {
			end := begin + 1
			for end < len(list) && list[end].Sensor == list[begin].Sensor {
				end++
			}
			if !yield(list[begin:end:end]) {
				return
			}
			begin = end
		}
	}
}

// correct fills in round-trip times, and what follows from them, in a list of one sensor.
func correct(list []Announcer, measured map[int64]pongs) {
	var order []int
	for i := range list {
		a := &list[i]
		var handshake *int64
		if a.RTTSource == FromHandshake {
			us := a.RTT.Microseconds()
			handshake = &us
		}
		rtt := estimateRTT(measured[a.Conn], handshake)
		a.RTT, a.RTTError, a.RTTSource, a.Pongs = rtt.Time, rtt.Error, rtt.Source, rtt.Pongs
		a.CorrectedAt = a.SeenAt
		if rtt.Source != "" {
			a.CorrectedAt = a.SeenAt.Add(-rtt.Time / 2)
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(list[i].CorrectedAt, list[j].CorrectedAt), cmp.Compare(list[i].Conn, list[j].Conn))
	})
	for rank, i := range order {
		list[i].CorrectedRank = rank + 1
	}
}
