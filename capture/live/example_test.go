package live_test

import (
	"context"
	"fmt"
	"time"

	"btcsniff/capture"
	"btcsniff/capture/live"
)

// It needs the right to capture, so it is only compiled.
func Example() {
	src, err := live.Open(live.Config{Interfaces: []string{"eth0", "lo"}, Filter: "tcp port 8333"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer src.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var p capture.Packet
	for src.Next(ctx, &p) == nil {
		if p.Data != nil {
			fmt.Println(src.Captures()[p.Capture].Name, p.Time, p.Len)
		}
	}
	fmt.Println(src.Stats().Dropped, "dropped by the kernel")
}
