package keep_test

import (
	"context"
	"fmt"
	"os"

	"btcsniff/capture"
	"btcsniff/capture/keep"
)

func Example() {
	src, err := capture.Open([]string{"../../testdata/pcaps/ipv6/ipv6.pcap"}, capture.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	kept, err := keep.New(src, keep.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	var p capture.Packet
	for kept.Next(context.Background(), &p) == nil {
		continue // use p
	}
	fmt.Println(kept.Close(), kept.Kept().Packets)
	// Output: <nil> 931
}
