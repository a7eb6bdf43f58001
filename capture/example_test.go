package capture_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"btcsniff/capture"
)

func Example() {
	src, err := capture.Open([]string{"../testdata/pcaps/socks/rotating"}, capture.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	packets := map[string]int{}
	var p capture.Packet
	for err = src.Next(context.Background(), &p); err == nil; err = src.Next(context.Background(), &p) {
		packets[src.Captures()[p.Capture].Name]++
	}
	if err != io.EOF {
		log.Fatal(err)
	}
	fmt.Println(packets)
	// Output: map[eth0:1383 lo:679]
}
