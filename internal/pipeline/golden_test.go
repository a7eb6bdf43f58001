package pipeline_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/sink"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const pcaps = "../../testdata/pcaps"

// captures are the recorded fixtures: a file each, or a directory of rotated ones.
var captures = []string{
	"ibd/ibd-offload.pcap",
	"ipv6/ipv6.pcap",
	"long/capture.pcap",
	"long/formats/any-sll2.pcap",
	"long/formats/capture.pcapng",
	"long/formats/nano.pcap",
	"long/formats/snaplen96.pcap",
	"long/rotating",
	"lossy/lossy.pcap",
	"mainnet/mainnet-handshakes.pcap",
	"midstream/midstream.pcap",
	"other/other.pcap",
	"rewrite/mainnet-rewritten.pcap",
	"socks/lo.pcap",
	"socks/rotating",
	"v2/v2-and-v1.pcap",
	"v2-keys/core-28.1.pcap",
}

// replay runs a source through the pipeline and returns its records as JSON lines.
func replay(t testing.TB, src capture.Source, cfg pipeline.Config) ([]byte, *pipeline.Result) {
	t.Helper()
	var out bytes.Buffer
	q := sink.NewQueue(t.Context(), sink.NewJSON(&out), sink.QueueOptions{Mixed: true})
	cfg.Outputs = append(cfg.Outputs, q)
	res, err := pipeline.Run(context.Background(), src, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Captures {
		if err := c.Ledger.Check(); err != nil {
			t.Errorf("capture %s: %v", c.Capture.Name, err)
		}
	}
	return out.Bytes(), res
}

func open(t testing.TB, paths ...string) capture.Source {
	t.Helper()
	src, err := capture.Open(paths, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// TestGolden replays every fixture and compares its records with those of NAME.golden, byte for byte.
func TestGolden(t *testing.T) {
	for _, name := range captures {
		t.Run(name, func(t *testing.T) {
			got, res := replay(t, open(t, filepath.Join(pcaps, name)), pipeline.Config{})
			if n := res.Total().Records(); n != uint64(bytes.Count(got, []byte("\n"))) {
				t.Errorf("%d records made, %d lines", n, bytes.Count(got, []byte("\n")))
			}
			golden := filepath.Join(pcaps, strings.TrimSuffix(name, filepath.Ext(name))+".golden")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("records differ from %s (-want +got):\n%s", golden, firstDiff(want, got))
			}
		})
	}
}

// firstDiff shows the first few lines that differ.
func firstDiff(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	return cmp.Diff(w[i:min(i+3, len(w))], g[i:min(i+3, len(g))])
}
