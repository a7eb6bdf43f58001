package live

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
)

// TestBlind looks at a port's counters and its interface at given times.
func TestBlind(t *testing.T) {
	w := newWire("a")
	cfg := Config{}
	cfg.defaults()
	h, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	p := newPort(&cfg, w, h, make(chan struct{}, 1))
	l := &Live{ports: []*port{newPort(&cfg, w, h, make(chan struct{}, 1)), p}}
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * 1e9)) }
	p.looked, p.seen, p.iface = at(0), at(0), 1
	look := func(s float64, dropped uint32, down bool) {
		w.set(func() { w.kernel, w.down = w.kernel+dropped, down })
		p.count(at(s))
		if err := p.watch(at(s)); err != nil {
			t.Fatal(err)
		}
	}
	told := func(reason string, from, to float64, packets uint64, open bool) capture.Blind {
		return capture.Blind{Capture: 1, Reason: reason, From: at(from).UnixNano(), To: at(to).UnixNano(), Packets: packets, Open: open}
	}
	for _, tt := range []struct {
		name  string
		steps func()
		want  []capture.Blind
	}{
		{"nothing", func() { look(1, 0, false) }, nil},
		{"drops begin", func() { look(2, 5, false) }, []capture.Blind{told("kernel drops", 1, 2, 5, true)}},
		{"drops go on", func() { look(3, 5, false); look(4, 1, false) }, nil},
		{"drops end", func() { look(5, 0, false) }, []capture.Blind{told("kernel drops", 1, 4, 11, false)}},
		{"drops once, not asked for before their end", func() { look(6, 2, false); look(7, 0, false) }, []capture.Blind{told("kernel drops", 5, 6, 2, false)}},
		{"down", func() { look(8, 0, true) }, []capture.Blind{told("interface down", 7, 8, 0, true)}},
		{"still down", func() { look(9, 0, true) }, nil},
		{"down for long", func() { look(20, 0, true) }, []capture.Blind{told("interface down", 7, 20, 0, true)}},
		{"up", func() { look(21, 0, false) }, []capture.Blind{told("interface down", 7, 21, 0, false)}},
		{"up for good", func() { look(22, 0, false) }, nil},
	} {
		tt.steps()
		if diff := cmp.Diff(tt.want, l.Blind()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	look(30, 3, true)
	p.end()
	got := l.Blind()
	if len(got) != 2 || got[0].Open || got[1].Open || got[0].From != at(22).UnixNano() || got[1].From != at(22).UnixNano() {
		t.Errorf("at the end: %+v, want two times that began at 22 s and are over", got)
	}
	for n := range 2 * maxBlind { // and nobody asks
		look(float64(40+2*n), 1, false)
		look(float64(41+2*n), 0, false)
	}
	if n := len(l.Blind()); n != maxBlind {
		t.Errorf("%d times kept, want %d", n, maxBlind)
	}
}
