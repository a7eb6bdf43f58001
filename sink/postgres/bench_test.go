package postgres

import (
	"context"
	"fmt"
	"testing"
	"time"

	"btcsniff/sink/sinktest"
)

// BenchmarkWrite stores a minute of busy traffic and prints how much faster than real time that is, and what an announcement costs
// on disk and in the write-ahead log, everything included. Run it with -benchtime=1x.
func BenchmarkWrite(b *testing.B) {
	small := sinktest.Busy()
	small.Batch = 10_000
	for _, traffic := range []struct {
		name string
		sinktest.Traffic
	}{
		{"batches of 100000", sinktest.Busy()},
		{"batches of 10000", small},
		{"invented hashes", sinktest.Hostile()},
	} {
		b.Run(traffic.name, func(b *testing.B) {
			for b.Loop() {
				benchmarkWrite(b, traffic.Traffic)
			}
		})
	}
}

const bytesUsed = `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
	WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'`

func benchmarkWrite(b *testing.B, traffic sinktest.Traffic) {
	b.StopTimer()
	ctx := context.Background()
	p := fresh(b)
	s := p.sink(b)
	c := traffic.Capture()
	exec(b, p.db, "CHECKPOINT")
	const wal = `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`
	before := one[int64](b, p.db, wal)
	if _, err := s.Begin(ctx, c); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
	var writing time.Duration
	began := time.Now()
	var added uint64
	for batch := range traffic.Batches(c) {
		t := time.Now()
		n, err := s.Write(ctx, batch)
		if err != nil {
			b.Fatal(err)
		}
		added += n
		writing += time.Since(t)
	}
	_ = began
	b.StopTimer()
	n := float64(traffic.Announcements())
	if added != uint64(traffic.Announcements()) {
		b.Fatalf("added %d, want %.0f", added, n)
	}
	logged := one[int64](b, p.db, wal) - before
	b.ReportMetric(traffic.Seconds()/writing.Seconds(), "x-real-time")
	b.ReportMetric(n/writing.Seconds(), "announcements/s")
	b.ReportMetric(float64(logged)/n, "WAL-bytes/announcement")
	b.ReportMetric(float64(one[int64](b, p.db, bytesUsed))/n, "disk-bytes/announcement")
	rows, err := p.db.Query(ctx, `SELECT c.relname, pg_table_size(c.oid)::bigint, pg_indexes_size(c.oid)::bigint, pg_relation_size(c.oid)::bigint FROM pg_class c
	WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' and pg_total_relation_size(c.oid) > 50000 order by 2 desc limit 10`)
	if err != nil {
		b.Fatal(err)
	}
	for rows.Next() {
		v, _ := rows.Values()
		fmt.Println(v...)
	}
}
