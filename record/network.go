package record

import (
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

// ParseNetwork reads a network's name or the eight hex digits of its magic, which also become its name
// unless the magic is a known one.
func ParseNetwork(s string) (Network, error) {
	known := Networks()
	if i := slices.IndexFunc(known, func(n Network) bool { return n.Name == strings.ToLower(s) }); i >= 0 {
		return known[i], nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		names := make([]string, len(known))
		for i, n := range known {
			names[i] = n.Name
		}
		return Network{}, fmt.Errorf("network %q: want %s or eight hex digits of magic, as in f9beb4d9", s, strings.Join(names, ", "))
	}
	n := Network{Name: hex.EncodeToString(b), Magic: [4]byte(b)}
	if i := slices.IndexFunc(known, func(k Network) bool { return k.Magic == n.Magic }); i >= 0 {
		n.Name = known[i].Name
	}
	return n, nil
}
