package decode

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

// Transactions of Bitcoin Core's wallet on regtest, from recordings of our own; what is said of them below is what
// the wallet said.
const (
	txLegacy = "02000000 01 8d23d2a6e18916789ffef530b813da7f5dc308a3210d11d659d4d09d06cc6279 c5020000 6b" +
		"483045022100e9ccdb548f31d8dbaffa9da2b56faec8ae01200a3f46abc2991c3e9123618f1e02203fd5492dd68924a48a435c3c4caf1d893e249a43f18e0dd9ca4da72b6b49bc81" +
		"0121030701adcdb4b5ebacc7e64392f114ed0f1bd412fb003d9f07b1b01715fd13f510 fdffffff" +
		"03 b59a120000000000 225120a77339d58f4289e9208bd6cce13ca76df39b6b245f81eb923c5f2b691a0f3aa9" +
		"7d56130000000000 1976a914641a25e2754b521b6aaeb63de4e55f1ef118d89988ac" +
		"0080390000000000 1976a914c325dbbd5ce2079faf615d9c709c274bf564177d88ac 00000000"
	txTaproot = "02000000 0001 01 c2ba46549e155c827fd38ad2f071a8bb78995546f1d8c05313afc87bdbf84907 00000000 00 fdffffff" +
		"02 e599040000000000 1600149936e02727f4556ff51d0b258dd6443481014d99" +
		"477f0d0000000000 17a9144a35bfb2bdd43e0aeda76e9934e0803a928b9d3187" +
		"01 40 48f0fa7b717a61c859c18c0151b0874e3c5f256fcde624a5a7fc4e67734163c80cb19fa8a0d1f178fa5b84d9eba67d862eb146965fe0354c9c2147aa250fdf07 00000000"
	// The signed example of BIP 143 for P2WPKH: one input with a witness, one without.
	txBIP143 = "01000000 0001 02" +
		"fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f 00000000 49" +
		"4830450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01 eeffffff" +
		"ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a 01000000 00 ffffffff" +
		"02 202cb20600000000 1976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac" +
		"9093510d00000000 1976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac" +
		"00 02 47" +
		"304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee01" +
		"21 025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357 11000000"
)

func hashOf(t *testing.T, s string) (h record.Hash) {
	copy(h[:], fromHex(t, s))
	return h.Display()
}

