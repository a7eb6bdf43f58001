package decode

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

// SOCKS5. Sources: RFC 1928; RFC 1929 for user and password.
const (
	socksVersion  = 5
	authVersion   = 1 // of the user and password negotiation
	socksConnect  = 1 // the only command that a node uses
	maxMethods    = 8 // more than there are
	methodRefused = 0xff
	atypIPv4      = 1
	atypDomain    = 3
	atypIPv6      = 4
)

// parseSocks reads what one side sends before the stream proper begins. Client and server are told apart by the
// bytes: a client's greeting is 05 n and n methods, a server's answer 05 m; what follows a client's begins with 01 (user and
// password) or 05 01 00 (the request), what follows a server's with 01 00 or 05 and the reply.
//
//	client: 05 n methods...  [01 len user len password]  05 01 00 type address port
//	server: 05 method        [01 status]                 05 reply 00 type address port
//
// A client waits for the server's answer after its greeting, so a stream that goes on in another way is not SOCKS.
func parseSocks(b []byte) handshake {
	if len(b) > 0 && b[0] != socksVersion {
		return handshake{}
	}
	if len(b) < 2 {
		return handshake{state: wait}
	}
	server := socksSide(b, 2, false)
	client := handshake{}
	if n := int(b[1]); n >= 1 && n <= maxMethods {
		client = socksSide(b, 2+n, true)
	}
	switch {
	case b[1] == methodRefused && len(b) == 2:
		return handshake{state: yes, length: 2, refused: true}
	case client.state == yes:
		return client
	case server.state == yes:
		return server
	case client.state == wait || server.state == wait:
		return handshake{state: wait}
	}
	return handshake{}
}

// socksSide reads what follows the greeting of the given length.
func socksSide(b []byte, greeting int, client bool) handshake {
	pos := greeting
	for _, m := range b[min(2, len(b)):min(pos, len(b))] { // methods: none, GSSAPI, user and password, few others
		if m > 9 && m < 0x80 {
			return handshake{}
		}
	}
	if len(b) <= pos {
		return handshake{state: wait}
	}
	if b[pos] == authVersion {
		n := 2
		if client {
			if n = authLen(b[pos:]); n == 0 {
				return handshake{state: wait}
			}
		} else if len(b) > pos+1 && b[pos+1] != 0 {
			return handshake{state: yes, length: pos + 2, refused: true}
		}
		pos += n
	}
	return socksRequest(b, pos, client)
}

// authLen is the length of the user and password message that b begins with, or 0 if b is too short to tell.
func authLen(b []byte) int {
	if len(b) < 2 || len(b) < 2+int(b[1])+1 {
		return 0
	}
	user := int(b[1])
	return 2 + user + 1 + int(b[2+user])
}

// socksRequest reads the request or the reply at pos.
func socksRequest(b []byte, pos int, client bool) handshake {
	r := b[min(pos, len(b)):]
	if len(r) > 0 && r[0] != socksVersion || len(r) > 1 && client && r[1] != socksConnect ||
		len(r) > 1 && !client && r[1] > 8 || len(r) > 2 && r[2] != 0 {
		return handshake{}
	}
	if len(r) < 5 {
		return handshake{state: wait}
	}
	size := 0
	switch r[3] {
	case atypIPv4:
		size = 4
	case atypIPv6:
		size = 16
	case atypDomain:
		size = 1 + int(r[4])
	default:
		return handshake{}
	}
	if len(r) < 4+size+2 {
		return handshake{state: wait}
	}
	h := handshake{state: yes, length: pos + 4 + size + 2}
	if !client {
		h.refused = r[1] != 0
		return h
	}
	host := ""
	if r[3] == atypDomain {
		host = string(r[5 : 4+size])
	} else {
		addr, _ := netip.AddrFromSlice(r[4 : 4+size])
		host = addr.String()
	}
	h.target = net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(r[4+size:]))))
	return h
}
