// Package v2 decrypts recorded connections of the encrypted transport (BIP 324, "v2"), given the secrets that one of the two
// nodes has written down. It knows the handshake, the packets and their ciphers, and finds its place again
// after lost bytes and in the middle of a connection. What the messages inside say, and when their bytes were
// captured, it leaves to the caller.
package v2

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

const (
	keySize    = 64 // bytes of a public key in ElligatorSwift encoding
	secretSize = 32 // bytes
	label      = "BIP324_SHARED_SECRET"
)

// A secret is what one line of a key log says: the public keys that the two ends of a session sent, and what only they know.
type secret struct {
	initiator, responder [keySize]byte
	shared               [secretSize]byte // BIP 324's ecdh_secret: the output of v2_ecdh, before HKDF
}

// Keys holds the secrets of sessions. It does not change after ParseKeys, and may be used by several goroutines.
type Keys struct {
	secrets []*secret
	byKey   map[[keySize]byte][]*secret // by either key; usually one
	numbers uint64                      // maxNumbers, but in tests
}

// ParseKeys reads a key log. It has a line for each session,
//
//	BIP324_SHARED_SECRET <initiator's key> <responder's key> <shared secret>
//
// with the keys as they are sent at a connection's start (ElligatorSwift, 128 hex digits each) and BIP 324's ecdh_secret (64 digits).
// Empty lines and those that begin with # are comments. Lines may contradict each other: what fits the packets is taken.
// An error names the line; it never shows what is in it.
func ParseKeys(r io.Reader) (*Keys, error) {
	k := &Keys{byKey: map[[keySize]byte][]*secret{}, numbers: maxNumbers}
	in := bufio.NewScanner(r)
	n := 0
	for in.Scan() {
		n++
		fields := strings.Fields(in.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		s, err := parseSecret(fields)
		if err != nil {
			return nil, fmt.Errorf("key log, line %d: %w", n, err)
		}
		k.add(s)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("key log, after line %d: %w", n, err)
	}
	return k, nil
}

func parseSecret(fields []string) (*secret, error) {
	if fields[0] != label {
		return nil, fmt.Errorf("does not begin with %s", label)
	}
	if len(fields) != 4 {
		return nil, fmt.Errorf("%d fields, want 4: %s, the initiator's key, the responder's key, the shared secret", len(fields), label)
	}
	s := new(secret)
	for i, to := range [][]byte{s.initiator[:], s.responder[:], s.shared[:]} {
		name := [...]string{"initiator's key", "responder's key", "shared secret"}[i]
		digits := fields[i+1]
		if len(digits) != 2*len(to) {
			return nil, fmt.Errorf("%s has %d characters, want %d hex digits", name, len(digits), 2*len(to))
		}
		if _, err := hex.Decode(to, []byte(digits)); err != nil {
			return nil, fmt.Errorf("%s has characters that are no hex digits", name) // err would show one
		}
	}
	return s, nil
}

// add adds s, unless it is there.
func (k *Keys) add(s *secret) {
	for _, old := range k.byKey[s.initiator] {
		if *old == *s {
			return
		}
	}
	k.secrets = append(k.secrets, s)
	for _, key := range [][keySize]byte{s.initiator, s.responder} {
		k.byKey[key] = append(k.byKey[key], s)
	}
}

// Len is the number of sessions.
func (k *Keys) Len() int { return len(k.secrets) }
