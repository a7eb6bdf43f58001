// Package likelihood weighs at which of the peers that announced a transaction early it began, against its having begun at none of them.
//
// The odds of a candidate are the product of its prior odds and of factors for what was seen: how long after the first it announced, and
// how long after it the next announcements came, up to the twentieth; each by the kind of connection and by the share of nodes that is
// watched. All factors change with how much slower than usual announcements come in, how far away the peers are and how many of them are
// on Tor, so that in a network where every lead is long, a long lead tells less. So the factors stand for the distribution of all these times under Bitcoin Core's timers, which has no closed form on a network
// with requests, delays and unreachable nodes. They are learned from simulated transactions whose origin is known (a conditional
// logit model: D. McFadden, "Conditional Logit Analysis of Qualitative Choice Behavior", 1974). The package knows neither
// sightings nor places: package analyze does.
package likelihood

import "math"

// An Announcement is the moment when a peer sent its announcement: its arrival less the latency.
type Announcement struct {
	At        float64 // seconds since any moment
	Latency   float64 // one way, in seconds, that was taken off
	Opened    bool    // the peer opened the connection, and so has a timer for it alone
	Anonymous bool    // the peer is reached over Tor or I2P, where nodes have a timer of its own for all inbound peers
}

// Candidates is how many of the earliest announcements are taken for the origin's.
const Candidates = 8

const (
	knots    = 9    // of functions of a time: one at 0, then at each doubling
	shortest = 0.05 // seconds to which the first knots are linear
	kinds    = 3    // of announcements: see Announcement.kind
	farKnots = 5    // of the function of a candidate's latency: at a quarter of the typical one, then at each doubling

	atKind    = 0
	atFar     = atKind + kinds
	atRank    = atFar + farKnots
	atDelay   = atRank + Candidates
	atMissing = atDelay + knots
	atGap     = atMissing + len(following)
	each      = atGap + kinds*len(following)*knots // weights for each watched share, and for each deviation
)

// Size is the number of weights.
const Size = (len(watchedKnots) + deviations) * each

var (
	// following says which of the announcements after a candidate's are looked at.
	following = [...]int{1, 2, 3, 5, 8, 12, 20}
	// watchedKnots are the shares of watched nodes, as natural logarithms, between which weights are interpolated: 1, 10, 40, 100 %.
	watchedKnots = [...]float64{-4.605, -2.303, -0.916, 0}
)

// Deviations of a network from a usual one, of which each changes all weights in proportion: it is 0 for the usual one.
const (
	slower     = iota // doublings of the time that announcements take to come in
	farther           // doublings of the latency
	anonymous         // thirds of the announcers that are reached over Tor or I2P, above the usual share
	deviations        // how many there are
)

// What is usual, as in the simulated networks that have Bitcoin Core's timers, today's countries and a fifth of nodes on Tor. What is
// learned makes up for it where this is not quite what is usual.
const (
	usualLatency   = 0.042 // seconds, the geometric mean
	usualAnonymous = 0.2
	mostDeviation  = 2  // doublings to which what was learned is applied
	enoughToTell   = 10 // announcements that make half of a deviation credible
)

// usualPace is the usual time from a tenth to half of the announcements of each kind, in seconds.
var usualPace = [kinds]float64{dialed: 3.5, overTor: 3.5, opened: 2.0}

// A View is what is weighed: the announcements of one transaction, and what they tell of the network.
type View struct {
	announcements []Announcement
	knot          int // of watchedKnots, below the watched share
	part          float64
	deviation     [deviations]float64
	scale         float64 // on times, so that the network is as fast as the usual one
}

// NewView looks at announcements, which are in order of time and not none; the View keeps them. watched is the share of the reachable
// nodes that is watched.
func NewView(a []Announcement, watched float64) *View {
	v := &View{announcements: a}
	v.knot, v.part = between(math.Log(max(watched, 1e-9)))
	n := float64(len(a))
	var at [kinds][]float64
	for i := range a {
		v.deviation[farther] += math.Log2(max(a[i].Latency, 1e-3)/usualLatency) / n
		if a[i].Anonymous {
			v.deviation[anonymous] += 3 / n
		}
		at[a[i].kind()] = append(at[a[i].kind()], a[i].At)
	}
	v.deviation[anonymous] -= 3 * usualAnonymous
	for kind, at := range at {
		if len(at) >= 4 {
			v.deviation[slower] += float64(len(at)) / n * slowness(at, usualPace[kind])
		}
	}
	for i := range v.deviation {
		v.deviation[i] = min(max(v.deviation[i], -mostDeviation), mostDeviation) * n / (n + enoughToTell)
	}
	v.scale = math.Exp2(-v.deviation[slower])
	return v
}

