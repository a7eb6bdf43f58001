package simnet

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"btcsniff/analyze"
	"btcsniff/record"
)

// Start is when every transaction begins, in capture time: 2025-10-06 22:56:42 UTC.
const Start record.Time = 1_759_791_402_000_000

// Sightings are what the observer hears of tx, as analyze.Origin takes it: the announcements of the watched share of the reachable
// nodes, whose inbound peer the observer is, and of the nodes that are connected to it; in order of time. The observer measured most
// round-trip times by ping, some by handshake, a few not at all.
func (n *Network) Sightings(tx *Tx, share float64) []analyze.Sighting {
	// Every node draws alike at every share, so that shares differ in nothing else.
	s := &spread{Network: n, tx: tx, way: newWay(n.cfg.Latency)}
	var list []analyze.Sighting
	for i := range n.cfg.Reachable {
		if n.nodes[i].watch < share && tx.Learned[i] != never {
			s.rng = rand.New(rand.NewPCG(tx.seed, uint64(i)))
			list = append(list, s.sighting(i, tx.ticks[i][s.network(&n.nodes[i], &n.observer)], false))
		}
	}
	for _, i := range n.opened {
		if tx.Learned[i] != never {
			s.rng = rand.New(rand.NewPCG(tx.seed, uint64(i)))
			s.rank = s.rng.Float64()
			list = append(list, s.sighting(int(i), tx.Learned[i]+s.wait(n.cfg.OutboundMean), true))
		}
	}
	slices.SortFunc(list, func(a, b analyze.Sighting) int {
		return cmp.Or(cmp.Compare(a.SeenAt, b.SeenAt), cmp.Compare(a.Conn, b.Conn))
	})
	if n.cfg.Relays {
		list = n.silenced(tx, list)
	}
	return list
}

// sighting is that of an announcement which node i sent at the given time.
func (s *spread) sighting(i int, sent time.Duration, opened bool) analyze.Sighting {
	d := &s.nodes[i]
	lat := s.latency(d, &s.observer)
	v := analyze.Sighting{
		Conn: int64(i) + 1, Peer: s.Peer(i), Place: s.Place(i), Network: "mainnet", PeerOpened: opened, Via: "inv", SeenAt: Start.Add(sent + lat),
	}
	jitter := time.Duration(s.rng.ExpFloat64() * float64(2*time.Millisecond))
	switch u := s.rng.Float64(); {
	case u < 0.05:
	case u < 0.15:
		v.RTT, v.RTTSource, v.RTTError = 2*lat+2*jitter, "handshake", 10*time.Millisecond
	default:
		v.RTT, v.RTTSource, v.RTTError = 2*lat+jitter, "ping", 5*time.Millisecond
	}
	return v
}

// silenced takes out what peers don't announce because the observed node announced it to them first: it asks for the transaction as
// Bitcoin Core does, and announces it with the same timers.
func (n *Network) silenced(tx *Tx, list []analyze.Sighting) []analyze.Sighting {
	rng := rand.New(rand.NewPCG(tx.seed, 1<<40))
	has := record.Time(1<<63 - 1)
	for i := range list {
		at := list[i].SeenAt.Add(2 * list[i].RTT / 2)
		if list[i].PeerOpened {
			at = at.Add(n.cfg.RequestDelay)
		}
		has = min(has, at)
	}
	inbound := has.Add(time.Duration(rng.ExpFloat64() * float64(n.cfg.InboundMean)))
	return slices.DeleteFunc(list, func(v analyze.Sighting) bool {
		told := inbound
		if !v.PeerOpened {
			told = has.Add(time.Duration(rng.ExpFloat64() * float64(n.cfg.OutboundMean)))
		}
		return told.Add(v.RTT/2) < v.SeenAt.Add(-v.RTT/2)
	})
}
