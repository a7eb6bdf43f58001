package decode

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"btcsniff/record"
)

// everyWay plays a conversation, a turn of A, a turn of B and so on, with its turns in pieces of several sizes, and also with all of B's bytes
// before A's.
func everyWay(t *testing.T, turns [][]byte, check func(t *testing.T, o outcome)) {
	t.Helper()
	var a, b []byte
	for i, turn := range turns {
		if i%2 == 0 {
			a = append(a, turn...)
		} else {
			b = append(b, turn...)
		}
	}
	for _, n := range []int{1, 2, 3, 5, 24, 63, 64, 1000} {
		var inTurn []step
		for i, turn := range turns {
			inTurn = append(inTurn, sideSteps(turn, n, i%2 == 1)...)
		}
		for name, steps := range map[string][]step{
			"in turn": inTurn,
			"A first": append(sideSteps(a, n, false), sideSteps(b, n, true)...),
			"B first": append(sideSteps(b, n, true), sideSteps(a, n, false)...),
		} {
			t.Run(fmt.Sprintf("%s, pieces of %d", name, n), func(t *testing.T) { check(t, listen(t, steps...)) })
		}
	}
}

func sideSteps(b []byte, n int, fromB bool) []step {
	steps := ofTime(pieces(b, n), 1)
	for i := range steps {
		steps[i].fromB = fromB
	}
	return steps
}

func TestProxies(t *testing.T) {
	const (
		hello    = "\x05\x01\x00"
		offer    = "\x05\x02\x00\x02"
		user     = "\x01\x03abc\x05pass!"
		onion    = "\x05\x01\x00\x03\x3dpg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onionx\x20\x8d"
		ipv4     = "\x05\x01\x00\x01\xcb\x00\x71\x09\x20\x8d"
		ipv6     = "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x20\x8d"
		granted  = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
		named    = "\x05\x00\x00\x03\x05proxy\x04\x38"
		granted6 = "\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x20\x8d"
		refused  = "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"
		connect  = "CONNECT node.example:8333 HTTP/1.1\r\nHost: node.example:8333\r\n\r\n"
	)
	onion61 := strings.Replace(onion, "\x3d", "\x3f", 1)
	v1a, v1b := string(main.Ping(1)), string(main.Pong(1))
	key := string(randomBytes(300))
	tests := []struct {
		name   string
		turns  []string
		target string
		proxy  int      // bytes of the handshake
		want   []string // records
		v2     int      // bytes
		rest   int      // bytes that are neither
	}{
		{"IPv4", []string{hello, "\x05\x00", ipv4, granted, v1a, v1b}, "203.0.113.9:8333", 25, []string{"ping 1", "pong 1"}, 0, 0},
		{"IPv6", []string{hello, "\x05\x00", ipv6, granted6, v1a, v1b}, "[2001:db8::7]:8333", 49, []string{"ping 1", "pong 1"}, 0, 0},
		{"domain", []string{hello, "\x05\x00", onion61, named, v1a, v1b}, "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onionx:8333", 87, []string{"ping 1", "pong 1"}, 0, 0},
		{"user and password", []string{offer, "\x05\x02", user, "\x01\x00", ipv4, granted, v1a, v1b}, "203.0.113.9:8333", 39, []string{"ping 1", "pong 1"}, 0, 0},
		{"pipelined", []string{offer + user + ipv4 + v1a, "\x05\x02\x01\x00" + granted + v1b}, "203.0.113.9:8333", 39, []string{"ping 1", "pong 1"}, 0, 0},
		{"refused", []string{hello, "\x05\x00", ipv4, refused}, "203.0.113.9:8333", 25, nil, 0, 0},
		{"no method accepted", []string{hello, "\x05\xff"}, "", 5, nil, 0, 0},
		{"wrong password", []string{offer, "\x05\x02", user, "\x01\x01"}, "", 19, nil, 0, 0},
		{"v2 inside", []string{hello, "\x05\x00", ipv4, granted, key, key}, "203.0.113.9:8333", 25, nil, 600, 0},
		{"text inside", []string{hello, "\x05\x00", ipv4, granted, strings.Repeat("text", 50), strings.Repeat("text", 50)}, "203.0.113.9:8333", 25, nil, 0, 400},
		{"HTTP", []string{connect, "HTTP/1.1 200 Connection established\r\n\r\n", v1a, v1b}, "node.example:8333", 102, []string{"ping 1", "pong 1"}, 0, 0},
		{"HTTP, v2 inside", []string{connect, "HTTP/1.0 200 OK\r\nX: y\r\n\r\n", key, key}, "node.example:8333", 88, nil, 600, 0},
		{"HTTP, refused", []string{connect, "HTTP/1.1 403 Forbidden\r\n\r\nno"}, "node.example:8333", 89, nil, 0, 2},
		{"looks like SOCKS", []string{"\x05\x01\x00\x05\x01\x00\x07" + strings.Repeat("x", 100)}, "", 0, nil, 0, 107},
		{"key that begins like SOCKS", []string{"\x05\x01\x00\x05" + key, "\x05\xff" + key, "", "\x01"}, "", 0, nil, 607, 0},
		{"key that begins like a refusal", []string{key, "\x05\x02\x01\x01" + key}, "", 0, nil, 604, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var turns [][]byte
			for _, turn := range tt.turns {
				turns = append(turns, []byte(turn))
			}
			everyWay(t, turns, func(t *testing.T, o outcome) {
				wantWhats(t, o, tt.want...)
				st := o.stats
				if o.conn.PeerName() != tt.target || st.Proxy != uint64(tt.proxy) || st.EncryptedV2 != uint64(tt.v2) || st.NotBitcoin != uint64(tt.rest) {
					t.Errorf("target %q, %+v", o.conn.PeerName(), st)
				}
			})
		})
	}
}

