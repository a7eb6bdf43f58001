package record_test

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

func TestTime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		nanos int64
		want  string
	}{
		{"microseconds", 1759791402902308000, "2025-10-06T22:56:42.902308Z"},
		{"nanoseconds are truncated, not rounded", 1759791402902308999, "2025-10-06T22:56:42.902308Z"},
		{"always six decimals", 1759791402000000000, "2025-10-06T22:56:42.000000Z"},
		{"before 1970, truncated to the past", -1, "1969-12-31T23:59:59.999999Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := record.FromNanos(tt.nanos).String(); got != tt.want {
				t.Errorf("FromNanos(%d) = %s, want %s", tt.nanos, got, tt.want)
			}
		})
	}
	a := record.FromNanos(5_000_000)
	if d := a.Add(time.Second).Sub(a); d != time.Second {
		t.Errorf("a second later is %v later", d)
	}
}

func TestHash(t *testing.T) {
	const genesis = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
	wire := record.Hash{0x6f, 0xe2, 0x8c, 0x0a, 0xb6, 0xf1, 0xb3, 0x72, 0xc1, 0xa6, 0xa2, 0x46, 0xae, 0x63, 0xf7, 0x4f, 0x93, 0x1e, 0x83, 0x65, 0xe1, 0x5a, 0x08, 0x9c, 0x68, 0xd6, 0x19}
	if got := wire.String(); got != genesis {
		t.Errorf("String() = %s, want %s", got, genesis)
	}
	if got := string(wire.AppendHex([]byte("x"))); got != "x"+genesis {
		t.Errorf("AppendHex = %s, want x%s", got, genesis)
	}
	if d := wire.Display(); d.Display() != wire || d[0] != 0 || d[31] != 0x6f {
		t.Errorf("Display() = %x", d)
	}
}

func TestConnID(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:8333"), netip.MustParseAddrPort("[2001:db8::1]:50000")
	id := record.ConnID("s", a, b, 1)
	if got := record.ConnID("s", b, a, 1); got != id {
		t.Errorf("id depends on which side was seen first: %d, %d", id, got)
	}
	// sha256("s\x00192.0.2.1:8333\x00[2001:db8::1]:50000\x001"), first eight bytes, without the top bit
	const want = 4945214624351735595
	if id != want {
		t.Errorf("ConnID = %d, want %d", id, uint64(want))
	}
	if id > math.MaxInt64 {
		t.Errorf("id %d is no signed 64-bit integer", id)
	}
	for name, other := range map[string]uint64{
		"sensor": record.ConnID("t", a, b, 1), "port": record.ConnID("s", netip.AddrPortFrom(a.Addr(), 1), b, 1),
		"time": record.ConnID("s", a, b, 2),
	} {
		if other == id {
			t.Errorf("id does not depend on the %s", name)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for _, tt := range []struct {
		in, name, magic string
	}{
		{"mainnet", "mainnet", "\xf9\xbe\xb4\xd9"},
		{"Testnet4", "testnet4", "\x1c\x16\x3f\x28"},
		{"f9beb4d9", "mainnet", "\xf9\xbe\xb4\xd9"},
		{"01020304", "01020304", "\x01\x02\x03\x04"},
		// The default signet's challenge (BIP 325) gives the default signet's magic.
		{"signet:512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae", "signet", "\x0a\x03\xcf\x40"},
		{"signet:51", "signet-54d26fbd", "\x54\xd2\x6f\xbd"}, // OP_TRUE
	} {
		n, err := record.ParseNetwork(tt.in)
		if err != nil || n.Name != tt.name || string(n.Magic[:]) != tt.magic {
			t.Errorf("ParseNetwork(%q) = %v, %v, want %s, %x", tt.in, n, err, tt.name, tt.magic)
		}
	}
	for _, in := range []string{"", "maintnet", "f9beb4", "f9beb4d9aa", "signet:", "signet:xx"} {
		if n, err := record.ParseNetwork(in); err == nil || !strings.Contains(err.Error(), in) {
			t.Errorf("ParseNetwork(%q) = %v, %v, want an error that names it", in, n, err)
		}
	}
}

func TestOutbound(t *testing.T) {
	for _, tt := range []struct {
		name           string
		localA, localB bool
		proxy          string
		fromA, fromB   bool // what Outbound says of a message from A, from B
	}{
		{"nothing is known", false, false, "", false, false},
		{"the node opened it", true, false, "", true, false},
		{"a peer opened it", false, true, "", false, true},
		{"two local nodes", true, true, "", true, true},
		{"the node asked a local proxy", true, true, "x.onion:8333", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &record.Conn{LocalA: tt.localA, LocalB: tt.localB}
			if tt.proxy != "" {
				c.SetPeerName(tt.proxy)
			}
			a, b := record.Meta{Conn: c}, record.Meta{Conn: c, FromB: true}
			if a.Outbound() != tt.fromA || b.Outbound() != tt.fromB {
				t.Errorf("Outbound() = %v from A, %v from B, want %v, %v", a.Outbound(), b.Outbound(), tt.fromA, tt.fromB)
			}
		})
	}
}

func TestBatch(t *testing.T) {
	var b record.Batch
	c := &record.Conn{}
	vects := []record.InvVect{{Type: record.InvTx}, {Type: record.InvWTx}}
	for range 2 {
		b.Ping(record.Ping{Nonce: 1})
		b.Inv(record.Meta{Conn: c}, vects)
		b.Inv(record.Meta{Conn: c}, vects[:1])
		b.Conn(record.ConnEnd{Conn: c})
		vects[0].Type = record.InvBlock // the batch has a copy
		if b.Vects[0].Type != record.InvTx {
			t.Error("Inv keeps what it was lent")
		}
		vects[0].Type = record.InvTx
		if b.Len() != 5 {
			t.Errorf("Len() = %d, want 5", b.Len())
		}
		want := []record.Ref{{Kind: record.KindPing}, {Kind: record.KindInv}, {Kind: record.KindInv, Index: 1}, {Kind: record.KindConn}}
		if diff := cmp.Diff(want, b.Order); diff != "" {
			t.Errorf("Order (-want +got):\n%s", diff)
		}
		if got := b.Invs[1]; got.First != 2 || got.N != 1 {
			t.Errorf("second inv has vectors %d, %d more, want 2, 1", got.First, got.N)
		}
		n := b.Counts()
		if n[record.KindInv] != 3 || n[record.KindPing] != 1 || n[record.KindConn] != 1 {
			t.Errorf("Counts() = %v", n)
		}
		b.Reset()
		if b.Len() != 0 || b.Counts() != [record.NumKinds]uint64{} {
			t.Errorf("after Reset Len() = %d", b.Len())
		}
	}
}

func TestLedger(t *testing.T) {
	l := record.Ledger{
		PacketsRead: 10, Segments: 6, NotTCP: 2, Filtered: 1, Undecodable: map[string]uint64{"fragment": 1},
		TCPBytes: 100, Messages: map[string]record.Command{"inv": {Messages: 1, Bytes: 40}}, Retransmitted: 10,
		EncryptedV2: 10, Proxy: 10, NotBitcoin: 10, Skipped: 10, Incomplete: 10,
		Conns: map[string]record.Class{"v1": {Conns: 1, Bytes: 100}}, Made: map[string]uint64{"inv": 3},
	}
	if err := l.Check(); err != nil {
		t.Errorf("Check() = %v", err)
	}
	var twice record.Ledger
	twice.Add(&l)
	twice.Add(&l)
	if err := twice.Check(); err != nil || twice.TCPBytes != 200 || twice.Messages["inv"].Messages != 2 || twice.Records() != 6 {
		t.Errorf("twice the ledger: %v, %+v", err, twice)
	}
	for name, break_ := range map[string]func(l *record.Ledger){
		"packets":     func(l *record.Ledger) { l.PacketsRead++ },
		"undecodable": func(l *record.Ledger) { l.Undecodable["bad IP header"] = 1 },
		"bytes":       func(l *record.Ledger) { l.Skipped++ },
		"connections": func(l *record.Ledger) { l.Conns["v2"] = record.Class{Conns: 1, Bytes: 1} },
	} {
		var bad record.Ledger
		bad.Add(&l)
		break_(&bad)
		if bad.Check() == nil {
			t.Errorf("%s: a ledger that doesn't close passes", name)
		}
	}
}

func TestShares(t *testing.T) {
	for _, tt := range []struct {
		name             string
		l                record.Ledger
		loss, unreadable float64
	}{
		{"nothing captured", record.Ledger{}, 0, 0},
		{"all captured", record.Ledger{TCPBytes: 100, Retransmitted: 100}, 0, 0},
		{"a quarter missed", record.Ledger{TCPBytes: 100, Retransmitted: 10, UnseenBytes: 30, EncryptedV2: 50}, 0.25, 0.5},
		{"nothing but acknowledged", record.Ledger{UnseenBytes: 5}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if loss, unreadable := tt.l.CaptureLoss(), tt.l.Unreadable(); loss != tt.loss || unreadable != tt.unreadable {
				t.Errorf("CaptureLoss() = %v, Unreadable() = %v, want %v, %v", loss, unreadable, tt.loss, tt.unreadable)
			}
		})
	}
}