// slowness is how many doublings of the usual time it took from a tenth to half of the announcements. Where they stopped coming early, as at the
// end of a capture or because the observed node announced the transaction itself, they only look fast: the last tenth should need
// two to four times as long again, and all of a haste counts from two times on, none below one.
func slowness(at []float64, usual float64) float64 {
	n := len(at)
	took, rest := max(at[n/2]-at[n/10], 1e-2), at[n*9/10]-at[n/2]
	s := math.Log2(took / usual)
	if s < 0 {
		s *= min(max(rest/took-1, 0), 1)
	}
	return s
}

// Kinds of announcements.
const (
	dialed  = iota // the observed node opened the connection: the timer is that of the peer's inbound peers
	overTor        // so too, over Tor or I2P: all who heard at that moment are as far away
	opened         // the peer opened the connection
)

func (a *Announcement) kind() int {
	switch {
	case a.Opened:
		return opened
	case a.Anonymous:
		return overTor
	}
	return dialed
}

// A Term is one weight's factor in the logarithm of a candidate's odds.
type Term struct {
	Weight int
	Value  float64
}

// Terms appends candidate i's terms to dst.
func (v *View) Terms(dst []Term, i int) []Term {
	dst = v.appendTerms(dst, i, v.knot*each, 1-v.part)
	dst = v.appendTerms(dst, i, (v.knot+1)*each, v.part)
	for d, by := range v.deviation {
		dst = v.appendTerms(dst, i, (len(watchedKnots)+d)*each, by)
	}
	return dst
}

// between is the knot below log(watched), and how far that is on the way to the next.
func between(x float64) (k int, part float64) {
	for k < len(watchedKnots)-2 && x > watchedKnots[k+1] {
		k++
	}
	part = (x - watchedKnots[k]) / (watchedKnots[k+1] - watchedKnots[k])
	return k, min(max(part, 0), 1)
}

func (v *View) appendTerms(dst []Term, i, at int, by float64) []Term {
	if by == 0 {
		return dst
	}
	a := v.announcements
	kind := a[i].kind()
	dst = append(dst, Term{at + atKind + kind, by}, Term{at + atRank + min(i, Candidates-1), by})
	typical := usualLatency * math.Exp2(v.deviation[farther])
	dst = appendFunction(dst, math.Log2(max(a[i].Latency, 1e-3)/typical)+2, farKnots, at+atFar, by)
	if i > 0 {
		dst = appendTime(dst, v.scale*(a[i].At-a[0].At), at+atDelay, by)
	}
	for f, n := range following {
		if i+n >= len(a) {
			dst = append(dst, Term{at + atMissing + f, by})
			continue
		}
		dst = appendTime(dst, v.scale*(a[i+n].At-a[i].At), at+atGap+(kind*len(following)+f)*knots, by)
	}
	return dst
}

// appendTime appends the terms of a function of a time: it is linear in the time's logarithm between knots.
func appendTime(dst []Term, t float64, at int, by float64) []Term {
	return appendFunction(dst, math.Log2(max(t, 0)/shortest+1), knots, at, by)
}

// appendFunction appends the terms of a function that is linear between so many knots, at 0, 1, 2 and so on, and constant beyond.
func appendFunction(dst []Term, x float64, knots, at int, by float64) []Term {
	x = min(max(x, 0), float64(knots-1))
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
// together 1. prior is the probability that the origin is one certain node, before anything
// was seen; none that it is none of those that announced: 0 if that can't be.
func (t *Table) Posterior(v *View, prior, none float64) (p []float64, elsewhere float64) {
	p = make([]float64, min(len(v.announcements), Candidates))
	logs := make([]float64, len(p))
	most := math.Inf(-1)
	if none > 0 {
		most = math.Log(none)
	}
	var terms []Term
	for i := range p {
		terms = v.Terms(terms[:0], i)
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