func TestOtherProtocols(t *testing.T) {
	key := string(randomBytes(1000))
	text := strings.Repeat("a longer text than any key; ", 10)
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + key[:501]
	tests := []struct {
		name      string
		turns     []string
		v2        int // bytes
		transport record.Transport
		want      []string
	}{
		{"v2", []string{key, key[100:], key}, 2900, record.TransportV2, nil},
		{"v2, no answer", []string{key[:64]}, 64, record.TransportV2, nil},
		{"v2, answered with text", []string{key, text}, 1000, record.TransportV2, nil},
		{"v2, answered with a message", []string{key, string(main.Ping(1))}, 1000, record.TransportV2, []string{"ping 1"}},
		{"less than a key", []string{key[:63]}, 0, record.TransportUnknown, nil},
		{"HTTP", []string{"GET / HTTP/1.1\r\n\r\n" + text, "HTTP/1.1 200 OK\r\n\r\n" + key}, 0, record.TransportUnknown, nil},
		{"HTTP, long answer", []string{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(text, 40)}, 0, record.TransportUnknown, nil},
		{"TLS", []string{hello, "\x16\x03\x03\x00\x7a\x02" + key}, 0, record.TransportUnknown, nil},
		{"SSH", []string{"SSH-2.0-OpenSSH_9.2\r\n" + key, "SSH-2.0-OpenSSH_9.2\r\n" + key}, 0, record.TransportUnknown, nil},
		{"JSON", []string{`{"id":1,"method":"mining.subscribe","params":["cpuminer/2.5.1"]}` + "\n" + text}, 0, record.TransportUnknown, nil},
		{"text", []string{text, text}, 0, record.TransportUnknown, nil},
		{"zeros", []string{strings.Repeat("\x00", 1000), strings.Repeat("\x00", 1000)}, 0, record.TransportUnknown, nil},
		{"one byte", []string{"\xf9"}, 0, record.TransportUnknown, nil},
		{"magic alone", []string{"\xf9\xbe\xb4\xd9"}, 0, record.TransportUnknown, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var turns [][]byte
			total := 0
			for _, turn := range tt.turns {
				turns = append(turns, []byte(turn))
				total += len(turn)
			}
			everyWay(t, turns, func(t *testing.T, o outcome) {
				wantWhats(t, o, tt.want...)
				st := o.stats
				if st.EncryptedV2 != uint64(tt.v2) || o.end.Transport != tt.transport {
					t.Errorf("%v, %d encrypted, want %v, %d", o.end.Transport, st.EncryptedV2, tt.transport, tt.v2)
				}
				if len(tt.want) == 0 && st.NotBitcoin+st.Incomplete != uint64(total-tt.v2) {
					t.Errorf("%d not Bitcoin, want %d", st.NotBitcoin, total-tt.v2)
				}
			})
		})
	}
}

// TestV2BehindAGap has a side whose beginning is lost: the other one's key says what it is, before or after.
func TestV2BehindAGap(t *testing.T) {
	b := randomBytes(500)
	for name, steps := range map[string][]step{
		"other side known":      {data(b, 1), gapB(100), dataB(b, 2)},
		"other side comes late": {gapB(100), dataB(b, 1), data(b, 2), dataB(b, 3)},
		"gap within the key":    {data(b, 1), dataB(b[:10], 2), gapB(10), dataB(b[20:], 2)},
	} {
		t.Run(name, func(t *testing.T) {
			o := listen(t, steps...)
			if o.stats.NotBitcoin != 0 || o.stats.Skipped != 0 || o.end.Transport != record.TransportV2 {
				t.Errorf("%v, %+v", o.end.Transport, o.stats)
			}
		})
	}
}

// TestV2IsNotSearched has a message in the ciphertext.
func TestV2IsNotSearched(t *testing.T) {
	key := randomBytes(64)
	pings, _ := lines(1, 10)
	everyWay(t, [][]byte{slices.Concat(key, pings), slices.Concat(key, pings)}, func(t *testing.T, o outcome) {
		wantWhats(t, o)
		if o.stats.EncryptedV2 != uint64(2*(len(key)+len(pings))) {
			t.Errorf("%+v", o.stats)
		}
	})
}

func TestGarbageBeforeMessages(t *testing.T) {
	pings, want := lines(1, 5)
	o := listen(t, data(slices.Concat(make([]byte, 100), pings), 1))
	wantWhats(t, o, want...)
	if o.stats.Skipped != 100 || o.stats.Resyncs != 1 {
		t.Errorf("%+v", o.stats)
	}
}
