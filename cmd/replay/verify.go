package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"btcsniff/capture"
	"btcsniff/internal/cli"
	"btcsniff/internal/legible"
	"btcsniff/internal/pipeline"
	"btcsniff/internal/tshark"
	"btcsniff/record"
	"btcsniff/sink"
)

// caveats are tshark's known weaknesses (4.0 to 4.4). Source: Wireshark, epan/dissectors/packet-bitcoin.c; docs/fidelity.md has measurements.
const caveats = `Where the two differ, mind that tshark
- knows the magic of mainnet, testnet3 and regtest only: it finds nothing of testnet4, signet or simnet;
- verifies no checksum, so that what only it found may be no message at all;
- takes a transaction with witnesses for one without inputs; where it then calls a packet malformed, it may lose what follows in that stream;
- knows no txid (transactions are compared here by checksum and length) and shows nothing of what is in a cmpctblock;
- does not order segments unless its preference tcp.reassemble_out_of_order is set, and loses much where they are out of order;
- loses streams of which another dissector claims the port.
`

// A compared sink compares records with what tshark found.
type compared struct {
	*sink.Null
	with *tshark.Comparison
}

// Write implements sink.Sink.
func (c *compared) Write(_ context.Context, b *record.Batch) (uint64, error) {
	tshark.Each(b, c.with.Ours)
	return uint64(b.Len()), nil
}

// verify compares what replay finds with what tshark finds in the same captures, and writes to stdout who found what. It stores nothing. That
// they differ is no error: only reading the bytes would tell who is right.
func verify(ctx context.Context, opt *options, stdout io.Writer, log *slog.Logger) error {
	keys, err := opt.Keys()
	if err != nil {
		return err
	}
	src, err := capture.Open(opt.paths, capture.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	comparison := tshark.NewComparison()
	theirs := map[string]uint64{}
	odd := uint64(0)
	for _, c := range src.Captures() {
		log.Info(fmt.Sprintf("reading %s with tshark", cli.Plural(len(c.Files), "file")), "capture", c.Name)
		res, err := tshark.Read(ctx, c.Files, comparison.Theirs)
		if err != nil {
			return fmt.Errorf("capture %s: %w", c.Name, err)
		}
		for name, n := range res.Messages {
			theirs[name] += n
		}
		odd += res.Odd
	}
	queue := sink.NewQueue(ctx, &compared{sink.NewNull(), comparison}, sink.QueueOptions{Mixed: true})
	res, err := pipeline.Run(ctx, src, pipeline.Config{
		Sensor: opt.Sensor, Networks: opt.Networks, Local: opt.Local, Memory: opt.Memory, Workers: opt.Workers, V2Keys: keys,
		Outputs: []*sink.Queue{queue},
	})
	if closed := queue.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if odd > 0 {
		log.Warn(fmt.Sprintf("%s of tshark's could not be understood", cli.Plural(odd, "line")))
	}
	_, err = io.WriteString(stdout, comparisonText(comparison, res.Total().Messages, theirs))
	return err
}

// comparisonText says who found what.
func comparisonText(c *tshark.Comparison, ours map[string]record.Command, theirs map[string]uint64) string {
	var b, examples strings.Builder
	fmt.Fprintf(&b, "%-10s %12s %12s %14s %12s\n", "record", "both", "other time", "only btcsniff", "only tshark")
	for _, k := range tshark.Kinds() {
		s := c.Sides(k)
		fmt.Fprintf(&b, "%-10s %12s %12s %14s %12s\n", k, count(s.Both), count(s.OtherTime), count(s.Ours), count(s.Theirs))
		for _, side := range []struct {
			who  string
			list []tshark.Sighting
		}{{"btcsniff", s.OursFirst}, {"tshark", s.TheirsFirst}} {
			for _, e := range side.list {
				fmt.Fprintf(&examples, "only %-8s  %-7s  %v\n", side.who, k, e)
			}
		}
	}
	if examples.Len() > 0 {
		fmt.Fprintf(&b, "\nThe first of each:\n%s", examples.String())
	}
	fmt.Fprintf(&b, "\n%-12s %12s %12s\n", "message", "btcsniff", "tshark")
	names := map[string]uint64{}
	for name, n := range ours {
		names[name] = max(names[name], n.Messages)
	}
	for name, n := range theirs {
		names[name] = max(names[name], n)
	}
	for _, name := range slices.SortedFunc(maps.Keys(names), func(x, y string) int {
		return cmp.Or(cmp.Compare(names[y], names[x]), strings.Compare(x, y))
	}) {
		fmt.Fprintf(&b, "%-12s %12s %12s\n", legible.Text(name), count(ours[name].Messages), count(theirs[name]))
	}
	return b.String() + "\n" + caveats
}
