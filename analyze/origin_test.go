package analyze

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/record"
)

const testStart record.Time = 1_759_791_402_000_000

// seen makes a sighting from the milliseconds at which it was seen and the peer's round-trip time.
func seen(conn int64, at, rtt int, place string) Sighting {
	s := Sighting{Conn: conn, Place: place, Network: "mainnet", Via: "inv", SeenAt: testStart.Add(time.Duration(at) * time.Millisecond)}
	if rtt > 0 {
		s.RTT, s.RTTError, s.RTTSource = time.Duration(rtt)*time.Millisecond, 5*time.Millisecond, "ping"
	}
	return s
}

// wave is what spreads from the second node on: so many peers, the first after so many milliseconds, ever more of them.
func wave(first, n int) []Sighting {
	list := make([]Sighting, n)
	for i := range list {
		list[i] = seen(int64(100+i), first+int(1500*math.Log(float64(1+i))), 80, "US")
	}
	return list
}

func TestOriginOrder(t *testing.T) {
	type verdict struct {
		First, Corrected int
		Lead, LeadError  time.Duration
		Ties             []int
	}
	for _, c := range []struct {
		name string
		in   []Sighting
		want verdict
	}{
		{"one", []Sighting{seen(1, 0, 20, "DE")}, verdict{}},
		{"latency turns the order round", []Sighting{seen(1, 0, 20, "DE"), seen(2, 40, 200, "JP")},
			verdict{0, 1, 50 * time.Millisecond, 10 * time.Millisecond, nil}},
		{"in any order", []Sighting{seen(2, 40, 200, "JP"), seen(1, 0, 20, "DE")},
			verdict{1, 0, 50 * time.Millisecond, 10 * time.Millisecond, nil}},
		{"ties", []Sighting{seen(1, 0, 20, "DE"), seen(2, 8, 20, "JP"), seen(3, 9, 20, "JP"), seen(4, 11, 20, "JP")},
			verdict{0, 0, 8 * time.Millisecond, 10 * time.Millisecond, []int{1, 2}}},
		{"the same microsecond", []Sighting{seen(2, 0, 20, "DE"), seen(1, 0, 20, "DE")},
			verdict{1, 1, 0, 10 * time.Millisecond, []int{0}}},
		{"without a round-trip time the median is taken, and the error is large",
			[]Sighting{seen(1, 0, 0, "DE"), seen(2, 10, 60, "DE"), seen(3, 60, 60, "DE")},
			verdict{0, 0, 10 * time.Millisecond, 105 * time.Millisecond, []int{1, 2}}},
		{"a peer that delays its pongs gains two seconds at the most", []Sighting{seen(1, 0, 20, "DE"), seen(2, 3000, 60_000, "DE")},
			verdict{0, 0, 1010 * time.Millisecond, 10 * time.Millisecond, nil}},
		{"a clock that went wrong", []Sighting{{Conn: 1, SeenAt: math.MinInt64}, {Conn: 2, SeenAt: math.MaxInt64}},
			verdict{0, 0, 100 * 365.25 * 24 * time.Hour, 200 * time.Millisecond, nil}},
		{"negative times", []Sighting{{Conn: 1, RTT: -5, RTTError: -7, SeenAt: 1}, {Conn: 2, SeenAt: 2}},
			verdict{0, 0, time.Microsecond, 200 * time.Millisecond, []int{1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Origin(c.in, Model{})
			got := verdict{v.First, v.Corrected, v.Lead, v.LeadError, v.Ties}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Origin (-want +got):\n%s", diff)
			}
			checkSane(t, v, len(c.in))
		})
	}
}

// checkSane checks what holds for every Verdict.
func checkSane(t *testing.T, v Verdict, n int) {
	t.Helper()
	for name, p := range map[string]float64{
		"Probability": v.Probability, "Elsewhere": v.Elsewhere, "Confidence": v.Confidence,
		"RawProbability": v.RawProbability, "RawConfidence": v.RawConfidence, "sum": v.Probability + v.Elsewhere,
	} {
		if !(p >= 0 && p <= 1+1e-9) {
			t.Errorf("%s = %v, want a probability", name, p)
		}
	}
	for name, i := range map[string]int{"Peer": v.Peer, "First": v.First, "Corrected": v.Corrected} {
		if i < -1 || i >= n || i == -1 && n > 0 {
			t.Errorf("%s = %d of %d sightings", name, i, n)
		}
	}
	if v.Probability > mostProbable || v.Confidence > mostProbable || v.Lead < 0 || v.LeadError < 0 {
		t.Errorf("Origin = %+v, out of its limits", v)
	}
}

