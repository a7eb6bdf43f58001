package decode

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

// SOCKS5. Sources: RFC 1928; RFC 1929 for user and password.
const (
	socksVersion   = 5
	authVersion    = 1    // of the user and password negotiation
	socksConnect   = 1    // the only command that a node uses
	maxMethods     = 8    // more than there are
	lastMethod     = 9    // that is assigned: IANA, SOCKS Methods
	privateMethods = 0x80 // and what follows; 0xff refuses all
	atypIPv4       = 1
	atypDomain     = 3
	atypIPv6       = 4
)

// parseSocks reads what the client, or the server, sends before the stream proper begins:
//
//	client: 05 n methods...  [01 len user len password]  05 01 00 type address port
//	server: 05 method        [01 status]                 05 reply 00 type address port
//
// What a server that refuses the methods or the password sends is never more than a part.
func parseSocks(b []byte, client bool) handshake {
	if len(b) > 0 && b[0] != socksVersion {
		return handshake{}
	}
	if len(b) < 2 {
		return handshake{state: wait}
	}
	pos, methods := 2, b[1:2] // where the part after the greeting begins; of the greeting, what it offers or chooses
	if client {
		if b[1] == 0 || b[1] > maxMethods {
			return handshake{}
		}
		pos += int(b[1])
		methods = b[2:min(pos, len(b))]
	}
	for _, m := range methods {
		if m > lastMethod && m < privateMethods {
			return handshake{}
		}
	}
	if len(b) <= pos {
		return handshake{state: wait}
	}
	if !client && b[1] == 0xff {
		return handshake{}
	}
	if b[pos] == authVersion {
		n := 2
		switch {
		case client:
			n = authLen(b[pos:])
		case len(b) > pos+1 && b[pos+1] != 0: // refused
			n = 0
			if len(b) > pos+2 {
				return handshake{}
			}
		}
		if n == 0 {
			return handshake{state: wait}
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
