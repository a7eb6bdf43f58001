package pipeline_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/record"
)

// A curious source asks a Monitor after every hundred packets, and notes what it was told.
type curious struct {
	capture.Source
	m       *pipeline.Monitor
	packets int
	told    []pipeline.Progress
}

func (c *curious) Next(ctx context.Context, p *capture.Packet) error {
	if c.packets++; c.packets%100 == 0 {
		c.told = append(c.told, c.m.Progress())
	}
	return c.Source.Next(ctx, p)
}

// TestMonitor checks that what is told while a capture is read never exceeds the ledger of its end, and that the last is that ledger.
func TestMonitor(t *testing.T) {
	for _, name := range []string{"long/rotating", "lossy/lossy.pcap", "v2/v2-and-v1.pcap", "socks/rotating", "other/other.pcap", "midstream/midstream.pcap"} {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d workers", name, workers), func(t *testing.T) {
				var m pipeline.Monitor
				done := make(chan int)
				go func() { // another goroutine, for the race detector
					n := 0
					for p, ok := m.Wait(context.Background()); ok && !p.Done; p, ok = m.Wait(context.Background()) {
						n += len(p.Total().Messages)
					}
					done <- n
				}()
				src := &curious{Source: open(t, filepath.Join(pcaps, name)), m: &m}
				_, res := replay(t, src, pipeline.Config{
					Monitor: &m, Workers: workers, Local: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, // else all is read before
				})
				<-done
				last := m.Progress()
				if !last.Done || len(last.Captures) != len(res.Captures) {
					t.Fatalf("the last progress has %d captures, done %v, want %d, true", len(last.Captures), last.Done, len(res.Captures))
				}
				for i := range res.Captures {
					if diff := cmp.Diff(res.Captures[i].Ledger, last.Captures[i].Ledger); diff != "" {
						t.Errorf("capture %d: ledger (-result +told):\n%s", i, diff)
					}
				}
				told := 0
				for _, p := range src.told {
					told += checkProgress(t, &p, res.Total())
				}
				if told == 0 {
					t.Errorf("asked %d times, and told nothing", len(src.told))
				}
			})
		}
	}
}

// checkProgress compares what was told with the end, and returns the number of packets.
func checkProgress(t *testing.T, p *pipeline.Progress, end *record.Ledger) int {
	t.Helper()
	l := p.Total()
	for name, c := range map[string][2]uint64{
		"packets": {l.PacketsRead, end.PacketsRead}, "bytes": {l.TCPBytes, end.TCPBytes}, "records": {l.Records(), end.Records()},
		"tx": {l.Messages["tx"].Messages, end.Messages["tx"].Messages}, "encrypted": {l.EncryptedV2, end.EncryptedV2},
		"skipped": {l.Skipped, end.Skipped}, "lost": {l.LostBytes, end.LostBytes}, "retransmitted": {l.Retransmitted, end.Retransmitted},
	} {
		if c[0] > c[1] {
			t.Errorf("%s: told of %d, at the end %d", name, c[0], c[1])
		}
	}
	var conns uint64
	for _, c := range p.Captures {
		for _, n := range c.Open {
			conns += n
		}
	}
	for _, c := range l.Conns {
		conns += c.Conns
	}
	if all := end.Made[record.KindConn.String()]; conns > all || l.TCPBytes > 0 && conns == 0 {
		t.Errorf("%d connections, open ones included, at the end %d", conns, all)
	}
	return int(l.PacketsRead)
}

// TestMonitorWaits checks that nobody waits for a run that does not move.
func TestMonitorWaits(t *testing.T) {
	var m pipeline.Monitor
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if p, moved := m.Wait(ctx); moved || p.Done || p.Captures != nil {
		t.Errorf("Wait() = %+v, %v, want nothing, false", p, moved)
	}
}
