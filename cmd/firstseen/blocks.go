package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
	"btcsniff/record"
)

var blocksCommand = command{
	name:  "blocks",
	args:  "[HASH]",
	about: "Shows how blocks became known: by inv, headers, cmpctblock and block messages together",
	more: `Without HASH: the latest blocks, with who was first and how long it took until half and nine tenths of the peers that told of a block had
told. With HASH: every peer that told of that block, in order. Headers messages of more than 8 blocks are answers to a node that catches up
and don't count.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		q := &analyze.BlocksQuery{}
		timeFlags(fs, &q.Since, &q.Until, "what was told")
		fs.IntVar(&q.Limit, "limit", 10, "at most `N` blocks; default 10")
		return func(ctx context.Context, c *call) error {
			switch {
			case len(c.args) > 1:
				return cli.UsageError{Err: errors.New("want one block's hash at most")}
			case q.Limit < 1:
				return cli.UsageError{Err: fmt.Errorf("--limit %d: want a number above 0", q.Limit)}
			}
			if len(c.args) == 1 {
				q.Hash = c.args[0]
				if q.Hash == "" {
					return cli.UsageError{Err: errors.New("want a block's hash, 64 hexadecimal digits, or none")}
				}
			}
			return c.blocks(ctx, *q)
		}
	},
}

// blocks answers the command blocks.
func (c *call) blocks(ctx context.Context, q analyze.BlocksQuery) error {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := db.Blocks(ctx, q)
	switch {
	case errors.Is(err, analyze.ErrNoHash):
		return cli.UsageError{Err: fmt.Errorf("%q is no hash: want a block's, 64 hexadecimal digits", q.Hash)}
	case err != nil:
		return err
	case q.Hash == "":
		return c.printBlocks(list)
	case len(list) == 0:
		return fmt.Errorf("no peer told of block %s", q.Hash)
	}
	return c.printBlock(list)
}

// printBlocks prints a row for each block and sensor.
func (c *call) printBlocks(list []analyze.Block) error {
	if len(list) == 0 {
		c.none("no block: none was announced in that time")
	}
	t := c.table("", column{"hash", "block"}, column{"first_seen", "first seen"}, column{"lead_us", "lead"}, column{"via", "by"}, column{"peer", "first peer"}, column{"place", "where"},
		column{"peers", "peers"}, column{"half_us", "half"}, column{"nine_tenths_us", "nine tenths"}, column{"sensor", "sensor"}, column{"network", "network"})
	for i := range list {
		b := &list[i]
		first := &b.Announcers[0]
		var lead any
		if b.Lead >= 0 {
			lead = b.Lead
		}
		t.row(b.Hash, first.SeenAt, lead, first.Via, first.Peer, orNil(first.Place), len(b.Announcers), b.Half, b.Most, b.Sensor, orNil(b.Network))
	}
	return t.close()
}

// printBlock prints who told of one block, for each sensor.
func (c *call) printBlock(list []analyze.Block) error {
	t := c.table("", column{"hash", ""}, column{"sensor", "sensor"}, column{"rank", "#"}, column{"seen_at", "seen at"}, column{"behind_us", "behind"}, column{"peer", "peer"}, column{"place", "where"},
		column{"user_agent", "client"}, column{"via", ""}, column{"ways", "how, and how long after"}, column{"conn", ""})
	for i := range list {
		for rank, a := range list[i].Announcers {
			t.row(list[i].Hash, list[i].Sensor, rank+1, a.SeenAt, a.Behind, a.Peer, orNil(a.Place), orNil(a.UserAgent), a.Via, ways(a.SeenAt, a.Ways), connText(a.Conn))
		}
	}
	return t.close()
}

// ways lists how a connection told of a block: headers, block +12.345ms.
func ways(first record.Time, list []analyze.Way) string {
	var parts []string
	for _, w := range list {
		text := w.Via
		if after := w.SeenAt.Sub(first); after > 0 {
			text += " +" + after.Round(time.Microsecond).String()
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
