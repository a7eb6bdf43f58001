package postgres_test

import (
	"context"
	"fmt"

	"btcsniff/record"
	"btcsniff/sink/postgres"
)

// A capture is announced, its batches are written, and its end is told.
func Example() {
	ctx := context.Background()
	s, err := postgres.Open(ctx, "postgres://sniffer@db.example/btcsniff", postgres.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	c := &record.Capture{Sensor: "lab", Name: "eth0"}
	stored, err := s.Begin(ctx, c)
	fmt.Println(stored, err)
	added, err := s.Write(ctx, &record.Batch{Capture: c})
	fmt.Println(added, err)
	fmt.Println(s.End(ctx, c, &record.Ledger{}, nil))
}
