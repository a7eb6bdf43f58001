package analyze

import (
	"time"

	"btcsniff/record"
)

// A Sighting is the first time that one connection told the observed node of a transaction.
type Sighting struct {
	Conn       int64  // connection.id
	Peer       string // "ip:port", "[v6]:port" or the name that a proxy was asked for, as example.onion:8333
	Place      string // country of the peer as two letters, or tor, i2p, cjdns, private; "": not known
	Network    string
	PeerOpened bool   // the peer opened the connection, so that its timer for us is that of its outbound connections
	Via        string // inv or tx
	SeenAt     record.Time
	RTT        time.Duration // round-trip time to the peer at that moment; 0: not known
	RTTError   time.Duration // how much half of RTT may be off
	RTTSource  string        // ping or handshake; "": none
}
