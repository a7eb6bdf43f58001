package spool_test

import (
	"context"
	"fmt"
	"os"

	"btcsniff/record"
	"btcsniff/sink"
	"btcsniff/sink/spool"
)

// away is a database that can't be reached.
type away struct{}

func (away) Begin(ctx context.Context, _ *record.Capture) (uint64, error) { return 0, wait(ctx) }
func (away) Write(ctx context.Context, _ *record.Batch) (uint64, error)   { return 0, wait(ctx) }
func (away) Blind(ctx context.Context, _ *record.Blind) error             { return wait(ctx) }
func (away) Close() error                                                 { return nil }
func (away) End(ctx context.Context, _ *record.Capture, _ *record.Ledger, _ []record.File) error {
	return wait(ctx)
}

func wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// While the database is away, records are kept in a folder.
func Example() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := spool.Open(ctx, away{}, spool.Options{Dir: dir, Place: "the lab's database", Patience: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	q := sink.NewQueue(ctx, s, sink.QueueOptions{})
	c := &record.Capture{Sensor: "lab", Name: "eth0", First: 1}
	lane := q.Lane(c)
	lane.Ping(record.Ping{Meta: record.Meta{Conn: &record.Conn{Capture: c}, SeenAt: 7}})
	cancel() // or wait until it is back
	fmt.Println(q.Close() != nil)
	d, _ := q.Deferred()
	fmt.Println(d.Records, "record waits for the next run")
	// Output:
	// true
	// 1 record waits for the next run
}
