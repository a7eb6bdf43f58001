package main

import (
	"btcsniff/analyze"
	"btcsniff/internal/simnet"
)

// shares of the reachable nodes that are watched.
var shares = [...]float64{0.01, 0.1, 0.5, 1}

// A condition is a kind of network, and what the estimator is told of it.
type condition struct {
	name  string
	cfg   simnet.Config
	model analyze.Model
}

// An answer is what was said of one transaction, beside the truth.
type answer struct {
	watched   bool // a sighting is of the origin
	reachable bool // the origin accepts connections
	heard     bool // there was a sighting
	node      [3]bool
	place     [3]bool
	none      bool // the estimator says "elsewhere" is likelier than its peer
	onTor     bool

	probability, confidence       float64
	rawProbability, rawConfidence float64
}

// Estimators, as in answer.node and answer.place.
const (
	naive = iota
	corrected
	weighed
	estimators
)

var estimatorNames = [...]string{"first announcer", "latency-corrected", "likelihood"}

// evaluate sends so many transactions through a network, each from a random node, and asks for their origin at each share. It calls
// found for each answer.
func (c *condition) evaluate(txs int, found func(share int, a answer)) {
	n := simnet.New(c.cfg)
	for k := range uint64(txs) {
		tx := n.Send(k, n.Origin(k))
		for i, share := range shares {
			m := c.model
			m.Peers = n.Peers(share)
			if m.Watched == 0 {
				m.Watched = share
			}
			found(i, ask(n, tx, n.Sightings(tx, share), m))
		}
	}
}

// unknown as a Model's share says that the estimator isn't told.
const unknown = -1

func ask(n *simnet.Network, tx *simnet.Tx, s []analyze.Sighting, m analyze.Model) answer {
	if m.Watched == unknown {
		m.Watched = 0
	}
	a := answer{reachable: tx.Origin < n.Reachable(), heard: len(s) > 0, onTor: n.Place(tx.Origin) == "tor"}
	origin, place := n.Peer(tx.Origin), n.Place(tx.Origin)
	for i := range s {
		a.watched = a.watched || s[i].Peer == origin
	}
	v := analyze.Origin(s, m)
	if !a.heard {
		return a
	}
	for e, i := range [estimators]int{v.First, v.Corrected, v.Peer} {
		a.node[e] = s[i].Peer == origin
		a.place[e] = s[i].Place == place
	}
	a.place[weighed] = v.Place == place
	a.none = v.Elsewhere > v.Probability
	a.probability, a.confidence = v.Probability, v.Confidence
	a.rawProbability, a.rawConfidence = v.RawProbability, v.RawConfidence
	return a
}
