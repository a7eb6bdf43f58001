package pipeline_test

import (
	"context"
	"fmt"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/sink"
)

func Example() {
	ctx := context.Background()
	src, err := capture.Open([]string{"../../testdata/pcaps/mainnet/mainnet-handshakes.pcap"}, capture.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer src.Close()
	queue := sink.NewQueue(ctx, sink.NewNull(), sink.QueueOptions{})
	res, err := pipeline.Run(ctx, src, pipeline.Config{Outputs: []*sink.Queue{queue}})
	if err != nil {
		fmt.Println(err)
	}
	if err := queue.Close(); err != nil {
		fmt.Println(err)
	}
	ledger := res.Total()
	fmt.Println(ledger.PacketsRead, "packets,", ledger.Messages["ping"].Messages, "pings, closes:", ledger.Check() == nil)
	for _, l := range res.Local {
		fmt.Println("local:", l.Prefix.Addr(), l.Reason)
	}
	// Output:
	// 367 packets, 66 pings, closes: true
	// local: 192.0.2.10 has connections with 4 other addresses
}
