package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/record"
	"btcsniff/sink"
)

// A blinking source has two captures, of which the second has no packet before its last.
type blinking struct {
	n     int64
	blind map[int64][]capture.Blind // by number of the packet before which they become known
}

func (s *blinking) Next(_ context.Context, p *capture.Packet) error {
	if s.n++; s.n > 10 {
		return io.EOF
	}
	*p = capture.Packet{Data: []byte{1}, Len: 1, Link: 1, Time: s.n * 1e9, Capture: int(s.n / 10)}
	return nil
}

func (s *blinking) Captures() []capture.Info { return []capture.Info{{Name: "a"}, {Name: "b"}} }
func (s *blinking) Stats() capture.Stats     { return capture.Stats{} }
func (s *blinking) Close() error             { return nil }

func (s *blinking) Blind() []capture.Blind {
	b := s.blind[s.n]
	delete(s.blind, s.n)
	return b
}

// TestBlind has times in which captures could not see, which become known while they go on, and before the first packet.
func TestBlind(t *testing.T) {
	blind := func(c int, to int64, open bool) capture.Blind {
		return capture.Blind{Capture: c, Reason: string(record.KernelDrops), From: 1e9, To: to * 1e9, Packets: uint64(to), Open: open}
	}
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			src := &blinking{blind: map[int64][]capture.Blind{
				2: {blind(0, 2, true), blind(1, 2, true)}, 5: {blind(1, 4, true), blind(0, 5, false)}, 11: {blind(1, 9, false)},
			}}
			var out bytes.Buffer
			q := sink.NewQueue(t.Context(), sink.NewJSON(&out), sink.QueueOptions{Mixed: true})
			_, err := Run(t.Context(), src, Config{Sensor: "lab", Local: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}, Workers: workers, Outputs: []*sink.Queue{q}, Blind: src.Blind})
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			line := `{"record":"blind","from_at":"1970-01-01T00:00:01.000000Z","to_at":"1970-01-01T00:00:0%d.000000Z","sensor":"lab","capture":"%s","reason":"kernel drops","packets":%d}`
			want := []string{fmt.Sprintf(line, 5, "a", 5), fmt.Sprintf(line, 9, "b", 9), ""}
			if diff := cmp.Diff(want, strings.Split(out.String(), "\n")); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}
