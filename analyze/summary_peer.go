package analyze

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"btcsniff/record"
)

// A Connection is one TCP connection of a peer.
type Connection struct {
	ID           int64
	Sensor       string
	Peer         string // "ip:port", "[v6]:port" or the name that a proxy was asked for, as example.onion:8333
	Network      string
	Opener       string // peer, node; "": not known
	Opened       record.Time
	Closed       record.Time // 0: it is open
	Transport    string      // v1, v2, unknown; "": it is open
	UserAgent    string      // as the peer sent it, any characters; "": not known
	Handshake    int64       // round-trip time of the TCP handshake in microseconds; less than 0: not known
	Ping         int64       // least round-trip time from ping to pong in microseconds; less than 0: not known
	Bytes        int64       // TCP payload, both directions; this and the next two are 0 while it is open
	Messages     int64
	Lost         int64 // bytes
	Place        string
	City         string
	ASN          int64 // 0: not known
	Organisation string
}

// PeerHost is the part of a peer's name that stays when it connects again: an address or a host name, without the port and brackets. It
// takes what a person may write.
func PeerHost(peer string) string {
	peer = strings.TrimSpace(peer)
	if a, err := netip.ParseAddrPort(peer); err == nil {
		return a.Addr().Unmap().String()
	}
	if a, err := netip.ParseAddr(strings.Trim(peer, "[]")); err == nil {
		return a.Unmap().String()
	}
	if host, port, ok := strings.Cut(peer, ":"); ok && !strings.Contains(port, ":") {
		return host
	}
	return peer
}

// Connections returns the connections of a peer, the newest first, at most 100; more says that there are others. peer is as PeerHost
// returns it.
func (db *DB) Connections(ctx context.Context, peer string) (list []Connection, more bool, err error) {
	rows, err := db.QueryContext(ctx, db.text("summary_connections"), peer)
	if err != nil {
		return nil, false, fmt.Errorf("list connections: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		c, err := scanConnection(rows)
		if err != nil {
			return nil, false, fmt.Errorf("list connections: %w", err)
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("list connections: %w", err)
	}
	if len(list) > 100 {
		return list[:100], true, nil
	}
	return list, false, nil
}

func scanConnection(rows *sql.Rows) (c Connection, err error) {
	var address string
	var port int
	var opened time.Time
	var openerKnown bool
	var nodeOpened sql.NullBool
	var closed sql.NullTime
	var name, network, transport, agent, place, city, organisation sql.NullString
	var handshake, ping, bytes, messages, lost, asn sql.NullInt64
	if err := rows.Scan(&c.ID, &c.Sensor, &address, &port, &name, &network, &openerKnown, &nodeOpened, &opened, &closed, &transport,
		&agent, &handshake, &ping, &bytes, &messages, &lost, &place, &city, &asn, &organisation); err != nil {
		return c, err
	}
	c.Peer, c.Network, c.Transport, c.UserAgent = peerText(address, port, name.String), network.String, transport.String, agent.String
	c.Opened = record.Time(opened.UnixMicro())
	if closed.Valid {
		c.Closed = record.Time(closed.Time.UnixMicro())
	}
	if openerKnown && nodeOpened.Valid {
		c.Opener = map[bool]string{true: "node", false: "peer"}[nodeOpened.Bool]
	}
	c.Handshake, c.Ping = -1, -1
	if handshake.Valid {
		c.Handshake = handshake.Int64
	}
	if ping.Valid {
		c.Ping = ping.Int64
	}
	c.Bytes, c.Messages, c.Lost = bytes.Int64, messages.Int64, lost.Int64
	c.Place, c.City, c.ASN, c.Organisation = place.String, city.String, asn.Int64, organisation.String
	return c, nil
}
