package pipeline_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/internal/pipeline"
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
