package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"btcsniff/geo"
	"btcsniff/internal/cli"
)

var geoCommand = command{
	name:  "geo",
	about: "Says in which places peers are, or with --refresh looks all of them up again",
	more: "A refresh adds what the databases say under the date when they were built, and keeps what older ones said: a connection has the place\n" +
		"that was the latest when it opened, else the earliest that is known.",
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		refresh := fs.Bool("refresh", false, "look all peers up again, in the databases of --geoip")
		var files []string
		fs.Func("geoip", "a database `FILE` in MaxMind's format (.mmdb), of countries, cities or autonomous systems; may be given more than once", func(s string) error {
			files = append(files, s)
			return nil
		})
		return func(ctx context.Context, c *call) error {
			switch {
			case *refresh && len(files) == 0:
				return cli.UsageError{Err: errors.New("--refresh needs a database to look peers up in: give it with --geoip FILE")}
			case !*refresh && len(files) > 0:
				return cli.UsageError{Err: errors.New("--geoip is for --refresh: give both, or none to see what is stored")}
			case *refresh:
				return refreshPlaces(ctx, c, files)
			}
			return listPlaces(ctx, c)
		}
	},
}

// listPlaces prints how many peers are in each place.
func listPlaces(ctx context.Context, c *call) error {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	places, err := db.Places(ctx)
	if err != nil {
		return err
	}
	t := c.table("", column{"place", "place"}, column{"peers", "peers"}, column{"connections", "connections"},
		column{"earliest", "by databases of"}, column{"latest", "to"})
	for _, p := range places {
		t.row(p.Place, p.Peers, p.Connections, p.Earliest, p.Latest)
	}
	if len(places) == 0 {
		c.none("no place: no peer is recorded")
	}
	return t.close()
}

// refreshPlaces looks all peers up again and prints what changed: a row for each move from one country to another, and the sums for
// people.
func refreshPlaces(ctx context.Context, c *call, files []string) error {
	places, err := geo.Open(files...)
	if err != nil {
		return fmt.Errorf("--geoip: %w", err)
	}
	defer places.Close()
	db, err := c.openWrite(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.RefreshPlaces(ctx, places)
	if err != nil {
		return err
	}
	count := func(n int) string { return cli.Count(uint64(n)) }
	c.say("peers      %s looked up in databases of %v: %s in a country", count(r.Peers), places.AsOf(), count(r.Located))
	c.say("places     %s added, %s completed", count(r.Added), count(r.Completed))
	c.say("countries  %s changed, %s found, %s lost", count(r.Changed), count(r.Found), count(r.Lost))
	if len(r.Moves) > 0 || c.format != forPeople {
		t := c.table("", column{"from", "from"}, column{"to", "to"}, column{"peers", "peers"})
		for _, m := range r.Moves {
			t.row(orUnknown(m.From), orUnknown(m.To), m.Peers)
		}
		if err := t.close(); err != nil {
			return err
		}
	}
	return places.Err()
}

// orUnknown is nil for "".
func orUnknown(country string) any {
	if country == "" {
		return nil
	}
	return country
}
