package decode

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// lookAlikes are messages whose payload has whole messages in it.
func lookAlikes() map[string][]byte {
	fill := func(parts ...[]byte) []byte {
		return slices.Concat([]byte("before"), slices.Concat(parts...), []byte("after"))
	}
	script := append(append([]byte{0x4d, 0, 0}, main.Ping(666)...), main.Ping(667)...)
	binary.LittleEndian.PutUint16(script[1:], uint16(len(script)-3))
	tx := slices.Concat(
		[]byte{2, 0, 0, 0, 1}, make([]byte, 36), []byte{byte(len(script))}, script, []byte{0xff, 0xff, 0xff, 0xff},
		[]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x51}, []byte{0, 0, 0, 0})
	return map[string][]byte{
		"one":            main.Message("what", fill(inv(1))),
		"two in a row":   main.Message("what", fill(inv(1), main.Ping(666))),
		"three in a row": main.Message("what", fill(inv(1), main.Ping(666), inv(3))),
		"two apart":      main.Message("what", fill(inv(1), []byte("between"), main.Ping(666))),
		"block":          main.Message("block", fill(make([]byte, 80), main.Ping(666), main.Ping(667))),
		"nested":         main.Message("what", fill(main.Message("who", fill(main.Ping(666))))),
		"tx":             main.Message("tx", tx),
		"cut":            main.Message("what", fill(inv(1), inv(1)[:40])),
		"header only":    main.Message("what", fill(main.Ping(666), main.Message("tx", make([]byte, 60_000))[:24])),
	}
}

func TestLookAlikes(t *testing.T) {
	for name, outer := range lookAlikes() {
		t.Run(name, func(t *testing.T) {
			before, _ := lines(1, 2)
			after, _ := lines(100, enough+1)
			var s script
			s = append(s, newScript(before[:32], before[32:], outer)...)
			for i := range enough + 1 {
				s = append(s, newScript(after[i*32:(i+1)*32])...)
			}
			b := s.bytes()
			at := func(int) record.Time { return 5 }
			wantRows(t, s.rows(at, nil), listen(t, ofTime(pieces(b, 9), 5)...).rows)
			lo := len(before)
			for hi := lo + 1; hi <= lo+len(outer); hi++ {
				want := s.rows(at, func(l, h int) bool { return l < hi && h > lo })
				wantRows(t, want, listen(t, data(b[:lo], 5), gap(hi-lo), data(b[hi:], 5)).rows)
				wantRows(t, want[:len(want)-1], listen(t, data(b[:lo], 5), gap(hi-lo), data(b[hi:len(b)-20], 5), gap(5), data(b[len(b)-15:], 5)).rows)
				wantRows(t, want, join(t, data(b[:lo], 5), gap(hi-lo), data(b[hi:], 5)).rows)
				for i := range want {
					want[i].Pos -= min(want[i].Pos, uint64(hi))
				}
				want = want[2:]
				wantRows(t, want, join(t, data(b[hi:], 5)).rows)
				wantRows(t, want, join(t, ofTime(pieces(b[hi:], 1), 5)...).rows)
				if t.Failed() {
					t.Fatalf("first %d bytes of it missing", hi-lo)
				}
			}
			// The outer message's beginning is there, its end is not. What is inside is not believed, unless the bytes are those of
			// a stream whose beginning is all that is missing.
			for cut := lo + headerLen; cut < lo+len(outer); cut++ {
				want := s.rows(at, func(l, h int) bool { return h > cut })
				wantRows(t, want, listen(t, data(b[:cut], 5)).rows)
				wantRows(t, nil, join(t, data(b[lo:cut], 5)).rows)
				wantRows(t, nil, join(t, data(b[lo:cut], 5), gap(1)).rows)
				if t.Failed() {
					t.Fatalf("cut %d bytes after its beginning", cut-lo)
				}
			}
		})
	}
}

// TestFalseHeader has a header in a lost message's payload that claims a long message: what follows waits, but is not lost.
func TestFalseHeader(t *testing.T) {
	header := main.Message("tx", make([]byte, 1_000_000))[:headerLen]
	after, want := lines(1, 10)
	b := slices.Concat([]byte("lost"), header, []byte("rest"), after)
	for name, o := range map[string]outcome{
		"end": join(t, data(b, 1)),
		"gap": join(t, data(b, 1), gap(1)),
	} {
		t.Run(name, func(t *testing.T) { wantWhats(t, o, want...) })
	}
	more, want2 := lines(11, 40_000)
	o := join(t, append([]step{data(b, 1)}, pieces(more, 1448)...)...)
	wantWhats(t, o, append(want, want2...)...)
}

func TestNetworks(t *testing.T) {
	for _, n := range record.Networks() {
		t.Run(n.Name, func(t *testing.T) {
			m := pcaptest.Net(n.Magic)
			b := slices.Concat(m.Ping(1), m.Ping(2))
			for _, steps := range [][]step{{data(b, 1)}, {dataB(b, 1)}, ofTime(pieces(b, 1), 1)} {
				for _, o := range []outcome{listen(t, steps...), join(t, steps...)} {
					wantWhats(t, o, "ping 1", "ping 2")
					if got := o.conn.Network(); got != n.Name {
						t.Errorf("network %q", got)
					}
				}
			}
		})
	}
}

