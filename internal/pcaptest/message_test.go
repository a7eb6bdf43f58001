package pcaptest

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

// genesis is the main network's first block header, whose hash everybody knows.
func genesis() *wire.BlockHeader {
	h := &wire.BlockHeader{Version: 1, Timestamp: time.Unix(1231006505, 0), Bits: 0x1d00ffff, Nonce: 2083236893}
	root, _ := hex.DecodeString("3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a")
	copy(h.MerkleRoot[:], root)
	return h
}

func TestHeaderBytes(t *testing.T) {
	const want = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
	if got := record.Hash(double(headerBytes(genesis()))).String(); got != want {
		t.Errorf("hash of the first block %s, want %s", got, want)
	}
}

func TestMessagesByWire(t *testing.T) {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: 1}, nil, [][]byte{{1, 2, 3}}))
	tx.AddTxOut(wire.NewTxOut(5000, []byte{0x51}))
	vects := []record.InvVect{{Type: 1, Hash: record.Hash{1}}, {Type: 5, Hash: record.Hash{2}}}
	version := Version{
		Protocol: 70016, Services: 1033, Timestamp: 1_759_791_402, Recv: a4, From: a6, Nonce: 9, UserAgent: "/Test:1.0/",
		StartHeight: 800_000, Relay: true,
	}
	addrs := []Addr{
		{LastSeen: 5, Services: 1, Network: 1, Address: []byte{192, 0, 2, 1}, Port: 8333},
		{LastSeen: 6, Services: 1024, Network: 2, Address: a6.Addr().AsSlice(), Port: 18444},
	}
	tests := []struct {
		message []byte
		check   func(t *testing.T, m wire.Message)
	}{
		{Mainnet.Verack(), func(t *testing.T, m wire.Message) { _ = m.(*wire.MsgVerAck) }},
		{Mainnet.Ping(7), func(t *testing.T, m wire.Message) { equal(t, m.(*wire.MsgPing).Nonce, 7) }},
		{Mainnet.Pong(8), func(t *testing.T, m wire.Message) { equal(t, m.(*wire.MsgPong).Nonce, 8) }},
		{Mainnet.Version(version), func(t *testing.T, m wire.Message) {
			v := m.(*wire.MsgVersion)
			got := Version{
				Protocol: v.ProtocolVersion, Services: uint64(v.Services), Timestamp: v.Timestamp.Unix(), Recv: a4, From: a6,
				Nonce: v.Nonce, UserAgent: v.UserAgent, StartHeight: v.LastBlock, Relay: !v.DisableRelayTx,
			}
			if !v.AddrYou.IP.Equal(a4.Addr().AsSlice()) || !v.AddrMe.IP.Equal(a6.Addr().AsSlice()) || v.AddrYou.Port != 8333 {
				t.Errorf("addresses %v, %v", v.AddrYou, v.AddrMe)
			}
			if got != version {
				t.Errorf("got %+v, want %+v", got, version)
			}
		}},
		{Mainnet.Inv(vects...), func(t *testing.T, m wire.Message) { equalVects(t, m.(*wire.MsgInv).InvList, vects) }},
		{Mainnet.GetData(vects...), func(t *testing.T, m wire.Message) { equalVects(t, m.(*wire.MsgGetData).InvList, vects) }},
		{Mainnet.Tx(tx), func(t *testing.T, m wire.Message) { equal(t, m.(*wire.MsgTx).WitnessHash(), tx.WitnessHash()) }},
		{Mainnet.Headers(*genesis(), *genesis()), func(t *testing.T, m wire.Message) {
			equal(t, len(m.(*wire.MsgHeaders).Headers), 2)
			equal(t, m.(*wire.MsgHeaders).Headers[1].BlockHash(), genesis().BlockHash())
		}},
		{Mainnet.Block(genesis(), tx, tx), func(t *testing.T, m wire.Message) {
			equal(t, len(m.(*wire.MsgBlock).Transactions), 2)
			equal(t, m.(*wire.MsgBlock).Transactions[1].TxHash(), tx.TxHash())
		}},
		{Mainnet.Addr(addrs...), func(t *testing.T, m wire.Message) {
			list := m.(*wire.MsgAddr).AddrList
			equal(t, len(list), 2)
			equal(t, list[0].IP.String(), "192.0.2.1")
			equal(t, list[1].Port, 18444)
		}},
		{Mainnet.AddrV2(addrs...), func(t *testing.T, m wire.Message) {
			list := m.(*wire.MsgAddrV2).AddrList
			equal(t, len(list), 2)
			equal(t, list[0].Addr.String(), "192.0.2.1")
			equal(t, list[1].Services, 1024)
		}},
	}
	for _, tt := range tests {
		command := string(bytes.TrimRight(tt.message[4:16], "\x00"))
		t.Run(command, func(t *testing.T) {
			n, m, _, err := wire.ReadMessageWithEncodingN(bytes.NewReader(tt.message), 70016, wire.MainNet, wire.WitnessEncoding)
			if err != nil || n != len(tt.message) || m.Command() != command {
				t.Fatalf("read %d of %d bytes of %q: %v", n, len(tt.message), command, err)
			}
			tt.check(t, m)
		})
	}
}

func TestCmpctBlock(t *testing.T) {
	tx := wire.NewMsgTx(1)
	got := Mainnet.CmpctBlock(genesis(), 5, [][6]byte{{1}, {2}}, tx)[HeaderLen:]
	want := append(headerBytes(genesis()), 5, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0)
	if diff := cmp.Diff(append(want, txBytes(tx)...), got); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
}

func TestMagics(t *testing.T) {
	for _, n := range record.Networks() {
		ours := map[string]Net{
			"mainnet": Mainnet, "testnet3": Testnet3, "testnet4": Testnet4, "signet": Signet, "regtest": Regtest, "simnet": Simnet,
		}[n.Name]
		if ours != Net(n.Magic) {
			t.Errorf("%s: %x, want %x", n.Name, ours, n.Magic)
		}
	}
}

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func equalVects(t *testing.T, got []*wire.InvVect, want []record.InvVect) {
	t.Helper()
	var vects []record.InvVect
	for _, v := range got {
		vects = append(vects, record.InvVect{Type: record.InvType(v.Type), Hash: record.Hash(v.Hash)})
	}
	if diff := cmp.Diff(want, vects); diff != "" {
		t.Errorf("vectors (-want +got):\n%s", diff)
	}
}
