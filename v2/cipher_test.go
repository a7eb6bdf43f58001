package v2

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"strconv"
	"testing"
)

// seal encrypts packet n as its sender does. keys are of the packet's epoch.
func seal(keys ratchet, n uint64, header byte, contents, aad []byte) []byte {
	var m masks
	keys.next(&m)
	length := uint32(len(contents)) ^ m[n%epochPackets]
	var nonce [12]byte
	binary.LittleEndian.PutUint32(nonce[:], uint32(n%epochPackets))
	binary.LittleEndian.PutUint64(nonce[4:], keys.epoch)
	out := []byte{byte(length), byte(length >> 8), byte(length >> 16)}
	return keys.aead().Seal(out, nonce[:], append([]byte{header}, contents...), aad)
}

// at returns the ratchet of packet n's epoch, from that of an earlier one.
func at(keys ratchet, n uint64) ratchet {
	var m masks
	for keys.epoch < n/epochPackets {
		keys = keys.next(&m)
	}
	return keys
}

// The vectors of BIP 324, bip-0324/packet_encoding_test_vectors.csv, without the columns that concern the curve.
func TestVectors(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(read(t, "bip324.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		v := map[string]string{}
		for i, name := range rows[0] {
			v[name] = row[i]
		}
		t.Run("packet "+v["in_idx"], func(t *testing.T) { testVector(t, v) })
	}
}

func testVector(t *testing.T, v map[string]string) {
	n, err := strconv.ParseUint(v["in_idx"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	times, err := strconv.Atoi(v["in_multiply"])
	if err != nil {
		t.Fatal(err)
	}
	var secret secret
	copy(secret.shared[:], fromHex(t, v["mid_shared_secret"]))
	s := newSession(&secret, "mainnet", [4]byte{0xf9, 0xbe, 0xb4, 0xd9})
	ours, theirs := fromInitiator, fromResponder
	if v["in_initiating"] != "true" {
		ours, theirs = theirs, ours
	}
	for _, c := range []struct {
		name string
		got  []byte
	}{
		{"mid_initiator_l", s.keys[fromInitiator].length[:]},
		{"mid_initiator_p", s.keys[fromInitiator].packet[:]},
		{"mid_responder_l", s.keys[fromResponder].length[:]},
		{"mid_responder_p", s.keys[fromResponder].packet[:]},
		{"mid_send_garbage_terminator", s.terminator[ours][:]},
		{"mid_recv_garbage_terminator", s.terminator[theirs][:]},
	} {
		if !bytes.Equal(c.got, fromHex(t, v[c.name])) {
			t.Errorf("%s = %x, want %s", c.name, c.got, v[c.name])
		}
	}
	contents := bytes.Repeat(fromHex(t, v["in_contents"]), times)
	header := byte(0)
	if v["in_ignore"] == "true" {
		header = ignoreBit
	}
	aad := fromHex(t, v["in_aad"])
	keys := at(s.keys[ours], n)
	got := seal(keys, n, header, contents, aad)
	if want := fromHex(t, v["out_ciphertext"]); len(want) > 0 && !bytes.Equal(got, want) {
		t.Errorf("sealed: %x, want %x", got, want)
	}
	if want := fromHex(t, v["out_ciphertext_endswith"]); !bytes.HasSuffix(got, want) {
		t.Errorf("sealed: the end is %x, want %x", got[len(got)-len(want):], want)
	}
	plain, ok := open(keys.aead(), nil, n, got[lengthSize:], aad)
	if !ok || plain[0] != header || !bytes.Equal(plain[1:], contents) {
		t.Errorf("opened: %v, %d bytes, want true, %d", ok, len(plain), len(contents)+1)
	}
}
