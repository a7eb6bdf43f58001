package v2

import (
	"slices"

	"btcsniff/record"
)

// A Conn is one encrypted connection. It is used by one goroutine. It tells its two Receivers what either has found out: which
// session the connection is, and on which network.
type Conn struct {
	keys     *Keys
	networks []record.Network
	secrets  []*secret // what the connection can be, by its keys; nil until one was seen
	session  *session  // what it is; nil until known
	opener   *Receiver // the one that receives what the initiator sent; nil until known
	other    *Receiver
	derived  []*session // of secrets, one for each network
}

// Conn returns a connection that may be any of k's sessions, on one of the networks.
func (k *Keys) Conn(networks []record.Network) *Conn {
	return &Conn{keys: k, networks: networks}
}

// Network is the name of the connection's network, or "" until a packet was decrypted or the end of a handshake's garbage found.
func (c *Conn) Network() string {
	if c.session == nil {
		return ""
	}
	return c.session.network
}

// A candidate is a session that a connection may be, and a direction of it that a Receiver may be.
type candidate struct {
	session   *session
	direction int
}

// identify notes that r receives that direction of the connection.
func (c *Conn) identify(r *Receiver, direction int) {
	if direction == fromInitiator {
		c.opener = r
	} else {
		c.other = r
	}
}

// lookup narrows down what the connection can be to the secrets that have the key which r's stream begins with. ok is
// false if there are none.
func (c *Conn) lookup(r *Receiver, key [keySize]byte) (ok bool) {
	var fit []*secret
	direction := fromInitiator
	for _, s := range c.keys.byKey[key] {
		if c.secrets == nil || slices.Contains(c.secrets, s) {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return false
	}
	if key == fit[0].responder {
		direction = fromResponder
	}
	c.secrets, c.derived = fit, nil
	c.identify(r, direction)
	return true
}

// direction is that of r; ok is false if it may be either.
func (c *Conn) direction(r *Receiver) (d int, ok bool) {
	switch {
	case c.opener != nil && c.opener != r || c.other == r:
		return fromResponder, true
	case c.other != nil || c.opener == r:
		return fromInitiator, true
	}
	return 0, false
}

// candidates returns what r may be, by all that is known.
func (c *Conn) candidates(r *Receiver) []candidate {
	sessions := []*session{c.session}
	switch {
	case c.session != nil:
	case c.secrets != nil:
		if c.derived == nil {
			c.derived = c.derive(c.secrets)
		}
		sessions = c.derived
	default:
		sessions = c.derive(c.keys.secrets)
	}
	var out []candidate
	d, ok := c.direction(r)
	for _, s := range sessions {
		if !ok || d == fromInitiator {
			out = append(out, candidate{s, fromInitiator})
		}
		if !ok || d == fromResponder {
			out = append(out, candidate{s, fromResponder})
		}
	}
	return out
}

// derive returns the sessions that the secrets give on the connection's networks.
func (c *Conn) derive(secrets []*secret) (out []*session) {
	for _, s := range secrets {
		for _, n := range c.networks {
			out = append(out, newSession(s, n.Name, n.Magic))
		}
	}
	return out
}
