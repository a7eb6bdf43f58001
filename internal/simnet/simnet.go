// Package simnet simulates how transactions spread through a Bitcoin network, and what an observer hears of it: nodes with countries
// and latencies, Bitcoin Core's topology, its relay timers and its request delays, and transactions whose origin is known. What it
// yields are the sightings that package analyze works on, so that an estimate can be compared with the truth. The same seed gives the
// same network and the same transactions.
//
// The rules are those of Bitcoin Core 28.1 (net_processing.cpp, net.h, node/txdownloadman.h), which hold in 29 to 31 too but for what
// a field of Config says.
package simnet

import (
	"math/rand/v2"
	"time"
)

// Bitcoin Core's rules.
const (
	inboundMean   = 5 * time.Second // net_processing.cpp, INBOUND_INVENTORY_BROADCAST_INTERVAL: one timer for all inbound peers
	outboundMean  = 2 * time.Second // net_processing.cpp, OUTBOUND_INVENTORY_BROADCAST_INTERVAL: a timer for each outbound peer
	inventoryRate = 14              // net_processing.cpp, INVENTORY_BROADCAST_PER_SECOND: times inboundMean, 70, is what one inv carries
	requestDelay  = 2 * time.Second // node/txdownloadman.h, NONPREF_PEER_TX_DELAY: before asking a peer that is not outbound
	fullRelay     = 8               // net.h, MAX_OUTBOUND_FULL_RELAY_CONNECTIONS
	blockOnly     = 2               // net.h, MAX_BLOCK_RELAY_ONLY_CONNECTIONS: they take a place and carry no transactions
	mostInbound   = 125 - fullRelay - blockOnly - 1
	// 125 is net.h, DEFAULT_MAX_PEER_CONNECTIONS; 1 is MAX_FEELER_CONNECTIONS.
	privatePeers = 3 // private_broadcast.h (Bitcoin Core 31), NUM_PRIVATE_BROADCAST_PER_TX
)

// A Config describes a network and its observer. Zero fields mean the default that each names.
type Config struct {
	Seed        uint64
	Reachable   int     // nodes that accept connections; 1,000
	Unreachable float64 // nodes that don't, for each that does; 3 (Grundmann and others 2022: "at least three times")
	Tor         float64 // share of nodes that are on Tor only; 0.2; less than 0: none
	Observer    string  // country of the observer; DE
	Inbound     int     // unreachable nodes that are connected to the observer; as many as to any reachable node; less than 0: none
	Private     float64 // share of transactions that their node sends by private broadcast (Bitcoin Core 31); 0
	Relays      bool    // the observed node relays: peers that heard of a transaction from it don't announce that to it
	OneTimer    bool    // one timer for all inbound peers, as in Core before it had one for each network that they come from
	NoLimit     bool    // no limit on what one inv carries, as where Bitcoin Core 32's token buckets (burst 420, 14 a second) never run dry
	Rate        float64 // transactions a second in the whole network, which fill up inv messages; 7; 13 at most
	Latency     float64 // factor on all latencies; 1
	// Means of the timers and the delay before asking an inbound peer, where they are not Bitcoin Core's. Of RequestDelay, less than
	// 0 means none.
	InboundMean, OutboundMean, RequestDelay time.Duration
}

func (c Config) withDefaults() Config {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	mean := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Reachable <= 0 {
		c.Reachable = 1000
	}
	def(&c.Unreachable, 3)
	def(&c.Tor, 0.2)
	def(&c.Rate, 7)
	def(&c.Latency, 1)
	mean(&c.InboundMean, inboundMean)
	mean(&c.OutboundMean, outboundMean)
	mean(&c.RequestDelay, requestDelay)
	c.Rate = min(c.Rate, inventoryRate-1) // or the last in rank would wait for ever
	c.Unreachable, c.Tor, c.RequestDelay = max(c.Unreachable, 0), max(c.Tor, 0), max(c.RequestDelay, 0)
	if c.Observer == "" {
		c.Observer = "DE"
	}
	if c.Inbound == 0 {
		c.Inbound = int(fullRelay * (1 + c.Unreachable))
	}
	c.Inbound = min(max(c.Inbound, 0), int(c.Unreachable*float64(c.Reachable)))
	return c
}

