package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/internal/pipeline"
	"btcsniff/record"
	"btcsniff/sink"
)

// TestWorkers replays every fixture with several workers: the records, their order and the ledger are those of one.
func TestWorkers(t *testing.T) {
	for _, name := range captures {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(pcaps, name)
			want, one := replay(t, open(t, path), pipeline.Config{})
			for _, n := range []int{2, 5} {
				got, res := replay(t, open(t, path), pipeline.Config{Workers: n})
				if !bytes.Equal(got, want) {
					t.Errorf("%d workers: records differ (-want +got):\n%s", n, firstDiff(want, got))
				}
				if diff := cmp.Diff(one.Total(), res.Total()); diff != "" {
					t.Errorf("%d workers: ledger (-want +got):\n%s", n, diff)
				}
			}
		})
	}
}

// A batchSink notes of what size the batches are.
type batchSink struct {
	*sink.Null
	sizes []string
	most  int // messages in one
}

func (s *batchSink) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	s.sizes = append(s.sizes, fmt.Sprintf("%s %d: %d records in %d", b.Capture.Name, b.Seq, b.Len(), len(b.Order)))
	s.most = max(s.most, len(b.Order))
	return s.Null.Write(ctx, b)
}

// TestBatches cuts records into small batches: none is much larger, also at the end, when all connections close at once; and
// their limits don't depend on the number of workers.
func TestBatches(t *testing.T) {
	const most = 10
	for _, name := range []string{"long/capture.pcap", "mainnet/mainnet-handshakes.pcap", "socks/rotating"} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, workers := range []int{1, 2, 5} {
				s := &batchSink{Null: sink.NewNull()}
				q := sink.NewQueue(t.Context(), s, sink.QueueOptions{Batch: most})
				src := open(t, filepath.Join(pcaps, name))
				if _, err := pipeline.Run(t.Context(), src, pipeline.Config{Sensor: "test", Workers: workers, Outputs: []*sink.Queue{q}}); err != nil {
					t.Fatal(err)
				}
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
				// Which capture's batch is sent first when, is left open.
				slices.SortStableFunc(s.sizes, func(x, y string) int { return strings.Compare(strings.Fields(x)[0], strings.Fields(y)[0]) })
				if workers == 1 {
					want = s.sizes
				}
				if diff := cmp.Diff(want, s.sizes); diff != "" {
					t.Errorf("%d workers: batches (-want +got):\n%s", workers, diff)
				}
				if s.most > most {
					t.Errorf("%d workers: a batch of %d messages, want at most %d", workers, s.most, most)
				}
			}
		})
	}
}
