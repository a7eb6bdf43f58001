package sinktest

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"

	"btcsniff/record"
)

// Traffic is busy traffic for benchmarks: inv messages alone, in batches as the queue makes them. It is the same in every run.
type Traffic struct {
	Sensor   string
	Messages int // 193 microseconds of capture time each: 5,180 a second
	Size     int // vectors in each message
	Conns    int // connections that send them, in turn at random
	Txs      int // transactions that are announced, over and over, a few hundred at a time
	Batch    int // vectors in a batch
}

// Busy is the traffic of 3,000 peers that the project's speeds are stated for: 90,000 announcements a second for 69 seconds.
func Busy() Traffic {
	return Traffic{Sensor: "busy", Messages: 358_000, Size: 17, Conns: 3000, Txs: 2400, Batch: 100_000}
}

// Hostile is Busy with invented hashes: none is announced twice but by chance.
func Hostile() Traffic {
	t := Busy()
	t.Sensor, t.Txs = "hostile", 1<<40
	return t
}

// Announcements is how many there are.
func (t Traffic) Announcements() int { return t.Messages * t.Size }

// Seconds is how much capture time it takes.
func (t Traffic) Seconds() float64 { return float64(t.Messages) * 193e-6 }

// Capture returns the capture that all batches are of.
func (t Traffic) Capture() *record.Capture { return newCapture(t.Sensor) }

// Batches yields the traffic as batches of c. A batch is borrowed until the next.
func (t Traffic) Batches(c *record.Capture) iter.Seq[*record.Batch] {
	return func(yield func(*record.Batch) bool) {
		rnd := rand.New(rand.NewPCG(1, 2))
		conns := make([]*record.Conn, t.Conns)
		for i := range conns {
			conns[i] = newConn(c, fmt.Sprintf("198.18.%d.%d:8333", i>>8, i&255), int64(i))
		}
		pos := make([]uint64, t.Conns)
		vects := make([]record.InvVect, t.Size)
		b := newBatch(c, 0)
		window := min(t.Txs, 300)
		for i := range t.Messages {
			oldest := int(float64(t.Txs-window) * float64(i) / float64(t.Messages))
			for k := range vects {
				n := oldest + rnd.IntN(window)
				if t.Txs == 1<<40 {
					n = rnd.IntN(t.Txs)
				}
				vects[k] = record.InvVect{Type: record.InvWTx, Hash: scrambled(uint64(n))}
			}
			from := rnd.IntN(t.Conns)
			b.Inv(sent(conns[from], 193*int64(i), pos[from]), vects)
			pos[from] += uint64(24 + 3 + 36*t.Size)
			if len(b.Vects)+t.Size > t.Batch || i == t.Messages-1 {
				if !yield(b) {
					return
				}
				seq := b.Seq + 1
				b.Reset()
				b.Capture, b.Seq = c, seq
			}
		}
	}
}

// scrambled returns a hash that looks as random as a real one, of n.
func scrambled(n uint64) (h record.Hash) {
	for i := 0; i < len(h); i += 8 {
		n += 0x9e3779b97f4a7c15 // SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014
		z := n
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(h[i:], z^z>>31)
	}
	return h
}
