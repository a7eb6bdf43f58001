package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
	"btcsniff/sink"
)

// at is 2025-10-06T22:56:42.902308Z.
const at record.Time = 1759791402_902308

func testConn(network string) *record.Conn {
	c := &record.Conn{
		ID: 9007199254740993, Capture: &record.Capture{Sensor: "lab", Name: "eth0", First: at},
		A:        netip.MustParseAddrPort("192.0.2.7:51234"),
		B:        netip.MustParseAddrPort("[2001:db8::8]:8333"),
		OpenedAt: at - 5_000_000, LocalB: true,
	}
	if network != "" {
		c.SetNetwork(network)
	}
	return c
}

func testMeta(c *record.Conn) record.Meta {
	return record.Meta{Conn: c, SeenAt: at, FirstByteAt: at - 1, Pos: 24}
}

// numbered returns a hash that explorers show as 000102...1f.
func numbered() (h record.Hash) {
	for i := range h {
		h[i] = byte(31 - i)
	}
	return h
}

const numberedHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// shared is how the lines of testMeta begin after their kind.
const shared = `"seen_at":"2025-10-06T22:56:42.902308Z","first_byte_at":"2025-10-06T22:56:42.902307Z",` +
	`"from":"192.0.2.7:51234","to":"[2001:db8::8]:8333","conn":"9007199254740993","sensor":"lab","network":"mainnet","outbound":false`

func writeJSON(t *testing.T, b *record.Batch) string {
	t.Helper()
	var out bytes.Buffer
	j := sink.NewJSON(&out)
	added, err := j.Write(context.Background(), b)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	if added != uint64(b.Len()) {
		t.Errorf("Write added = %d, want %d", added, b.Len())
	}
	return out.String()
}

