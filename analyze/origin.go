package analyze

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"btcsniff/analyze/likelihood"
)

// A Model is what Origin assumes of the network. Zero fields mean the default that each names.
type Model struct {
	// Watched is the share of the network's reachable nodes that the observed node is connected to and can be read, in (0, 1]. 0: Peers
	// over Reachable.
	Watched float64
	// Reachable is the number of nodes that accept connections; 20,000 (Bitnodes counted 21,515 in 2025).
	Reachable float64
	// Unreachable is how many nodes there are that don't, for each that does; 3 (Grundmann and others, "What Peer Announcements Tell
	// Us About the Size of the Bitcoin P2P Network", 2022: "at least three times").
	Unreachable float64
	// Peers is the number of connections over which an announcement could have been read; the number of sightings. Where the observed
	// node relays, many peers keep silent, because they heard of the transaction from it.
	Peers int
	// Silent says that the observed node announced the transaction to nobody, as one that only listens. Otherwise it is taken to
	// relay like Bitcoin Core. It is also where fewer than a third of Peers announced: one that only listens hears from nearly all.
	Silent bool
	// Closed says that there is no node but those that announced, as in a laboratory: one of them is the origin. The other fields above
	// don't matter then.
	Closed bool
	// Error is how much the one-way latency of a peer without a known round-trip time may be off, where too few others have one to tell;
	// 100 ms.
	Error time.Duration
}

// A Verdict says where a transaction probably began. Its indices are of the sightings that Origin was given, -1 for none.
type Verdict struct {
	Estimator string // likelihood; none: there was no sighting

	Peer        int     // the most likely to be where the transaction began
	Probability float64 // that it is, if the transaction was not sent by private broadcast, which can't be seen: at most 0.95
	Elsewhere   float64 // probability that it began at none of the early announcers, as at a node that is not watched

	Place      string  // the most likely origin's: a country, tor, ...; "": no peer's place is known
	Confidence float64 // that Place is right: at most 0.95

	First     int           // the first announcer, by capture time
	Corrected int           // the first with latency taken off
	Lead      time.Duration // from Corrected to the next, with latency taken off; 0: there is only one
	LeadError time.Duration // how much Lead may be off
	Ties      []int         // sightings that can't be told from Corrected within the error, itself not included; in order of time

	Assumed []string // what was not known and had to be assumed, in words for people

	// RawProbability and RawConfidence are Probability and Confidence as the likelihood has them, before they are calibrated.
	RawProbability, RawConfidence float64
}

// Limits of what Origin takes for true.
const (
	mostProbable  = 0.95            // no simulation should make anybody surer than this
	mostLatency   = 2 * time.Second // one way: a peer can delay its pongs, and so move its announcements into the past
	defaultError  = 100 * time.Millisecond
	defaultNodes  = 20_000
	defaultNATed  = 3
	learnedNodes  = 1000 // reachable nodes of the networks that likelihoods were calibrated with
	mostOfSilent  = 3    // peers for each that announced, of an observed node that only listens
	unseenPlaces  = 5.0  // peers' worth of places that no sighting is of
	estimatorName = "likelihood"
	noEstimator   = "none"
)

// Origin estimates at which node a transaction began, from the sightings of it: one for each connection, in any order, all of one
// transaction on one network. It weighs, for each of the early peers, how well the times of all fit to its having been the origin, under
// Bitcoin Core's timers, against the origin being none of them. (See docs/accuracy.md for the method, and for how often it is right.)
// It is a pure function: the same sightings give the same Verdict.
func Origin(sightings []Sighting, m Model) Verdict {
	if !m.Silent {
		return OriginWith(&likelihood.Relaying, sightings, m)
	}
	if few := len(sightings)*mostOfSilent < m.Peers; few && !m.closed(sightings) {
		v := OriginWith(&likelihood.Relaying, sightings, m)
		v.Assumed = append(v.Assumed, fmt.Sprintf("that others kept silent because they had it from the observed node, or have yet to announce it: %d of %d did", len(sightings), m.Peers))
		return v
	}
	return OriginWith(&likelihood.Silent, sightings, m)
}

// closed reports whether all nodes are watched, as they are taken to be on regtest and simnet, networks that people run for themselves.
func (m Model) closed(sightings []Sighting) bool {
	return m.Closed || len(sightings) > 0 && (sightings[0].Network == "regtest" || sightings[0].Network == "simnet")
}

