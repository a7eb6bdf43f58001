package segment_test

import (
	"encoding/hex"
	"fmt"

	"btcsniff/segment"
)

func ExampleDissector_Packet() {
	packet, _ := hex.DecodeString("4500002d0001400040060000c0000201c6336402" +
		"208dc350000003e8000007d05018ffff00000000" + "68656c6c6f")
	var d segment.Dissector
	var s segment.Segment
	if reason := d.Packet(segment.LinkRaw, packet, len(packet), 0, &s); reason != segment.Found {
		fmt.Println(reason)
		return
	}
	fmt.Printf("%v > %v seq %d: %q\n", s.Src, s.Dst, s.Seq, s.Payload)
	// Output: 192.0.2.1:8333 > 198.51.100.2:50000 seq 1000: "hello"
}
