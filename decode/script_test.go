package decode

import (
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

const (
	key33  = "21 02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
	key65  = "41 04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5f"
	hash20 = "751e76e8199196d454941c45d1b3a323f1433bd6"
	hash32 = "1863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"
)

func TestScriptType(t *testing.T) {
	for _, tt := range []struct {
		name, net, in string
		typ, address  string
	}{
		{"genesis", "mainnet", key65 + "ac", "pubkey", ""},
		{"compressed key", "mainnet", key33 + "ac", "pubkey", ""},
		{"hybrid key", "mainnet", "41 07" + key65[5:] + "ac", "pubkey", ""},
		{"key of another form", "mainnet", "21 05" + key33[5:] + "ac", "nonstandard", ""},
		{"pubkeyhash", "mainnet", "76a914" + hash20 + "88ac", "pubkeyhash", "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH"},
		{"pubkeyhash", "testnet3", "76a914" + hash20 + "88ac", "pubkeyhash", "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"},
		{"pubkeyhash", "testnet4", "76a914" + hash20 + "88ac", "pubkeyhash", "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"},
		{"pubkeyhash", "0a0b0c0d", "76a914" + hash20 + "88ac", "pubkeyhash", ""},
		{"scripthash", "regtest", "a914" + "4a35bfb2bdd43e0aeda76e9934e0803a928b9d31" + "87", "scripthash", "2Mz1cP1hsWzHHkJvNGa2wo4DdbjNCphrBkU"},
		{"scripthash", "0a0b0c0d", "a914" + hash20 + "87", "scripthash", ""},
		// The addresses of BIP 173 and BIP 350.
		{"witness_v0_keyhash", "mainnet", "0014" + hash20, "witness_v0_keyhash", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},
		{"witness_v0_keyhash", "signet", "0014" + hash20, "witness_v0_keyhash", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"},
		{"witness_v0_scripthash", "testnet4", "0020" + hash32, "witness_v0_scripthash", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7"},
		{"witness_v1_taproot", "mainnet", "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", "witness_v1_taproot",
			"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"},
		{"witness version 1, 40 bytes", "mainnet", "5128" + hash20 + hash20, "witness_unknown",
			"bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y"},
		{"witness version 16", "mainnet", "6002751e", "witness_unknown", "bc1sw50qgdz25j"},
		{"witness version 2", "mainnet", "5210751e76e8199196d454941c45d1b3a323", "witness_unknown", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"},
		{"witness version 2", "0a0b0c0d", "5210751e76e8199196d454941c45d1b3a323", "witness_unknown", ""},
		{"anchor", "mainnet", "51024e73", "anchor", "bc1pfeessrawgf"},
		{"anchor", "regtest", "51024e73", "anchor", "bcrt1pfeesnyr2tx"},
		{"two bytes, no anchor", "0a0b0c0d", "51024e74", "witness_unknown", ""},
		{"witness version 0, 21 bytes", "mainnet", "0015" + hash20 + "00", "nonstandard", ""},
		{"witness program of 41 bytes", "mainnet", "5129" + strings.Repeat("00", 41), "nonstandard", ""},
		{"witness program of 1 byte", "mainnet", "510100", "nonstandard", ""},
		{"1 of 1", "mainnet", "51" + key33 + "51ae", "multisig", ""},
		{"2 of 3", "mainnet", "52" + key33 + key65 + key33 + "53ae", "multisig", ""},
		{"20 of 20", "mainnet", "0114" + strings.Repeat(key33, 20) + "0114ae", "multisig", ""},
		{"21 of 21", "mainnet", "0115" + strings.Repeat(key33, 21) + "0115ae", "nonstandard", ""},
		{"1 of 1, number in a long form", "mainnet", "0101" + key33 + "51ae", "nonstandard", ""},
		{"2 of 1", "mainnet", "52" + key33 + "51ae", "nonstandard", ""},
		{"0 of 1", "mainnet", "00" + key33 + "51ae", "nonstandard", ""},
		{"1 of 2 with one key", "mainnet", "51" + key33 + "52ae", "nonstandard", ""},
		{"1 of 0", "mainnet", "5100ae", "nonstandard", ""},
		{"operation behind the keys", "mainnet", "51" + key33 + "5151ae", "nonstandard", ""},
		{"nothing returned", "mainnet", "6a", "nulldata", ""},
		{"text returned", "mainnet", "6a0568656c6c6f", "nulldata", ""},
		{"two pushes returned", "mainnet", "6a0568656c6c6f01ff", "nulldata", ""},
		{"100 kB returned", "mainnet", "6a4ea0860100" + strings.Repeat("00", 100_000), "nulldata", ""},
		{"cut push returned", "mainnet", "6a05686c6c6f", "nonstandard", ""},
		{"operation returned", "mainnet", "6aac", "nonstandard", ""},
		{"OP_RESERVED returned", "mainnet", "6a50", "nulldata", ""},
		{"empty", "mainnet", "", "nonstandard", ""},
		{"OP_CHECKMULTISIG alone", "mainnet", "ae", "nonstandard", ""},
		{"OP_CHECKSIG alone", "mainnet", "ac", "nonstandard", ""},
		{"OP_TRUE", "mainnet", "51", "nonstandard", ""},
	} {
		t.Run(tt.name+" on "+tt.net, func(t *testing.T) {
			typ, address := scriptType(fromHex(t, tt.in), tt.net)
			if typ != tt.typ || address != tt.address {
				t.Errorf("scriptType = %s %q, want %s %q", typ, address, tt.typ, tt.address)
			}
		})
	}
}

func TestAddressPrefixes(t *testing.T) {
	for net, p := range map[string]*chaincfg.Params{
		"mainnet": &chaincfg.MainNetParams, "testnet3": &chaincfg.TestNet3Params, "testnet4": &chaincfg.TestNet4Params,
		"signet": &chaincfg.SigNetParams, "regtest": &chaincfg.RegressionNetParams, "simnet": &chaincfg.SimNetParams,
	} {
		got, ok := addressPrefixes(net)
		want := prefixes{p.PubKeyHashAddrID, p.ScriptHashAddrID, p.Bech32HRPSegwit}
		if got != want || !ok {
			t.Errorf("addressPrefixes(%s) = %v, %v, want %v", net, got, ok, want)
		}
	}
}

func FuzzScript(f *testing.F) {
	for _, s := range []string{
		key65 + "ac", key33 + "ac", "76a914" + hash20 + "88ac", "a914" + hash20 + "87", "0014" + hash20, "0020" + hash32, "5120" + hash32,
		"51024e73", "6002751e", "52" + key33 + key65 + key33 + "53ae", "6a0568656c6c6f", "6a4d000100", "",
	} {
		f.Add(fromHex(f, s))
	}
	// The classes in which txscript and Bitcoin Core don't differ; their addresses are the same, too.
	same := map[string]txscript.ScriptClass{
		"pubkeyhash": txscript.PubKeyHashTy, "scripthash": txscript.ScriptHashTy, "witness_v0_keyhash": txscript.WitnessV0PubKeyHashTy,
		"witness_v0_scripthash": txscript.WitnessV0ScriptHashTy, "witness_v1_taproot": txscript.WitnessV1TaprootTy, "anchor": txscript.PayToAnchorTy,
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		typ, address := scriptType(s, "mainnet")
		class, addrs, _, err := txscript.ExtractPkScriptAddrs(s, &chaincfg.MainNetParams)
		for name, c := range same {
			if (typ == name) != (class == c) {
				t.Fatalf("scriptType = %s, txscript says %v, %v", typ, class, err)
			}
			if typ == name && (len(addrs) != 1 || addrs[0].EncodeAddress() != address) {
				t.Fatalf("address %s, txscript says %v", address, addrs)
			}
		}
		// What txscript takes for one of these, Bitcoin Core does, too; not the other way round.
		for name, c := range map[string]txscript.ScriptClass{
			"pubkey": txscript.PubKeyTy, "nulldata": txscript.NullDataTy, "witness_unknown": txscript.WitnessUnknownTy,
		} {
			if class == c && typ != name {
				t.Fatalf("scriptType = %s, txscript says %v", typ, class)
			}
		}
	})
}

func BenchmarkScriptType(b *testing.B) {
	for name, s := range map[string]string{
		"pubkeyhash": "76a914" + hash20 + "88ac", "witness_v0_keyhash": "0014" + hash20, "witness_v1_taproot": "5120" + hash32,
	} {
		script := fromHex(b, s)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				scriptType(script, "mainnet")
			}
		})
	}
}
