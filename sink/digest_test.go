package sink_test

import (
	"testing"

	"btcsniff/record"
	"btcsniff/sink"
)

func TestDigest(t *testing.T) {
	c := testConn("mainnet")
	m := testMeta(c)
	later := m
	later.SeenAt++
	other := m
	other.FromB = true
	vects := []record.InvVect{{Type: 1}, {Type: 5}}
	batches := map[string]func(b *record.Batch){
		"empty":           func(*record.Batch) {},
		"inv":             func(b *record.Batch) { b.Inv(m, vects) },
		"inv of one":      func(b *record.Batch) { b.Inv(m, vects[:1]) },
		"inv, swapped":    func(b *record.Batch) { b.Inv(m, []record.InvVect{vects[1], vects[0]}) },
		"inv, later":      func(b *record.Batch) { b.Inv(later, vects) },
		"inv, other side": func(b *record.Batch) { b.Inv(other, vects) },
		"tx":              func(b *record.Batch) { b.Tx(record.Tx{Meta: m}) },
		"block":           func(b *record.Batch) { b.Block(record.Block{Meta: m}) },
		"second block":    func(b *record.Batch) { b.Block(record.Block{Meta: m, Index: 1}) },
		"ping":            func(b *record.Batch) { b.Ping(record.Ping{Meta: m}) },
		"pong":            func(b *record.Batch) { b.Pong(record.Pong{Meta: m}) },
		"pong of a ping":  func(b *record.Batch) { b.Pong(record.Pong{Meta: m, Ping: at}) },
		"version":         func(b *record.Batch) { b.Version(record.Version{Meta: m}) },
		"addr":            func(b *record.Batch) { b.Addr(record.Addr{Meta: m}) },
		"conn":            func(b *record.Batch) { b.Conn(record.ConnEnd{Conn: c}) },
		"conn with bytes": func(b *record.Batch) { b.Conn(record.ConnEnd{Conn: c, B: record.FlowCount{Bytes: 1}}) },
	}
	seen := map[[32]byte]string{}
	for name, add := range batches {
		var a, b record.Batch
		add(&a)
		add(&b)
		b.Seq = 7
		da, db := sink.Digest(&a), sink.Digest(&b)
		if da != db {
			t.Errorf("%s: Digest differs with the batch's place", name)
		}
		if first, ok := seen[da]; ok {
			t.Errorf("%s and %s have the same Digest", name, first)
		}
		seen[da] = name
	}
}

func BenchmarkDigest(b *testing.B) {
	batch := invBatch(3000, 17)
	for b.Loop() {
		sink.Digest(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch.Len()), "ns/record")
}