func TestJSON(t *testing.T) {
	c := testConn("mainnet")
	m := testMeta(c)
	reply := m
	reply.FromB = true
	proxied := testConn("mainnet")
	proxied.SetPeerName("expyuzz4wqqyqhjn.onion:8333")
	tests := []struct {
		name string
		add  func(b *record.Batch)
		want string
	}{
		{"empty", func(*record.Batch) {}, ""},
		{"inv without vectors", func(b *record.Batch) { b.Inv(m, nil) }, ""},
		{"inv", func(b *record.Batch) {
			b.Inv(m, []record.InvVect{{Type: record.InvWTx, Hash: numbered()}, {Type: record.InvWTx}, {Type: 1<<32 - 1}})
		}, `{"record":"inv",` + shared + `,"type":5,"hash":"` + numberedHex + `","index":0,"count":3}` + "\n" +
			`{"record":"inv",` + shared + `,"type":5,"hash":"` + strings.Repeat("0", 64) + `","index":1,"count":3}` + "\n" +
			`{"record":"inv",` + shared + `,"type":4294967295,"hash":"` + strings.Repeat("0", 64) + `","index":2,"count":3}` + "\n"},
		{"tx", func(b *record.Batch) {
			b.Tx(record.Tx{Meta: m, TxID: numbered(), Version: -1, LockTime: math.MaxUint32, Size: 222, Weight: 561,
				Inputs: []record.TxIn{{Vout: math.MaxUint32, Sequence: 4294967293}, {TxID: numbered()}},
				Outputs: []record.TxOut{{Value: 2_100_000_000_000_000, ScriptType: "witness_v0_keyhash", Address: "bc1qtest"},
					{ScriptType: "nulldata"}}})
		}, `{"record":"tx",` + shared + `,"txid":"` + numberedHex + `","wtxid":"` + strings.Repeat("0", 64) +
			`","version":-1,"lock_time":4294967295,"size":222,"weight":561,"inputs":[{"txid":"` + strings.Repeat("0", 64) +
			`","vout":4294967295,"sequence":4294967293},{"txid":"` + numberedHex + `","vout":0,"sequence":0}],` +
			`"outputs":[{"value":2100000000000000,"script_type":"witness_v0_keyhash","address":"bc1qtest"},` +
			`{"value":0,"script_type":"nulldata"}]}` + "\n"},
		{"tx of nothing", func(b *record.Batch) { b.Tx(record.Tx{Meta: m}) },
			`{"record":"tx",` + shared + `,"txid":"` + strings.Repeat("0", 64) + `","wtxid":"` + strings.Repeat("0", 64) +
				`","version":0,"lock_time":0,"size":0,"weight":0,"inputs":[],"outputs":[]}` + "\n"},
		{"block", func(b *record.Batch) { b.Block(record.Block{Meta: m, Via: "headers", Hash: numbered()}) },
			`{"record":"block",` + shared + `,"via":"headers","hash":"` + numberedHex + `","prev":"` + strings.Repeat("0", 64) + `"}` + "\n"},
		{"ping and pong", func(b *record.Batch) {
			b.Pong(record.Pong{Meta: m, Nonce: 1})
			b.Ping(record.Ping{Meta: m, Nonce: math.MaxUint64})
			b.Pong(record.Pong{Meta: m, Nonce: 2, Ping: at - 1_500_001})
		}, `{"record":"pong",` + shared + `,"nonce":"1"}` + "\n" +
			`{"record":"ping",` + shared + `,"nonce":"18446744073709551615"}` + "\n" +
			`{"record":"pong",` + shared + `,"nonce":"2","rtt_us":1500001}` + "\n"},
		{"version", func(b *record.Batch) {
			b.Version(record.Version{Meta: m, Protocol: 70016, Services: math.MaxUint64, Timestamp: 1759791402,
				AddrRecv: netip.MustParseAddrPort("203.0.113.9:8333"), UserAgent: "/Satoshi:28.1.0/", StartHeight: 917000, Relay: true})
		}, `{"record":"version",` + shared + `,"protocol":70016,"services":18446744073709551615,"user_agent":"/Satoshi:28.1.0/",` +
			`"start_height":917000,"relay":true,"addr_recv":"203.0.113.9:8333","addr_from":null,"timestamp":"2025-10-06T22:56:42.000000Z"}` + "\n"},
		{"addr", func(b *record.Batch) {
			b.Addr(record.Addr{Meta: m, Address: "2001:db8::1", Port: 8333, Services: 1033, LastSeen: -62135596801})
		}, `{"record":"addr",` + shared + `,"address":"2001:db8::1","port":8333,"services":1033,"last_seen":null}` + "\n"},
		{"sent by the local node, network unknown", func(b *record.Batch) {
			r := reply
			r.Conn = testConn("")
			b.Ping(record.Ping{Meta: r})
		}, `{"record":"ping","seen_at":"2025-10-06T22:56:42.902308Z","first_byte_at":"2025-10-06T22:56:42.902307Z",` +
			`"from":"[2001:db8::8]:8333","to":"192.0.2.7:51234","conn":"9007199254740993","sensor":"lab","network":"","outbound":true,"nonce":"0"}` + "\n"},
		{"conn", func(b *record.Batch) {
			b.Conn(record.ConnEnd{Conn: c, ClosedAt: at, HandshakeRTT: -1, A: record.FlowCount{Segments: 1, Bytes: 2, Retransmitted: 3, Lost: 4, Unseen: 7, Resyncs: 5, Messages: 6}})
			b.Conn(record.ConnEnd{Conn: proxied, ClosedAt: at, SYN: true, Transport: record.TransportV2, HandshakeRTT: 0, UserAgent: "/a/"})
		}, strings.Replace(`{"record":"conn",`+shared, "42.902307Z", "37.902308Z", 1) +
			`,"opened_at":"2025-10-06T22:56:37.902308Z","closed_at":"2025-10-06T22:56:42.902308Z","start":"midstream","transport":"unknown",` +
			`"from_sent":{"segments":1,"bytes":2,"retransmitted":3,"lost":4,"unseen":7,"resyncs":5,"messages":6},` +
			`"to_sent":{"segments":0,"bytes":0,"retransmitted":0,"lost":0,"resyncs":0,"messages":0}}` + "\n" +
			strings.Replace(`{"record":"conn",`+shared, "42.902307Z", "37.902308Z", 1) +
			`,"opened_at":"2025-10-06T22:56:37.902308Z","closed_at":"2025-10-06T22:56:42.902308Z","start":"syn","transport":"v2",` +
			`"socks_target":"expyuzz4wqqyqhjn.onion:8333","handshake_rtt_us":0,"user_agent":"/a/",` +
			`"from_sent":{"segments":0,"bytes":0,"retransmitted":0,"lost":0,"resyncs":0,"messages":0},` +
			`"to_sent":{"segments":0,"bytes":0,"retransmitted":0,"lost":0,"resyncs":0,"messages":0}}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b record.Batch
			tt.add(&b)
			got := writeJSON(t, &b)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			for line := range strings.Lines(got) {
				if !json.Valid([]byte(line)) {
					t.Errorf("no valid JSON: %s", line)
				}
			}
		})
	}
}

func TestJSONTime(t *testing.T) {
	tests := []struct {
		name string
		t    record.Time
		want string
	}{
		{"epoch", 0, `"1970-01-01T00:00:00.000000Z"`},
		{"before the epoch", -1, `"1969-12-31T23:59:59.999999Z"`},
		{"whole second before the epoch", -1_000_000, `"1969-12-31T23:59:59.000000Z"`},
		{"year 1", -62135596800_000_000, `"0001-01-01T00:00:00.000000Z"`},
		{"before year 1", -62135596800_000_001, "null"},
		{"year 9999", 253402300799_999_999, `"9999-12-31T23:59:59.999999Z"`},
		{"after year 9999", 253402300800_000_000, "null"},
		{"least", math.MinInt64, "null"},
		{"greatest", math.MaxInt64, "null"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := testMeta(testConn(""))
			m.SeenAt = tt.t
			var b record.Batch
			b.Ping(record.Ping{Meta: m})
			got := writeJSON(t, &b)
			if want := `{"record":"ping","seen_at":` + tt.want + `,"first`; !strings.HasPrefix(got, want) {
				t.Errorf("line = %s, want %s...", got, want)
			}
		})
	}
}