func TestOriginNothing(t *testing.T) {
	want := Verdict{Estimator: "none", Peer: -1, First: -1, Corrected: -1, Elsewhere: 1}
	if diff := cmp.Diff(want, Origin(nil, Model{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Origin(nil) (-want +got):\n%s", diff)
	}
}

func TestOriginProbability(t *testing.T) {
	alone := append([]Sighting{seen(1, 0, 80, "BR")}, wave(4000, 800)...)
	crowd := append([]Sighting{seen(1, 0, 80, "BR")}, wave(50, 800)...)
	full := Model{Watched: 0.9, Silent: true}
	far, near := Origin(alone, full), Origin(crowd, full)
	if far.Peer != 0 || far.Probability < 1.8*near.Probability {
		t.Errorf("peer %d with probability %.2f four seconds before the others, %.2f just before them: want peer 0, and a lead to count",
			far.Peer, far.Probability, near.Probability)
	}
	if few := Origin(alone, Model{Silent: true}); few.Probability >= far.Probability || len(few.Assumed) == 0 {
		t.Errorf("probability %.2f where the share that is watched isn't known, %.2f where it is 90 %%; assumed %q", few.Probability, far.Probability, few.Assumed)
	}
	opened := slices.Clone(alone)
	opened[0].PeerOpened = true
	if v := Origin(opened, Model{Watched: 0.1, Silent: true}); v.Peer != 0 || v.Probability < 0.2 {
		t.Errorf("peer %d with %.2f, of one that opened its connection and was alone for four seconds; want peer 0 with 0.2 at least", v.Peer, v.Probability)
	}
}

// TestOriginSize checks that the same beginning tells as much in a large network as in a small one, where all nodes are watched.
func TestOriginSize(t *testing.T) {
	ask := func(nodes int) float64 {
		return Origin(append([]Sighting{seen(1, 0, 80, "BR")}, wave(2500, nodes-1)...), Model{Watched: 1, Silent: true}).Probability
	}
	usual := ask(1000)
	for _, nodes := range []int{300, 4000, 20_000} {
		if got := ask(nodes); math.Abs(got-usual) > usual/5 || usual < 0.05 {
			t.Errorf("of %d nodes the first is the origin with %.3f, of 1,000 with %.3f; want about the same", nodes, got, usual)
		}
	}
}

// TestOriginUnmeasured checks what is taken for the latency of peers without one: the median of those in the same kind of network, and
// its error from how far these are from it.
func TestOriginUnmeasured(t *testing.T) {
	var in []Sighting
	for i := range 9 { // round-trip times of 40 to 72 ms, and over Tor of 400 to 720 ms
		in = append(in, seen(int64(i), 5000, 40+4*i, "DE"), seen(int64(100+i), 5000, 400+40*i, "tor"))
	}
	for _, c := range []struct {
		name    string
		in      []Sighting
		index   int
		at, err time.Duration // at is before the capture time
		assumed []string
	}{
		{"one of the others", append(slices.Clone(in), seen(200, 0, 0, "US")), 18, 28 * time.Millisecond, 8 * time.Millisecond,
			[]string{"a round-trip time of 56ms for the 1 of 19 peers without one that are not on Tor or I2P"}},
		{"one on Tor", append(slices.Clone(in), seen(200, 0, 0, "tor")), 18, 280 * time.Millisecond, 80 * time.Millisecond,
			[]string{"a round-trip time of 560ms for the 1 of 19 peers without one that are on Tor or I2P"}},
		{"too few on Tor to tell", []Sighting{in[0], in[2], in[4], in[6], in[8], in[1], seen(200, 0, 0, "tor")}, 6, 26 * time.Millisecond, 174 * time.Millisecond,
			[]string{"a round-trip time of 52ms for the 1 of 7 peers without one"}},
		{"too few at all", []Sighting{in[0], seen(200, 0, 0, "US")}, 1, 20 * time.Millisecond, defaultError,
			[]string{"a round-trip time of 40ms for the 1 of 2 peers without one"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Origin(c.in, Model{Watched: 0.5})
			first := Model{}.withDefaults(c.in).correct(c.in, new(Verdict))[0]
			if first.index != c.index || seconds(-first.at) != c.at || seconds(first.err) != c.err {
				t.Errorf("sighting %d sent %v before, ± %v; want %d, %v, %v", first.index, seconds(-first.at), seconds(first.err), c.index, c.at, c.err)
			}
			if diff := cmp.Diff(c.assumed, v.Assumed); diff != "" {
				t.Errorf("Assumed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOriginSilent checks that an observed node which is said to be silent is not believed to be where most of its peers are.
func TestOriginSilent(t *testing.T) {
	in := append([]Sighting{seen(1, 0, 80, "BR")}, wave(3000, 99)...)
	relays := Origin(in, Model{Watched: 1, Peers: 800})
	for _, c := range []struct {
		name     string
		model    Model
		believed bool
	}{
		{"all announced", Model{Watched: 1, Silent: true}, true},
		{"half did", Model{Watched: 1, Silent: true, Peers: 200}, true},
		{"an eighth did", Model{Watched: 1, Silent: true, Peers: 800}, false},
		{"an eighth did, but there is nobody else", Model{Closed: true, Silent: true, Peers: 800}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Origin(in, c.model)
			if doubted := slices.ContainsFunc(v.Assumed, func(s string) bool { return strings.Contains(s, "kept silent") }); doubted == c.believed {
				t.Errorf("Assumed = %q", v.Assumed)
			}
			if !c.believed && v.Probability != relays.Probability {
				t.Errorf("probability %.3f, want that of a node that relays, %.3f", v.Probability, relays.Probability)
			}
			checkSane(t, v, len(in))
		})
	}
}

func TestOriginPlace(t *testing.T) {
	for _, c := range []struct {
		name  string
		in    []Sighting
		model Model
		want  string
	}{
		{"the only one's", []Sighting{seen(1, 0, 20, "NL"), seen(2, 900, 20, "NL")}, Model{}, "NL"},
		{"where most peers are, if the origin is probably elsewhere", append([]Sighting{seen(1, 0, 20, "BR")}, wave(5, 300)...), Model{Watched: 0.02}, "US"},
		{"not known", []Sighting{seen(1, 0, 20, "")}, Model{}, ""},
		{"closed: the likeliest peer's", append([]Sighting{seen(1, 0, 20, "BR")}, seen(2, 6000, 20, "US"), seen(3, 7000, 20, "US")), Model{Closed: true}, "BR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Origin(c.in, c.model)
			if v.Place != c.want || (v.Place == "") != (v.Confidence == 0) {
				t.Errorf("Place = %q with %.2f, want %q", v.Place, v.Confidence, c.want)
			}
			checkSane(t, v, len(c.in))
		})
	}
}

// TestOriginDeterministic gives the same sightings in other orders.
func TestOriginDeterministic(t *testing.T) {
	in := append([]Sighting{seen(1, 0, 20, "BR"), seen(2, 0, 20, "DE"), seen(3, 0, 20, "FR")}, wave(0, 200)...)
	m := Model{Watched: 0.5}
	want := Origin(in, m)
	for turn := range len(in) {
		turned := slices.Concat(in[turn:], in[:turn])
		got := Origin(turned, m)
		if turned[got.Peer].Conn != in[want.Peer].Conn || got.Place != want.Place || got.Probability != want.Probability || got.Lead != want.Lead {
			t.Fatalf("turned by %d: %+v, want %+v", turn, got, want)
		}
	}
}

func FuzzOrigin(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 0.0, 0.0, false)
	f.Add([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255}, math.Inf(1), math.NaN(), true)
	f.Fuzz(func(t *testing.T, b []byte, watched, reachable float64, closed bool) {
		var in []Sighting
		for chunk := range slices.Chunk(b, 9) {
			var at, rtt int64
			for i, c := range chunk {
				at = at<<7 ^ int64(c)<<(i%3)
				rtt = rtt<<4 - int64(c)
			}
			in = append(in, Sighting{Conn: int64(len(in) / 2), SeenAt: record.Time(at), RTT: time.Duration(rtt), PeerOpened: at&1 == 0, Place: []string{"", "DE", "tor"}[len(in)%3]})
		}
		checkSane(t, Origin(in, Model{Watched: watched, Reachable: reachable, Unreachable: reachable, Closed: closed}), len(in))
	})
}

func BenchmarkOrigin(b *testing.B) {
	in := wave(0, 3000)
	b.ReportAllocs()
	for b.Loop() {
		Origin(in, Model{Watched: 0.5})
	}
}
