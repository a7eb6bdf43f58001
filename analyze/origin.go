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
	// relay like Bitcoin Core.
	Silent bool
	// Closed says that there is no node but those that announced, as in a laboratory: one of them is the origin. The other fields above
	// don't matter then.
	Closed bool
	// Error is how much the one-way latency of a peer without a known round-trip time may be off; 100 ms.
	Error time.Duration
}

// A Verdict says where a transaction probably began. Its indices are of the sightings that Origin was given, -1 for none.
type Verdict struct {
	Estimator string // likelihood; none: there was no sighting

	Peer        int     // the most likely to be where the transaction began
	Probability float64 // that it is: at most 0.95
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
	unseenPlaces  = 5.0 // peers' worth of places that no sighting is of
	estimatorName = "likelihood"
	noEstimator   = "none"
)

// Origin estimates at which node a transaction began, from the sightings of it: one for each connection, in any order, all of one
// transaction on one network. It weighs, for each of the early peers, how well the times of all fit to its having been the origin, under
// Bitcoin Core's timers, against the origin being none of them. (See docs/accuracy.md for the method, and for how often it is right.)
// It is a pure function: the same sightings give the same Verdict.
func Origin(sightings []Sighting, m Model) Verdict {
	table := &likelihood.Relaying
	if m.Silent {
		table = &likelihood.Silent
	}
	return OriginWith(table, sightings, m)
}

// OriginWith is Origin with another table, for those who learn or check one.
func OriginWith(table *likelihood.Table, sightings []Sighting, m Model) Verdict {
	v := Verdict{Estimator: noEstimator, Peer: -1, First: -1, Corrected: -1, Elsewhere: 1}
	if len(sightings) == 0 {
		return v
	}
	m = m.withDefaults(len(sightings), sightings[0].Network)
	arrivals := m.correct(sightings, &v)
	v.Estimator = estimatorName
	v.lead(arrivals)
	e := m.evidence(arrivals)
	p, elsewhere := table.Posterior(e.Announcements, e.Watched, e.Prior, e.None)
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
	Announcements []likelihood.Announcement // by time, with latency taken off
	Index         []int                     // of each one's sighting
	Watched       float64                   // share of the reachable nodes
	Prior, None   float64                   // probabilities, before anything was seen, of any one node and of none of those that announced
}

// Early returns what Origin weighs of sightings, of which there is at least one.
func Early(sightings []Sighting, m Model) Evidence {
	m = m.withDefaults(len(sightings), sightings[0].Network)
	return m.evidence(m.correct(sightings, new(Verdict)))
}

func (m Model) evidence(arrivals []arrival) Evidence {
	e := Evidence{Watched: math.Abs(m.Watched)}
	dialed := 0.0
	for _, a := range arrivals {
		e.Announcements = append(e.Announcements, likelihood.Announcement{At: a.at, Opened: a.opened})
		e.Index = append(e.Index, a.index)
		if !a.opened {
			dialed++
		}
	}
	n, peers := float64(len(arrivals)), float64(m.Peers)
	if m.Closed {
		e.Watched, e.Prior = 1, 1/n
		return e
	}
	reachable := peers * dialed / n / e.Watched
	if dialed == 0 {
		reachable = m.Reachable
	}
	nodes := max(peers, reachable*(1+m.Unreachable)) // every node is as likely
	e.Prior, e.None = 1/nodes, max(1-peers/nodes, 0.01)
	return e
}

// withDefaults fills in what m leaves open. On regtest and simnet, networks that people run for themselves, all nodes are watched.
func (m Model) withDefaults(n int, network string) Model {
	m.Closed = m.Closed || network == "regtest" || network == "simnet"
	positive := func(v *float64, def float64) bool {
		ok := *v > 0 && !math.IsInf(*v, 1)
		if !ok {
			*v = def
		}
		return ok
	}
	m.Peers = max(m.Peers, n)
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
	index  int     // of the sighting
	at     float64 // when the peer sent it: seconds since an arbitrary moment
	err    float64 // how much that may be off, in seconds
	opened bool
}

// correct takes half of each round-trip time off, the median where there is none, and sorts.
func (m Model) correct(sightings []Sighting, v *Verdict) []arrival {
	v.First = first(sightings)
	base := float64(sightings[v.First].SeenAt)
	var known []time.Duration
	for i := range sightings {
		if sightings[i].RTT > 0 {
			known = append(known, sightings[i].RTT)
		}
	}
	typical := time.Duration(0)
	if len(known) > 0 {
		slices.Sort(known)
		typical = known[len(known)/2]
	}
	arrivals := make([]arrival, len(sightings))
	for i := range sightings {
		s := &sightings[i]
		rtt, off := s.RTT, max(s.RTTError, 0)
		if rtt <= 0 {
			rtt, off = typical, m.Error
		}
		latency := min(rtt/2, mostLatency)
		arrivals[i] = arrival{i, (float64(s.SeenAt)-base)/1e6 - latency.Seconds(), off.Seconds(), s.PeerOpened}
	}
	slices.SortFunc(arrivals, func(a, b arrival) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(sightings[a.index].Conn, sightings[b.index].Conn), cmp.Compare(a.index, b.index))
	})
	v.assume(m, len(sightings), len(known), typical)
	return arrivals
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
func (v *Verdict) assume(m Model, n, known int, typical time.Duration) {
	switch {
	case m.Closed:
		v.Assumed = append(v.Assumed, "that there is no node but those that announced")
	case m.Watched < 0:
		v.Assumed = append(v.Assumed, fmt.Sprintf("that %.3g %% of the network's reachable nodes are watched", -100*m.Watched))
	}
	switch {
	case known == 0:
		v.Assumed = append(v.Assumed, "that all peers are as far away: no round-trip time is known")
	case known < n:
		v.Assumed = append(v.Assumed, fmt.Sprintf("a round-trip time of %v for the %d of %d peers without one", typical.Round(time.Millisecond), n-known, n))
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
