package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// A Network is a Bitcoin network: its name and the four bytes that every v1 message on it begins with.
type Network struct {
	Name  string
	Magic [4]byte // in the order of the wire
}

// Networks returns the networks that are known by name. Sources: Bitcoin Core, kernel/chainparams.cpp;
// btcd, wire/protocol.go for simnet.
func Networks() []Network {
	return []Network{
		{"mainnet", [4]byte{0xf9, 0xbe, 0xb4, 0xd9}},
		{"testnet3", [4]byte{0x0b, 0x11, 0x09, 0x07}},
		{"testnet4", [4]byte{0x1c, 0x16, 0x3f, 0x28}},
		{"signet", [4]byte{0x0a, 0x03, 0xcf, 0x40}},
		{"regtest", [4]byte{0xfa, 0xbf, 0xb5, 0xda}},
		{"simnet", [4]byte{0x16, 0x1c, 0x14, 0x12}},
	}
}

// ParseNetwork reads a network's name, the eight hex digits of its magic, which also become its name
// unless the magic is a known one, or signet: and the hex digits of a custom signet's challenge; that one's name is signet-
// and its magic.
func ParseNetwork(s string) (Network, error) {
	known := Networks()
	if i := slices.IndexFunc(known, func(n Network) bool { return n.Name == strings.ToLower(s) }); i >= 0 {
		return known[i], nil
	}
	if challenge, ok := strings.CutPrefix(s, "signet:"); ok {
		return customSignet(challenge)
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		names := make([]string, len(known))
		for i, n := range known {
			names[i] = n.Name
		}
		return Network{}, fmt.Errorf("network %q: want %s, eight hex digits of magic as in f9beb4d9, or signet:CHALLENGE in hex", s, strings.Join(names, ", "))
	}
	n := Network{Name: hex.EncodeToString(b), Magic: [4]byte(b)}
	if i := slices.IndexFunc(known, func(k Network) bool { return k.Magic == n.Magic }); i >= 0 {
		n.Name = known[i].Name
	}
	return n, nil
}

// customSignet derives a signet's magic from its challenge: the first four bytes of the double SHA-256 of the challenge
// with its length before it. Source: BIP 325; Bitcoin Core, kernel/chainparams.cpp, SigNetParams.
func customSignet(challenge string) (Network, error) {
	script, err := hex.DecodeString(challenge)
	if err != nil || len(script) == 0 || len(script) > 10_000 {
		return Network{}, fmt.Errorf("network signet:%s: want the challenge script in hex digits, 10,000 bytes at the most", challenge)
	}
	var b []byte
	if n := len(script); n < 0xfd { // CompactSize
		b = append(b, byte(n))
	} else {
		b = append(b, 0xfd, byte(n), byte(n>>8))
	}
	sum := sha256.Sum256(append(b, script...))
	sum = sha256.Sum256(sum[:])
	magic := [4]byte(sum[:4])
	for _, n := range Networks() {
		if n.Magic == magic {
			return n, nil
		}
	}
	return Network{Name: "signet-" + hex.EncodeToString(magic[:]), Magic: magic}, nil
}
