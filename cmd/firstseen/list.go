package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
)

var listCommand = command{
	name:  "list",
	about: "Lists transactions by when they were first seen, with who was first and by how much",
	more:  `The latest come first. Leads are on one sensor's clock, over the second peer there; peers are counted at all sensors.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		q := &analyze.ListQuery{}
		timeFlags(fs, &q.Since, &q.Until, "only transactions first seen")
		placeFlag(fs, &q.Place, "country", "only where the first peer is in this `COUNTRY`")
		fs.StringVar(&q.Peer, "peer", "", "only where this `PEER` was first: an address, with or without port, or an onion name")
		fs.DurationVar(&q.MinLead, "min-lead", 0, "only where the lead over the second is at least `D`, as in 50ms")
		fs.IntVar(&q.Limit, "limit", 20, "at most `N` transactions; default 20")
		fs.BoolVar(&q.Oldest, "oldest", false, "begin with the oldest, not the latest")
		return func(ctx context.Context, c *call) error {
			switch {
			case q.Limit < 1:
				return cli.UsageError{Err: fmt.Errorf("--limit %d: want a number above 0", q.Limit)}
			case q.MinLead < 0:
				return cli.UsageError{Err: fmt.Errorf("--min-lead %v: want a time from 0, as in 50ms", q.MinLead)}
			}
			q.Peer, q.Place = peerAsStored(q.Peer), placeAsStored(q.Place)
			return c.list(ctx, *q)
		}
	},
}

// list answers the command list.
func (c *call) list(ctx context.Context, q analyze.ListQuery) error {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := db.List(ctx, q)
	if err != nil {
		return err
	}
	t := c.table("", column{"hash", "transaction"}, column{"first_seen", "first seen"}, column{"lead_us", "lead"}, column{"peer", "first peer"},
		column{"place", "where"}, column{"country", ""}, column{"asn", "AS"}, column{"organisation", ""}, column{"peers", "peers"},
		column{"sensor", "sensor"}, column{"network", "network"}, column{"conn", ""})
	for i := range list {
		f := &list[i]
		var lead any
		if f.Lead >= 0 {
			lead = f.Lead
		}
		t.row(f.Hash, f.SeenAt, lead, f.Peer, orNil(f.Place), orNil(f.Country), orNil(f.ASN), orNil(f.Organisation), f.Peers, f.Sensor, orNil(f.Network), connText(f.Conn))
	}
	if len(list) == 0 {
		c.none("no transaction: none is recorded that fits")
	}
	return t.close()
}

// peerAsStored is a peer's address as the database has it: without the brackets of an IPv6 address that stands alone.
func peerAsStored(s string) string {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return s[1 : len(s)-1]
	}
	return s
}

// placeAsStored is a place as the database has it: countries are capital letters, other places are not.
func placeAsStored(s string) string {
	if len(s) == 2 {
		return strings.ToUpper(s)
	}
	return strings.ToLower(s)
}