func TestTwoConnectionsOfDifferentNetworks(t *testing.T) {
	d := New(Config{})
	a := play(t, d, newConn(true), data(main.Ping(1), 1))
	b := play(t, d, newConn(true), data(pcaptest.Signet.Ping(2), 1))
	if a.conn.Network() != "mainnet" || b.conn.Network() != "signet" {
		t.Errorf("networks %q, %q", a.conn.Network(), b.conn.Network())
	}
}

func TestConfiguredNetworks(t *testing.T) {
	custom := record.Network{Name: "01020304", Magic: [4]byte{1, 2, 3, 4}}
	for _, tt := range []struct {
		name     string
		networks []record.Network
		magic    pcaptest.Net
		want     []string
	}{
		{"not among them", record.Networks()[:1], pcaptest.Regtest, nil},
		{"unknown", nil, pcaptest.Net(custom.Magic), nil},
		{"custom", []record.Network{custom}, pcaptest.Net(custom.Magic), []string{"ping 1", "ping 2"}},
		{"one of several", append(record.Networks(), custom), pcaptest.Net(custom.Magic), []string{"ping 1", "ping 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := slices.Concat(tt.magic.Ping(1), tt.magic.Ping(2), tt.magic.Message("what", make([]byte, 100)))
			for _, openerKnown := range []bool{true, false} {
				for _, n := range []int{1, 10, len(b)} {
					o := play(t, New(Config{Networks: tt.networks}), newConn(openerKnown), pieces(b, n)...)
					wantWhats(t, o, tt.want...)
					if len(tt.want) == 0 && (o.stats.NotBitcoin != uint64(len(b)) || o.end.Transport != record.TransportUnknown || o.conn.Network() != "") {
						t.Errorf("%v, network %q, %+v", o.end.Transport, o.conn.Network(), o.stats)
					}
				}
			}
		})
	}
}

// TestOneNetworkAConnection has two sides that speak different networks: the first message decides.
func TestOneNetworkAConnection(t *testing.T) {
	other := pcaptest.Testnet4.Ping(2)
	for name, steps := range map[string][]step{
		"one after the other": {data(main.Ping(1), 1), dataB(other, 2)},
		"same direction":      {data(main.Ping(1), 1), data(other, 2)},
		"at the same time":    {data(main.Ping(1)[:10], 1), dataB(other[:10], 2), data(main.Ping(1)[10:], 1), dataB(other[10:], 2)},
	} {
		t.Run(name, func(t *testing.T) {
			o := listen(t, steps...)
			wantWhats(t, o, "ping 1")
			if o.stats.Skipped != uint64(len(other)) {
				t.Errorf("%+v", o.stats)
			}
		})
	}
}

