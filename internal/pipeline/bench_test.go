package pipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
	"btcsniff/sink"
)

// BenchmarkRun measures the whole pipeline, from a file to a sink that counts, by the number of connections and of workers.
func BenchmarkRun(b *testing.B) {
	for _, peers := range []int{100, 3_000, 10_000, 100_000} {
		path := filepath.Join(b.TempDir(), "bulk.pcap")
		size := bulkFile(b, path, peers)
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("conns=%d/workers=%d", peers, workers), func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				var packets, records uint64
				for b.Loop() {
					q := sink.NewQueue(b.Context(), sink.NewNull(), sink.QueueOptions{Mixed: true})
					res, err := pipeline.Run(b.Context(), open(b, path), pipeline.Config{Sensor: "bench", Workers: workers, Outputs: []*sink.Queue{q}})
					if err != nil {
						b.Fatal(err)
					}
					if err := q.Close(); err != nil {
						b.Fatal(err)
					}
					packets += res.Total().PacketsRead
					records += q.Stats().Made
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
				b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// bulkFile writes 20 s of a node's traffic and returns its bytes.
func bulkFile(b *testing.B, path string, peers int) int64 {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := pcaptest.Bulk(f, pcaptest.BulkConfig{Seed: 1, Peers: peers, Rate: 90_000, Duration: 20 * time.Second}, nil); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
