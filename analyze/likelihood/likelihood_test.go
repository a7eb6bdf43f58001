package likelihood

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// times makes announcements over connections that the observed node dialed.
func times(at ...float64) []Announcement {
	list := make([]Announcement, len(at))
	for i := range at {
		list[i].At, list[i].Latency = at[i], 0.04
	}
	return list
}

func Example() {
	early := []Announcement{{At: 0}, {At: 3.1}, {At: 3.4}, {At: 3.5}, {At: 3.6}}
	const nodes = 10 // of which these five announced
	p, elsewhere := Silent.Posterior(NewView(early, 0.5), 1.0/nodes, 0.5)
	fmt.Println("candidates:", len(p), "the first is the likeliest:", slices.Max(p) == p[0], "sum is 1:", math.Abs(p[0]+p[1]+p[2]+p[3]+p[4]+elsewhere-1) < 1e-9)
	// Output: candidates: 5 the first is the likeliest: true sum is 1: true
}

func TestPosterior(t *testing.T) {
	many := times()
	for i := range 500 {
		many = append(many, Announcement{At: float64(i * i), Opened: i%3 == 0})
	}
	for _, c := range []struct {
		name        string
		a           []Announcement
		watched     float64
		prior, none float64
	}{
		{"one", times(0), 1, 1, 0},
		{"one of many nodes", times(0), 1e-4, 1e-5, 1 - 1e-5},
		{"all at once", times(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0.3, 0.01, 0.9},
		{"many", many, 0.9, 1e-3, 0.5},
		{"far apart", times(0, 1e12, 1e300), 1, 0.3, 0.1},
		{"no prior", times(0, 1), 1, 0, 1},
		{"a share out of range", times(0, 1), 7, 0.1, 0.8},
		{"no share", times(0, 1), 0, 0.1, 0.8},
	} {
		for name, table := range map[string]*Table{"silent": &Silent, "relaying": &Relaying} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				p, elsewhere := table.Posterior(NewView(c.a, c.watched), c.prior, c.none)
				sum := elsewhere
				for _, x := range p {
					if !(x >= 0) {
						t.Errorf("Posterior = %v", p)
					}
					sum += x
				}
				if math.Abs(sum-1) > 1e-9 || len(p) != min(len(c.a), Candidates) || c.none == 0 && elsewhere != 0 {
					t.Errorf("Posterior = %v, %v: sum %v, want 1", p, elsewhere, sum)
				}
			})
		}
	}
}

// TestLead checks that what was learned says what the timers mean: the longer the first is alone, the likelier it is the origin.
func TestLead(t *testing.T) {
	crowd := times(0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.3, 0.35, 0.4, 0.5, 0.5, 0.6, 0.7, 0.7, 0.8, 0.8, 0.9, 0.9, 1, 1, 1, 1, 1, 1)
	previous := 0.0
	for _, lead := range []float64{0, 1, 3} {
		a := slices.Clone(crowd)
		for i := 1; i < len(a); i++ {
			a[i].At += lead
		}
		p, _ := Silent.Posterior(NewView(a, 1), 1.0/4000, 0.75)
		if p[0] <= previous {
			t.Errorf("%.4f after a lead of %v s, %.4f after a shorter one", p[0], lead, previous)
		}
		previous = p[0]
	}
}

// TestTermsInterpolate checks that terms change steadily with what they are of.
func TestTermsInterpolate(t *testing.T) {
	sum := func(gap, watched float64) (n float64) {
		for _, term := range NewView(times(0, gap, gap+1), watched).Terms(nil, 1) {
			n += Silent.Weights[term.Weight] * term.Value
		}
		return n
	}
	for _, c := range []struct {
		name string
		x    func(float64) float64
	}{
		{"gap", func(x float64) float64 { return sum(x*20, 0.5) }},
		{"share", func(x float64) float64 { return sum(1, x) }},
	} {
		for x := 0.005; x < 1; x += 0.001 {
			if a, b := c.x(x), c.x(x+1e-7); math.Abs(a-b) > 1e-3 {
				t.Fatalf("%s: %v at %v, %v right after", c.name, a, x, b)
			}
		}
	}
	for _, term := range NewView(times(0, 1), 0.5).Terms(nil, 0) {
		if term.Weight < 0 || term.Weight >= Size {
			t.Errorf("weight %d of %d", term.Weight, Size)
		}
	}
}

