package sink_test

import (
	"context"
	"log"
	"net/netip"
	"os"

	"btcsniff/record"
	"btcsniff/sink"
)

func ExampleNewJSON() {
	conn := &record.Conn{
		ID: 7, Capture: &record.Capture{Sensor: "lab"},
		A: netip.MustParseAddrPort("192.0.2.7:51234"), B: netip.MustParseAddrPort("198.51.100.1:8333"),
	}
	var b record.Batch
	b.Ping(record.Ping{Meta: record.Meta{Conn: conn, SeenAt: 1759791402_902308, FirstByteAt: 1759791402_902308}, Nonce: 42})
	if _, err := sink.NewJSON(os.Stdout).Write(context.Background(), &b); err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"record":"ping","seen_at":"2025-10-06T22:56:42.902308Z","first_byte_at":"2025-10-06T22:56:42.902308Z","from":"192.0.2.7:51234","to":"198.51.100.1:8333","conn":"7","sensor":"lab","network":"","outbound":false,"nonce":"42"}
}
