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

var crossingsCommand = command{
	name:  "crossings",
	about: "Lists transactions first seen from one country whose coins one first seen from another country spends",
	more: `Both transactions must have been captured themselves (tx messages), and each be first seen from a peer whose place is known: see --geoip of
replay and sniff. A crossing is where the coins were announced from, which need not be where their owners are: the first announcer
often is not the origin (docs/accuracy.md), and what seems to be change is a guess (docs/crossings.md). All of it was seen in the
mempool: whether a transaction was confirmed is in no record.

Without --since and --until, of more than 20,000 tx messages it is about the newest 5,000 alone, for an answer in about a second (with --hops
above 1, of more than 10,000 about the newest 2,500); what their transactions spend may be of any time.

Of each end there is the place of the peer that was first, its lead, how many peers can't be told from it within the error of their
latencies, how many announced the transaction, and where it began most likely, with the confidence in that.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		var q analyze.CrossingQuery
		timeFlags(fs, &q.Since, &q.Until, "spent by a transaction captured")
		placeFlag(fs, &q.From, "from", "the first transaction was first seen from `PLACE`")
		placeFlag(fs, &q.To, "to", "the last transaction was first seen from `PLACE`")
		fs.BoolVar(&q.AllPlaces, "all-places", false, "also where --from and --to name none, take tor, i2p, cjdns and private for places, and not just countries")
		fs.Int64Var(&q.MinValue, "min-value", 0, "at least `SATOSHI` can have crossed; default 0")
		fs.IntVar(&q.Hops, "hops", 1, fmt.Sprintf("follow chains of up to `N` spends; default 1, at most %d", analyze.MaxHops))
		fs.IntVar(&q.Limit, "limit", 20, "at most `N` rows, the newest; default 20, at most 1000")
		matrix := fs.Bool("matrix", false, "count all crossings from each place to each, instead of listing them")
		return func(ctx context.Context, c *call) error {
			switch {
			case q.Hops < 1 || q.Hops > analyze.MaxHops:
				return cli.UsageError{Err: fmt.Errorf("--hops %d: want a number from 1 to %d", q.Hops, analyze.MaxHops)}
			case q.Limit < 1 || q.Limit > 1000:
				return cli.UsageError{Err: fmt.Errorf("--limit %d: want a number from 1 to 1000", q.Limit)}
			case q.Until != 0 && q.Since >= q.Until:
				return cli.UsageError{Err: errors.New("--until is not after --since: want a later time")}
			}
			db, err := c.open(ctx)
			if err != nil {
				return err
			}
			defer db.Close()
			if *matrix {
				return printMatrix(ctx, c, db, q)
			}
			return printCrossings(ctx, c, db, q)
		}
	},
}

// placeFlag declares a flag that takes a place.
func placeFlag(fs *flag.FlagSet, place *string, name, text string) {
	fs.Func(name, text+": a country as two letters, or tor, i2p, cjdns, private", func(s string) error {
		lower, upper := strings.ToLower(s), strings.ToUpper(s)
		switch {
		case lower == "tor" || lower == "i2p" || lower == "cjdns" || lower == "private":
			*place = lower
		case len(s) == 2 && upper[0] >= 'A' && upper[0] <= 'Z' && upper[1] >= 'A' && upper[1] <= 'Z':
			*place = upper
		default:
			return errors.New("want a country as two letters (ISO 3166), or tor, i2p, cjdns, private")
		}
		return nil
	})
}

// endColumns are the columns about one end of a crossing.
func endColumns(end string) (list []column) {
	for _, key := range []string{"_tx", "_place", "_peer", "_seen_at", "_lead_us", "_ties", "_peers", "_likely", "_confidence"} {
		list = append(list, column{key: end + key})
	}
	return list
}

// endCells are the values of endColumns.
func endCells(e *analyze.End) []any {
	var lead any
	if e.Lead >= 0 {
		lead = e.Lead
	}
	return []any{e.TxID, word(e.Place), e.Peer, e.SeenAt, lead, e.Ties, e.Peers, word(e.Likely), e.Confidence}
}

// word is a text that is nil where there is none.
func word(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func printCrossings(ctx context.Context, c *call, db *analyze.DB, q analyze.CrossingQuery) error {
	list, basis, err := db.Crossings(ctx, q)
	if err != nil {
		return err
	}
	if c.format == forPeople {
		for i := range list {
			c.sayCrossing(&list[i])
		}
		c.sayBasis(&basis, len(list))
		return nil
	}
	columns := append([]column{{key: "value"}, {key: "hops"}, {key: "status"}}, endColumns("from")...)
	columns = append(columns, endColumns("to")...)
	for _, key := range []string{"address", "output", "outputs", "role", "role_votes", "change_tx", "change_place", "rivals", "path"} {
		columns = append(columns, column{key: key})
	}
	t := c.table("", columns...)
	for i := range list {
		x := &list[i]
		var changeTx, changePlace any
		if x.Change != nil {
			changeTx, changePlace = x.Change.TxID, word(x.Change.Place)
		}
		cells := append([]any{x.Value, x.Hops, "unconfirmed"}, endCells(&x.From)...)
		cells = append(cells, endCells(&x.To)...)
		t.row(append(cells, word(x.Address), x.Output, x.Outputs, word(x.Role), word(x.Votes), changeTx, changePlace, x.Rivals,
			strings.Join(x.Path, " "))...)
	}
	c.sayBasis(&basis, len(list))
	return t.close()
}

// sayCrossing prints a crossing for people.
func (c *call) sayCrossing(x *analyze.Crossing) {
	c.say("%s  %s to %s  %d satoshi, %s, unconfirmed", x.To.SeenAt, x.From.Place, x.To.Place, x.Value, plural(x.Hops, "spend"))
	c.sayEnd("from", &x.From)
	c.sayEnd("to", &x.To)
	if x.Address != "" {
		c.say("  paid  to %s", x.Address)
	}
	switch x.Role {
	case "payment":
		c.say("  guess a payment (%s)%s", x.Votes, changeFrom(x.Change))
	case "change":
		c.say("  guess change (%s): then its owner is who sent it, and announced from elsewhere", x.Votes)
	case "both":
		c.say("  guess payment and change (%s) together: then who spent them is who sent them, or was paid all", x.Votes)
	}
	if x.Rivals > 0 {
		c.say("  but   %s spends the same coins: one at most can be confirmed", plural(x.Rivals, "other transaction"))
	}
	c.say("")
}

// changeFrom says where the change of a payment was spent from.
func changeFrom(e *analyze.End) string {
	if e == nil || e.Place == "" {
		return ""
	}
	return "; the change was spent from " + e.Place
}

// sayEnd prints one end of a crossing for people.
func (c *call) sayEnd(name string, e *analyze.End) {
	lead := "nobody else announced it"
	if e.Lead >= 0 {
		lead = fmt.Sprintf("%s before the next of %d peers, %d within the error", forReading(micros(e.Lead.Microseconds())), e.Peers, e.Ties)
	}
	likely := "began at an unknown place"
	if e.Likely != "" {
		likely = fmt.Sprintf("began in %s: %s sure", e.Likely, forReading(share(e.Confidence)))
	}
	c.say("  %-5s %s  first %s, %s; %s", name, e.TxID, e.Peer, lead, likely)
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// sayBasis says what an answer about crossings rests on. shown is how many rows there were; less than 0: all.
func (c *call) sayBasis(b *analyze.Basis, shown int) {
	if b.Capped { // programs must know, too
		fmt.Fprintln(c.stderr, "firstseen: there are more spends than are followed, so some crossings are missing: ask for a shorter time or fewer hops")
	}
	if b.Since != 0 { // and here
		text := fmt.Sprintf("this is about the newest %d tx messages, from %s: give --since for more", b.Messages, b.Since)
		if c.format == forPeople {
			c.say("%s", text)
		} else {
			fmt.Fprintln(c.stderr, "firstseen: "+text)
		}
	}
	more := ""
	if shown >= 0 && int64(shown) < b.Crossings {
		more = fmt.Sprintf(" (the newest %d shown)", shown)
	}
	c.say("%d crossings%s among %d pairs of captured transactions of which one spends from the other; both places are known of %d pairs",
		b.Crossings, more, b.Pairs, b.Located)
	if b.Crossings > 0 {
		c.say("Seen in the mempool: none is known to be confirmed. Origins are estimates, and what is change is a guess.")
	}
}

func printMatrix(ctx context.Context, c *call, db *analyze.DB, q analyze.CrossingQuery) error {
	cells, basis, err := db.CrossingMatrix(ctx, q)
	if err != nil {
		return err
	}
	t := c.table("", column{"from_place", "from"}, column{"to_place", "to"}, column{"crossings", "crossings"}, column{"value", "satoshi"})
	for _, cell := range cells {
		t.row(cell.From, cell.To, cell.Number, cell.Value)
	}
	if err := t.close(); err != nil {
		return err
	}
	c.sayBasis(&basis, -1)
	return nil
}

// timeFlags declares the flags for a stretch of capture time, of which what is asked for.
func timeFlags(fs *flag.FlagSet, since, until *record.Time, what string) {
	declare := func(name, text string, t *record.Time) {
		fs.Func(name, text+", as in 2025-10-06T22:56:42Z or 2025-10-06 (UTC)", func(s string) (err error) {
			if *t, err = parseTime(s); err == nil && *until != 0 && *since >= *until {
				err = errors.New("--until is not after --since: want a later time")
			}
			return err
		})
	}
	declare("since", what+" at `TIME` or later", since)
	declare("until", what+" before `TIME`", until)
}

// parseTime reads a moment of capture time.
func parseTime(s string) (record.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if at, err := time.Parse(layout, s); err == nil {
			return record.Time(at.UnixMicro()), nil
		}
	}
	return 0, errors.New("want a time as in 2025-10-06T22:56:42Z or 2025-10-06")
}
