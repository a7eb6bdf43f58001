package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
)

var peersCommand = command{
	name:  "peers",
	about: "Sums up each peer: how much it announces, how often it is first, how far away it is, and whether it only listens",
	more: `Without --since and --until it is about the latest stretch of time that has some 150,000 announcements, for an answer in about a
second. Delays are behind the first, and 0 for the first; they and the share of firsts are of transactions that nobody had told of
before that time, each on one sensor's clock. An address, or an onion name, is one peer, however many connections it has.
Round-trip times are of the last hour at least.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		q := &analyze.PeersQuery{}
		timeFlags(fs, &q.Since, &q.Until, "what peers did")
		fs.BoolVar(&q.ByConnection, "connections", false, "each connection by itself")
		limit := fs.Int("limit", 50, "at most `N` peers, those that were first most often; 0: all; default 50")
		return func(ctx context.Context, c *call) error {
			if *limit < 0 {
				return cli.UsageError{Err: fmt.Errorf("--limit %d: want a number from 0", *limit)}
			}
			return c.peers(ctx, *q, *limit)
		}
	},
}

// peers answers the command peers.
func (c *call) peers(ctx context.Context, q analyze.PeersQuery, limit int) error {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	list, span, err := db.Peers(ctx, q)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		c.none("no peer: none is recorded in that time")
		return c.peerTable(list).close()
	}
	all := len(list)
	if limit > 0 && all > limit {
		list = list[:limit]
	}
	c.say("from %s to %s (%.1f s): %s of %d", span.Since, span.Until, span.Until.Sub(span.Since).Seconds(), cli.Plural(uint64(len(list)), "peer"), all)
	c.say("")
	t := c.peerTable(list)
	for i := range list {
		addPeer(t, &list[i], span)
	}
	return t.close()
}

// peerTable shows people the sensor where there are several: each counts its peers for itself.
func (c *call) peerTable(list []analyze.Peer) *table {
	sensor := ""
	if slices.ContainsFunc(list, func(p analyze.Peer) bool { return p.Sensor != list[0].Sensor }) {
		sensor = "sensor"
	}
	return c.table("", column{"sensor", sensor}, column{"since", ""}, column{"until", ""},
		column{"peer", "peer"}, column{"place", "where"}, column{"country", ""}, column{"asn", "AS"}, column{"organisation", ""}, column{"user_agent", "client"},
		column{"network", ""}, column{"transport", "transport"}, column{"peer_opened", ""}, column{"connections", "conns"}, column{"watched_s", ""},
		column{"announced", ""}, column{"announced_per_hour", "announced/h"}, column{"transactions", ""}, column{"firsts", "firsts"}, column{"first_share", "first"},
		column{"delay_mean_us", "delay mean"}, column{"delay_median_us", "median"}, column{"pongs", "pongs"},
		column{"rtt_mean_us", "RTT mean"}, column{"rtt_median_us", "median"}, column{"rtt_variance_us2", ""}, column{"rtt_deviation_us", "deviation"},
		column{"offered", ""}, column{"asked", "asked"}, column{"signs", "signs"}, column{"conn", ""})
}

func addPeer(t *table, p *analyze.Peer, span analyze.Range) {
	var first, mean, median, rttMean, rttMedian, variance, deviation any
	if p.Transactions > 0 {
		first, mean, median = share(float64(p.Firsts)/float64(p.Transactions)), p.MeanDelay, p.MedianDelay
	}
	if p.Pongs > 0 {
		rttMean, rttMedian = p.MeanRTT, p.MedianRTT
	}
	if p.Pongs > 1 {
		variance, deviation = math.Round(p.RTTVariance), micros(math.Round(math.Sqrt(p.RTTVariance)))
	}
	perHour := math.Round(p.PerHour*10) / 10
	t.row(p.Sensor, span.Since, span.Until, p.Peer, orNil(p.Place), orNil(p.Country), orNil(p.ASN), orNil(p.Organisation), orNil(p.UserAgent),
		orNil(p.Network), orNil(p.Transport), p.PeerOpened, p.Connections, p.Watched.Seconds(),
		p.Announced, perHour, p.Transactions, p.Firsts, first, mean, median, p.Pongs, rttMean, rttMedian, variance, deviation,
		p.Offered, p.Asked, orNil(strings.Join(p.Signs, ", ")), connText(p.Conn))
}
