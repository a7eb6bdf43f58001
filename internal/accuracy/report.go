package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"btcsniff/analyze"
	"btcsniff/internal/simnet"
)

// conditions are the networks that are measured; the first is the one that the default figures are of.
func (o *options) conditions() []condition {
	list := []condition{{name: "as it was learned", model: analyze.Model{Silent: true}}}
	if o.full {
		silent := analyze.Model{Silent: true}
		list = append(list,
			condition{name: "the observed node relays", cfg: simnet.Config{Relays: true}},
			condition{name: "... and is taken for silent", cfg: simnet.Config{Relays: true}, model: silent},
			condition{name: "a silent one is taken to relay"},
			condition{name: "share of watched nodes not told", model: analyze.Model{Watched: unknown, Silent: true}},
			condition{name: "a tenth as many unreachable nodes", cfg: simnet.Config{Unreachable: 0.3}, model: silent},
			condition{name: "half of the nodes on Tor", cfg: simnet.Config{Tor: 0.5}, model: silent},
			condition{name: "latencies three times as long", cfg: simnet.Config{Latency: 3}, model: silent},
			condition{name: "two thirds on Tor, latencies doubled", cfg: simnet.Config{Tor: 0.67, Latency: 2}, model: silent},
			condition{name: "timers twice as slow", cfg: simnet.Config{InboundMean: 10e9, OutboundMean: 4e9}, model: silent},
			condition{name: "timers twice as fast", cfg: simnet.Config{InboundMean: 2.5e9, OutboundMean: 1e9}, model: silent},
			condition{name: "inbound peers asked at once", cfg: simnet.Config{RequestDelay: -1}, model: silent},
			condition{name: "300 reachable nodes", cfg: simnet.Config{Reachable: 300}, model: silent},
			condition{name: "4,000 reachable nodes", cfg: simnet.Config{Reachable: 4000}, model: silent},
			condition{name: "everything by private broadcast", cfg: simnet.Config{Private: 1}, model: silent},
		)
	}
	for i := range list {
		if list[i].cfg.Reachable == 0 {
			list[i].cfg.Reachable = o.reachable
		}
	}
	return list
}

// A result sums up the answers at one share.
type result struct {
	txs, watched, heard float64
	node, ofWatched     [estimators]float64 // named rightly
	place               [estimators]float64
	rightOrNone         float64 // the peer is right, or the origin isn't watched and "elsewhere" is said to be likelier
	nodes, places       tally   // what was estimated, and right
}

func (r *result) add(a answer) {
	r.txs++
	count := func(n *float64, is bool) {
		if is {
			*n++
		}
	}
	count(&r.watched, a.watched)
	count(&r.heard, a.heard)
	for e := range estimators {
		count(&r.node[e], a.node[e])
		count(&r.ofWatched[e], a.node[e] && a.watched)
		count(&r.place[e], a.place[e])
	}
	count(&r.rightOrNone, a.node[weighed] || a.none && !a.watched)
	if a.heard {
		r.nodes.add(a.probability, a.node[weighed], 1)
		r.places.add(a.confidence, a.place[weighed], 1)
	}
}

// measured are the results of a condition, by share.
type measured struct {
	condition
	results [len(shares)]result
}

// measure evaluates a condition on several networks.
func (o *options) measure(c condition, networks int) *measured {
	m := &measured{condition: c}
	parts := make([][len(shares)]result, networks)
	parallel(networks, func(i int) {
		one := c
		one.cfg.Seed = o.seed*1_000_003 + uint64(i)
		one.evaluate(o.txs, func(share int, a answer) { parts[i][share].add(a) })
	})
	for i := range parts {
		for s := range shares {
			m.results[s].merge(&parts[i][s])
		}
	}
	return m
}

func (r *result) merge(p *result) {
	r.txs, r.watched, r.heard, r.rightOrNone = r.txs+p.txs, r.watched+p.watched, r.heard+p.heard, r.rightOrNone+p.rightOrNone
	for e := range estimators {
		r.node[e] += p.node[e]
		r.ofWatched[e] += p.ofWatched[e]
		r.place[e] += p.place[e]
	}
	r.nodes.merge(&p.nodes)
	r.places.merge(&p.places)
}