// OriginWith is Origin with another table, for those who learn or check one.
func OriginWith(table *likelihood.Table, sightings []Sighting, m Model) Verdict {
	v := Verdict{Estimator: noEstimator, Peer: -1, First: -1, Corrected: -1, Elsewhere: 1}
	if len(sightings) == 0 {
		return v
	}
	m = m.withDefaults(sightings)
	arrivals := m.correct(sightings, &v)
	v.Estimator = estimatorName
	v.lead(arrivals)
	e := m.evidence(arrivals)
	p, elsewhere := table.Posterior(e.View, e.Prior, e.None)
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	v.Peer, v.RawProbability, v.Elsewhere = arrivals[best].index, p[best], elsewhere
	v.place(sightings, arrivals, p, elsewhere)
	v.Probability = min(table.Peer.At(v.RawProbability), mostProbable)
	v.Elsewhere = min(v.Elsewhere, 1-v.Probability)
	if v.Place != "" {
		v.Confidence = min(table.Place.At(v.RawConfidence), mostProbable)
	}
	return v
}

// Evidence is what Origin weighs, for those who learn or check the weights.
type Evidence struct {
	View        *likelihood.View // of the announcements by time, with latency taken off
	Index       []int            // of each one's sighting
	Prior, None float64          // probabilities, before anything was seen, of any one node and of none of those that announced
}

// Early returns what Origin weighs of sightings, of which there is at least one.
func Early(sightings []Sighting, m Model) Evidence {
	m = m.withDefaults(sightings)
	return m.evidence(m.correct(sightings, new(Verdict)))
}

func (m Model) evidence(arrivals []arrival) Evidence {
	var e Evidence
	watched := math.Abs(m.Watched)
	announcements := make([]likelihood.Announcement, len(arrivals))
	dialed := 0.0
	for i, a := range arrivals {
		announcements[i] = likelihood.Announcement{At: a.at, Latency: a.latency, Opened: a.opened, Anonymous: a.anonymous}
		e.Index = append(e.Index, a.index)
		if !a.opened {
			dialed++
		}
	}
	n, peers := float64(len(arrivals)), float64(m.Peers)
	if m.Closed {
		e.View, e.Prior = likelihood.NewView(announcements, 1), 1/n
		return e
	}
	reachable := peers * dialed / n / watched
	if dialed == 0 {
		reachable = m.Reachable
	}
	nodes := max(peers, reachable*(1+m.Unreachable)) // every node is as likely
	// That it is just this peer which looks like the origin is chance if it is none of them, the less likely the more peers there are.
	// The weights have that for networks of about learnedNodes.
	inbound := peers * (1 - dialed/n)
	odds := peers / (learnedNodes*watched + inbound)
	e.View, e.Prior, e.None = likelihood.NewView(announcements, watched), odds/nodes, max(1-peers/nodes, 0.01)
	return e
}

// withDefaults fills in what m leaves open.
func (m Model) withDefaults(sightings []Sighting) Model {
	m.Closed = m.closed(sightings)
	positive := func(v *float64, def float64) bool {
		ok := *v > 0 && !math.IsInf(*v, 1)
		if !ok {
			*v = def
		}
		return ok
	}
	m.Peers = max(m.Peers, len(sightings))
	positive(&m.Reachable, defaultNodes)
	positive(&m.Unreachable, defaultNATed)
	if !positive(&m.Watched, float64(m.Peers)/m.Reachable) {
		m.Watched = -min(m.Watched, 1) // marks it as assumed
	}
	m.Watched = min(m.Watched, 1)
	if m.Error <= 0 {
		m.Error = defaultError
	}
	return m
}

// An arrival is a sighting with its latency taken off.
type arrival struct {
	index             int     // of the sighting
	at                float64 // when the peer sent it: seconds since an arbitrary moment
	latency           float64 // that was taken off, in seconds
	err               float64 // how much at may be off, in seconds
	opened, anonymous bool
}

// correct takes half of each round-trip time off, a typical one where there is none, and sorts.
func (m Model) correct(sightings []Sighting, v *Verdict) []arrival {
	v.First = first(sightings)
	base := float64(sightings[v.First].SeenAt)
	usual := m.usual(sightings)
	arrivals := make([]arrival, len(sightings))
	for i := range sightings {
		s := &sightings[i]
		g := usual.of(s)
		latency, off := min(s.RTT/2, mostLatency), max(s.RTTError, 0)
		if s.RTT <= 0 {
			latency, off = g.latency, g.off
			g.used++
		}
		arrivals[i] = arrival{i, (float64(s.SeenAt)-base)/1e6 - latency.Seconds(), latency.Seconds(), off.Seconds(), s.PeerOpened, anonymous(s)}
	}
	slices.SortFunc(arrivals, func(a, b arrival) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(sightings[a.index].Conn, sightings[b.index].Conn), cmp.Compare(a.index, b.index))
	})
	v.assume(m, &usual, len(sightings))
	return arrivals
}

// anonymous reports whether a peer is reached over an anonymity network: it is far away, wherever it is.
func anonymous(s *Sighting) bool { return s.Place == "tor" || s.Place == "i2p" }

