package analyze

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"btcsniff/record"
)

// A NodeQuery says which nodes are asked for. Zero fields mean all.
type NodeQuery struct {
	Since, Until record.Time // of connections that were open, and addresses that were told, from Since up to Until
	Network      string      // by name, as mainnet
	PeersOnly    bool        // leave out nodes that others only told of
}

// A Node is one that was a peer of the observed node, or that a peer told of. What it says of itself is not checked, and text in it may
// hold anything.
type Node struct {
	Network        string // "": no message of its connection could be read
	Address        string // IPv4, IPv6, or the name of a Tor, I2P or other service
	Port           int    // 0: not known, as the node opened the connection
	Protocol       int    // version of the protocol; 0: not known
	UserAgent      string
	Services       uint64      // its own word, or that of the last that told of it
	Height         int64       // of the chain when it connected; -1: not known
	ConnectedSince record.Time // when the connection opened that the node's word is from: the last one; 0: it was no peer
	LastSeen       record.Time // end of its last connection, or when it was last seen as others say, at most the time at which they said so
	Connections    int64       // of the observed node with it
	Place          record.Place
}

// Nodes calls each for all nodes, in the order of network, address and port. It returns the first error of each.
func (db *DB) Nodes(ctx context.Context, q NodeQuery, each func(*Node) error) error {
	since, until := beginning, end
	if q.Since != 0 {
		since = q.Since.Std()
	}
	if q.Until != 0 {
		until = q.Until.Std()
	}
	rows, err := db.QueryContext(ctx, db.text("nodes"), since, until, q.Network, q.PeersOnly)
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		n, err := scanNode(rows)
		if err != nil {
			return fmt.Errorf("list nodes: %w", err)
		}
		if err := each(n); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	return nil
}

func scanNode(rows *sql.Rows) (*Node, error) {
	n := &Node{Height: -1}
	var port, protocol, height, asn sql.NullInt64
	var agent, services, country, city, zone, organisation sql.NullString
	var latitude, longitude sql.NullFloat64
	var connected, seen sql.NullTime
	var kind string
	if err := rows.Scan(&n.Network, &n.Address, &port, &protocol, &agent, &services, &height, &connected, &seen, &n.Connections,
		&kind, &country, &city, &latitude, &longitude, &zone, &asn, &organisation); err != nil {
		return nil, err
	}
	n.Port, n.Protocol, n.UserAgent = int(port.Int64), int(protocol.Int64), agent.String
	if height.Valid {
		n.Height = height.Int64
	}
	if services.Valid {
		v, err := strconv.ParseUint(services.String, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("services of %s: %w", n.Address, err)
		}
		n.Services = v
	}
	n.ConnectedSince, n.LastSeen = moment(connected), moment(seen)
	n.Place = record.Place{
		Kind: record.PlaceKind(kind), Country: country.String, City: city.String, Latitude: latitude.Float64, Longitude: longitude.Float64,
		Located: latitude.Valid && longitude.Valid, TimeZone: zone.String, ASN: uint32(asn.Int64), Organisation: organisation.String,
	}
	if kind == "" || n.Place.Kind == record.PlaceUnknown {
		n.Place.Kind = record.PlaceOf(n.Address).Kind
	}
	return n, nil
}

// moment is a database's time, 0 for null.
func moment(t sql.NullTime) record.Time {
	if !t.Valid {
		return 0
	}
	return record.Time(t.Time.UnixMicro())
}