// interval is Wilson's 95 % score interval of k successes in n (1927).
func interval(k, n float64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.96
	p := k / n
	middle, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, (middle-half)/(1+z*z/n)), min(1, (middle+half)/(1+z*z/n))
}

// percent writes a share with its interval.
func percent(k, n float64) string {
	if n == 0 {
		return "–"
	}
	low, high := interval(k, n)
	return fmt.Sprintf("%.1f (%.1f–%.1f)", 100*k/n, 100*low, 100*high)
}

// rows of a table; the first is its head.
type rows [][]string

// mainTable is the table of the default condition.
func (m *measured) mainTable() rows {
	t := rows{{"watched", "named", estimatorNames[naive], estimatorNames[corrected], estimatorNames[weighed]}}
	for i := range m.results {
		r := &m.results[i]
		line := func(what string, k [estimators]float64, n float64) {
			t = append(t, []string{fmt.Sprintf("%g %%", 100*shares[i]), what, percent(k[naive], n), percent(k[corrected], n), percent(k[weighed], n)})
		}
		line("node, of all", r.node, r.txs)
		line(fmt.Sprintf("node, of the %.0f with a watched origin", r.watched), r.ofWatched, r.watched)
		line("country, of all", r.place, r.txs)
		t = append(t, []string{"", "node, or rightly none of the watched", "–", "–", percent(r.rightOrNone, r.txs)})
	}
	return t
}

// otherTable has a line for each condition and for each of the larger shares: what was named, and what was expected to be.
func otherTable(all []*measured) rows {
	t := rows{{"network", "watched", "node: first", "node: likelihood", "said", "country: first", "country: likelihood", "said"}}
	for _, m := range all {
		for i := range shares {
			if shares[i] != 0.1 && shares[i] != 1 {
				continue
			}
			r := &m.results[i]
			t = append(t, []string{m.name, fmt.Sprintf("%g %%", 100*shares[i]),
				percent(r.node[naive], r.txs), percent(r.node[weighed], r.txs), r.nodes.said(),
				percent(r.place[naive], r.txs), percent(r.place[weighed], r.txs), r.places.said()})
		}
	}
	return t
}

// said is the mean of what was estimated, in percent.
func (t *tally) said() string {
	n, sum := 0.0, 0.0
	for g := range t.cases {
		n += t.cases[g]
		sum += t.estimated[g]
	}
	return fmt.Sprintf("%.1f", 100*sum/max(n, 1))
}

// reliability has a line for each group by what was estimated.
func reliability(nodes, places *tally) rows {
	t := rows{{"called", "peers so called", "right", "countries so called", "right"}}
	for g := range len(edges) - 1 {
		if nodes.cases[g]+places.cases[g] == 0 {
			continue
		}
		t = append(t, []string{fmt.Sprintf("%g to %g %%", 100*edges[g], 100*min(edges[g+1], 1)),
			fmt.Sprintf("%.0f", nodes.cases[g]), percent(nodes.right[g], nodes.cases[g]),
			fmt.Sprintf("%.0f", places.cases[g]), percent(places.right[g], places.cases[g])})
	}
	return t
}

// pool adds up the reliability over shares and conditions.
func pool(all []*measured) (nodes, places *tally) {
	nodes, places = new(tally), new(tally)
	for _, m := range all {
		for i := range m.results {
			nodes.merge(&m.results[i].nodes)
			places.merge(&m.results[i].places)
		}
	}
	return nodes, places
}

func (t rows) text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range t {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, cell)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func (t rows) markdown(b *bytes.Buffer) {
	for i, row := range t {
		for _, cell := range row {
			fmt.Fprintf(b, "| %s ", cell)
		}
		fmt.Fprint(b, "|\n")
		if i == 0 {
			for range row {
				fmt.Fprint(b, "| --- ")
			}
			fmt.Fprint(b, "|\n")
		}
	}
}
