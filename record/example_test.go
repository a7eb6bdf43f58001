package record_test

import (
	"fmt"
	"net/netip"

	"btcsniff/record"
)

func Example() {
	conn := &record.Conn{
		A: netip.MustParseAddrPort("198.51.100.7:50000"), B: netip.MustParseAddrPort("192.0.2.10:8333"), LocalB: true,
	}
	var b record.Batch
	b.Inv(record.Meta{Conn: conn, SeenAt: record.FromNanos(1759791402902308123)}, []record.InvVect{{Type: record.InvTx}})
	inv := &b.Invs[0]
	fmt.Println(inv.SeenAt, inv.From(), "to", inv.To(), "outbound:", inv.Outbound())
	// Output: 2025-10-06T22:56:42.902308Z 198.51.100.7:50000 to 192.0.2.10:8333 outbound: false
}
