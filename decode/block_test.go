package decode

import (
	"bytes"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

const (
	genesisHeader = "01000000 0000000000000000000000000000000000000000000000000000000000000000" +
		"3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a 29ab5f49 ffff001d 1dac2b7c"
	genesisHash = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
	block1      = "01000000 6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000" +
		"982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e 61bc6649 ffff001d 01e36299"
	block1Hash = "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"
	noHash     = "0000000000000000000000000000000000000000000000000000000000000000"
)

// A blockRef is what a test wants to know of a block record, as people write it.
type blockRef struct {
	Via, Hash, Prev string
	Index           int
}

func headersOf(b []byte) (got []blockRef, err error) {
	err = parseHeaders(b, func(r record.Block) {
		got = append(got, blockRef{r.Via, r.Hash.String(), r.Prev.String(), r.Index})
	})
	return got, err
}

func TestHeaders(t *testing.T) {
	zero := blockRef{"headers", genesisHash, noHash, 0}
	one := blockRef{"headers", block1Hash, genesisHash, 1}
	for _, tt := range []struct {
		name, in string
		want     []blockRef
		err      error
	}{
		{"none", "00", nil, nil},
		{"two of the main network", "02" + genesisHeader + "00" + block1 + "00", []blockRef{zero, one}, nil},
		{"numbers of transactions", "02" + genesisHeader + "fdffff" + block1 + "01", []blockRef{zero, one}, nil},
		{"bytes after them", "01" + genesisHeader + "00 ffff", []blockRef{zero}, nil},
		{"nothing", "", nil, errMalformed},
		{"one of two", "02" + genesisHeader + "00", nil, errMalformed},
		{"second cut", "02" + genesisHeader + "00" + block1, nil, errMalformed},
		{"number of transactions in a long form", "01" + genesisHeader + "fd0000", nil, errMalformed},
		{"number of transactions beyond all", "01" + genesisHeader + "ffffffffffffffffff", nil, errMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := headersOf(fromHex(t, tt.in))
			if err != tt.err {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parseHeaders (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeadersMost(t *testing.T) {
	for n, want := range map[uint16]error{maxHeaders: nil, maxHeaders + 1: errMalformed} {
		b := []byte{0xfd, byte(n), byte(n >> 8)}
		b = append(b, make([]byte, 81*int(n))...)
		if _, err := headersOf(b); err != want {
			t.Errorf("%d headers: %v, want %v", n, err, want)
		}
	}
}

func TestHeadersTruncated(t *testing.T) {
	wantTruncationsRefused(t, fromHex(t, "02"+genesisHeader+"00"+block1+"fdfd00"), func(b []byte) error {
		got, err := headersOf(b)
		if err != nil && len(got) > 0 {
			t.Errorf("%d records of a malformed message", len(got))
		}
		return err
	})
}

func TestBlockHash(t *testing.T) {
	hash, prev := blockHash(fromHex(t, block1+"ffff"))
	if hash.String() != block1Hash || prev.String() != genesisHash {
		t.Errorf("blockHash = %v, %v, want %s, %s", hash, prev, block1Hash, genesisHash)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add(fromHex(f, "00"))
	f.Add(fromHex(f, "02"+genesisHeader+"00"+block1+"00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := headersOf(b)
		var msg wire.MsgHeaders
		wireErr := msg.BtcDecode(bytes.NewReader(b), wire.ProtocolVersion, wire.WitnessEncoding)
		if wireErr == nil && err != nil {
			t.Fatalf("parseHeaders refuses what wire takes: %v", err)
		}
		if err != nil && len(got) > 0 {
			t.Fatalf("%d records of a malformed message", len(got))
		}
		if wireErr != nil { // wire wants the number of transactions to be 0
			return
		}
		for i, h := range msg.Headers {
			hash := h.BlockHash()
			if want := (blockRef{"headers", hash.String(), h.PrevBlock.String(), i}); got[i] != want {
				t.Fatalf("header %d = %v, wire has %v", i, got[i], want)
			}
		}
	})
}
