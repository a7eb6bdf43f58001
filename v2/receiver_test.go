package v2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/record"
)

// commands says what the messages are.
func commands(t testing.TB, got []received) (out []string) {
	t.Helper()
	for _, g := range got {
		command, _, err := Message([]byte(g.Contents))
		if err != nil {
			t.Errorf("%x: %v", g.Contents, err)
		}
		out = append(out, command)
	}
	return out
}

func TestRecorded(t *testing.T) {
	k, streams := core(t)
	c := k.Conn(record.Networks())
	want := [2][]string{
		{"version", "wtxidrelay", "sendaddrv2", "verack", "getaddr", "sendcmpct", "ping", "getheaders", "feefilter", "pong", "headers"},
		{"version", "wtxidrelay", "sendaddrv2", "verack", "sendcmpct", "ping", "getheaders", "feefilter", "pong", "headers"},
	}
	for d, s := range streams {
		l := listen(t, c.Receiver(true))
		l.data(s)
		if diff := cmp.Diff(want[d], commands(t, l.got)); diff != "" {
			t.Errorf("direction %d (-want +got):\n%s", d, diff)
		}
		if n := l.r.Buffered(); n != 0 {
			t.Errorf("direction %d: %d bytes buffered at the end", d, n)
		}
		if end := l.got[len(l.got)-1].End; end != len(s) {
			t.Errorf("direction %d: the last message ends at byte %d of %d", d, end, len(s))
		}
	}
	if got := c.Network(); got != "regtest" {
		t.Errorf("network %q, want regtest", got)
	}
}

// whole decrypts a stream that has no gaps.
func whole(t testing.TB, k *Keys, s []byte) []received {
	t.Helper()
	l := listen(t, k.Conn(regtest()).Receiver(true))
	l.data(s)
	return l.got
}

// However the bytes come, the same messages come out, each as soon as its last byte is there.
func TestCutAnywhere(t *testing.T) {
	k, streams := core(t)
	for d, s := range streams {
		want := whole(t, k, s)
		for cut := range s {
			l := listen(t, k.Conn(regtest()).Receiver(true))
			l.data(s[:cut])
			for i, m := range want {
				if m.End <= cut != (i < len(l.got)) {
					t.Fatalf("direction %d: after %d bytes %d messages, message %d ends at %d", d, cut, len(l.got), i, m.End)
				}
			}
			l.data(s[cut:])
			if diff := cmp.Diff(want, l.got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("direction %d, cut at %d (-want +got):\n%s", d, cut, diff)
			}
		}
		for _, size := range []int{1, 2, 3, 7, 64, 1448} {
			l := listen(t, k.Conn(regtest()).Receiver(true))
			for i := 0; i < len(s); i += size {
				l.data(s[i:min(i+size, len(s))])
			}
			if diff := cmp.Diff(want, l.got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("direction %d, pieces of %d bytes (-want +got):\n%s", d, size, diff)
			}
		}
	}
}

// untouched is the messages of want that a hole in bytes a to b leaves whole.
func untouched(want []received, a, b int) (out []received) {
	for _, m := range want {
		if m.End <= a || m.At >= b {
			out = append(out, m)
		}
	}
	return out
}

// packed moves what lies behind a hole to where the listener, which counts what it was given, sees it.
func packed(want []received, a, b int) (out []received) {
	for _, m := range want {
		if m.At >= b {
			m.At, m.End = m.At-(b-a), m.End-(b-a)
		}
		out = append(out, m)
	}
	return out
}

// With a hole of any size at any place, all messages that are whole come out: of the key exchange, too, as the
// session is known by its key or by trial.
func TestHoleAnywhere(t *testing.T) {
	k, streams := core(t)
	for d, s := range streams {
		all := whole(t, k, s)
		step := 1
		if d == fromInitiator {
			step = 13 // most of this stream is garbage
		}
		for a := 0; a < len(s); a += step {
			for _, n := range []int{1, 3, 20, 61, 200} {
				b := min(a+n, len(s))
				for _, size := range []int{n, -1} {
					if size < 0 && (n < 200 || a%30 > 0) {
						continue // a search through all numbers takes its time
					}
					l := listen(t, k.Conn(regtest()).Receiver(true))
					l.data(s[:a])
					l.gap(size)
					l.data(s[b:])
					l.close()
					want := packed(untouched(all, a, b), a, b)
					if size < 0 && len(s)-b < firstWindow {
						want = want[:min(len(want), len(l.got))] // too little to search through all numbers
					}
					if diff := cmp.Diff(want, l.got, cmpopts.EquateEmpty()); diff != "" {
						t.Fatalf("direction %d, bytes %d to %d missing, gap(%d) (-want +got):\n%s", d, a, b, size, diff)
					}
				}
			}
		}
	}
}

