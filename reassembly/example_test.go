package reassembly_test

import (
	"fmt"
	"net/netip"

	"btcsniff/reassembly"
	"btcsniff/record"
	"btcsniff/segment"
)

// A printer prints what the first side of a connection sends.
type printer struct{}

func (printer) Data(_ bool, b []byte, seen record.Time) {
	fmt.Printf("%s, captured at %d µs\n", b, seen)
}
func (printer) Gap(_ bool, n int64)      { fmt.Printf("%d bytes missing\n", n) }
func (printer) Close(end record.ConnEnd) { fmt.Printf("closed: %d bytes\n", end.A.Bytes) }

func Example() {
	a := reassembly.New(reassembly.Config{
		Capture: &record.Capture{Sensor: "example"},
		NewConn: func(*record.Conn) reassembly.Conn { return printer{} },
	})
	s := segment.Segment{Src: netip.MustParseAddrPort("192.0.2.1:40001"), Dst: netip.MustParseAddrPort("192.0.2.2:8333")}
	s.Seq, s.Flags = 999, segment.SYN
	a.Segment(&s, 1, 1)
	s.Seq, s.Flags, s.Payload = 1006, segment.ACK, []byte("second")
	a.Segment(&s, 20, 2)
	s.Seq, s.Payload = 1000, []byte("first,")
	a.Segment(&s, 30, 3)
	a.Close()
	// Output:
	// first,, captured at 30 µs
	// second, captured at 20 µs
	// closed: 12 bytes
}