func TestJSONHash(t *testing.T) {
	var b record.Batch
	var want []string
	for i := range 256 {
		var h record.Hash
		for k := range h {
			h[k] = byte(i + 7*k)
		}
		b.Inv(testMeta(testConn("")), []record.InvVect{{Hash: h}})
		want = append(want, h.String())
	}
	var got []string
	for line := range strings.Lines(writeJSON(t, &b)) {
		_, rest, _ := strings.Cut(line, `"hash":"`)
		got = append(got, rest[:64])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hashes (-want +got):\n%s", diff)
	}
}

// FuzzJSON gives user agents of any bytes and times of any value: the line stays one valid line that says the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{"/Satoshi:28.1.0/", "", "\"\\\x00\n\r\t\x1b[2J\x7f", "\xff\xfe\xc0\x80", "ü\u0085\u2028\u2029\U0001f600\ufffd", "\xed\xa0\x80"} {
		f.Add(s, int64(at), int64(0))
	}
	f.Fuzz(func(t *testing.T, agent string, seen, claimed int64) {
		m := testMeta(testConn("mainnet"))
		m.SeenAt = record.Time(seen)
		var b record.Batch
		b.Version(record.Version{Meta: m, UserAgent: agent, Timestamp: claimed})
		line := writeJSON(t, &b)
		if strings.Count(line, "\n") != 1 || !utf8.ValidString(line) {
			t.Fatalf("not one line of UTF-8: %q", line)
		}
		var got struct {
			Agent string `json:"user_agent"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if want := sink.Text(agent); got.Agent != want {
			t.Fatalf("user_agent = %q, want %q", got.Agent, want)
		}
		if utf8.ValidString(agent) && !strings.Contains(agent, "\x00") && got.Agent != agent {
			t.Fatalf("user_agent = %q, want it unchanged: %q", got.Agent, agent)
		}
	})
}

func TestText(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"usual", "/Satoshi:28.1.0/", "/Satoshi:28.1.0/"},
		{"valid UTF-8", "/ü\u2028\ufffd\\/", "/ü\u2028\ufffd\\/"},
		{"NUL", "a\x00b", `a\x00b`},
		{"not UTF-8", "\xffa\xc3(", `\xffa\xc3(`},
		{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sink.Text(tt.in); got != tt.want {
				t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// A countingWriter fails with err once it has taken limit bytes; it counts its calls.
type countingWriter struct {
	n, calls, smallest int
	limit              int
	err                error
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.calls++
	if w.smallest == 0 || len(p) < w.smallest {
		w.smallest = len(p)
	}
	if w.err != nil && w.n+len(p) > w.limit {
		return 0, w.err
	}
	w.n += len(p)
	return len(p), nil
}

func TestJSONOutputError(t *testing.T) {
	for _, errno := range []error{syscall.EPIPE, syscall.ENOSPC} {
		t.Run(errno.Error(), func(t *testing.T) {
			w := &countingWriter{limit: 300_000, err: errno}
			added, err := sink.NewJSON(w).Write(context.Background(), invBatch(1000, 17))
			if !errors.Is(err, errno) || added != 0 {
				t.Fatalf("Write = %d, %v, want 0 and %v", added, err, errno)
			}
			if want := "write JSON lines after "; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %q, want %q...", err, want)
			}
		})
	}
}

func TestJSONStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	j := sink.NewJSON(io.Discard)
	if _, err := j.Write(ctx, invBatch(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Write with a context that is done: %v", err)
	}
}

// TestJSONPieces checks that a batch is handed over in large pieces, and wholly when Write returns.
func TestJSONPieces(t *testing.T) {
	b := invBatch(1000, 17)
	want := len(writeJSON(t, b))
	w := &countingWriter{}
	if _, err := sink.NewJSON(w).Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if w.n != want || w.calls > want/(64<<10) {
		t.Errorf("%d bytes in %d writes, want %d bytes in pieces of 64 KiB or more", w.n, w.calls, want)
	}
}

func TestJSONAllocates(t *testing.T) {
	b := invBatch(100, 17)
	m := testMeta(testConn("mainnet"))
	for range 100 {
		b.Ping(record.Ping{Meta: m})
		b.Tx(record.Tx{Meta: m, Inputs: make([]record.TxIn, 2), Outputs: make([]record.TxOut, 2)})
		b.Version(record.Version{Meta: m, UserAgent: "/Satoshi:28.1.0/"})
		b.Addr(record.Addr{Meta: m, Address: "192.0.2.1"})
		b.Conn(record.ConnEnd{Conn: m.Conn})
	}
	j := sink.NewJSON(io.Discard)
	if n := testing.AllocsPerRun(10, func() { j.Write(context.Background(), b) }); n != 0 {
		t.Errorf("Write allocates %v times, want 0", n)
	}
}

func TestNull(t *testing.T) {
	n := sink.NewNull()
	b := invBatch(3, 17)
	b.Ping(record.Ping{Meta: testMeta(testConn(""))})
	for range 2 {
		if added, err := n.Write(context.Background(), b); added != 52 || err != nil {
			t.Errorf("Write = %d, %v, want 52", added, err)
		}
	}
	want := [record.NumKinds]uint64{record.KindInv: 102, record.KindPing: 2}
	if diff := cmp.Diff(want, n.Records); diff != "" {
		t.Errorf("Records (-want +got):\n%s", diff)
	}
}

// invBatch returns a batch of inv messages with n vectors each, on 100 connections.
func invBatch(messages, n int) *record.Batch {
	b := &record.Batch{}
	conns := make([]*record.Conn, 100)
	for i := range conns {
		conns[i] = testConn("mainnet")
		conns[i].A = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 8333)
	}
	vects := make([]record.InvVect, n)
	for i := range messages {
		for k := range vects {
			vects[k].Type = record.InvWTx
			vects[k].Hash[0], vects[k].Hash[5], vects[k].Hash[31] = byte(i), byte(i>>8), byte(k)
		}
		m := testMeta(conns[i%100])
		m.SeenAt += record.Time(i * 11)
		b.Inv(m, vects)
	}
	return b
}

// BenchmarkJSON writes inv lines as the sink does and as encoding/json would.
func BenchmarkJSON(b *testing.B) {
	batch := invBatch(3000, 17)
	b.Run("sink", func(b *testing.B) {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer null.Close()
		j := sink.NewJSON(null)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := j.Write(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch.Len()), "ns/line")
	})
	b.Run("encoding/json", func(b *testing.B) {
		enc := json.NewEncoder(io.Discard)
		b.ReportAllocs()
		for b.Loop() {
			for i := range batch.Invs {
				if err := encodeInv(enc, batch, &batch.Invs[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch.Len()), "ns/line")
	})
}

func encodeInv(enc *json.Encoder, b *record.Batch, r *record.Inv) error {
	for k, v := range b.Vects[r.First : r.First+r.N] {
		err := enc.Encode(struct {
			Record      string `json:"record"`
			SeenAt      string `json:"seen_at"`
			FirstByteAt string `json:"first_byte_at"`
			From        string `json:"from"`
			To          string `json:"to"`
			Conn        string `json:"conn"`
			Sensor      string `json:"sensor"`
			Network     string `json:"network"`
			Outbound    bool   `json:"outbound"`
			Type        uint32 `json:"type"`
			Hash        string `json:"hash"`
			Index       int    `json:"index"`
			Count       int    `json:"count"`
		}{"inv", r.SeenAt.String(), r.FirstByteAt.String(), r.From().String(), r.To().String(), fmt.Sprint(r.Conn.ID),
			r.Conn.Capture.Sensor, r.Conn.Network(), r.Outbound(), uint32(v.Type), v.Hash.String(), k, r.N})
		if err != nil {
			return err
		}
	}
	return nil
}

// Blind times are a line each, once they are over.
func TestJSONBlind(t *testing.T) {
	var out strings.Builder
	j := sink.NewJSON(&out)
	c := &record.Capture{Sensor: "a\"b", Name: "eth0"}
	for _, b := range []record.Blind{
		{Reason: record.KernelDrops, From: 1_000_000, To: 2_000_000, Packets: 3, Open: true},
		{Reason: record.KernelDrops, From: 1_000_000, To: 2_500_000, Packets: 5},
		{Reason: record.InterfaceDown, From: 3_000_000, To: 3_000_001},
	} {
		b.Capture = c
		if err := j.Blind(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"record":"blind","from_at":"1970-01-01T00:00:01.000000Z","to_at":"1970-01-01T00:00:02.500000Z","sensor":"a\"b","capture":"eth0","reason":"kernel drops","packets":5}
{"record":"blind","from_at":"1970-01-01T00:00:03.000000Z","to_at":"1970-01-01T00:00:03.000001Z","sensor":"a\"b","capture":"eth0","reason":"interface down"}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
