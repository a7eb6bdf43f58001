package decode

import (
	"bytes"

	"btcsniff/record"
)

// detect takes the first bytes of a stream whose opening was captured, until it is clear what they are.
func (s *stream) detect(b []byte, seen record.Time) {
	s.keep(b, seen)
	if s.mode == proxying {
		s.handshake()
		return
	}
	b = s.kept.bytes()
	switch s.classify(b) {
	case unclear:
	case isV1:
		s.magic = [4]byte(b)
		s.mode = framing
		s.again(0)
	case isProxy:
		s.mode = proxying
		s.handshake()
	case isV2:
		s.c.v2 = true
		s.mode = encrypted
		s.again(0)
	case isForeign:
		s.mode = ignoring
		s.again(0)
	case isGarbage:
		s.lose()
		s.again(0)
	}
}

// A class is what a stream's first bytes are.
type class uint8

const (
	unclear class = iota // more are needed
	isV1
	isV2
	isProxy
	isForeign // another protocol
	isGarbage // a message may follow
)

const keyLen = 64 // bytes; BIP 324: each side begins with its ElligatorSwift-encoded public key

func (s *stream) classify(b []byte) class {
	if len(b) < 4 {
		if s.c.d.prefix(b) || foreignPrefix(b) != no || !s.proxied && proxyPrefix(b, s.c.proxy) != no {
			return unclear
		}
	} else if _, ok := s.c.d.network(b[:4]); ok {
		return isV1
	}
	if s.c.known() {
		return isGarbage
	}
	if !s.proxied {
		if v := proxyPrefix(b, s.c.proxy); v == yes {
			return isProxy
		} else if v == wait {
			return unclear
		}
	}
	switch v := foreignPrefix(b); {
	case v == yes:
		return isForeign
	case v == wait || len(b) < keyLen:
		return unclear
	case looksRandom(b[:keyLen]):
		return isV2
	}
	return isGarbage
}

// looksRandom tells a key (64 bytes, as good as random: 57 different values on average, standard deviation 2.3) from text and from most
// binary protocols.
func looksRandom(b []byte) bool {
	var seen [256]bool
	different := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			different++
		}
	}
	return different >= 44
}

// foreignPrefix says whether b begins like a protocol that is often met on Bitcoin's ports or beside it.
func foreignPrefix(b []byte) verdict {
	for _, p := range []string{
		"GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "HTTP/", "PRI * HTTP", "SSH-", "{\"", // requests to RPC servers and others
		"\x16\x03\x00", "\x16\x03\x01", "\x16\x03\x02", "\x16\x03\x03", // TLS, RFC 8446, section 5.1
	} {
		n := min(len(b), len(p))
		if string(b[:n]) == p[:n] {
			if n == len(p) {
				return yes
			}
			return wait
		}
	}
	return no
}

// giveUpDetecting accounts for what is kept when the stream ends or has a hole before it is clear what it is.
func (s *stream) giveUpDetecting() {
	if s.mode == proxying {
		s.stats().Proxy += uint64(s.kept.len())
	} else {
		s.passOver(s.kept.len())
	}
	s.forget()
}

// A proxyKind says how a proxy is asked for a connection.
type proxyKind uint8

const (
	noProxy proxyKind = iota
	socks5
	httpConnect
)

const maxHandshake = 8 << 10 // bytes that a proxy handshake may take in one direction

// proxyPrefix says whether b begins a proxy handshake. kind is what the other side's stream began, if that is known: only a proxy's
// answer may begin like a plain HTTP server's.
func proxyPrefix(b []byte, kind proxyKind) verdict {
	if kind != httpConnect {
		if h := parseSocks(b); h.state != no {
			return h.state
		}
	}
	if v := hasPrefix(b, "CONNECT "); v != no {
		return v
	}
	if kind == httpConnect {
		return hasPrefix(b, "HTTP/1.")
	}
	return no
}

func hasPrefix(b []byte, p string) verdict {
	n := min(len(b), len(p))
	switch {
	case string(b[:n]) != p[:n]:
		return no
	case n < len(p):
		return wait
	}
	return yes
}

// handshake takes a proxy handshake once it is complete.
func (s *stream) handshake() {
	b := s.kept.bytes()
	var h handshake
	kind := socks5
	if b[0] == socksVersion {
		h = parseSocks(b)
	} else {
		kind = httpConnect
		h = parseConnect(b)
	}
	switch {
	case h.state == wait && len(b) <= maxHandshake:
		return
	case h.state != yes:
		s.mode = ignoring
		s.again(0)
		return
	}
	s.c.proxy = kind
	s.proxied = true
	if h.target != "" && s.c.rec.PeerName() == "" {
		s.c.rec.SetPeerName(h.target)
	}
	s.stats().Proxy += uint64(h.length)
	s.mode = detecting
	if h.refused {
		s.mode = ignoring
	}
	s.again(h.length)
}

// A handshake is what one direction of a proxy's handshake says.
type handshake struct {
	state   verdict // yes: complete; wait: as far as it goes; no: it is none
	length  int     // bytes
	target  string  // host:port that the client asks for
	refused bool    // by the proxy
}

// parseConnect reads an HTTP CONNECT request or the answer to one. Source: RFC 9110, section 9.3.6.
func parseConnect(b []byte) handshake {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return handshake{state: wait}
	}
	h := handshake{state: yes, length: end + 4}
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	fields := bytes.Fields(line)
	if len(fields) < 2 {
		return handshake{}
	}
	if string(fields[0]) == "CONNECT" {
		h.target = string(fields[1])
	} else {
		h.refused = fields[1][0] != '2'
	}
	return h
}
