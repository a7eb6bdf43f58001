package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"btcsniff/internal/pcaptest"
)

// hostileAgent is a user agent that would run as a script, clear a terminal and turn text around, if anything let it.
const hostileAgent = "/<script>alert(1)</script><img src=//203.0.113.99/x onerror=alert(2)>\x1b[2J\u202e\"'&/"

// A gossip is a script in which many peers tell a node of transactions that spend each other, and answer its pings.
type gossip struct {
	*payments
	txs []*pcaptest.Tx
}

// newGossip makes one with as many peers and transactions, some five of these a second. The same arguments give the same script. Every seventh peer has
// no known place; the first has a hostile user agent; the last speaks what nobody can read.
func newGossip(peers, txs int, seed uint64) *gossip {
	rnd := rand.New(rand.NewPCG(seed, 1))
	g := &gossip{payments: &payments{&pcaptest.Script{Step: 100 * time.Microsecond}, map[string]*pcaptest.Conn{}, map[string]string{}}}
	countries := []string{"DE", "US", "US", "NL", "FR", "DE", "", "CA", "GB", "BR", "SG", "private"}
	var names []string
	for i := range peers {
		name := fmt.Sprintf("198.51.100.%d:8333", i+1)
		names = append(names, name)
		if place := countries[i%len(countries)]; place != "" {
			g.places[fmt.Sprintf("198.51.100.%d", i+1)] = place
		}
		c := g.Conn(name, "192.0.2.10:8333").Open()
		g.conns[name] = c
		switch i {
		case 0:
			greet(c, c.A, hostileAgent, 100)
		case peers - 1:
			c.A.Send(noise(rnd, 300))
			c.B.Send(noise(rnd, 300))
		default:
			greet(c, c.A, fmt.Sprintf("/Satoshi:2%d.0.0/", i%9), 100)
		}
	}
	g.tell(rnd, names[:peers-1], txs)
	return g
}

func noise(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// tell lets the peers announce, and answer a ping, at random moments.
func (g *gossip) tell(rnd *rand.Rand, names []string, txs int) {
	type event struct {
		at time.Duration
		do func()
	}
	var events []event
	begin := time.Second
	for i := range txs {
		from := []wire.OutPoint{elsewhere(uint32(i))}
		if i > 3 {
			from = append(from, out(g.txs[i-1-rnd.IntN(3)], uint32(rnd.IntN(2))))
		}
		tx := newTx(uint32(i), from, payment{int64(1000 + rnd.IntN(1e8)), byte(i), 'w'}, payment{int64(1 + rnd.IntN(1e9)), byte(i + 1), 'p'})
		g.txs = append(g.txs, tx)
		begin += time.Duration(rnd.ExpFloat64()*200*1000) * time.Microsecond
		order := rnd.Perm(len(names))
		if rnd.IntN(3) > 0 { // some peers are better connected than others
			order = append([]int{rnd.IntN(1 + len(names)/4)}, order...)
		}
		for k, peer := range order {
			at := begin
			if k > 0 {
				at += time.Duration(20+rnd.ExpFloat64()*1500) * time.Millisecond
			}
			events = append(events, event{at, func() { g.announce(names[peer], tx, rnd.IntN(2) == 0) }})
		}
		events = append(events, event{begin + 15*time.Millisecond, func() { g.send(names[order[0]], tx) }})
	}
	for i, name := range names {
		c := g.conns[name]
		at, rtt := time.Duration(rnd.IntN(5000))*time.Millisecond, time.Duration(5+5*rnd.ExpFloat64()*float64(i))*time.Millisecond
		events = append(events, event{at, func() { c.B.Send(pcaptest.Regtest.Ping(uint64(i + 1))) }}, event{at + rtt, func() { c.A.Send(pcaptest.Regtest.Pong(uint64(i + 1))) }})
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	now := time.Duration(g.Now())
	for _, e := range events {
		if wait := now + e.at - time.Duration(g.Now()); wait > 0 {
			g.Wait(wait)
		}
		e.do()
	}
	for _, name := range names[:len(names)/2] {
		g.conns[name].Close()
	}
}

// blind says that the capture could not see for a while, a quarter of the way into it.
func (g *gossip) blind(t *testing.T, d testDatabase) {
	t.Helper()
	from := time.Unix(0, pcaptest.Start).Add(time.Duration(g.Now()-pcaptest.Start) / 4).UTC().Truncate(time.Millisecond)
	db := d.open(t, true)
	defer db.Close()
	_, err := db.Exec(fmt.Sprintf("INSERT INTO blind (sensor, capture, from_at, to_at, reason, packets) SELECT sensor, id, '%s', '%s', 'kernel drops', 77 FROM capture",
		from.Format(time.RFC3339Nano), from.Add(2*time.Second).Format(time.RFC3339Nano)))
	if err != nil {
		t.Fatal(err)
	}
}
