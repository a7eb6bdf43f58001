package analyze

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

func TestEstimateRTT(t *testing.T) {
	us := func(n int64) *int64 { return &n }
	const ms = time.Millisecond
	for _, tt := range []struct {
		name      string
		pongs     pongs
		handshake *int64
		want      RTT
	}{
		{"nothing", pongs{}, nil, RTT{}},
		{"handshake alone", pongs{}, us(80_000), RTT{80 * ms, 20 * ms, FromHandshake, 0}},
		{"handshake of no time", pongs{}, us(0), RTT{}},
		{"one pong alone", pongs{1, 80_000, 80_000}, nil, RTT{80 * ms, 20 * ms, FromPing, 1}},
		{"steady pongs", pongs{20, 80_000, 81_000}, nil, RTT{80 * ms, 4 * ms, FromPing, 20}},
		{"spread pongs", pongs{20, 80_000, 130_000}, nil, RTT{80 * ms, 25 * ms, FromPing, 20}},
		{"handshake slower than pongs", pongs{20, 80_000, 81_000}, us(90_000), RTT{80 * ms, 4 * ms, FromPing, 20}},
		{"one pong and a slower handshake", pongs{1, 80_000, 80_000}, us(90_000), RTT{80 * ms, 4 * ms, FromPing, 1}},
		{"pongs held back", pongs{20, 2_080_000, 2_090_000}, us(80_000), RTT{80 * ms, 1000 * ms, FromHandshake, 20}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, estimateRTT(tt.pongs, tt.handshake)); diff != "" {
				t.Errorf("estimateRTT (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnion(t *testing.T) {
	for _, tt := range []struct {
		name    string
		list    []span
		want    time.Duration
		reasons []string
	}{
		{"none", nil, 0, nil},
		{"apart, in no order", []span{{50, 60, "b"}, {0, 10, "a"}}, 20 * time.Microsecond, []string{"a", "b"}},
		{"touching", []span{{0, 10, "a"}, {10, 20, "a"}}, 20 * time.Microsecond, []string{"a"}},
		{"overlapping", []span{{0, 10, "a"}, {5, 20, "b"}}, 20 * time.Microsecond, []string{"a", "b"}},
		{"within", []span{{0, 100, "a"}, {5, 20, "b"}, {30, 40, "b"}}, 100 * time.Microsecond, []string{"a", "b"}},
		{"the same", []span{{0, 10, "a"}, {0, 10, "a"}}, 10 * time.Microsecond, []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, reasons := union(tt.list)
			if got != tt.want {
				t.Errorf("union = %v, want %v", got, tt.want)
			}
			if diff := cmp.Diff(tt.reasons, reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDifferences(t *testing.T) {
	scene := func(sensor string, at record.Time, peers int64, ahead, off time.Duration) Scene {
		return Scene{Sensor: sensor, Announcers: []Announcer{{Sighting: Sighting{SeenAt: at}}}, Clock: Clock{peers, ahead, off}}
	}
	got := Differences([]Scene{
		scene("a", 10_000_000, 5, time.Second, 500*time.Millisecond),
		scene("b", 10_000_000, 5, -2*time.Second, 700*time.Millisecond),
		scene("c", 10_000_000, 0, 0, 0),
	})
	want := []Difference{
		{"a", "b", true, 3 * time.Second, 1200 * time.Millisecond}, // by the peers' clock a saw it at 9 s, b at 12 s
		{"a", "c", false, 0, 0},
		{"b", "c", false, 0, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Differences (-want +got):\n%s", diff)
	}
}

func TestCut(t *testing.T) {
	all := Extent{First: 1000, Last: 2000}
	const step = 100 * time.Microsecond
	for _, tt := range []struct {
		name   string
		s      slice
		oldest bool
		want   slice
	}{
		{"latest of all", slice{minTime, maxTime}, false, slice{1900, maxTime}},
		{"latest of a part", slice{minTime, 1500}, false, slice{1400, 1500}},
		{"the rest", slice{minTime, 1050}, false, slice{minTime, 1050}},
		{"no more than asked for", slice{1480, 1500}, false, slice{1480, 1500}},
		{"oldest of all", slice{minTime, maxTime}, true, slice{minTime, 1100}},
		{"oldest of a part", slice{1500, maxTime}, true, slice{1500, 1600}},
		{"the newest rest", slice{1950, maxTime}, true, slice{1950, maxTime}},
		{"no later than asked for", slice{1500, 1520}, true, slice{1500, 1520}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.s.cut(step, all, tt.oldest); got != tt.want {
				t.Errorf("cut = %v, want %v", got, tt.want)
			}
		})
	}
}