// A script is a stream that was made up, with the messages that are in it.
type script struct {
	keys *Keys
	out  []byte
	want []received
}

// newScript makes a stream of n packets. Sizes are as in real connections: mostly small, some of a transaction's size, some
// of that many bytes; one in twenty is a decoy.
func newScript(t testing.TB, rnd *rand.Rand, direction, n, large int) script {
	k, session := made(2)
	s := newSender(t, session, direction, bytes.Repeat([]byte{0xaa}, rnd.IntN(300)))
	s.send(t, ignoreBit, []byte("decoy, authenticates the garbage"))
	s.send(t, 0, nil)
	var want []received
	for i := range n {
		size := 1 + rnd.IntN(60)
		switch p := rnd.IntN(100); {
		case p < 2:
			size = rnd.IntN(large)
		case p < 30:
			size = 200 + rnd.IntN(2000)
		}
		contents := fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", size))
		if rnd.IntN(20) == 0 {
			s.send(t, ignoreBit, contents)
			continue
		}
		s.send(t, 0, contents)
		want = append(want, received{string(contents), s.starts[len(s.starts)-1], len(s.out)})
	}
	return script{k, s.out, want}
}

func TestLongSession(t *testing.T) {
	for d := range 2 {
		s := newScript(t, rand.New(rand.NewPCG(1, 2)), d, 1000, 80_000) // more than four epochs
		l := listen(t, s.keys.Conn(regtest()).Receiver(true))
		for i := 0; i < len(s.out); i += 1448 {
			l.data(s.out[i:min(i+1448, len(s.out))])
		}
		if diff := cmp.Diff(s.want, l.got); diff != "" {
			t.Errorf("direction %d (-want +got):\n%s", d, diff)
		}
	}
}

