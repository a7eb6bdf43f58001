package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/record"
	"btcsniff/sink"
)

// A paced source yields another's packets with heartbeats between them: every 200 ms where nothing comes for longer. It ends
// some time after the last packet.
type paced struct {
	packets []capture.Packet
	info    []capture.Info
	now     int64
	left    int    // heartbeats after the last packet
	quiet   func() // called after them
}

func (s *paced) Next(_ context.Context, p *capture.Packet) error {
	beat := int64(200 * time.Millisecond)
	if len(s.packets) == 0 {
		if s.left--; s.left == 0 {
			s.quiet()
			return io.EOF
		}
		s.now += beat
		*p = capture.Packet{Time: s.now}
		return nil
	}
	if s.now != 0 && s.packets[0].Time-s.now > beat {
		s.now += beat
		*p = capture.Packet{Time: s.now}
		return nil
	}
	*p = s.packets[0]
	s.packets = s.packets[1:]
	s.now = p.Time
	return nil
}

func (s *paced) Captures() []capture.Info { return s.info }
func (s *paced) Stats() capture.Stats     { return capture.Stats{} }
func (s *paced) Close() error             { return nil }

// An awaited sink says when it has been given a number of records.
type awaited struct {
	*sink.JSON
	left int
	all  chan struct{}
}

func (s *awaited) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	n, err := s.JSON.Write(ctx, b)
	if before := s.left; before > 0 {
		if s.left -= b.Len() - len(b.Conns); s.left <= 0 {
			close(s.all)
		}
	}
	return n, err
}

// TestHeartbeats replays fixtures with heartbeats wherever nothing comes for a while. The records are those without, and all but those
// of connections' ends are with the sink when nothing has come for long: of one joined in its middle it may take until its end to tell
// what it carries.
func TestHeartbeats(t *testing.T) {
	for _, name := range []string{"long/capture.pcap", "lossy/lossy.pcap", "midstream/midstream.pcap", "socks/lo.pcap"} {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d workers", name, workers), func(t *testing.T) {
				path := filepath.Join(pcaps, name)
				want, res := replay(t, open(t, path), pipeline.Config{Sensor: "s"})
				made := res.Total().Made
				var out bytes.Buffer
				s := &awaited{JSON: sink.NewJSON(&out), left: int(res.Total().Records() - made[record.KindConn.String()]), all: make(chan struct{})}
				q := sink.NewQueue(t.Context(), s, sink.QueueOptions{})
				src := &paced{packets: packets(t, path), info: []capture.Info{{Name: "x"}}, left: 700}
				src.quiet = func() {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					select {
					case <-s.all:
					case <-ctx.Done():
						t.Error("records were not stored while nothing came")
					}
				}
				cfg := pipeline.Config{Sensor: "s", Workers: workers, LocalWithin: 10 * time.Second, Outputs: []*sink.Queue{q}}
				if _, err := pipeline.Run(t.Context(), src, cfg); err != nil {
					t.Fatal(err)
				}
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
				want, got := sorted(want), sorted(out.Bytes()) // connections end in another order
				if !bytes.Equal(got, want) {
					t.Errorf("records differ (-want +got):\n%s", firstDiff(want, got))
				}
			})
		}
	}
}

// sorted returns lines in the order of their text.
func sorted(lines []byte) []byte {
	all := bytes.SplitAfter(lines, []byte("\n"))
	slices.SortFunc(all, bytes.Compare)
	return bytes.Join(all, nil)
}

// TestLocalWithin stops working out local addresses in good time, so that records are not held up.
func TestLocalWithin(t *testing.T) {
	for _, tt := range []struct {
		within time.Duration
		want   string
	}{
		{0, "[{192.0.2.10/32 has connections with 5 other addresses}]"},
		{10 * time.Second, "[{192.0.2.10/32 has connections with 5 other addresses}]"},
		{time.Second, "[{192.0.2.10/32 has connections with 5 other addresses}]"}, // all connect at once
		{time.Millisecond, "[]"}, // too early to tell
	} {
		src := &paced{packets: packets(t, filepath.Join(pcaps, "long/capture.pcap")), info: []capture.Info{{Name: "x"}}, left: 1, quiet: func() {}}
		res, err := pipeline.Run(t.Context(), src, pipeline.Config{LocalWithin: tt.within})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(res.Local); got != tt.want {
			t.Errorf("within %v: local addresses %s, want %s", tt.within, got, tt.want)
		}
	}
}