func randomBytes(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// TestRandomStreamJoined has a stream as that of v2 is, joined mid-stream: the search ends, and begins again where a segment begins
// with a header.
func TestRandomStreamJoined(t *testing.T) {
	noise := randomBytes(5 * uniformEvery)
	d := New(Config{})
	var batch record.Batch
	d.cfg.Out = &batch
	c := d.Conn(newConn(false))
	for i := 0; i < len(noise); i += 1448 {
		c.Data(false, noise[i:min(len(noise), i+1448)], 1)
	}
	if c.streams[0].mode != watching {
		t.Errorf("after %d random bytes: mode %d, want %d", len(noise), c.streams[0].mode, watching)
	}
	pings, want := lines(1, 5)
	o := join(t, append(pieces(noise, 1448), data(pings, 7))...)
	wantWhats(t, o, want...)
	// The other side's messages are reason enough to search again.
	o = join(t, append(pieces(noise, 1448), dataB(pings, 7), data(slices.Concat([]byte("x"), pings), 8))...)
	wantWhats(t, o, append(want, want...)...)
}

// TestHopeless has a long stream in which nothing is found.
func TestHopeless(t *testing.T) {
	d := New(Config{})
	d.cfg.Out = new(record.Batch)
	c := d.Conn(newConn(false))
	text := []byte("a text that is not random at all, but goes on and on; ")
	for n := 0; n <= hopeless; n += 1000 * len(text) {
		c.Data(false, slices.Repeat(text, 1000), 1)
	}
	if c.streams[0].mode != watching {
		t.Errorf("mode %d, want %d", c.streams[0].mode, watching)
	}
}

// TestMemory has many streams with unfinished messages of the greatest length, in sequence and in searches.
func TestMemory(t *testing.T) {
	const limit, streams, piece = 1 << 20, 100, 1448
	header := main.Message("tx", make([]byte, maxPayload))[:headerLen]
	bound := limit + streams*(small+markSize+piece)
	for _, openerKnown := range []bool{true, false} {
		t.Run(fmt.Sprint("opener known: ", openerKnown), func(t *testing.T) {
			d := New(Config{MaxBuffer: limit})
			d.cfg.Out = new(record.Batch)
			var conns []*Conn
			for range streams {
				c := d.Conn(newConn(openerKnown))
				conns = append(conns, c)
				c.Data(false, header, 1)
			}
			most := 0
			zeros := make([]byte, piece)
			for range 100_000 / piece {
				for _, c := range conns {
					c.Data(false, zeros, 1)
					most = max(most, d.buffered)
				}
			}
			if most < limit/2 || most > bound {
				t.Errorf("at most %d bytes kept, want %d to %d", most, limit/2, bound)
			}
			if d.stats.Evicted == 0 {
				t.Error("nothing evicted")
			}
			for _, c := range conns {
				c.Close(record.ConnEnd{})
			}
			if d.buffered != 0 {
				t.Errorf("%d bytes still kept", d.buffered)
			}
		})
	}
}

// TestManySmall has very many streams, each of which keeps a capture time for every byte of a small message that it waits for.
func TestManySmall(t *testing.T) {
	const (
		limit   = 1 << 20
		streams = 2000
		most    = 2*limit + streams*(headerLen+1)*(1+markSize)
	)
	message := main.Message("tx", make([]byte, 3000))
	for _, openerKnown := range []bool{true, false} {
		t.Run(fmt.Sprint("opener known: ", openerKnown), func(t *testing.T) {
			d := New(Config{MaxBuffer: limit})
			d.cfg.Out = new(record.Batch)
			var conns []*Conn
			for range streams {
				conns = append(conns, d.Conn(newConn(openerKnown)))
			}
			kept := 0
			for at := range 200 {
				for _, c := range conns {
					c.Data(false, message[at:at+1], record.Time(at))
					kept = max(kept, d.buffered)
				}
			}
			if kept < limit || kept > most {
				t.Errorf("at most %d bytes kept, want %d to %d", kept, limit, most)
			}
			if d.stats.Evicted == 0 {
				t.Error("nothing evicted")
			}
			for _, c := range conns {
				c.Close(record.ConnEnd{})
			}
			if got := accounted(&d.stats); got != 200*streams || d.buffered != 0 {
				t.Errorf("%d bytes accounted for, %d still kept, want %d and 0", got, d.buffered, 200*streams)
			}
		})
	}
}

// TestEvictedMessages are counted, and what follows them is decoded.
func TestEvictedMessages(t *testing.T) {
	big, pings := main.Message("tx", bytesOf(0xff, 50_000)), func() []byte { b, _ := lines(1, 3); return b }()
	for name, steps := range map[string][]step{
		"too much kept before": {data(big[:20], 1), data(big[20:10_000], 1), data(big[10_000:], 1), data(pings, 2)},
		"while it came":        append(pieces(big, 3000), data(pings, 2)),
	} {
		t.Run(name, func(t *testing.T) {
			o := play(t, New(Config{MaxBuffer: 8000}), newConn(true), steps...)
			wantWhats(t, o, "ping 1", "ping 2", "ping 3")
			if c := o.stats.Commands["tx"]; c == nil || c.Bytes != uint64(len(big)) || o.stats.Evicted != 1 {
				t.Errorf("%+v, tx %+v", o.stats, c)
			}
		})
	}
}

func bytesOf(c byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = c
	}
	return b
}

// TestHostileSearch has streams of headers, each of a long message that the next ones overlap: what is hashed and copied for
// them is bounded by the length of the stream.
func TestHostileSearch(t *testing.T) {
	pings, _ := lines(1, enough)
	simnet := pcaptest.Simnet.Message("tx", nil)
	mainnet := append(main.Message("tx", nil), pings...) // messages between, so that searches end and begin again
	for _, tt := range []struct {
		name   string
		unit   []byte
		length int
	}{
		{"0", simnet, 0}, {"24", simnet, 24}, {"1,000", simnet, 1000}, {"60,000", simnet, 60_000}, {"longest", simnet, maxPayload},
		{"200, messages between", mainnet, 200}, {"60,000, messages between", mainnet, 60_000}, {"longest, messages between", mainnet, maxPayload},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := slices.Clone(tt.unit)
			binary.LittleEndian.PutUint32(h[16:], uint32(tt.length))
			h[20]++
			d := New(Config{})
			d.cfg.Out = new(record.Batch)
			c := d.Conn(newConn(false))
			for i := range 6_000_000 / 60 / len(h) {
				c.Data(false, slices.Repeat(h, 60)[i%7:], record.Time(i))
			}
			s := &c.streams[0]
			if s.spent > searchCredit+searchPerByte*s.given {
				t.Errorf("%d bytes looked at for %d given", s.spent, s.given)
			}
			c.Data(false, pings, 2)
			c.Close(record.ConnEnd{})
			if got := accounted(&d.stats); got != s.given {
				t.Errorf("%d bytes given, %d accounted for", s.given, got)
			}
		})
	}
}
