package decode_test

import (
	"fmt"
	"net/netip"

	"btcsniff/decode"
	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

func Example() {
	var batch record.Batch
	d := decode.New(decode.Config{Out: &batch})
	conn := d.Conn(&record.Conn{
		A: netip.MustParseAddrPort("192.0.2.1:51234"), B: netip.MustParseAddrPort("198.51.100.7:8333"), OpenerKnown: true,
	})
	inv := pcaptest.Mainnet.Inv(record.InvVect{Type: record.InvWTx, Hash: record.Hash{31: 0xab}})
	conn.Data(false, inv[:30], 1_700_000_000_000_001) // a message in two segments
	conn.Data(false, inv[30:], 1_700_000_000_000_009)
	conn.Close(record.ConnEnd{})

	r := batch.Invs[0]
	fmt.Println(r.From(), r.FirstByteAt, r.SeenAt)
	fmt.Println(batch.Vects[r.First].Type, batch.Vects[r.First].Hash)
	fmt.Println(d.Stats().Commands["inv"].Bytes, "bytes")
	// Output:
	// 192.0.2.1:51234 2023-11-14T22:13:20.000001Z 2023-11-14T22:13:20.000009Z
	// 5 ab00000000000000000000000000000000000000000000000000000000000000
	// 61 bytes
}
