package v2

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"

	"github.com/btcsuite/btcd/v2transport"

	"btcsniff/record"
)

// A sender makes the bytes of one direction. Its ciphers are another implementation than ours.
type sender struct {
	length *v2transport.FSChaCha20
	packet *v2transport.FSChaCha20Poly1305
	aad    []byte
	out    []byte
	starts []int // of packets, in out
}

// newSender begins with key, garbage and terminator.
func newSender(t testing.TB, s *session, direction int, garbage []byte) *sender {
	t.Helper()
	l, err := v2transport.NewFSChaCha20(bytes.Clone(s.keys[direction].length[:]))
	if err != nil {
		t.Fatal(err)
	}
	p, err := v2transport.NewFSChaCha20Poly1305(bytes.Clone(s.keys[direction].packet[:]))
	if err != nil {
		t.Fatal(err)
	}
	key := s.secret.initiator
	if direction == fromResponder {
		key = s.secret.responder
	}
	out := append(key[:], garbage...)
	return &sender{length: l, packet: p, aad: garbage, out: append(out, s.terminator[direction][:]...)}
}

func (s *sender) send(t testing.TB, header byte, contents []byte) {
	t.Helper()
	n := len(contents)
	length, err := s.length.Crypt([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	if err != nil {
		t.Fatal(err)
	}
	box, err := s.packet.Encrypt(s.aad, append([]byte{header}, contents...))
	if err != nil {
		t.Fatal(err)
	}
	s.aad = nil
	s.starts = append(s.starts, len(s.out))
	s.out = append(append(s.out, length...), box...)
}

// A received is a packet with its place in the stream.
type received struct {
	Contents string
	At, End  int
}

// A listener feeds a Receiver and keeps the messages that come out. It counts bytes as a caller does.
type listener struct {
	t   testing.TB
	r   *Receiver
	pos int // of the next byte that a Packet will tell of
	fed int
	got []received
}

func listen(t testing.TB, r *Receiver) *listener { return &listener{t: t, r: r} }

func (l *listener) drain() {
	l.t.Helper()
	for {
		p, ok := l.r.Next()
		if !ok {
			break
		}
		l.pos += p.Skipped + p.Size
		if p.Size == 0 && (p.Skipped == 0 || p.Contents != nil) {
			l.t.Fatalf("a packet of nothing: %+v", p)
		}
		if p.Contents != nil {
			l.got = append(l.got, received{string(p.Contents), l.pos - p.Size, l.pos})
		}
	}
	if l.pos+l.r.Buffered() != l.fed {
		l.t.Fatalf("%d bytes given, %d told of, %d buffered", l.fed, l.pos, l.r.Buffered())
	}
}

func (l *listener) data(b []byte) {
	l.t.Helper()
	l.fed += len(b)
	own := bytes.Clone(b)
	l.r.Data(own)
	clear(own) // it was borrowed
	l.drain()
}

func (l *listener) gap(n int) {
	l.t.Helper()
	l.r.Gap(n)
	l.drain()
}

func (l *listener) close() {
	l.t.Helper()
	l.r.Close()
	l.drain()
}

func regtest() []record.Network {
	n, err := record.ParseNetwork("regtest")
	if err != nil {
		panic(err)
	}
	return []record.Network{n}
}

// made returns keys of n sessions that are made up, the last one derived for regtest. Searches for their
// packets are cheap: few numbers are tried.
func made(n int) (*Keys, *session) {
	k := &Keys{byKey: map[[keySize]byte][]*secret{}, numbers: 1 << 18}
	var s *secret
	for i := range n {
		s = new(secret)
		for j, b := range [][]byte{s.initiator[:], s.responder[:], s.shared[:]} {
			copy(b, bytes.Repeat([]byte{byte(3*i + j + 1), byte(i >> 8)}, len(b)))
		}
		k.add(s)
	}
	net := regtest()[0]
	return k, newSession(s, net.Name, net.Magic)
}

// core returns the recorded session of two Bitcoin Core 28.1 nodes: what the initiator sent, and the responder.
func core(t testing.TB) (k *Keys, streams [2][]byte) {
	t.Helper()
	log := read(t, "core-28.1.keys")
	k, err := ParseKeys(bytes.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	k.numbers = 1 << 18 // see made
	return k, [2][]byte{read(t, "core-28.1.initiator"), read(t, "core-28.1.responder")}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
