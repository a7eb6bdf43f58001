package sinktest_test

import (
	"context"
	"fmt"
	"log"

	"btcsniff/sink"
	"btcsniff/sink/sinktest"
)

func ExampleTraffic() {
	traffic := sinktest.Traffic{Sensor: "lab", Messages: 1000, Size: 17, Conns: 100, Txs: 500, Batch: 10_000}
	var s sink.Sink = sink.NewNull()
	var total uint64
	for b := range traffic.Batches(traffic.Capture()) {
		added, err := s.Write(context.Background(), b)
		if err != nil {
			log.Fatal(err)
		}
		total += added
	}
	fmt.Println(total, "of", traffic.Announcements())
	// Output: 17000 of 17000
}
