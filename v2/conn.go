package v2

import "btcsniff/record"

// A Conn is one encrypted connection. It is used by one goroutine. It tells its two Receivers what either has found out: which
// session the connection is, and on which network.
type Conn struct {
	keys     *Keys
	networks []record.Network
	secret   *secret   // nil until known
	session  *session  // of secret; nil until the network is known
	opener   *Receiver // the one that receives what the initiator sent; nil until known
	other    *Receiver
	derived  []*session // of secret, one for each network
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

// identify notes that r receives that direction of s. The session may not be known yet.
func (c *Conn) identify(r *Receiver, s *secret, v *session, direction int) {
	c.secret = s
	if v != nil {
		c.session = v
	}
	if direction == fromInitiator {
		c.opener = r
	} else {
		c.other = r
	}
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
	case c.secret != nil:
		if c.derived == nil {
			c.derived = c.derive(nil, c.secret)
		}
		sessions = c.derived
	default:
		sessions = nil
		for _, s := range c.keys.secrets {
			sessions = c.derive(sessions, s)
		}
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

// derive appends s's sessions on the connection's networks to to.
func (c *Conn) derive(to []*session, s *secret) []*session {
	for _, n := range c.networks {
		to = append(to, newSession(s, n.Name, n.Magic))
	}
	return to
}