// crowd are so many announcements, of which the k-th comes after the timers' usual time, that many times as slow; the first so many
// seconds before the others.
func crowd(n int, pace, lead, latency float64, anonymous int) []Announcement {
	list := make([]Announcement, n)
	for i := range list {
		share := (float64(i) + 0.5) / float64(n)
		list[i] = Announcement{At: pace * 3.18 * math.Log2(1+share/(1-share)*1.5), Latency: latency, Anonymous: i%10 < 10*anonymous/n}
		if i > 0 {
			list[i].At += lead
		}
	}
	return list
}

// growing are so many announcements that come in faster and faster, as before most nodes have a transaction.
func growing(n int) []Announcement {
	list := make([]Announcement, n)
	for i := range list {
		list[i] = Announcement{At: 0.6 * math.Log(1+float64(i)), Latency: usualLatency}
	}
	return list
}

func TestDeviation(t *testing.T) {
	usual := NewView(crowd(1000, 1, 0, usualLatency, 200), 1).deviation
	for _, c := range []struct {
		name      string
		a         []Announcement
		deviation int
		least     float64 // more than usual
		most      float64
	}{
		{"usual", crowd(1000, 1, 0, usualLatency, 200), farther, 0, 0},
		{"twice as slow", crowd(1000, 2, 0, usualLatency, 200), slower, 0.95, 1},
		{"twice as fast", crowd(1000, 0.5, 0, usualLatency, 200), slower, -1, -0.9},
		{"so slow that nothing was learned of it", crowd(1000, 50, 0, usualLatency, 200), slower, 1, 2.5},
		{"the capture ended early, which is no haste", growing(150), slower, -0.01, 0.01},
		{"latencies three times as long", crowd(1000, 1, 0, 3*usualLatency, 200), farther, 1.5, 1.6},
		{"nothing is known of latencies", crowd(1000, 1, 0, 0, 200), farther, -2, -1.9},
		{"seven of ten on Tor", crowd(1000, 1, 0, usualLatency, 700), anonymous, 1.45, 1.5},
		{"a lead is no slowness", crowd(1000, 1, 9, usualLatency, 200), slower, -0.01, 0.01},
		{"ten announcements tell half", crowd(10, 1, 0, 2*usualLatency, 2), farther, 0.5, 0.5},
		{"one tells next to nothing", crowd(1, 1, 0, 2*usualLatency, 0), farther, 0, 0.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := NewView(c.a, 1)
			if got := v.deviation[c.deviation] - usual[c.deviation]; !(got >= c.least-1e-9 && got <= c.most+1e-9) {
				t.Errorf("deviation = %.3f, want %v to %v", got, c.least, c.most)
			}
			for i, d := range v.deviation {
				if math.Abs(d) > mostDeviation {
					t.Errorf("deviation %d = %v, beyond what was learned", i, d)
				}
			}
		})
	}
}

// TestSlowNetwork checks that a lead counts for less in a network where leads are long for every node.
func TestSlowNetwork(t *testing.T) {
	ask := func(pace, lead float64) float64 {
		p, _ := Silent.Posterior(NewView(crowd(1000, pace, lead, usualLatency, 200), 1), 1.0/4000, 0.75)
		return p[0]
	}
	usual, same, twice := ask(1, 2), ask(2, 2), ask(2, 4)
	if same >= usual || twice <= same {
		t.Errorf("%.3f after a lead of 2 s; with timers twice as slow %.3f, and %.3f after 4 s; want less, and more than that", usual, same, twice)
	}
}

func TestCalibration(t *testing.T) {
	c := Calibration{{0.1, 0.05}, {0.5, 0.3}, {0.9, 0.8}}
	for _, test := range []struct{ in, want float64 }{{0, 0}, {0.05, 0.025}, {0.1, 0.05}, {0.3, 0.175}, {0.5, 0.3}, {0.7, 0.55}, {0.9, 0.8}, {1, 0.8}} {
		if got := c.At(test.in); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("At(%v) = %v, want %v", test.in, got, test.want)
		}
	}
	if got := (Calibration{}).At(0.4); got != 0.4 {
		t.Errorf("At(0.4) = %v without points, want 0.4", got)
	}
	for name, c := range map[string]Calibration{"Silent.Peer": Silent.Peer, "Silent.Place": Silent.Place, "Relaying.Peer": Relaying.Peer, "Relaying.Place": Relaying.Place} {
		if len(c) < 2 || !slices.IsSortedFunc(c, func(a, b [2]float64) int {
			if a[0] < b[0] && a[1] <= b[1] {
				return -1
			}
			return 1
		}) {
			t.Errorf("%s = %v, want rising points", name, c)
		}
	}
}
