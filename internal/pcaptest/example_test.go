package pcaptest_test

import (
	"fmt"
	"time"

	"btcsniff/internal/pcaptest"
)

func ExampleScript() {
	net := pcaptest.Regtest
	s := &pcaptest.Script{Layer: pcaptest.SLL2}
	c := s.Conn("192.0.2.1:50000", "198.51.100.2:8333").Open()
	ping := net.Ping(7)
	c.A.Send(ping[:10])
	s.Wait(time.Second)
	c.A.Send(ping[10:])
	c.A.At(0, ping) // the whole again
	c.B.Send(net.Pong(7))
	c.Close()
	for _, p := range s.Packets() {
		fmt.Println(p.Time-pcaptest.Start, p.Link, p.Len)
	}
	// Output:
	// 0 276 60
	// 1000000 276 60
	// 2000000 276 60
	// 3000000 276 70
	// 1004000000 276 82
	// 1005000000 276 92
	// 1006000000 276 92
	// 1007000000 276 60
	// 1008000000 276 60
	// 1009000000 276 60
}
