package analyze_test

import (
	"fmt"
	"time"

	"btcsniff/analyze"
	"btcsniff/record"
)

func ExampleOrigin() {
	const start record.Time = 1_759_791_402_902_308
	sightings := []analyze.Sighting{
		{Conn: 1, Peer: "192.0.2.21:8333", Place: "NL", Network: "mainnet", Via: "inv", SeenAt: start, RTT: 10 * time.Millisecond},
		{Conn: 2, Peer: "203.0.113.44:8333", Place: "JP", Network: "mainnet", Via: "inv", SeenAt: start.Add(40 * time.Millisecond), RTT: 240 * time.Millisecond},
	}
	v := analyze.Origin(sightings, analyze.Model{Watched: 0.1, Silent: true})
	fmt.Println("heard first of:", sightings[v.First].Peer)
	fmt.Println("sent it first:", sightings[v.Corrected].Peer, "by", v.Lead)
	fmt.Println("probably began elsewhere:", v.Elsewhere > v.Probability)
	// Output:
	// heard first of: 192.0.2.21:8333
	// sent it first: 203.0.113.44:8333 by 75ms
	// probably began elsewhere: true
}
