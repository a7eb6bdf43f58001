package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"btcsniff/analyze"
	"btcsniff/internal/pcaptest"
)

// asLines are crossings as told.crossings has them.
func asLines(list []analyze.Crossing) (lines []string) {
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d %d", c.From.TxID, c.To.TxID, c.From.Place, c.To.Place, c.Hops, c.Value))
	}
	slices.Sort(lines)
	return lines
}

// randomPayments has peers in several places, some unknown, and transactions that spend each other at random: some several times over,
// announced by txid or wtxid, captured once, twice or before those that they spend.
func randomPayments(seed uint64) *payments {
	r := rand.New(rand.NewPCG(seed, 7))
	places := map[string]string{}
	var peers []string
	for i, place := range []string{"NL", "DE", "US", "JP", "", "tor", "NL", "BR"} {
		peer := fmt.Sprintf("198.51.100.%d:8333", i+1)
		places[peer], peers = place, append(peers, peer)
	}
	p := newPayments(places)
	p.Step = 100 * time.Microsecond
	var txs []*pcaptest.Tx
	for i := range 60 {
		inputs := []wire.OutPoint{elsewhere(uint32(i))}
		for range r.IntN(4) {
			if len(txs) > 0 {
				tx := txs[r.IntN(len(txs))]
				inputs = append(inputs, out(tx, r.Uint32N(uint32(len(tx.TxOut)+1)))) // sometimes one that it doesn't have
			}
		}
		var outputs []payment
		for n := range 1 + r.IntN(3) {
			outputs = append(outputs, payment{r.Int64N(1e8), byte(i*3 + n), "wpd"[r.IntN(3)]})
		}
		tx := newTx(uint32(i), inputs, outputs...)
		txs = append(txs, tx)
		for _, n := range r.Perm(len(peers))[:1+r.IntN(len(peers)-1)] {
			p.announce(peers[n], tx, r.IntN(2) == 0)
		}
		if r.IntN(8) > 0 {
			p.send(peers[r.IntN(len(peers))], tx)
		}
		if late := r.IntN(len(txs)); r.IntN(8) == 0 {
			p.send(peers[r.IntN(len(peers))], txs[late])
		}
	}
	return p
}

// TestCrossingsAgree compares both databases with a computation on JSON lines that shares nothing with them.
func TestCrossingsAgree(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			p := randomPayments(seed)
			databases := testDatabases(t)
			all := readTold(t, p.store(t, databases...))
			for _, d := range databases {
				db := d.open(t, false)
				for _, hops := range []int{1, 2, 5} {
					got, basis, err := db.Crossings(t.Context(), analyze.CrossingQuery{Hops: hops})
					if err != nil {
						t.Fatal(err)
					}
					want := all.crossings(p.places, hops)
					if len(want) == 0 {
						t.Fatal("no crossings: the test tests nothing")
					}
					if diff := cmp.Diff(want, asLines(got)); diff != "" {
						t.Errorf("%s, %d hops: crossings differ (-want +got):\n%s", d.name, hops, diff)
					}
					if basis.Crossings != int64(len(want)) || basis.Capped {
						t.Errorf("%s, %d hops: basis = %+v, want %d crossings", d.name, hops, basis, len(want))
					}
				}
			}
		})
	}
}
