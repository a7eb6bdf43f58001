package postgres

import (
	"context"
	"testing"
	"time"

	"btcsniff/record"
	"btcsniff/sink/sinktest"
)

// BenchmarkWrite stores 69 seconds of busy traffic and says how much faster than real time that is, the making of the batches
// excepted, and what an announcement costs on disk and in the write-ahead log, with all tables, indexes and batches. "flat rows" is the
// same traffic as one row an announcement, by binary COPY into a table without an index. Run it with -benchtime=1x.
func BenchmarkWrite(b *testing.B) {
	small := sinktest.Busy()
	small.Batch = 10_000
	for _, bm := range []struct {
		name    string
		traffic sinktest.Traffic
		begin   func(*testing.B, *place, *record.Capture) func(*record.Batch) error
	}{
		{"batches of 100000", sinktest.Busy(), beginSink},
		{"batches of 10000", small, beginSink},
		{"invented hashes", sinktest.Hostile(), beginSink},
		{"flat rows", sinktest.Busy(), beginFlat},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for range b.N {
				benchmarkWrite(b, bm.traffic, bm.begin)
			}
		})
	}
}

func beginSink(b *testing.B, p *place, c *record.Capture) func(*record.Batch) error {
	s := p.sink(b)
	if _, err := s.Begin(context.Background(), c); err != nil {
		b.Fatal(err)
	}
	return func(batch *record.Batch) error {
		_, err := s.Write(context.Background(), batch)
		return err
	}
}

func beginFlat(b *testing.B, p *place, _ *record.Capture) func(*record.Batch) error {
	exec(b, p.db, `CREATE TABLE flat (seen_at timestamptz, conn bigint, type int, hash bytea)`)
	flat := newRows("flat", "seen_at, conn, type, hash")
	return func(batch *record.Batch) error {
		flat.reset()
		for i := range batch.Invs {
			r := &batch.Invs[i]
			for _, v := range batch.Vects[r.First : r.First+r.N] {
				flat.row()
				flat.time(r.SeenAt)
				flat.int8(int64(r.Conn.ID))
				flat.int4(int32(v.Type))
				flat.hash(v.Hash)
			}
		}
		return flat.send(context.Background(), p.db)
	}
}

const (
	bytesLogged = `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`
	bytesStored = `SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`
)

func benchmarkWrite(b *testing.B, traffic sinktest.Traffic, begin func(*testing.B, *place, *record.Capture) func(*record.Batch) error) {
	b.StopTimer()
	p := fresh(b)
	c := traffic.Capture()
	write := begin(b, p, c)
	exec(b, p.db, "CHECKPOINT")
	logged := one[int64](b, p.db, bytesLogged)
	var took time.Duration
	for batch := range traffic.Batches(c) {
		began := time.Now()
		b.StartTimer()
		if err := write(batch); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		took += time.Since(began)
	}
	n := float64(traffic.Announcements())
	b.ReportMetric(traffic.Seconds()/took.Seconds(), "x-real-time")
	b.ReportMetric(n/took.Seconds(), "announcements/s")
	b.ReportMetric(float64(one[int64](b, p.db, bytesLogged)-logged)/n, "WAL-B/announcement")
	b.ReportMetric(float64(one[int64](b, p.db, bytesStored))/n, "disk-B/announcement")
}