// A usual is the latency of peers of which none was measured: the median of the others'.
type usual struct {
	latency, off time.Duration
	used         int // times
}

// usuals are one for the peers on anonymity networks and one for the others, if there are enough of each to tell.
type usuals struct {
	all, clear, hidden usual
	known              int // peers with a round-trip time
	apart              bool
}

// enoughToTell is how many round-trip times must be known of peers of a kind, for their spread to be trusted.
const enoughToTell = 5

func (m Model) usual(sightings []Sighting) usuals {
	var all, clear, hidden []time.Duration
	for i := range sightings {
		s := &sightings[i]
		if s.RTT <= 0 {
			continue
		}
		latency := min(s.RTT/2, mostLatency)
		all = append(all, latency)
		if anonymous(s) {
			hidden = append(hidden, latency)
		} else {
			clear = append(clear, latency)
		}
	}
	return usuals{
		all: m.typical(all), clear: m.typical(clear), hidden: m.typical(hidden), known: len(all),
		apart: len(clear) >= enoughToTell && len(hidden) >= enoughToTell,
	}
}

func (g *usuals) of(s *Sighting) *usual {
	switch {
	case !g.apart:
		return &g.all
	case anonymous(s):
		return &g.hidden
	}
	return &g.clear
}

// typical is the median of latencies, and how far nine of ten are from it at the most.
func (m Model) typical(latencies []time.Duration) usual {
	n := len(latencies)
	if n == 0 {
		return usual{off: m.Error}
	}
	slices.Sort(latencies)
	g := usual{latency: latencies[n/2], off: m.Error}
	if n >= enoughToTell {
		far := make([]time.Duration, n)
		for i, l := range latencies {
			far[i] = (l - g.latency).Abs()
		}
		slices.Sort(far)
		g.off = far[n*9/10]
	}
	return g
}

func first(sightings []Sighting) int {
	best := 0
	for i := range sightings {
		a, b := &sightings[i], &sightings[best]
		if cmp.Or(cmp.Compare(a.SeenAt, b.SeenAt), cmp.Compare(a.Conn, b.Conn)) < 0 {
			best = i
		}
	}
	return best
}

// assume says what had to be assumed.
func (v *Verdict) assume(m Model, g *usuals, n int) {
	switch {
	case m.Closed:
		v.Assumed = append(v.Assumed, "that there is no node but those that announced")
	case m.Watched < 0:
		v.Assumed = append(v.Assumed, fmt.Sprintf("that %.3g %% of the network's reachable nodes are watched", -100*m.Watched))
	}
	if g.known == 0 {
		v.Assumed = append(v.Assumed, "that all peers are as far away: no round-trip time is known")
		return
	}
	for _, of := range []struct {
		usual
		what string
	}{{g.all, "without one"}, {g.clear, "without one that are not on Tor or I2P"}, {g.hidden, "without one that are on Tor or I2P"}} {
		if of.used > 0 {
			v.Assumed = append(v.Assumed, fmt.Sprintf("a round-trip time of %v for the %d of %d peers %s", (2*of.latency).Round(time.Millisecond), of.used, n, of.what))
		}
	}
}

// lead fills in who was first with latency taken off, and by how much.
func (v *Verdict) lead(arrivals []arrival) {
	a := arrivals[0]
	v.Corrected = a.index
	for i, b := range arrivals[1:] {
		if i == 0 {
			v.Lead, v.LeadError = seconds(b.at-a.at), seconds(a.err+b.err)
		}
		if b.at-a.at <= a.err+b.err {
			v.Ties = append(v.Ties, b.index)
		}
	}
}

// seconds is s as a Duration, of at most a century: peers' clocks don't come into it, but a broken capture's may.
func seconds(s float64) time.Duration {
	const century = 100 * 365.25 * 86400
	return time.Duration(math.Round(min(s, century)*1e6)) * time.Microsecond
}

// place adds up the probabilities of places. What began elsewhere is spread like the peers whose place is known.
func (v *Verdict) place(sightings []Sighting, arrivals []arrival, p []float64, elsewhere float64) {
	share := map[string]float64{}
	known := 0
	for i := range sightings {
		if sightings[i].Place != "" {
			share[sightings[i].Place]++
			known++
		}
	}
	if known == 0 {
		return
	}
	sum := map[string]float64{}
	for place, n := range share {
		sum[place] = elsewhere * n / (float64(known) + unseenPlaces)
	}
	for i := range p {
		if at := sightings[arrivals[i].index].Place; at != "" {
			sum[at] += p[i]
		}
	}
	for place, s := range sum {
		if v.Place == "" || s > v.RawConfidence || s == v.RawConfidence && place < v.Place {
			v.Place, v.RawConfidence = place, s
		}
	}
	v.RawConfidence = min(v.RawConfidence, 1)
}
