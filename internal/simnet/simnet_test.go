package simnet

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSameSeed(t *testing.T) {
	cfg := Config{Seed: 4, Reachable: 200}
	a, b := New(cfg), New(cfg)
	a.Send(1, a.Origin(1)) // what was sent before doesn't matter
	x, y := a.Send(2, a.Origin(2)), b.Send(2, b.Origin(2))
	if diff := cmp.Diff(a.Sightings(x, 0.5), b.Sightings(y, 0.5)); diff != "" {
		t.Errorf("another run of the same seed (-first +second):\n%s", diff)
	}
	cfg.Seed++
	c := New(cfg)
	if diff := cmp.Diff(x.Learned, c.Send(2, x.Origin).Learned); diff == "" {
		t.Error("another seed: the same times")
	}
}

func TestTopology(t *testing.T) {
	n := New(Config{Seed: 1, Reachable: 300})
	if want := 1200; n.Nodes() != want {
		t.Fatalf("%d nodes, want %d", n.Nodes(), want)
	}
	tor := 0
	for i := range n.nodes {
		d := &n.nodes[i]
		if len(d.out) != fullRelay {
			t.Errorf("node %d has %d outbound connections, want %d", i, len(d.out), fullRelay)
		}
		for _, to := range d.out {
			if int(to) == i || int(to) >= n.Reachable() {
				t.Errorf("node %d is connected to %d", i, to)
			}
		}
		if n.Place(i) == "tor" {
			tor++
		}
	}
	for i, list := range n.inbound {
		if len(list) > mostInbound {
			t.Errorf("node %d has %d inbound connections, more than %d", i, len(list), mostInbound)
		}
	}
	if share := float64(tor) / float64(n.Nodes()); math.Abs(share-0.2) > 0.05 {
		t.Errorf("%.2f of the nodes are on Tor, want about 0.2", share)
	}
	if got := n.Peers(1); got != 300+32 {
		t.Errorf("%d peers where all are watched, want 332", got)
	}
	for _, i := range n.Opened() {
		if !n.Watched(i, 0) {
			t.Errorf("node %d, which opened a connection to the observer, is not watched", i)
		}
	}
}

// TestTimers compares the mean time of the origin's own announcement with the timer that it should have.
func TestTimers(t *testing.T) {
	n := New(Config{Seed: 3, Reachable: 60, Tor: -1, NoLimit: true})
	opened := n.Opened()
	for _, c := range []struct {
		name   string
		origin int
		mean   float64 // seconds
	}{
		{"the observer is inbound", 5, 5},
		{"the peer opened the connection", opened[0], 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			const txs = 800
			sum := 0.0
			for k := range uint64(txs) {
				for _, s := range n.Sightings(n.Send(k, c.origin), 1) {
					if s.Conn == int64(c.origin)+1 {
						sum += s.SeenAt.Sub(Start).Seconds()
					}
				}
			}
			// The deviation of an exponential distribution is its mean.
			if got := sum / txs; math.Abs(got-c.mean) > 4*c.mean/math.Sqrt(txs)+0.05 {
				t.Errorf("announced after %.2f s on average, want %.1f", got, c.mean)
			}
		})
	}
}

func TestSpread(t *testing.T) {
	const reachable = 150
	for _, c := range []struct {
		name   string
		cfg    Config
		origin int
		least  time.Duration // before which no other node has the transaction
		most   time.Duration // at which all have it
	}{
		{"from an unreachable node: whoever it tells waits before asking", Config{}, reachable + 7, 2 * time.Second, time.Minute},
		{"without that delay", Config{RequestDelay: -1}, reachable + 7, time.Millisecond, time.Minute},
		{"from a reachable node", Config{}, 7, time.Millisecond, time.Minute},
		{"private", Config{Private: 1}, 7, 2 * time.Second, 90 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Seed, c.cfg.Reachable = 2, reachable
			n := New(c.cfg)
			fastest := time.Hour
			for k := range uint64(20) {
				tx := n.Send(k, c.origin)
				if own := tx.Learned[c.origin]; (own == 0) == tx.Private {
					t.Errorf("the origin has it after %v, private: %v", own, tx.Private)
				}
				others := slices.Delete(slices.Clone(tx.Learned), c.origin, c.origin+1)
				fastest = min(fastest, slices.Min(others))
				if last := slices.Max(others); last > c.most {
					t.Errorf("the last node has it after %v, want at most %v", last, c.most)
				}
			}
			if fastest < c.least || fastest > c.least+3*time.Second {
				t.Errorf("the next node has it after %v at the least, want at least %v and not much more", fastest, c.least)
			}
		})
	}
}

