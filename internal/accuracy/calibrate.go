package main

import (
	"fmt"
	"io"
	"math/rand/v2"

	"btcsniff/analyze"
	"btcsniff/analyze/likelihood"
	"btcsniff/internal/simnet"
)

// Sizes of calibration. Its networks have seeds of their own, after those of training.
const (
	calibrateNetworks  = 40
	calibrateTxs       = 150
	calibrateReachable = 1000
)

// edges of the groups by what was estimated, for calibration and for the reliability diagram.
var edges = [...]float64{0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01}

// A tally counts, for each group, what was estimated and what was true.
type tally struct{ cases, estimated, right [len(edges) - 1]float64 }

func (t *tally) add(p float64, right bool, weight float64) {
	g := 0
	for g < len(edges)-2 && p >= edges[g+1] {
		g++
	}
	t.cases[g] += weight
	t.estimated[g] += p * weight
	if right {
		t.right[g] += weight
	}
}

func (t *tally) merge(u *tally) {
	for g := range t.cases {
		t.cases[g] += u.cases[g]
		t.estimated[g] += u.estimated[g]
		t.right[g] += u.right[g]
	}
}

// calibrate compares what the likelihood says with what is true, and fills that in.
func calibrate(t *likelihood.Table, relays bool, stdout io.Writer) {
	peers, places := make([]tally, calibrateNetworks), make([]tally, calibrateNetworks)
	parallel(calibrateNetworks, func(i int) {
		cfg := mixture(trainSeed+trainNetworks+uint64(i), relays)
		cfg.Reachable = calibrateReachable
		n := simnet.New(cfg)
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		for k := range uint64(calibrateTxs) {
			origin, weight := draw(n, k, rng)
			tx := n.Send(k, origin)
			for _, share := range shares {
				s := n.Sightings(tx, share)
				if len(s) == 0 {
					continue
				}
				v := analyze.OriginWith(t, s, analyze.Model{Watched: share, Peers: n.Peers(share)})
				peers[i].add(v.RawProbability, s[v.Peer].Peer == n.Peer(origin), weight)
				places[i].add(v.RawConfidence, v.Place == n.Place(origin), weight)
			}
		}
	})
	for i := range peers[1:] {
		peers[0].merge(&peers[1+i])
		places[0].merge(&places[1+i])
	}
	t.Peer, t.Place = peers[0].points(), places[0].points()
	fmt.Fprintf(stdout, "peers: %.3f\nplaces: %.3f\n", t.Peer, t.Place)
}

// points is the calibration: of each group that has enough cases, the mean of what was estimated, and how much of it was right. Where that
// falls, groups are joined (the pool-adjacent-violators algorithm: Ayer and others, 1955).
func (t *tally) points() likelihood.Calibration {
	const enough = 15
	type pool struct{ cases, estimated, right float64 }
	var pools []pool
	for g := range t.cases {
		if t.cases[g] == 0 {
			continue
		}
		pools = append(pools, pool{t.cases[g], t.estimated[g], t.right[g]})
		for n := len(pools); n > 1; n = len(pools) {
			a, b := pools[n-2], pools[n-1]
			if a.right/a.cases < b.right/b.cases && b.cases >= enough && a.cases >= enough {
				break
			}
			pools = append(pools[:n-2], pool{a.cases + b.cases, a.estimated + b.estimated, a.right + b.right})
		}
	}
	c := likelihood.Calibration{}
	for _, p := range pools {
		c = append(c, [2]float64{p.estimated / p.cases, p.right / p.cases})
	}
	return c
}