// With holes of known size, at any place of a long session, all that is whole comes out.
func TestHoles(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := newScript(t, rnd, int(seed%2), 600, 3000)
		l := listen(t, s.keys.Conn(regtest()).Receiver(true))
		want, lostBytes, pos := s.want, 0, 0
		for range 6 {
			a := pos + rnd.IntN(len(s.out)/6)
			n := 1 + rnd.IntN(1<<rnd.IntN(15))
			b := min(a+n, len(s.out))
			a = min(a, b)
			for pos < a {
				end := min(pos+1+rnd.IntN(3000), a)
				l.data(s.out[pos:end])
				pos = end
			}
			l.gap(b - a)
			want = packed(untouched(want, a-lostBytes, b-lostBytes), a-lostBytes, b-lostBytes)
			lostBytes += b - a
			pos = b
		}
		l.data(s.out[pos:])
		l.close()
		if diff := cmp.Diff(want, l.got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

// A connection that is joined anywhere gives all that is whole from there on.
func TestMidstream(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		s := newScript(t, rnd, int(seed%2), 400, 100_000)
		a := rnd.IntN(len(s.out) / 2)
		conn := s.keys.Conn(regtest())
		l := listen(t, conn.Receiver(false))
		for i := a; i < len(s.out); i += 1448 {
			l.data(s.out[i:min(i+1448, len(s.out))])
		}
		l.close()
		want := packed(untouched(s.want, 0, a), 0, a)
		if diff := cmp.Diff(want, l.got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("seed %d, from byte %d on (-want +got):\n%s", seed, a, diff)
		}
		if conn.Network() != "regtest" {
			t.Errorf("network %q", conn.Network())
		}
	}
}

// Joined after millions of packets, as beside a node that has run for days.
func TestMidstreamLate(t *testing.T) {
	k, session := made(1)
	k.numbers = maxNumbers
	const first = 3_000_000
	keys := at(session.keys[fromInitiator], first)
	var s []byte
	for i := range uint64(100) {
		s = append(s, seal(at(keys, first+i), first+i, 0, bytes.Repeat([]byte{byte(i)}, 60), nil)...)
	}
	l := listen(t, k.Conn(regtest()).Receiver(false))
	l.data(s[5:])
	if len(l.got) != 99 || l.got[0].Contents[0] != 1 {
		t.Errorf("%d messages, want the last 99 of 100", len(l.got))
	}
}

// What one direction finds out, the other uses.
func TestOtherDirection(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	a, b := newScript(t, rnd, fromInitiator, 300, 10_000), newScript(t, rnd, fromResponder, 300, 10_000)
	c := a.keys.Conn(record.Networks())
	noise := make([]byte, 10_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	second := listen(t, c.Receiver(true))
	second.data(noise)
	if !second.r.Lost() {
		t.Fatal("noise is not told from a session's start")
	}
	first := listen(t, c.Receiver(true))
	first.data(a.out)
	if len(first.got) != len(a.want) {
		t.Errorf("%d messages, want %d", len(first.got), len(a.want))
	}
	from := b.want[20].At - 1
	second.data(b.out[from:])
	want := b.want[20:]
	if len(second.got) != len(want) {
		t.Fatalf("%d messages, want %d", len(second.got), len(want))
	}
	for i, m := range second.got {
		if m.Contents != want[i].Contents || m.At-len(noise) != want[i].At-from {
			t.Fatalf("message %d at %d: %.20q, want %.20q at %d", i, m.At-len(noise), m.Contents, want[i].Contents, want[i].At-from)
		}
	}
}

// A key log that was put together from a debug log may have wrong lines, or one with the wrong key of the initiator.
func TestWrongLines(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 6))
	a, b := newScript(t, rnd, fromInitiator, 100, 3000), newScript(t, rnd, fromResponder, 100, 3000)
	right := a.keys.secrets[len(a.keys.secrets)-1]
	wrongShared, wrongKey := *right, *right
	wrongShared.shared[0]++
	wrongKey.initiator[0]++
	otherPeer := wrongShared
	otherPeer.responder[0]++
	for _, tt := range []struct {
		name    string
		secrets []*secret
	}{
		{"a wrong secret before the right one", []*secret{&wrongShared, right}},
		{"a wrong secret behind the right one", []*secret{right, &wrongShared}},
		{"a line for the same key and another peer", []*secret{&otherPeer, right}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &Keys{byKey: map[[keySize]byte][]*secret{}, numbers: 1 << 18}
			for _, s := range tt.secrets {
				k.add(s)
			}
			c := k.Conn(regtest())
			for i, s := range []script{a, b} {
				l := listen(t, c.Receiver(true))
				l.data(s.out)
				if diff := cmp.Diff(s.want, l.got); diff != "" {
					t.Errorf("direction %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
	t.Run("a wrong key of the initiator", func(t *testing.T) {
		k := &Keys{byKey: map[[keySize]byte][]*secret{}, numbers: 1 << 18}
		k.add(&wrongKey)
		c := k.Conn(regtest())
		first, second := listen(t, c.Receiver(true)), listen(t, c.Receiver(true))
		first.data(a.out[:a.want[10].End])
		second.data(b.out)
		first.data(a.out[a.want[10].End:])
		first.close()
		if len(second.got) != len(b.want) || len(first.got) != len(a.want)-11 {
			t.Errorf("%d and %d messages, want %d and %d", len(first.got), len(second.got), len(a.want)-11, len(b.want))
		}
	})
}

// A stream that is none of the sessions is skipped, with bounded memory and a bounded number of searches.
func TestForeign(t *testing.T) {
	k, _ := made(1)
	noise := rand.NewChaCha8([32]byte{1})
	for _, start := range []bool{true, false} {
		l := listen(t, k.Conn(regtest()).Receiver(start))
		b := make([]byte, 1<<16)
		for range 300 {
			_, _ = noise.Read(b)
			l.data(b)
			if n := cap(l.r.buf); n > 8*maxWindow {
				t.Fatalf("start %v: %d bytes kept", start, n)
			}
		}
		if !l.r.Lost() || l.r.Buffered() != 0 || len(l.got) != 0 {
			t.Errorf("start %v: lost %v, %d bytes buffered, %d messages", start, l.r.Lost(), l.r.Buffered(), len(l.got))
		}
	}
}

func TestHandshake(t *testing.T) {
	k, s := made(3)
	for _, tt := range []struct {
		name    string
		garbage []byte
		want    int
	}{
		{"no garbage", nil, 1},
		{"garbage", []byte("garbage"), 1},
		{"most garbage", bytes.Repeat([]byte{7}, maxGarbage), 1},
		{"too much garbage", bytes.Repeat([]byte{7}, maxGarbage+1), 0},
		{"garbage like the terminator's start", bytes.Repeat(s.terminator[fromInitiator][:15], 200), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := newSender(t, s, fromInitiator, tt.garbage)
			out.send(t, 0, nil)
			out.send(t, 0, []byte("\x12message"))
			for _, size := range []int{1, 10_000} {
				l := listen(t, k.Conn(record.Networks()).Receiver(true))
				for i := 0; i < len(out.out); i += size {
					l.data(out.out[i:min(i+size, len(out.out))])
				}
				if len(l.got) != tt.want || l.r.Lost() != (tt.want == 0) {
					t.Errorf("%d messages, lost %v", len(l.got), l.r.Lost())
				}
			}
		})
	}
	t.Run("another network", func(t *testing.T) {
		out := newSender(t, s, fromInitiator, make([]byte, 100))
		out.send(t, 0, bytes.Repeat([]byte{1}, maxGarbage))
		mainnet := record.Networks()[:1]
		l := listen(t, k.Conn(mainnet).Receiver(true))
		l.data(out.out)
		if len(l.got) != 0 || !l.r.Lost() {
			t.Errorf("%d messages, lost %v", len(l.got), l.r.Lost())
		}
	})
	t.Run("version packet with contents, and decoys before it", func(t *testing.T) {
		out := newSender(t, s, fromInitiator, []byte("garbage"))
		out.send(t, ignoreBit, []byte("decoy"))
		out.send(t, ignoreBit, nil)
		out.send(t, 0, []byte("a version of later days"))
		out.send(t, ignoreBit, []byte("decoy"))
		out.send(t, 0, []byte("\x12message"))
		l := listen(t, k.Conn(regtest()).Receiver(true))
		l.data(out.out)
		if len(l.got) != 1 || l.got[0].Contents != "\x12message" {
			t.Errorf("got %+v", l.got)
		}
	})
}

// A packet that is not what the sender made, or longer than Bitcoin Core allows, is passed over.
func TestBroken(t *testing.T) {
	k, session := made(1)
	make100 := func(contents func(i int) []byte) *sender {
		s := newSender(t, session, fromResponder, nil)
		s.send(t, 0, nil)
		for i := range 100 {
			s.send(t, 0, contents(i))
		}
		return s
	}
	plain := func(i int) []byte { return []byte{18, byte(i), 1, 2, 3, 4, 5, 6, 7, 8} }
	for _, tt := range []struct {
		name   string
		sender *sender
		flip   int // byte of packet 50 (the version packet is 0)
		want   int
	}{
		{"tag", make100(plain), 29, 99},
		{"contents", make100(plain), 5, 99},
		{"length", make100(plain), 0, 99},
		{"length, beyond all", make100(plain), 2, 99},
		{"longest", make100(func(i int) []byte {
			if i == 49 {
				return make([]byte, maxContents)
			}
			return plain(i)
		}), -1, 100},
		{"too long", make100(func(i int) []byte {
			if i == 49 {
				return make([]byte, maxContents+1)
			}
			return plain(i)
		}), -1, 99},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := tt.sender.out
			if tt.flip >= 0 {
				out[tt.sender.starts[50]+tt.flip] ^= 0x80
			}
			l := listen(t, k.Conn(regtest()).Receiver(true))
			for i := 0; i < len(out); i += 100_000 {
				l.data(out[i:min(i+100_000, len(out))])
			}
			l.close()
			if len(l.got) != tt.want {
				t.Errorf("%d messages, want %d", len(l.got), tt.want)
			}
		})
	}
}

func FuzzReceiver(f *testing.F) {
	f.Add([]byte{0, 200, 0, 100, 1, 50, 0, 255, 2, 0, 0, 255})
	f.Add([]byte{0, 10, 3, 9, 0, 255, 1, 255, 0, 255})
	k, session := made(2)
	s := newSender(f, session, fromInitiator, []byte("garbage"))
	s.send(f, 0, nil)
	sent := map[string]bool{}
	for i := range 300 {
		contents := fmt.Sprintf("%d%s", i, strings.Repeat("x", i%50))
		sent[contents] = true
		s.send(f, 0, []byte(contents))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		l := listen(t, k.Conn(regtest()).Receiver(len(script)%2 == 0))
		rest := s.out
		for ; len(script) >= 2; script = script[2:] {
			n := min(int(script[1]), len(rest))
			switch script[0] % 4 {
			case 0:
				l.data(rest[:n])
			case 1:
				l.gap(n)
			case 2:
				l.gap(-1)
			case 3: // bytes that the sender never sent, in place of his
				l.data(bytes.Repeat(script[:1], n))
			}
			rest = rest[n:]
		}
		l.data(rest)
		l.close()
		last := -1
		for _, m := range l.got {
			var i int
			if _, err := fmt.Sscanf(m.Contents, "%d", &i); err != nil || !sent[m.Contents] || i <= last {
				t.Fatalf("%q after message %d was never sent", m.Contents, last)
			}
			last = i
		}
	})
}
