package simnet

import (
	"math/rand/v2"
	"time"
)

// never is later than any time.
const never = time.Duration(1<<63 - 1)

// A Tx is one transaction's way through the network. All times are since its origin had it.
type Tx struct {
	Origin  int
	Private bool // sent by private broadcast
	// Learned is when each node had the transaction itself, by its number. A node that it didn't reach has the greatest Duration.
	Learned []time.Duration

	seed  uint64
	ticks [][networks]time.Duration // when each reachable node's timer for inbound peers sent it, by the network they come from
}

// Networks from which inbound peers come, each with a timer of its own.
const (
	clearnet = iota
	onion
	networks
)

// state is a node's while a transaction spreads.
type state struct{ requested bool }

// An event is a time at which something happens at a node: an announcement is ready to be asked for, or the transaction arrived.
type event struct {
	at         time.Duration
	node, from int32 // from less than 0: the transaction arrived
}

// Origin draws a node at which transaction number k begins: each node is as likely.
func (n *Network) Origin(k uint64) int {
	return rand.New(rand.NewPCG(n.cfg.Seed^0x9e3779b97f4a7c15, k)).IntN(len(n.nodes))
}

// Send lets transaction number k begin at a node, and spread until it reached all.
func (n *Network) Send(k uint64, origin int) *Tx {
	rng := rand.New(rand.NewPCG(n.cfg.Seed+2, k))
	tx := &Tx{Origin: origin, seed: rng.Uint64(), Learned: make([]time.Duration, len(n.nodes)), ticks: make([][networks]time.Duration, n.cfg.Reachable)}
	tx.Private = rng.Float64() < n.cfg.Private
	s := &spread{Network: n, tx: tx, rng: rng, way: newWay(n.cfg.Latency), rank: rng.Float64()}
	for i := range tx.Learned {
		tx.Learned[i] = never
		n.state[i] = state{}
	}
	n.queue = n.queue[:0]
	s.begin()
	for len(n.queue) > 0 {
		e := n.queue.pop()
		if e.from < 0 {
			s.learn(e.node, e.at)
		} else {
			s.request(e)
		}
	}
	return tx
}

// spread is one transaction on its way.
type spread struct {
	*Network
	tx   *Tx
	rng  *rand.Rand
	way  *way
	rank float64 // among the transactions that wait for the same inv: 0 goes first. Core sorts by fee rate
}

// begin hands the transaction to its origin, or, in private broadcast, to three reachable nodes over Tor connections that say nothing
// of the sender, whose own node then hears of it from others. Source: bitcoin/bitcoin#29415.
func (s *spread) begin() {
	if !s.tx.Private {
		s.state[s.tx.Origin].requested = true
		s.queue.push(event{node: int32(s.tx.Origin), from: -1})
		return
	}
	for range privatePeers {
		to := int32(s.rng.IntN(s.cfg.Reachable))
		s.state[to].requested = true
		s.queue.push(event{at: s.cfg.RequestDelay + 5*access(s.rng, true, s.cfg.Latency), node: to, from: -1})
	}
}

// latency is the one-way latency between two nodes, with a little jitter.
func (s *spread) latency(a, b *node) time.Duration {
	return s.way[a.country][b.country] + a.access + b.access + time.Duration(s.rng.ExpFloat64()*float64(time.Millisecond))
}

// learn gives a node the transaction, and schedules its announcements.
func (s *spread) learn(i int32, at time.Duration) {
	s.tx.Learned[i] = at
	d := &s.nodes[i]
	for _, to := range d.out {
		if !s.state[to].requested { // the peer is inbound there, so the other node waits before it asks
			s.queue.push(event{at + s.wait(s.cfg.OutboundMean) + s.latency(d, &s.nodes[to]) + s.cfg.RequestDelay, to, i})
		}
	}
	if int(i) >= s.cfg.Reachable {
		return
	}
	tick := &s.tx.ticks[i]
	tick[clearnet] = at + s.wait(s.cfg.InboundMean)
	tick[onion] = tick[clearnet]
	if !s.cfg.OneTimer {
		tick[onion] = at + s.wait(s.cfg.InboundMean)
	}
	for _, to := range s.inbound[i] {
		if !s.state[to].requested { // the peer is outbound there: it asks at once
			s.queue.push(event{tick[s.network(d, &s.nodes[to])] + s.latency(d, &s.nodes[to]), to, i})
		}
	}
}

// network is the one over which a node's inbound peer comes: Tor where either is on it.
func (s *spread) network(d, peer *node) int {
	if d.tor || peer.tor {
		return onion
	}
	return clearnet
}

// request asks for the transaction, where that isn't done yet: the request's way there, the transaction's way back, and the check.
func (s *spread) request(e event) {
	if s.state[e.node].requested {
		return
	}
	s.state[e.node].requested = true
	check := 2*time.Millisecond + time.Duration(s.rng.ExpFloat64()*float64(8*time.Millisecond))
	s.queue.push(event{e.at + 2*s.latency(&s.nodes[e.node], &s.nodes[e.from]) + check, e.node, -1})
}

// wait draws how long a transaction waits for a Poisson timer of the given mean to announce it. Where more transactions came since the
// timer's last time than one inv carries, those of low rank wait for the next.
func (s *spread) wait(mean time.Duration) time.Duration {
	m := mean.Seconds()
	delay := s.rng.ExpFloat64() * m
	if !s.cfg.NoLimit {
		pending := s.cfg.Rate * (delay + s.rng.ExpFloat64()*m)
		limit := inventoryRate * s.cfg.InboundMean.Seconds()
		for pending*s.rank > limit {
			more := s.rng.ExpFloat64() * m
			pending += s.cfg.Rate*more - limit
			delay += more
		}
	}
	return time.Duration(delay * float64(time.Second))
}

// A queue is a binary heap of events, the earliest first. (container/heap would box each event.)
type queue []event

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 && h[(i-1)/2].at > e.at {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() event {
	h := *q
	first, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	i := 0
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].at < h[c].at {
			c++
		}
		if h[c].at >= last.at {
			break
		}
		h[i] = h[c]
		i = c
	}
	if len(h) > 0 {
		h[i] = last
	}
	*q = h
	return first
}
