package v2

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// BenchmarkSearch is the cost of finding the place in a connection that is joined after three million packets, in the first 16 kB.
func BenchmarkSearch(b *testing.B) {
	_, session := made(1)
	const first = 3_000_000
	keys := at(session.keys[fromInitiator], first)
	var w []byte
	for n := uint64(first); len(w) < 1<<14; n++ {
		w = append(w, seal(at(keys, n), n, 0, bytes.Repeat([]byte{1}, 340), nil)...)
		if n%16 == 0 {
			w = append(w, seal(at(keys, n+1), n+1, 0, make([]byte, 9), nil)...)
			n++
		}
	}
	for b.Loop() {
		if _, ok := search(w, 0, len(w), session.keys[fromInitiator], maxNumbers, false); !ok {
			b.Fatal("not found")
		}
	}
}

// BenchmarkForeign is the cost of a search in vain: for one session and one direction.
func BenchmarkForeign(b *testing.B) {
	_, session := made(1)
	w := make([]byte, 1<<14)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(w)
	for b.Loop() {
		if _, ok := search(w, 0, len(w), session.keys[fromInitiator], maxNumbers, false); ok {
			b.Fatal("found")
		}
	}
}

// BenchmarkReceiver is the cost of a message of 361 bytes, an inv of ten transactions.
func BenchmarkReceiver(b *testing.B) {
	k, session := made(1)
	s := newSender(b, session, fromInitiator, nil)
	const n = 2000
	for range n {
		s.send(b, 0, make([]byte, 361))
	}
	b.SetBytes(int64(len(s.out)))
	b.ReportAllocs()
	for b.Loop() {
		r := k.Conn(regtest()).Receiver(true)
		for i := 0; i < len(s.out); i += 1448 {
			r.Data(s.out[i:min(i+1448, len(s.out))])
			for {
				if _, ok := r.Next(); !ok {
					break
				}
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
}
