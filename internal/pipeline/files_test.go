package pipeline_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/record"
	"btcsniff/sink"
)

// A watcher is a sink that knows until when records are stored.
type watcher struct {
	*sink.Null
	mu    sync.Mutex
	count uint64
}

func (w *watcher) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count += uint64(b.Len())
	return uint64(b.Len()), nil
}

// TestStored replays rotated files and asks for each file to be named once its records are stored.
func TestStored(t *testing.T) {
	for _, workers := range []int{1, 3} {
		src, err := capture.Open([]string{filepath.Join(pcaps, "long/rotating")}, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var stored []string
		w := &watcher{Null: sink.NewNull()}
		early := uint64(0)
		q := sink.NewQueue(t.Context(), w, sink.QueueOptions{})
		res, err := pipeline.Run(t.Context(), src, pipeline.Config{
			Workers:  workers,
			Outputs:  []*sink.Queue{q},
			Finished: src.Finished,
			Stored: func(f capture.FileStats) {
				if stored = append(stored, filepath.Base(f.Path)); early == 0 {
					early = w.count
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, f := range res.Captures[0].Files {
			want = append(want, f.Name)
		}
		slices.Sort(stored)
		if diff := cmp.Diff(want, stored); diff != "" {
			t.Errorf("%d workers: files stored (-want +got):\n%s", workers, diff)
		}
		// The recording lasts 84 s, so the first files are stored before its end, and after their own records.
		if total := res.Total().Records(); early == 0 || early >= total {
			t.Errorf("%d workers: first file named when %d of %d records were stored", workers, early, total)
		}
	}
}
