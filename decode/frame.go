package decode

import (
	"crypto/sha256"
	"encoding/binary"
)

const (
	headerLen    = 24        // magic 4, command 12, length 4, checksum 4
	oldHeaderLen = 20        // the same without a checksum: version and verack before 2012-02-20
	maxPayload   = 4_000_000 // bytes; Bitcoin Core, net.h, MAX_PROTOCOL_MESSAGE_LENGTH
	maxVersion   = 2048      // bytes of payload of a version message: there is none of even a quarter
	magicLen     = 4
	commandLen   = 12
)

// A header is a message's first bytes, parsed. command is borrowed from them.
type header struct {
	magic    [4]byte
	command  [commandLen]byte
	name     uint8 // bytes of command before its padding
	length   int   // bytes of payload
	checksum [4]byte
}

// parseHeader reads a header from b, which has at least headerLen bytes. ok is false if it is none: a
// command that is not printable or not padded with zeros (Bitcoin Core, protocol.cpp, IsCommandValid), or is
// empty, or a length beyond maxPayload.
func parseHeader(b []byte) (h header, ok bool) {
	ok = h.parseOld(b)
	h.checksum = [4]byte(b[oldHeaderLen:headerLen])
	return h, ok
}

// parseOld is parseHeader for all but the checksum: oldHeaderLen bytes are enough.
func (h *header) parseOld(b []byte) bool {
	h.magic = [4]byte(b)
	h.command = [commandLen]byte(b[4:])
	length := binary.LittleEndian.Uint32(b[16:])
	n := 0
	for n < commandLen && h.command[n] >= ' ' && h.command[n] <= '~' {
		n++
	}
	h.name = uint8(n)
	for _, c := range h.command[n:] {
		if c != 0 {
			return false
		}
	}
	if n == 0 || length > maxPayload {
		return false
	}
	h.length = int(length)
	return true
}

// cmd is the command without its padding; borrowed from h.
func (h *header) cmd() []byte { return h.command[:h.name] }

func (h *header) total() int { return headerLen + h.length }

// is says whether h's command is name.
func (h *header) is(name string) bool { return string(h.cmd()) == name }

// sumOK says whether a whole message has the checksum that its header names: the first bytes of its payload's double
// SHA-256.
func sumOK(message []byte) bool {
	sum := sha256.Sum256(message[headerLen:])
	sum = sha256.Sum256(sum[:])
	return [4]byte(sum[:]) == [4]byte(message[oldHeaderLen:])
}

// mayBeOld says whether a message may be one without a checksum, as far as its header tells.
func (h *header) mayBeOld() bool {
	return h.is("verack") && h.length == 0 || h.is("version") && h.length > 0 && h.length <= maxVersion
}

// old says whether a message that begins with b has no checksum, as version and verack had before 2012-02-20 (Bitcoin
// 0.2.10's and later code: CMessageHeader and SetVersion(209) in net.h), and how many bytes it has then. h is b's
// header; short is true if b, which has at least headerLen bytes, may be one and is not whole yet.
func (h *header) old(b []byte) (total int, is, short bool) {
	switch {
	case !h.mayBeOld():
		return 0, false, false
	case h.length == 0: // Verack, if the next message's magic is where the checksum should be.
		return oldHeaderLen, h.checksum == h.magic, false
	}
	total = oldHeaderLen + h.length
	if len(b) < total {
		return total, false, true
	}
	return total, plausibleVersion(b[oldHeaderLen:total]), false
}

// What becomes of a message's payload.
type treatment uint8

const (
	pass     treatment = iota // checksummed as it streams by
	begin                     // the same, but its first bytes are kept: it announces a block
	keep                      // kept whole and decoded
	oversize                  // passes, and is malformed: longer than its command can be
)

// treat says what to do with a message. A length beyond what the command can have makes it pass.
func (h *header) treat() treatment {
	most := 0 // bytes
	switch string(h.cmd()) {
	case "inv":
		most = 9 + maxInv*invVectSize
	case "tx":
		most = maxPayload
	case "ping", "pong":
		most = 1024
	case "version":
		most = maxVersion
	case "addr":
		most = 9 + maxAddrs*30
	case "addrv2":
		most = 9 + 1000*(4+9+1+9+512+2)
	case "headers":
		most = 9 + 2000*81
	case "block", "cmpctblock":
		return begin
	}
	switch {
	case most == 0:
		return pass
	case h.length > most:
		return oversize
	}
	return keep
}
