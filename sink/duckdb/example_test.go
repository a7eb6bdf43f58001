package duckdb_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"

	"btcsniff/record"
	"btcsniff/sink/duckdb"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "btcsniff")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := duckdb.Open(filepath.Join(dir, "btcsniff.duckdb"))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	capture := &record.Capture{Sensor: "lab", Name: "eth0", First: 1759791402_902308}
	conn := &record.Conn{
		ID: 7, Capture: capture,
		A: netip.MustParseAddrPort("192.0.2.7:51234"), B: netip.MustParseAddrPort("198.51.100.1:8333"),
	}
	batch := &record.Batch{Capture: capture}
	batch.Ping(record.Ping{Meta: record.Meta{Conn: conn, SeenAt: 1759791402_902308, FirstByteAt: 1759791402_902308}, Nonce: 42})
	for range 2 {
		stored, err := s.Begin(context.Background(), capture)
		if err != nil {
			log.Fatal(err)
		}
		added, err := s.Write(context.Background(), batch)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(stored, "stored,", added, "added")
	}
	// Output:
	// 0 stored, 1 added
	// 1 stored, 0 added
}