func TestSightings(t *testing.T) {
	n := New(Config{Seed: 5, Reachable: 400})
	tx := n.Send(1, 3)
	half, all := n.Sightings(tx, 0.5), n.Sightings(tx, 1)
	if len(all) != n.Peers(1) || len(half) != n.Peers(0.5) {
		t.Errorf("%d and %d sightings, want %d and %d", len(all), len(half), n.Peers(1), n.Peers(0.5))
	}
	byConn := map[int64]int{}
	unknown := 0
	for i, s := range all {
		byConn[s.Conn] = i
		if i > 0 && s.SeenAt < all[i-1].SeenAt {
			t.Fatal("sightings are not in order of time")
		}
		if s.RTT == 0 {
			unknown++
		}
		if s.Peer != n.Peer(int(s.Conn)-1) || s.Place != n.Place(int(s.Conn)-1) {
			t.Errorf("sighting of %s in %s is not of node %d", s.Peer, s.Place, s.Conn-1)
		}
	}
	for _, s := range half {
		if diff := cmp.Diff(all[byConn[s.Conn]], s); diff != "" {
			t.Errorf("with half of the nodes watched (-all +half):\n%s", diff)
		}
	}
	if share := float64(unknown) / float64(len(all)); share > 0.12 || share == 0 {
		t.Errorf("%.2f of the peers without a round-trip time, want about 0.05", share)
	}
}

// TestRelays checks that an observer that relays hears less, and the same of what it hears.
func TestRelays(t *testing.T) {
	cfg := Config{Seed: 6, Reachable: 300}
	silent := New(cfg)
	cfg.Relays = true
	relays := New(cfg)
	a, b := silent.Sightings(silent.Send(1, 9), 1), relays.Sightings(relays.Send(1, 9), 1)
	if len(b) >= len(a)*3/4 || len(b) == 0 {
		t.Errorf("%d sightings where the observer relays, %d where it is silent: want fewer, and some", len(b), len(a))
	}
	if diff := cmp.Diff(a[0], b[0]); diff != "" {
		t.Errorf("first sighting (-silent +relays):\n%s", diff)
	}
}

// TestLimit checks that transactions of low rank wait when an inv is full, and only then.
func TestLimit(t *testing.T) {
	mean := func(cfg Config, rank float64) float64 {
		s := &spread{Network: New(cfg), rng: rand.New(rand.NewPCG(1, 1)), rank: rank}
		sum := 0.0
		for range 20_000 {
			sum += s.wait(5 * time.Second).Seconds()
		}
		return sum / 20_000
	}
	busy := Config{Reachable: 20, Rate: 12}
	free := Config{Reachable: 20, Rate: 12, NoLimit: true}
	if first, last, none := mean(busy, 0), mean(busy, 1), mean(free, 1); math.Abs(first-5) > 0.2 || last < 6 || math.Abs(none-5) > 0.2 {
		t.Errorf("means of %.2f s for the first rank, %.2f for the last, %.2f without a limit; want 5, clearly more, 5", first, last, none)
	}
}

func TestLatency(t *testing.T) {
	for _, c := range []struct {
		a, b        string
		least, most time.Duration // one way
	}{
		{"DE", "NL", 3 * time.Millisecond, 10 * time.Millisecond},
		{"DE", "US", 45 * time.Millisecond, 75 * time.Millisecond},
		{"GB", "NZ", 120 * time.Millisecond, 165 * time.Millisecond},
	} {
		got := fibre(countryIndex(c.a), countryIndex(c.b))
		if got < c.least || got > c.most || got != fibre(countryIndex(c.b), countryIndex(c.a)) {
			t.Errorf("latency from %s to %s = %v, want %v to %v, and the same back", c.a, c.b, got, c.least, c.most)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	n := New(Config{Seed: 1})
	k := uint64(0)
	for b.Loop() {
		n.Send(k, n.Origin(k))
		k++
	}
}
