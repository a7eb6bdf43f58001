package pipeline_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/record"
)

// A sieve is a source that lets some packets fall through.
type sieve struct {
	capture.Source
	rng   *rand.Rand
	share float64 // of the packets
}

func (s *sieve) Next(ctx context.Context, p *capture.Packet) error {
	for {
		if err := s.Source.Next(ctx, p); err != nil || p.Data == nil || s.rng.Float64() >= s.share {
			return err
		}
	}
}

// TestUnseenTruth takes packets out of recordings of real nodes, and compares the estimate of what the capture missed with what was
// taken away: bytes that are nowhere else in the recording.
func TestUnseenTruth(t *testing.T) {
	for _, name := range []string{"long/rotating", "lossy/lossy.pcap", "ipv6/ipv6.pcap", "mainnet/mainnet-handshakes.pcap", "midstream/midstream.pcap", "v2/v2-and-v1.pcap"} {
		t.Run(name, func(t *testing.T) {
			total := func(src capture.Source) *record.Ledger {
				_, res := replay(t, src, pipeline.Config{})
				return res.Total()
			}
			path := filepath.Join(pcaps, name)
			all := total(open(t, path))
			var missed, estimated uint64
			for seed := range uint64(8) {
				l := total(&sieve{open(t, path), rand.New(rand.NewPCG(seed, 7)), 0.02})
				missed += all.TCPBytes - all.Retransmitted - (l.TCPBytes - l.Retransmitted)
				estimated += l.UnseenBytes - min(l.UnseenBytes, all.UnseenBytes)
			}
			share := float64(estimated) / float64(missed)
			t.Logf("%d bytes unseen in the recording itself; of %d taken away, %.0f %% were noticed", all.UnseenBytes, missed, 100*share)
			if all.UnseenBytes != 0 || share < 0.95 || share > 1.05 {
				t.Errorf("estimated %d bytes, %d were taken away", estimated, missed)
			}
		})
	}
}
