// Package likelihood weighs at which of the peers that announced a transaction early it began, against its having begun at none of them.
//
// The odds of a candidate are the product of its prior odds and of factors for what was seen: how long after the first it announced, and
// how long after it the next announcements came, up to the twentieth; each by the kind of connection and by the share of nodes that is
// watched. So the factors stand for the distribution of all these times under Bitcoin Core's timers, which has no closed form on a network
// with requests, delays and unreachable nodes. They are learned from simulated transactions whose origin is known (a conditional
// logit model: D. McFadden, "Conditional Logit Analysis of Qualitative Choice Behavior", 1974). The package knows neither
// sightings nor places: package analyze does.
package likelihood

import "math"

// An Announcement is the moment when a peer sent its announcement: its arrival less the latency.
type Announcement struct {
	At     float64 // seconds since any moment
	Opened bool    // the peer opened the connection, and so has a timer for it alone
}

// Candidates is how many of the earliest announcements are taken for the origin's.
const Candidates = 8

const (
	knots    = 9    // of functions of a time: one at 0, then at each doubling
	shortest = 0.05 // seconds to which the first knots are linear
	kinds    = 2    // of connections: dialed by the observed node, opened by the peer

	atKind    = 0
	atRank    = atKind + kinds
	atDelay   = atRank + Candidates
	atMissing = atDelay + knots
	atGap     = atMissing + len(following)
	each      = atGap + kinds*len(following)*knots // weights for each watched share
)

// Size is the number of weights.
const Size = len(watchedKnots) * each

var (
	// following says which of the announcements after a candidate's are looked at.
	following = [...]int{1, 2, 3, 5, 8, 12, 20}
	// watchedKnots are the shares of watched nodes, as natural logarithms, between which weights are interpolated: 1, 10, 40, 100 %.
	watchedKnots = [...]float64{-4.605, -2.303, -0.916, 0}
)

// A Term is one weight's factor in the logarithm of a candidate's odds.
type Term struct {
	Weight int
	Value  float64
}

// Terms appends candidate i's terms to dst. a is in order of time; watched is the share of the reachable nodes that is watched.
func Terms(dst []Term, a []Announcement, i int, watched float64) []Term {
	k, part := between(math.Log(max(watched, 1e-9)))
	dst = appendTerms(dst, a, i, k*each, 1-part)
	return appendTerms(dst, a, i, (k+1)*each, part)
}

// between is the knot below log(watched), and how far that is on the way to the next.
func between(x float64) (k int, part float64) {
	for k < len(watchedKnots)-2 && x > watchedKnots[k+1] {
		k++
	}
	part = (x - watchedKnots[k]) / (watchedKnots[k+1] - watchedKnots[k])
	return k, min(max(part, 0), 1)
}

func appendTerms(dst []Term, a []Announcement, i, at int, by float64) []Term {
	if by == 0 {
		return dst
	}
	kind := 0
	if a[i].Opened {
		kind = 1
	}
	dst = append(dst, Term{at + atKind + kind, by}, Term{at + atRank + min(i, Candidates-1), by})
	if i > 0 {
		dst = appendTime(dst, a[i].At-a[0].At, at+atDelay, by)
	}
	for f, n := range following {
		if i+n >= len(a) {
			dst = append(dst, Term{at + atMissing + f, by})
			continue
		}
		dst = appendTime(dst, a[i+n].At-a[i].At, at+atGap+(kind*len(following)+f)*knots, by)
	}
	return dst
}

// appendTime appends the terms of a function of a time: it is linear in the time's logarithm between knots.
func appendTime(dst []Term, t float64, at int, by float64) []Term {
	x := math.Log2(max(t, 0)/shortest + 1)
	x = min(x, knots-1)
	k := min(int(x), knots-2)
	part := x - float64(k)
	return append(dst, Term{at + k, by * (1 - part)}, Term{at + k + 1, by * part})
}

// A Table is what was learned for one kind of observer: the logarithms of the factors, and how what they say compares with the truth.
type Table struct {
	Weights [Size]float64
	Peer    Calibration // of the probability that the likeliest peer is the origin
	Place   Calibration // of the probability that the likeliest place is the origin's
}

// Posterior is the probability of each of the first announcements, Candidates at the most, to be the origin's, and that none of them is:
// together 1. a is in order of time and not empty. prior is the probability that the origin is one certain node, before anything
// was seen; none that it is none of those that announced: 0 if that can't be.
func (t *Table) Posterior(a []Announcement, watched, prior, none float64) (p []float64, elsewhere float64) {
	p = make([]float64, min(len(a), Candidates))
	logs := make([]float64, len(p))
	most := math.Inf(-1)
	if none > 0 {
		most = math.Log(none)
	}
	var terms []Term
	for i := range p {
		terms = Terms(terms[:0], a, i, watched)
		logs[i] = math.Log(prior)
		for _, term := range terms {
			logs[i] += t.Weights[term.Weight] * term.Value
		}
		most = max(most, logs[i])
	}
	sum := 0.0
	if none > 0 {
		elsewhere = math.Exp(math.Log(none) - most)
		sum = elsewhere
	}
	for i := range p {
		p[i] = math.Exp(logs[i] - most)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p, elsewhere / sum
}

// A Calibration says how often what is called so probable is true: points of both, rising.
type Calibration [][2]float64

// At is how often what is called p is true, with straight lines from 0 to the points and between them.
func (c Calibration) At(p float64) float64 {
	i := 0
	for i < len(c) && c[i][0] <= p {
		i++
	}
	switch {
	case len(c) == 0:
		return p
	case i == 0:
		return c[0][1] * max(p, 0) / c[0][0]
	case i == len(c):
		return c[i-1][1]
	}
	a, b := c[i-1], c[i]
	return a[1] + (b[1]-a[1])*(p-a[0])/(b[0]-a[0])
}
