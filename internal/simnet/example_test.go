package simnet_test

import (
	"fmt"
	"time"

	"btcsniff/internal/simnet"
)

func Example() {
	net := simnet.New(simnet.Config{Seed: 7, Reachable: 300})
	tx := net.Send(2, 5)
	last := time.Duration(0)
	for _, at := range tx.Learned {
		last = max(last, at)
	}
	heard := net.Sightings(tx, 0.5)
	fmt.Printf("began in %s, everywhere in %v, heard of from %d of %d nodes\n", net.Place(tx.Origin), last.Round(time.Second), len(heard), net.Nodes())
	// Output: began in tor, everywhere in 11s, heard of from 191 of 1200 nodes
}
