package decode

import (
	"bytes"

	"btcsniff/record"
)

// detect takes the first bytes of a stream whose opening was captured, until it is clear what they are. It takes all of b.
func (s *stream) detect(b []byte, seen record.Time) int {
	if s.c.d.tight(0) {
		s.stats().Evicted++
		s.giveUpDetecting()
		s.lose()
		return 0
	}
	s.keep(b, seen)
	s.redetect()
	return len(b)
}

// redetect looks at the bytes that are kept.
func (s *stream) redetect() {
	if s.mode == proxying {
		s.handshake()
		return
	}
	b := s.kept.bytes()
	is := s.classify(b)
	if is != unclear && is != isProxy && !s.fromB && s.c.proxy == undecided {
		s.c.proxy = noProxy
	}
	switch is {
	case unclear:
	case isV1:
		s.magic = [magicLen]byte(b)
		s.mode = framing
		s.again(0)
	case isProxy:
		s.mode = proxying
		s.handshake()
	case isV2:
		s.encrypt(true)
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

// classify says what a stream is that begins with b. A side's answer is the same however its bytes are cut.
func (s *stream) classify(b []byte) class {
	switch s.network(b) {
	case yes:
		return isV1
	case wait:
		return unclear
	}
	if !s.proxied {
		switch s.proxyPrefix(b) {
		case yes:
			return isProxy
		case wait:
			return unclear
		}
	}
	switch v := foreignPrefix(b); {
	case v == yes && !s.c.known():
		return isForeign
	case v == wait || len(b) < keyLen:
		return unclear
	case looksRandom(b[:keyLen]):
		return isV2
	case s.c.known():
		return isGarbage
	case s.c.v2 || isText(b[:keyLen]):
		return isForeign
	}
	return isGarbage
}

// network says whether b begins with the magic of the connection's network or, while that is not known, of any.
func (s *stream) network(b []byte) verdict {
	networks := s.c.d.cfg.Networks
	if s.c.known() {
		networks = []record.Network{s.c.network}
	}
	v := no
	for i := range networks {
		v = max(v, hasPrefix(b, string(networks[i].Magic[:])))
	}
	return v
}

// looksRandom tells a key (64 bytes, as good as random: 57 different values on average, standard deviation 2.3, half of them
// from 0x80 on, standard deviation 4) from text and from most binary protocols.
func looksRandom(b []byte) bool {
	var seen [256]bool
	different, high := 0, 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			different++
		}
		high += int(c >> 7)
	}
	return different >= 44 && high >= 8
}

// isText says whether b is ASCII text.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// foreignPrefix says whether b begins like a protocol that is often met on Bitcoin's ports or beside it.
func foreignPrefix(b []byte) verdict {
	v := no
	for _, p := range []string{
		"GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "HTTP/", "PRI * HTTP", "SSH-", // requests to RPC servers and others
		"\x16\x03\x00", "\x16\x03\x01", "\x16\x03\x02", "\x16\x03\x03", // TLS, RFC 8446, section 5.1
	} {
		v = max(v, hasPrefix(b, p))
	}
	return v
}

// giveUpDetecting accounts for what is kept when the stream ends or has a hole before it is clear what it is.
func (s *stream) giveUpDetecting() {
	b := s.kept.bytes()
	if s.mode == proxying || len(b) > 1 && b[0] == socksVersion && !s.proxied && s.proxyPrefix(b) == wait {
		s.stats().Proxy += uint64(len(b))
	} else {
		s.passOver(len(b))
	}
	s.forget()
}

// A proxyKind says how a proxy is asked for a connection.
type proxyKind uint8

const (
	undecided proxyKind = iota
	noProxy
	socks5
	httpConnect
)

const maxHandshake = 8 << 10 // bytes that a proxy handshake may take in one direction

// proxyPrefix says whether b begins a proxy handshake. A is the client, since detection is for connections of which the opening
// was captured.
func (s *stream) proxyPrefix(b []byte) verdict {
	kind := s.c.proxy
	if kind == noProxy || len(b) > maxHandshake {
		return no
	}
	if kind != httpConnect {
		if h := parseSocks(b, !s.fromB); h.state != no {
			return h.state
		}
	}
	if !s.fromB {
		return hasPrefix(b, "CONNECT ")
	}
	// A plain HTTP server's answer begins like a proxy's; the question tells them apart.
	v := hasPrefix(b, "HTTP/1.")
	switch {
	case kind == socks5:
		return no
	case kind == undecided && v == yes:
		return wait
	}
	return v
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
		h = parseSocks(b, !s.fromB)
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
	s.proxied = true
	if !s.fromB {
		s.c.proxy = kind
		s.c.rec.SetPeerName(h.target)
	}
	s.stats().Proxy += uint64(h.length)
	s.mode = detecting
	if h.refused {
		s.mode = ignoring
	}
	s.again(h.length)
	if other := s.c.stream(!s.fromB); other.mode == detecting && other.kept.len() > 0 {
		other.redetect() // it may have waited for this
	}
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
