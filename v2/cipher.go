package v2

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes in bytes and limits. Source: BIP 324.
const (
	epochPackets   = 224 // packets that are encrypted with the same keys (REKEY_INTERVAL)
	lengthSize     = 3
	headerSize     = 1
	tagSize        = chacha20poly1305.Overhead
	minPacket      = lengthSize + headerSize + tagSize
	terminatorSize = 16
	maxGarbage     = 4095
	ignoreBit      = 0x80 // of the header: a decoy packet

	// Bitcoin Core, net.cpp, V2Transport::ProcessReceivedPacketBytes: the longest encoding of a command and the
	// longest payload. More makes it hang up.
	maxContents = 1 + 12 + 4_000_000
)

// Directions of a session.
const (
	fromInitiator = 0
	fromResponder = 1
)

// A session is what both ends derive from their secret for one network.
type session struct {
	secret     *secret
	network    string
	keys       [2]ratchet              // by direction, of the first epoch
	terminator [2][terminatorSize]byte // by direction
}

// newSession derives a session's keys. magic is the network's, in the order of the wire.
func newSession(s *secret, network string, magic [4]byte) *session {
	salt := append([]byte("bitcoin_v2_shared_secret"), magic[:]...)
	prk, err := hkdf.Extract(sha256.New, s.shared[:], salt)
	if err != nil {
		panic(err) // only a hash function that FIPS 140 forbids gives an error
	}
	expand := func(to []byte, info string) {
		out, err := hkdf.Expand(sha256.New, prk, info, len(to))
		if err != nil {
			panic(err) // the same, or a length that is not one of ours
		}
		copy(to, out)
	}
	v := &session{secret: s, network: network}
	expand(v.keys[fromInitiator].length[:], "initiator_L")
	expand(v.keys[fromInitiator].packet[:], "initiator_P")
	expand(v.keys[fromResponder].length[:], "responder_L")
	expand(v.keys[fromResponder].packet[:], "responder_P")
	var both [2 * terminatorSize]byte
	expand(both[:], "garbage_terminators")
	v.terminator[fromInitiator] = [terminatorSize]byte(both[:terminatorSize])
	v.terminator[fromResponder] = [terminatorSize]byte(both[terminatorSize:])
	return v
}

// A ratchet holds the keys of one direction for one epoch: epochPackets packets. The packets of all epochs are numbered from 0.
type ratchet struct {
	epoch          uint64
	length, packet [chacha20.KeySize]byte
}

// masks are what the length fields of an epoch's packets are encrypted with, by exclusive or: packet i of the
// epoch with masks[i], as the little-endian number that its three bytes are.
type masks [epochPackets]uint32

// next fills m with the masks of r's epoch and returns the ratchet of the next one. Source: BIP 324, FSChaCha20 and
// FSChaCha20Poly1305; the first is one continuous key stream in each epoch.
func (r *ratchet) next(m *masks) ratchet {
	var nonce [chacha20.NonceSize]byte
	binary.LittleEndian.PutUint64(nonce[4:], r.epoch)
	var stream [lengthSize*epochPackets + chacha20.KeySize]byte
	keyStream(r.length[:], nonce[:], 0, stream[:])
	for i := range m {
		m[i] = number(stream[lengthSize*i:])
	}
	n := ratchet{epoch: r.epoch + 1}
	copy(n.length[:], stream[lengthSize*epochPackets:])
	// The next packet key is the encryption of 32 zeros as if they were packet 2^32-1.
	binary.LittleEndian.PutUint32(nonce[:4], 0xffffffff)
	keyStream(r.packet[:], nonce[:], 1, n.packet[:]) // RFC 8439: the AEAD encrypts from block 1 on
	return n
}

// keyStream fills out, which is zero, with ChaCha20's key stream from that block on.
func keyStream(key, nonce []byte, block uint32, out []byte) {
	c, err := chacha20.NewUnauthenticatedCipher(key, nonce)
	if err != nil {
		panic(err) // a key or nonce of another length
	}
	c.SetCounter(block)
	c.XORKeyStream(out, out)
}

// number reads a length field, encrypted or not.
func number(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
}

// aead returns the cipher of the epoch's packets.
func (r *ratchet) aead() cipher.AEAD {
	a, err := chacha20poly1305.New(r.packet[:])
	if err != nil {
		panic(err) // a key of another length
	}
	return a
}

// open decrypts packet n: box is all of it but its length field. The result, header and contents, is
// appended to dst, which must not overlap box. ok is false if box is not what the sender made.
func open(a cipher.AEAD, dst []byte, n uint64, box, aad []byte) (plain []byte, ok bool) {
	var nonce [chacha20poly1305.NonceSize]byte
	binary.LittleEndian.PutUint32(nonce[:4], uint32(n%epochPackets))
	binary.LittleEndian.PutUint64(nonce[4:], n/epochPackets)
	plain, err := a.Open(dst, nonce[:], box, aad)
	return plain, err == nil
}