func TestTx(t *testing.T) {
	genesis := new(bytes.Buffer)
	if err := chaincfg.MainNetParams.GenesisBlock.Transactions[0].Serialize(genesis); err != nil {
		t.Fatal(err)
	}
	genesisID := hashOf(t, "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")
	legacyID := hashOf(t, "3e240d56b9e48789a409f4abf8397ec5c813ad2afe5cd2cda9ee6a23214594c4")
	taproot := record.Tx{
		TxID:    hashOf(t, "3273aad5027e9470ddc478c737b79c67f4f5098afd7e7d8d47ca352cf32d291d"),
		WTxID:   hashOf(t, "a2fb0fb9e57097a4403f38bf0e2d1f3324dc61b7a8dd06f0dee2039d6d65ed84"),
		Version: 2, Size: 182, Weight: 524,
		Inputs: []record.TxIn{{
			TxID: hashOf(t, "0749f8db7bc8af1353c0d8f146559978bba871f0d28ad37f825c159e5446bac2"), Sequence: 0xfffffffd,
		}},
		Outputs: []record.TxOut{
			{Value: 301541, ScriptType: "witness_v0_keyhash", Address: "bcrt1qnymwqfe8732klagapvjcm4jyxjqsznvepum4yd"},
			{Value: 884551, ScriptType: "scripthash", Address: "2Mz1cP1hsWzHHkJvNGa2wo4DdbjNCphrBkU"},
		},
	}
	empty := fromHex(t, "02000000 00 00 07000000")
	for _, tt := range []struct {
		name, net string
		in        []byte
		want      record.Tx
	}{
		{"genesis, a coinbase", "mainnet", genesis.Bytes(), record.Tx{
			TxID: genesisID, WTxID: genesisID, Version: 1, Size: 204, Weight: 816,
			Inputs:  []record.TxIn{{Vout: 0xffffffff, Sequence: 0xffffffff}},
			Outputs: []record.TxOut{{Value: 50_0000_0000, ScriptType: "pubkey"}},
		}},
		{"legacy", "regtest", fromHex(t, txLegacy), record.Tx{
			TxID: legacyID, WTxID: legacyID, Version: 2, Size: 269, Weight: 1076,
			Inputs: []record.TxIn{{
				TxID: hashOf(t, "7962cc069dd0d459d6110d21a308c35d7fda13b830f5fe9f781689e1a6d2238d"), Vout: 709, Sequence: 0xfffffffd,
			}},
			Outputs: []record.TxOut{
				{Value: 1219253, ScriptType: "witness_v1_taproot", Address: "bcrt1p5aenn4v0g2y7jgyt6mxwz098dheek6eyt7q7hy3utu4kjxs0825s7z603e"},
				{Value: 1267325, ScriptType: "pubkeyhash", Address: "mpeFC2keFacbUAkRxkps1xCuMpnr1P6GaW"},
				{Value: 3768320, ScriptType: "pubkeyhash", Address: "myJoQuVMB7kvKZQ9xoJugNiVTr8VNuDGEg"},
			},
		}},
		{"taproot", "regtest", fromHex(t, txTaproot), taproot},
		{"bytes after it", "regtest", append(fromHex(t, txTaproot), 1, 2, 3), taproot},
		{"no inputs and no outputs", "regtest", empty, record.Tx{
			TxID: doubleHash(empty), WTxID: doubleHash(empty), Version: 2, LockTime: 7, Size: 10, Weight: 40,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := record.Tx{Meta: record.Meta{Pos: 7}, LockTime: 99}
			if err := parseTx(tt.in, tt.net, &got); err != nil {
				t.Fatal(err)
			}
			tt.want.Pos = 7
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parseTx (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTxMalformed(t *testing.T) {
	const (
		in  = "0000000000000000000000000000000000000000000000000000000000000000 00000000 00 ffffffff"
		out = "0000000000000000 00"
	)
	for _, tt := range []struct{ name, in string }{
		{"nothing", ""},
		{"flag 2", "02000000 0002 01" + in + "01" + out + "01 01 ff 00000000"},
		{"flag 3", "02000000 0003 01" + in + "01" + out + "01 01 ff 00000000"},
		{"superfluous witness", "02000000 0001 01" + in + "01" + out + "00 00000000"},
		{"superfluous witness, no inputs", "02000000 0001 00 01" + out + "00000000"},
		{"outputs without inputs", "02000000 00 01" + out + "00000000"},
		{"input count in a long form", "02000000 fd0100" + in + "01" + out + "00000000"},
		{"script length in a long form", "02000000 01" + strings.Replace(in, " 00 ", "fd0000", 1) + "01" + out + "00000000"},
		{"2^64-1 inputs", "02000000 ffffffffffffffffff" + in + "01" + out + "00000000"},
		{"2^25 inputs", "02000000 fe00000002" + in + "01" + out + "00000000"},
		{"2^32 outputs", "02000000 01" + in + "ff0000000001000000" + out + "00000000"},
		{"2^32-1 witness items", "02000000 0001 01" + in + "01" + out + "feffffffff 01 ff 00000000"},
		{"witness item of 2^32-1 bytes", "02000000 0001 01" + in + "01" + out + "01 feffffffff ff 00000000"},
		{"second output cut", "02000000 01" + in + "02" + out + "00000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := record.Tx{Meta: record.Meta{Pos: 7}}
			if err := parseTx(fromHex(t, tt.in), "mainnet", &r); err != errMalformed {
				t.Errorf("error %v, want %v", err, errMalformed)
			}
			if diff := cmp.Diff(record.Tx{Meta: record.Meta{Pos: 7}}, r); diff != "" {
				t.Errorf("a malformed message changed the record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTxTruncated(t *testing.T) {
	for name, s := range map[string]string{"legacy": txLegacy, "taproot": txTaproot, "BIP 143": txBIP143} {
		t.Run(name, func(t *testing.T) {
			wantTruncationsRefused(t, fromHex(t, s), func(b []byte) error {
				return parseTx(b, "mainnet", new(record.Tx))
			})
		})
	}
}

// A count that the bytes at hand can't hold must not be allocated for.
func TestTxHostileCounts(t *testing.T) {
	in := fromHex(t, "02000000 fe00000002 0000000000000000000000000000000000000000000000000000")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var r record.Tx
	for range 100 {
		if parseTx(in, "mainnet", &r) == nil {
			t.Fatal("taken")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated for 100 transactions of %d bytes", n, len(in))
	}
}

// Besides what it returns, parseTx allocates nothing.
func TestTxAllocates(t *testing.T) {
	in := fromHex(t, txBIP143)
	var r record.Tx
	got := testing.AllocsPerRun(100, func() {
		if parseTx(in, "", &r) != nil { // a network without addresses
			t.Fatal("refused")
		}
	})
	if got != 2 {
		t.Errorf("%v allocations, want 2: the inputs and the outputs", got)
	}
}

// wantSameTx checks r, of b, against what the wire library makes of b.
func wantSameTx(t *testing.T, b []byte, r *record.Tx) {
	t.Helper()
	var msg wire.MsgTx
	rest := bytes.NewReader(b)
	if err := msg.BtcDecode(rest, wire.ProtocolVersion, wire.WitnessEncoding); err != nil {
		if len(r.Inputs) == 0 && len(r.Outputs) == 0 {
			return // wire takes the output count, 0, for a flag
		}
		t.Fatalf("wire refuses what parseTx takes: %v", err)
	}
	size := len(b) - rest.Len()
	want := record.Tx{
		TxID: record.Hash(msg.TxHash()), WTxID: record.Hash(msg.WitnessHash()), Version: msg.Version, LockTime: msg.LockTime,
		Size: size, Weight: 3*msg.SerializeSizeStripped() + size,
	}
	for _, in := range msg.TxIn {
		want.Inputs = append(want.Inputs, record.TxIn{
			TxID: record.Hash(in.PreviousOutPoint.Hash), Vout: in.PreviousOutPoint.Index, Sequence: in.Sequence,
		})
	}
	for _, out := range msg.TxOut {
		typ, address := scriptType(out.PkScript, "mainnet")
		want.Outputs = append(want.Outputs, record.TxOut{Value: out.Value, ScriptType: typ, Address: address})
	}
	if diff := cmp.Diff(want, *r); diff != "" {
		t.Fatalf("wire's transaction against parseTx's (-want +got):\n%s", diff)
	}
}

// makeTx makes a well-formed transaction, with a shape that b decides.
func makeTx(b []byte) []byte {
	next := func(n int) int {
		if len(b) == 0 {
			return 0
		}
		v := int(b[0]) % n
		b = b[1:]
		return v
	}
	some := func(n int) []byte {
		p := make([]byte, next(n))
		b = b[copy(p, b):]
		return p
	}
	msg := wire.NewMsgTx(int32(next(4)))
	for range next(5) + 1 {
		in := &wire.TxIn{SignatureScript: some(256), Sequence: uint32(next(256))}
		copy(in.PreviousOutPoint.Hash[:], some(33))
		for range next(4) {
			in.Witness = append(in.Witness, some(256))
		}
		msg.AddTxIn(in)
	}
	for range next(5) {
		msg.AddTxOut(wire.NewTxOut(int64(next(256)), some(256)))
	}
	var buf bytes.Buffer
	_ = msg.Serialize(&buf)
	return buf.Bytes()
}

func FuzzTx(f *testing.F) {
	for _, s := range []string{txLegacy, txTaproot, txBIP143, "02000000 00 00 07000000"} {
		f.Add(fromHex(f, s))
	}
	f.Add(binary.LittleEndian.AppendUint64(nil, 0x0302010403020102))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record.Tx
		if err := parseTx(b, "mainnet", &r); err == nil {
			wantSameTx(t, b, &r)
		}
		made := makeTx(b)
		if err := parseTx(made, "mainnet", &r); err != nil {
			t.Fatalf("parseTx(%x): %v", made, err)
		}
		wantSameTx(t, made, &r)
	})
}

func BenchmarkTx(b *testing.B) {
	in := fromHex(b, txBIP143)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		var r record.Tx
		for b.Loop() {
			_ = parseTx(in, "mainnet", &r)
		}
	})
	b.Run("wire, hashes alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var msg wire.MsgTx
			_ = msg.BtcDecode(bytes.NewReader(in), wire.ProtocolVersion, wire.WitnessEncoding)
			_, _ = msg.TxHash(), msg.WitnessHash()
		}
	})
}