// TestLedgerAddsAll notices a count that Add forgets.
func TestLedgerAddsAll(t *testing.T) {
	var l, sum record.Ledger
	fill(&l)
	sum.Add(&l)
	if diff := cmp.Diff(l, sum); diff != "" {
		t.Errorf("Add forgets (-want +got):\n%s", diff)
	}
}

func TestBatchMeasures(t *testing.T) {
	var b record.Batch
	if b.Size() != 0 || b.Newest() != 0 {
		t.Errorf("an empty batch: Size() = %d, Newest() = %v", b.Size(), b.Newest())
	}
	at := func(t record.Time) record.Meta { return record.Meta{SeenAt: t} }
	last := 0
	for i, add := range []func(at record.Time){
		func(s record.Time) { b.Inv(at(s), make([]record.InvVect, 1000)) },
		func(s record.Time) {
			b.Tx(record.Tx{Meta: at(s), Inputs: make([]record.TxIn, 100), Outputs: make([]record.TxOut, 100)})
		},
		func(s record.Time) { b.Block(record.Block{Meta: at(s)}) },
		func(s record.Time) { b.Ping(record.Ping{Meta: at(s)}) },
		func(s record.Time) { b.Pong(record.Pong{Meta: at(s)}) },
		func(s record.Time) { b.Version(record.Version{Meta: at(s)}) },
		func(s record.Time) { b.Addr(record.Addr{Meta: at(s)}) },
		func(s record.Time) { b.Conn(record.ConnEnd{ClosedAt: s}) },
	} {
		add(record.Time(1000 + i))
		add(1)
		if b.Size() <= last || b.Newest() != record.Time(1000+i) {
			t.Errorf("after record %d: Size() = %d, was %d; Newest() = %v", i, b.Size(), last, b.Newest())
		}
		last = b.Size()
	}
	if least := 2 * (1000*36 + 100*36); b.Size() < least {
		t.Errorf("Size() = %d, want at least the %d bytes of the hashes", b.Size(), least)
	}
}