// A Network is a set of nodes and their connections. It may be used by one goroutine.
type Network struct {
	cfg      Config
	nodes    []node // the reachable ones come first
	inbound  [][]int32
	observer node
	opened   []int32 // nodes that opened a connection to the observer
	queue    queue
	state    []state
}

// A node is one running Bitcoin program.
type node struct {
	country int32         // index of countries
	tor     bool          // on Tor only
	access  time.Duration // one way, from the node to its country's network, or through Tor
	watch   float64       // the node is watched if the share of watched nodes is greater
	out     []int32       // outbound connections that relay transactions
}

// New makes a network.
func New(cfg Config) *Network {
	cfg = cfg.withDefaults()
	rng := rand.New(rand.NewPCG(cfg.Seed, 1))
	total := cfg.Reachable + int(float64(cfg.Reachable)*cfg.Unreachable)
	n := &Network{cfg: cfg, nodes: make([]node, total), inbound: make([][]int32, cfg.Reachable), state: make([]state, total)}
	places := newPlaces()
	for i := range n.nodes {
		n.nodes[i] = node{country: places.draw(rng), tor: rng.Float64() < cfg.Tor, watch: rng.Float64()}
		n.nodes[i].access = access(rng, n.nodes[i].tor, cfg.Latency)
	}
	n.observer = node{country: countryIndex(cfg.Observer), access: time.Duration(float64(time.Millisecond) * cfg.Latency)}
	n.connect(rng)
	for _, i := range rng.Perm(total - cfg.Reachable)[:cfg.Inbound] {
		n.opened = append(n.opened, int32(cfg.Reachable+i))
	}
	return n
}

// connect opens each node's outbound connections, to random reachable nodes that have a place left. A node on Tor can reach all, one
// in five of the others can reach those on Tor.
func (n *Network) connect(rng *rand.Rand) {
	const viaProxy = 0.2
	want := min(fullRelay, n.cfg.Reachable-1)
	for i := range n.nodes {
		d := &n.nodes[i]
		proxy := d.tor || rng.Float64() < viaProxy
		for tries := 0; len(d.out) < want && tries < 50*fullRelay; tries++ {
			to := int32(rng.IntN(n.cfg.Reachable))
			if int(to) == i || len(n.inbound[to]) >= mostInbound || n.nodes[to].tor && !proxy || contains(d.out, to) {
				continue
			}
			d.out = append(d.out, to)
			n.inbound[to] = append(n.inbound[to], int32(i))
		}
	}
}

func contains(list []int32, v int32) bool {
	for _, w := range list {
		if v == w {
			return true
		}
	}
	return false
}

// Nodes is the number of all nodes; Reachable of those that accept connections, which have the first numbers.
func (n *Network) Nodes() int     { return len(n.nodes) }
func (n *Network) Reachable() int { return n.cfg.Reachable }

// Opened are the nodes that opened a connection to the observer.
func (n *Network) Opened() []int {
	list := make([]int, len(n.opened))
	for i, v := range n.opened {
		list[i] = int(v)
	}
	return list
}

// Peers is how many connections the observer has, where it watches a share of the reachable nodes.
func (n *Network) Peers(share float64) int {
	count := len(n.opened)
	for i := range n.cfg.Reachable {
		if n.nodes[i].watch < share {
			count++
		}
	}
	return count
}

// Place is where node i is: a country, or tor.
func (n *Network) Place(i int) string {
	if n.nodes[i].tor {
		return torPlace
	}
	return countries[n.nodes[i].country].iso
}

// Peer is node i's name in sightings: an address of the range for documentation (RFC 3849), or an onion name.
func (n *Network) Peer(i int) string { return n.peer(i).String() }

// Watched reports whether node i is watched where a share of the reachable nodes is. What is watched at a smaller share is watched at
// a larger.
func (n *Network) Watched(i int, share float64) bool {
	if i < n.cfg.Reachable {
		return n.nodes[i].watch < share
	}
	return contains(n.opened, int32(i))
}
