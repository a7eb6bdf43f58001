package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
	"btcsniff/record"
)

var txCommand = command{
	name:  "tx",
	args:  "HASH",
	about: "Lists every peer that announced a transaction, in order, and says who was first, how sure that is and where it probably began",
	more: `HASH is the txid or the wtxid. For each connection there is the first announcement (inv) or delivery (tx) only. "sent about" is
when the peer probably sent it: half of the round-trip time to the peer is taken off. With several sensors each has its own list:
their clocks may differ.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		limit := fs.Int("limit", 0, "show the first `N` peers of each sensor only; the verdict is of all; default 0: all")
		watched := fs.Float64("watched", 0, "the `SHARE` of the network's reachable nodes that is watched, from 0 to 1, for the estimate of the origin; default: worked out from the number of peers")
		return func(ctx context.Context, c *call) error {
			switch {
			case len(c.args) != 1:
				return cli.UsageError{Err: errors.New("which transaction? want one txid or wtxid, 64 hexadecimal digits")}
			case *limit < 0:
				return cli.UsageError{Err: fmt.Errorf("--limit %d: want a number from 0", *limit)}
			case !(*watched >= 0 && *watched <= 1):
				return cli.UsageError{Err: fmt.Errorf("--watched %v: want a share from 0 to 1", *watched)}
			}
			return c.tx(ctx, *limit, analyze.Model{Watched: *watched})
		}
	},
}

// tx answers the command tx.
func (c *call) tx(ctx context.Context, limit int, m analyze.Model) error {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.Tx(ctx, c.args[0], m)
	switch {
	case errors.Is(err, analyze.ErrNoHash):
		return cli.UsageError{Err: fmt.Errorf("%q is no hash: %w", c.args[0], err)}
	case err != nil:
		return err
	case len(tx.Sensors) == 0:
		return fmt.Errorf("no peer announced transaction %s: if it was announced by the other of txid and wtxid, ask for that one", tx.Hash)
	}
	c.say("transaction  %s", tx.Hash)
	for _, w := range tx.WTxIDs {
		if w != tx.Hash {
			c.say("wtxid        %s", w)
		}
	}
	if c.format == forPeople {
		for i := range tx.Sensors {
			s := &tx.Sensors[i]
			c.say("")
			t := c.announcers()
			addAnnouncers(t, tx, s, limit)
			if err := t.close(); err != nil {
				return err
			}
			c.say("")
			c.sayVerdict(s)
		}
		c.compareSensors(tx)
		return nil
	}
	t := c.announcers()
	for i := range tx.Sensors {
		addAnnouncers(t, tx, &tx.Sensors[i], limit)
	}
	if err := t.close(); err != nil || c.format != asJSON {
		return err
	}
	return c.verdicts(tx)
}

// announcers begins the table of announcers.
func (c *call) announcers() *table {
	return c.table("announcer",
		column{"hash", ""}, column{"sensor", ""}, column{"rank", "#"}, column{"seen_at", "seen at"}, column{"behind_us", "behind"},
		column{"peer", "peer"}, column{"place", "where"}, column{"country", ""}, column{"city", ""}, column{"asn", "AS"}, column{"organisation", ""},
		column{"user_agent", "client"}, column{"via", "how"}, column{"type", ""}, column{"rtt_us", "RTT"}, column{"rtt_source", "by"},
		column{"pongs", ""}, column{"latency_error_us", "± half"}, column{"corrected_at", "sent about"}, column{"corrected_rank", "#"},
		column{"peer_opened", ""}, column{"transport", ""}, column{"conn", ""})
}

func addAnnouncers(t *table, tx *analyze.Transaction, s *analyze.Scene, limit int) {
	list := s.Announcers
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	for i := range list {
		a := &list[i]
		var rtt, off *micros
		var corrected record.Time
		if a.RTTSource != "" {
			r, e := micros(a.RTT.Microseconds()), micros(a.RTTError.Microseconds())
			rtt, off, corrected = &r, &e, a.CorrectedAt
		}
		t.row(tx.Hash, s.Sensor, a.Rank, a.SeenAt, a.Behind, a.Peer, orNil(a.Place), orNil(a.Country), orNil(a.City), orNil(a.ASN), orNil(a.Organisation),
			orNil(a.UserAgent), a.Via, orNil(a.Type), rtt, orNil(a.RTTSource), a.Pongs, off, corrected, orNil(a.CorrectedRank), a.PeerOpened, orNil(a.Transport), connText(a.Conn))
	}
}

// orNil is nil for a zero value, which stands for what is not known.
func orNil[T comparable](v T) any {
	if v == *new(T) {
		return nil
	}
	return v
}

// sayVerdict says for people what to think of a sensor's list.
func (c *call) sayVerdict(s *analyze.Scene) {
	first := &s.Announcers[0]
	lead := "the only one"
	if len(s.Announcers) > 1 {
		lead = milliseconds(s.Lead) + " before the second"
	}
	c.say("first      %s%s, %s", first.Peer, inBrackets(first.Place), lead)
	v := &s.Verdict
	if v.Corrected >= 0 && len(s.Announcers) > 1 {
		a := &s.Announcers[v.Corrected]
		c.say("corrected  %s%s sent it first, by %s ± %s%s", a.Peer, inBrackets(a.Place), milliseconds(v.Lead), milliseconds(v.LeadError), ties(len(v.Ties)))
	}
	c.say("coverage   %s", coverage(&s.Coverage, s.Sensor))
	switch {
	case v.Peer < 0:
	case v.Place == "":
		c.say("origin     country not known; node %s with %s, none of these with %s (%s)", s.Announcers[v.Peer].Peer, percent(v.Probability), percent(v.Elsewhere), v.Estimator)
	default:
		c.say("origin     %s with %s; node %s with %s, none of these with %s (%s)", v.Place, percent(v.Confidence), s.Announcers[v.Peer].Peer,
			percent(v.Probability), percent(v.Elsewhere), v.Estimator)
	}
	for _, a := range v.Assumed {
		c.say("assumed    %s", a)
	}
}

func ties(n int) string {
	switch n {
	case 0:
		return "; no other could have been"
	case 1:
		return "; 1 other could have been, within the error"
	}
	return fmt.Sprintf("; %d others could have been, within the error", n)
}

// coverage says what the sensor could see.
func coverage(v *analyze.Coverage, sensor string) string {
	text := fmt.Sprintf("first of %d watched, %d unreadable, sensor %s blind for %.3g of %.0f s around it", v.Watched, v.Unreadable, sensor, v.Blind.Seconds(), 2*analyze.CoverageReach.Seconds())
	if len(v.Reasons) > 0 {
		text += " (" + strings.Join(v.Reasons, ", ") + ")"
	}
	if v.Silent {
		text += "; the node only listened"
	}
	return text
}

// compareSensors says what can be said across sensors: their clocks are not the same.
func (c *call) compareSensors(tx *analyze.Transaction) {
	if len(tx.Sensors) < 2 {
		return
	}
	c.say("")
	for i := range tx.Sensors {
		s := &tx.Sensors[i]
		if s.Clock.Peers == 0 {
			c.say("clock      of %s: nothing is known", s.Sensor)
			continue
		}
		c.say("clock      of %s: %+.3f s ± %.3f s against %s that said what time it is", s.Sensor, s.Clock.Ahead.Seconds(), s.Clock.Error.Seconds(),
			cli.Plural(uint64(s.Clock.Peers), "peer"))
	}
	for _, d := range analyze.Differences(tx.Sensors) {
		if !d.Known {
			c.say("sensors    %s and %s can't be compared: of a clock nothing is known", d.A, d.B)
			continue
		}
		verdict := d.A + " was first"
		switch {
		case d.Earlier.Abs() <= d.Error:
			verdict = "which was first can't be told"
		case d.Earlier < 0:
			verdict = d.B + " was first"
		}
		c.say("sensors    %s saw it %.3f s ± %.3f s before %s: %s", d.A, d.Earlier.Seconds(), d.Error.Seconds(), d.B, verdict)
	}
}

// verdicts prints a row for each sensor, for programs.
func (c *call) verdicts(tx *analyze.Transaction) error {
	t := c.table("verdict",
		column{"hash", ""}, column{"sensor", ""}, column{"peers", ""}, column{"first_peer", ""}, column{"first_place", ""}, column{"first_seen", ""}, column{"lead_us", ""},
		column{"corrected_first_peer", ""}, column{"corrected_lead_us", ""}, column{"corrected_lead_error_us", ""}, column{"ties", ""},
		column{"watched", ""}, column{"unreadable", ""}, column{"recording_since", ""}, column{"blind_us", ""}, column{"blind_reasons", ""},
		column{"origin_place", ""}, column{"origin_confidence", ""}, column{"origin_peer", ""}, column{"origin_probability", ""}, column{"elsewhere_probability", ""},
		column{"estimator", ""}, column{"assumed", ""}, column{"clock_peers", ""}, column{"clock_ahead_us", ""}, column{"clock_error_us", ""})
	for i := range tx.Sensors {
		s := &tx.Sensors[i]
		v, a := &s.Verdict, s.Announcers
		var lead, ahead, off *micros
		if len(a) > 1 {
			lead = toMicros(s.Lead)
		}
		if s.Clock.Peers > 0 {
			ahead, off = toMicros(s.Clock.Ahead), toMicros(s.Clock.Error)
		}
		t.row(tx.Hash, s.Sensor, len(a), a[0].Peer, orNil(a[0].Place), a[0].SeenAt, lead,
			peerAt(a, v.Corrected), v.Lead, v.LeadError, len(v.Ties),
			s.Coverage.Watched, s.Coverage.Unreadable, s.Coverage.Since, s.Coverage.Blind, strings.Join(s.Coverage.Reasons, ", "),
			orNil(v.Place), v.Confidence, peerAt(a, v.Peer), v.Probability, v.Elsewhere,
			v.Estimator, strings.Join(v.Assumed, "; "), s.Clock.Peers, ahead, off)
	}
	return t.close()
}

func toMicros(d time.Duration) *micros {
	m := micros(d.Microseconds())
	return &m
}

// peerAt names the announcer with an index, nil for -1.
func peerAt(list []analyze.Announcer, i int) any {
	if i < 0 {
		return nil
	}
	return list[i].Peer
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func milliseconds(d time.Duration) string { return forReading(micros(d.Microseconds())) }

func percent(p float64) string { return fmt.Sprintf("%.0f %%", math.Floor(p*100)) }

// connText is a connection's id as text: 64 bits are more than many readers of JSON keep of a number.
func connText(id int64) string { return strconv.FormatInt(id, 10) }
