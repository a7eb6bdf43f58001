package decode

import (
	"strings"

	"github.com/btcsuite/btcd/address/v2/base58"
	"github.com/btcsuite/btcd/address/v2/bech32"
)

// Opcodes. Source: Bitcoin Core, script/script.h.
const (
	opPushData1     = 0x4c
	opPushData2     = 0x4d
	opPushData4     = 0x4e
	op1             = 0x51
	op16            = 0x60
	opReturn        = 0x6a
	opDup           = 0x76
	opEqual         = 0x87
	opEqualVerify   = 0x88
	opHash160       = 0xa9
	opCheckSig      = 0xac
	opCheckMultiSig = 0xae
)

// scriptType names the form of an output's script as Bitcoin Core does (script/solver.cpp), and its address, or ""
// where the form has none or the network's prefixes are not known. The time that it takes is linear in the script's length.
func scriptType(s []byte, net string) (typ, address string) {
	prefix, known := addressPrefixes(net)
	switch version, program := witnessProgram(s); {
	case len(s) == 23 && s[0] == opHash160 && s[1] == 20 && s[22] == opEqual:
		typ = "scripthash"
		if known {
			address = base58.CheckEncode(s[2:22], prefix.scriptHash)
		}
		return typ, address
	case program != nil:
		typ = witnessType(version, program)
		if known && typ != "nonstandard" {
			address = segwitAddress(prefix.hrp, version, program)
		}
		return typ, address
	case len(s) > 0 && s[0] == opReturn && isPushOnly(s[1:]):
		return "nulldata", ""
	case isPubKeyScript(s):
		return "pubkey", ""
	case len(s) == 25 && s[0] == opDup && s[1] == opHash160 && s[2] == 20 && s[23] == opEqualVerify && s[24] == opCheckSig:
		if known {
			address = base58.CheckEncode(s[3:23], prefix.pubKeyHash)
		}
		return "pubkeyhash", address
	case isMultiSig(s):
		return "multisig", ""
	}
	return "nonstandard", ""
}

// prefixes tell the addresses of one network from those of others.
type prefixes struct {
	pubKeyHash, scriptHash byte   // base58 version bytes
	hrp                    string // BIP 173's human-readable part
}

// addressPrefixes returns the prefixes of the network of that name; ok is false if we know none.
// Sources: Bitcoin Core, kernel/chainparams.cpp; btcd, chaincfg/params.go for simnet.
func addressPrefixes(net string) (p prefixes, ok bool) {
	if strings.HasPrefix(net, "signet-") { // one with a challenge of its own
		net = "signet"
	}
	switch net {
	case "mainnet":
		return prefixes{0x00, 0x05, "bc"}, true
	case "testnet3", "testnet4", "signet":
		return prefixes{0x6f, 0xc4, "tb"}, true
	case "regtest":
		return prefixes{0x6f, 0xc4, "bcrt"}, true
	case "simnet":
		return prefixes{0x3f, 0x7b, "sb"}, true
	}
	return prefixes{}, false
}

// witnessProgram splits a script that is a version number and one push of 2 to 40 bytes. program is nil for any other
// script. Source: BIP 141.
func witnessProgram(s []byte) (version int, program []byte) {
	if len(s) < 4 || len(s) > 42 || int(s[1]) != len(s)-2 {
		return 0, nil
	}
	switch {
	case s[0] == 0:
		return 0, s[2:]
	case s[0] >= op1 && s[0] <= op16:
		return int(s[0]) - op1 + 1, s[2:]
	}
	return 0, nil
}

func witnessType(version int, program []byte) string {
	switch {
	case version == 0 && len(program) == 20:
		return "witness_v0_keyhash"
	case version == 0 && len(program) == 32:
		return "witness_v0_scripthash"
	case version == 0:
		return "nonstandard"
	case version == 1 && len(program) == 32:
		return "witness_v1_taproot"
	case version == 1 && string(program) == "\x4e\x73": // Bitcoin Core, script/script.h, IsPayToAnchor
		return "anchor"
	}
	return "witness_unknown"
}

// segwitAddress is the bech32 (version 0, BIP 173) or bech32m address (other versions, BIP 350) of a witness program.
func segwitAddress(hrp string, version int, program []byte) string {
	words, err := bech32.ConvertBits(program, 8, 5, true)
	if err != nil {
		return ""
	}
	encode := bech32.EncodeM
	if version == 0 {
		encode = bech32.Encode
	}
	a, err := encode(hrp, append([]byte{byte(version)}, words...))
	if err != nil {
		return ""
	}
	return a
}

// isPubKeyScript says whether s is the push of a public key and OP_CHECKSIG.
func isPubKeyScript(s []byte) bool {
	return len(s) >= 2 && s[len(s)-1] == opCheckSig && int(s[0]) == len(s)-2 && isPubKey(s[1:len(s)-1])
}

// isPubKey says whether k has the first byte and length of a public key; it need not be a point of the curve.
// Source: Bitcoin Core, pubkey.h, ValidSize.
func isPubKey(k []byte) bool {
	switch {
	case len(k) == 33:
		return k[0] == 2 || k[0] == 3
	case len(k) == 65:
		return k[0] == 4 || k[0] == 6 || k[0] == 7
	}
	return false
}

// isMultiSig says whether s is M keys... N OP_CHECKMULTISIG with N keys, 1 ≤ M ≤ N ≤ 20.
// Source: Bitcoin Core, script/solver.cpp, MatchMultisig.
func isMultiSig(s []byte) bool {
	if len(s) < 3 || s[len(s)-1] != opCheckMultiSig {
		return false
	}
	op, data, s, ok := nextOp(s)
	need := keyCount(op, data)
	if !ok || need == 0 {
		return false
	}
	for keys := 0; ; keys++ {
		op, data, s, ok = nextOp(s)
		if !ok {
			return false
		}
		if !isPubKey(data) {
			return keys >= need && keyCount(op, data) == keys && len(s) == 1
		}
	}
}

// keyCount is the number from 1 to 20 that an operation puts on the stack, in the shortest form, or 0.
func keyCount(op byte, data []byte) int {
	const most = 20 // Bitcoin Core, script/script.h, MAX_PUBKEYS_PER_MULTISIG
	switch {
	case op >= op1 && op <= op16:
		return int(op) - op1 + 1
	case op == 1 && data[0] > 16 && data[0] <= most:
		return int(data[0])
	}
	return 0
}

// isPushOnly says whether s is operations that push data, and nothing else.
// Source: Bitcoin Core, script/script.cpp, IsPushOnly, which counts OP_RESERVED among them.
func isPushOnly(s []byte) bool {
	for len(s) > 0 {
		op, _, rest, ok := nextOp(s)
		if !ok || op > op16 {
			return false
		}
		s = rest
	}
	return true
}

// nextOp reads one operation of a script and the bytes that it pushes; ok is false at the end and if these are cut off.
func nextOp(s []byte) (op byte, data, rest []byte, ok bool) {
	if len(s) == 0 {
		return 0, nil, nil, false
	}
	op, s = s[0], s[1:]
	size := 0 // bytes of the length
	var n uint64
	switch {
	case op < opPushData1:
		n = uint64(op)
	case op == opPushData1:
		size = 1
	case op == opPushData2:
		size = 2
	case op == opPushData4:
		size = 4
	}
	if len(s) < size {
		return op, nil, nil, false
	}
	for i := range size {
		n |= uint64(s[i]) << (8 * i)
	}
	s = s[size:]
	if n > uint64(len(s)) {
		return op, nil, nil, false
	}
	return op, s[:n], s[n:], true
}
