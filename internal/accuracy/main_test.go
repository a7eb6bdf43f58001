package main

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/analyze"
	"btcsniff/analyze/likelihood"
	"btcsniff/internal/simnet"
)

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-networks", "-1"}, {"-reachable", "1"}, {"-txs", "x"}, {"file"}, {"-seed", "-4"}, {"-seed", "9999999999999999"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var stderr bytes.Buffer
			if err := run(args, io.Discard, &stderr); !errors.As(err, new(usageError)) || stderr.Len() == 0 {
				t.Errorf("run(%q) = %v, said %q; want a usage error that is explained", args, err, &stderr)
			}
		})
	}
}

// TestReport checks that the same seed gives the same figures, that another doesn't, and that they go into the page.
func TestReport(t *testing.T) {
	docs := t.TempDir()
	page := "before\n<!-- begin main -->\nold\n<!-- end main -->\nbetween\n<!-- begin reliability -->\n<!-- end reliability -->\nafter\n"
	if err := os.WriteFile(filepath.Join(docs, "accuracy.md"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	report := func(args ...string) string {
		var stdout bytes.Buffer
		if err := run(append([]string{"-networks", "2", "-reachable", "100", "-txs", "20"}, args...), &stdout, io.Discard); err != nil {
			t.Fatal(err)
		}
		return stdout.String()
	}
	first := report("-seed", "3")
	if diff := cmp.Diff(first, report("-seed", "3", "-docs", docs)); diff != "" {
		t.Errorf("the same seed again (-first +second):\n%s", diff)
	}
	if strings.ReplaceAll(report("-seed", "4"), "seed 4", "seed 3") == first {
		t.Error("another seed gives the same figures")
	}
	b, err := os.ReadFile(filepath.Join(docs, "accuracy.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "between\n", "after\n", "| watched | named |", "| 100 % | country, of all |", "| called |"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the page lacks %q:\n%s", want, b)
		}
	}
	if strings.Contains(string(b), "old") {
		t.Error("the page still has the old table")
	}
	for _, name := range []string{"accuracy.svg", "reliability.svg"} {
		svg, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil || !bytes.HasPrefix(svg, []byte("<svg ")) || !bytes.HasSuffix(svg, []byte("</svg>\n")) || bytes.Contains(svg, []byte("NaN")) {
			t.Errorf("%s: %v, %d bytes", name, err, len(svg))
		}
	}
}

// TestEstimators checks what docs/accuracy.md claims, on a network that nothing was learned from: the likelihood names nodes as well as the first
// announcer does, and countries better, and what it says of itself is true.
func TestEstimators(t *testing.T) {
	o := &options{seed: 77, networks: 3, reachable: 1000, txs: 100}
	m := o.measure(condition{cfg: simnet.Config{Reachable: o.reachable}, model: analyze.Model{Silent: true}}, o.networks)
	for i := range shares {
		r := &m.results[i]
		if r.node[weighed] < 0.9*r.node[naive]-2 {
			t.Errorf("%g watched: %v nodes named, the first announcer names %v", shares[i], r.node[weighed], r.node[naive])
		}
		if shares[i] < 0.5 && r.place[weighed] <= r.place[naive] {
			t.Errorf("%g watched: %v countries named, the first announcer names %v", shares[i], r.place[weighed], r.place[naive])
		}
		for what, tally := range map[string]*tally{"peers": &r.nodes, "countries": &r.places} {
			said, right, n := 0.0, 0.0, 0.0
			for g := range tally.cases {
				said, right, n = said+tally.estimated[g], right+tally.right[g], n+tally.cases[g]
			}
			// Four deviations of a sum of so many cases, and a fifth for what calibration can't know of one network.
			if off := math.Abs(said - right); off > 4*math.Sqrt(right+1)+0.2*right {
				t.Errorf("%g watched: %.1f %s said to be right, %.0f of %.0f were", shares[i], said, what, right, n)
			}
		}
	}
	all := &m.results[len(shares)-1]
	if k := all.ofWatched[weighed] / all.watched; k < 0.4 || k > 0.7 {
		t.Errorf("where all nodes are watched, %.2f of the watched origins are named; published and measured is about a half", k)
	}
}

// TestUnusual checks that where the network is not the usual one, in a way that a listener can see, peers are not called the origin more
// often than they are.
func TestUnusual(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  simnet.Config
	}{
		{"latencies three times as long", simnet.Config{Reachable: 500, Latency: 3}},
		{"timers twice as slow", simnet.Config{Reachable: 500, InboundMean: 10e9, OutboundMean: 4e9}},
		{"the observed node relays, and is taken for silent", simnet.Config{Reachable: 500, Relays: true}},
		{"few nodes", simnet.Config{Reachable: 250}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &options{seed: 78, txs: 75}
			m := o.measure(condition{cfg: c.cfg, model: analyze.Model{Silent: true}}, 2)
			r := &m.results[len(shares)-1]
			said := 0.0
			for g := range r.nodes.cases {
				said += r.nodes.estimated[g]
			}
			// Two deviations, and a tenth.
			if right := r.node[weighed]; said > 1.1*right+2*math.Sqrt(right+1) {
				t.Errorf("%.1f of %.0f peers said to be the origin, %.0f were", said, r.txs, right)
			}
		})
	}
}

// TestPrivate checks that the nodes that a private broadcast goes to, which nothing tells from an origin, are not called one for sure.
func TestPrivate(t *testing.T) {
	c := condition{cfg: simnet.Config{Seed: 5, Reachable: 300, Private: 1, Inbound: -1}, model: analyze.Model{Silent: true}}
	said, n := 0.0, 0
	c.evaluate(60, func(_ int, a answer) {
		if a.heard {
			said += a.probability
			n++
		}
	})
	if mean := said / float64(n); mean > 0.2 {
		t.Errorf("with private broadcast, peers are called the origin with %.2f on average, want at most 0.2", mean)
	}
}

// TestFit learns from examples whose odds are known.
func TestFit(t *testing.T) {
	var all []example
	for i := range 1000 {
		e := example{truth: -1, weight: 1, candidates: [][]term{{{weight: 0, value: 1}}}}
		if i%4 == 0 {
			e.truth = 0
		}
		all = append(all, e)
	}
	w := fit(all, io.Discard)
	if got, want := w[0], math.Log(1.0/3); math.Abs(got-want) > 0.01 {
		t.Errorf("weight = %.3f, want %.3f: odds of 1 to 3", got, want)
	}
}

func TestPoints(t *testing.T) {
	var got tally
	for _, c := range []struct {
		p          float64
		yes, cases int
	}{{0.01, 0, 100}, {0.12, 10, 100}, {0.22, 5, 100}, {0.95, 99, 100}, {0.85, 3, 5}} {
		for i := range c.cases {
			got.add(c.p, i < c.yes, 1)
		}
	}
	// Groups that fall are joined, with all of the few cases between them.
	want := likelihood.Calibration{{0.01, 0}, {(12 + 22 + 4.25) / 205, 18.0 / 205}, {0.95, 0.99}}
	if diff := cmp.Diff(want, got.points(), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
}

func TestInterval(t *testing.T) {
	for _, c := range []struct{ k, n, low, high float64 }{{0, 0, 0, 1}, {0, 10, 0, 0.2775}, {5, 10, 0.2366, 0.7634}, {10, 10, 0.7225, 1}} {
		if low, high := interval(c.k, c.n); math.Abs(low-c.low) > 1e-3 || math.Abs(high-c.high) > 1e-3 {
			t.Errorf("interval(%v, %v) = %.4f, %.4f, want %.4f, %.4f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}
