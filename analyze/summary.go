package analyze

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"btcsniff/record"
)

// Bounds of a summary, so that its size and time depend little on what the database holds.
const (
	maxSteps   = 120       // in which a summary counts
	sampleSize = 25        // transactions whose announcements are looked at one by one
	sampleOf   = 40        // hashes that a sample is taken from first: most are announced by more than one connection
	maxFine    = 3_000_000 // announcements that are counted message by message, for steps below a minute
)

// An Extent is what a database holds of time.
type Extent struct {
	First, Last record.Time // of the first packet, and the last that is known; both 0 where nothing was recorded
	State       int64       // another number when more was stored
}

// Extent asks what the database holds.
func (db *DB) Extent(ctx context.Context) (Extent, error) {
	var e Extent
	var first, last sql.NullTime
	if err := db.QueryRowContext(ctx, db.text("summary_extent")).Scan(&first, &last, &e.State); err != nil {
		return Extent{}, fmt.Errorf("summary: extent: %w", err)
	}
	if first.Valid && last.Valid {
		e.First, e.Last = record.Time(first.Time.UnixMicro()), record.Time(last.Time.UnixMicro())
	}
	return e, nil
}

// A Range is a range of capture time: from Since up to, but not with, Until.
type Range struct{ Since, Until record.Time }

// A Summary is what was recorded in a range of time, at a glance. Its slices have a bounded length.
type Summary struct {
	Range                       // as asked for, widened to whole steps
	Step         time.Duration  // that Steps count in: a whole number of minutes where there is much
	Steps        []Step         // in order, without those in which there was nothing
	Blind        []BlindTime    // that touch the range, in order of time; of more than 500 the longest
	Countries    []Group        // by where peers are, most connections first; "" is unknown
	Transports   []Group        // by transport, most connections first
	ASes         []Group        // autonomous systems of first announcers, most first; Name is the number, the others are left out
	Peers        []Group        // addresses of first announcers, most first; the others are left out
	RTTs         []int64        // least round-trip time of each connection that answered a ping, in microseconds, in order
	Delays       []int64        // of a sample of transactions, how long after the first each connection told, in microseconds, in order; the firsts are left out
	Sampled      int            // transactions in that sample
	Spread       [3]int64       // in the median of the sample, how long after the first 10, 50, 90 % of the others told, in microseconds
	Captures     []Capture      // in the range, the newest first, 200 at most
	CaptureCount int            // in the range
	Ledger       record.Ledger  // of all that are counted and have one
	Unclosed     int            // ledgers that don't add up: should be zero
	Crossings    []CrossingCell // transactions first seen in one place that spend, at once, what one from another made
	CrossingsOf  Basis          // what the crossings rest on
	Problems     []FileProblem  // of the whole database, 50 at most
	ProblemCount int            // of the captures in the range
}

// Announcements is the number of announcements that peers sent in the range.
func (s *Summary) Announcements() (n int64) {
	for _, x := range s.Steps {
		n += x.Announcements
	}
	return n
}

// Transactions is the number of transactions that were first seen in the range.
func (s *Summary) Transactions() (n int64) {
	for _, x := range s.Steps {
		n += x.Transactions
	}
	return n
}

// Connections is the number of connections that were open in the range.
func (s *Summary) Connections() (n int64) {
	for _, g := range s.Transports {
		n += g.Connections
	}
	return n
}

// A Step is a piece of a summary's range that begins at At.
type Step struct {
	At            record.Time
	Announcements int64 // by peers
	Transactions  int64 // first seen
}

// A Group is some of the peers.
type Group struct {
	Name        string // a peer's may be what that peer chose
	More        string // an AS's organisation, a peer's place
	Connections int64
	Bytes       int64 // TCP payload, both directions
	Firsts      int64 // transactions that they told of first
}

// A BlindTime is one in which a capture could not see.
type BlindTime struct {
	Sensor, Capture, Reason string
	From, To                record.Time
	Packets                 int64 // that are missing; less than 0: not known
}

// A Capture is one continuous recording.
type Capture struct {
	Sensor, Name string
	First, Last  record.Time // Last is 0 where it isn't known
	Complete     bool        // stored to its end
	Files        int64
	Problems     int64          // files that were not read to their end
	Ledger       *record.Ledger // nil before its end
}

// A FileProblem is why a capture file was not read to its end.
type FileProblem struct{ Capture, File, Problem string }

// Summarize gathers what was recorded in the range, which may be long: what it takes depends on the number of transactions,
// connections and captures in it more than on that of announcements. Crossings are those of the newest messages tx messages in it; 0: of
// all, which takes longest.
func (db *DB) Summarize(ctx context.Context, in Range, messages int64) (*Summary, error) {
	if in.Until <= in.Since {
		return nil, errors.New("summary: the range ends before it begins")
	}
	s := &Summary{}
	s.widen(in, stepFor(in))
	q := summarizer{ctx: ctx, db: db, s: s, messages: messages}
	if err := q.announcements(); err != nil { // this may change the step
		return nil, err
	}
	// Two at a time, as a question keeps one processor busy. They fill in fields of their own.
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q.ctx = both
	done := make(chan struct{}) // closed when the goroutine ends
	go func() {
		defer close(done)
		q.run(cancel, q.crossings, q.spread, q.rtts, q.captures, q.problems)
	}()
	q.run(cancel, q.firsts, q.peers, q.blind)
	<-done
	if err := context.Cause(both); err != nil {
		return nil, err
	}
	return s, nil
}

// SummarizeCaptures fills in only what a Summary says of captures: they themselves, their files' problems, their ledgers, and blind times.
func (db *DB) SummarizeCaptures(ctx context.Context, in Range) (*Summary, error) {
	if in.Until <= in.Since {
		return nil, errors.New("summary: the range ends before it begins")
	}
	s := &Summary{}
	s.widen(in, stepFor(in))
	q := summarizer{ctx: ctx, db: db, s: s}
	for _, part := range []func() error{q.captures, q.problems, q.blind} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// run asks one after the other, until one fails. What else goes on is cancelled then.
func (q *summarizer) run(cancel context.CancelCauseFunc, parts ...func() error) {
	for _, part := range parts {
		if err := part(); err != nil {
			cancel(err)
			return
		}
	}
}

// stepFor is the least of the usual steps of which at most maxSteps make up the range.
func stepFor(in Range) time.Duration {
	ms, day := time.Millisecond, 24*time.Hour
	steps := []time.Duration{
		10 * ms, 20 * ms, 50 * ms, 100 * ms, 200 * ms, 500 * ms, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
		20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute,
		30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day,
	}
	span := int64(in.Until - in.Since)
	for _, d := range steps {
		if span/d.Microseconds() < maxSteps-1 { // widening may add one
			return d
		}
	}
	n := span/(maxSteps-2)/(28*day).Microseconds() + 1
	return time.Duration(n) * 28 * day
}

// widen sets the step, and the range to whole steps around in.
func (s *Summary) widen(in Range, step time.Duration) {
	us := record.Time(step.Microseconds())
	floor := func(t record.Time) record.Time { return t - ((t%us)+us)%us }
	s.Step, s.Since, s.Until = step, floor(in.Since), floor(in.Until+us-1)
}

// A summarizer fills in a summary.
type summarizer struct {
	ctx context.Context
	db  *DB
	s   *Summary

	messages int64 // as of Summarize
}

// each runs the query called name and calls scan for each row.
func (q *summarizer) each(name string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := q.db.QueryContext(q.ctx, q.db.text("summary_"+name), args...)
	if err != nil {
		return fmt.Errorf("summary: %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("summary: %s: %w", name, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("summary: %s: %w", name, err)
	}
	return nil
}

// step returns the step that begins i steps after the range.
func (s *Summary) step(i int64) *Step {
	at := s.Since + record.Time(i*s.Step.Microseconds())
	n, ok := slices.BinarySearchFunc(s.Steps, at, func(x Step, at record.Time) int { return cmp.Compare(x.At, at) })
	if !ok {
		s.Steps = slices.Insert(s.Steps, n, Step{At: at})
	}
	return &s.Steps[n]
}

// announcements counts them in each step. In Postgres a step is whole minutes where there are many, as they are stored by minute.
func (q *summarizer) announcements() error {
	if q.db.Dialect == DuckDB || q.s.Step >= time.Minute {
		return q.count("announcements")
	}
	fine := q.s
	q.s = &Summary{}
	q.s.widen(fine.Range, time.Minute)
	if err := q.count("announcements"); err != nil {
		return err
	}
	if q.s.Announcements() > maxFine {
		*fine, q.s = *q.s, fine
		return nil
	}
	q.s = fine
	return q.count("announcements_fine")
}

func (q *summarizer) count(name string) error {
	return q.each(name, func(rows *sql.Rows) error {
		var i, n int64
		err := rows.Scan(&i, &n)
		q.s.step(i).Announcements = n
		return err
	}, q.s.Since.Std(), q.s.Until.Std(), q.s.Step.Microseconds())
}

// firsts counts transactions by who told of them first.
func (q *summarizer) firsts() error {
	return q.each("firsts", func(rows *sql.Rows) error {
		var what, name string
		var more sql.NullString
		var n int64
		if err := rows.Scan(&what, &name, &more, &n); err != nil {
			return err
		}
		g := Group{Name: name, More: more.String, Firsts: n}
		switch what {
		case "step":
			i, err := strconv.ParseInt(name, 10, 64)
			if err != nil {
				return err
			}
			q.s.step(i).Transactions = n
		case "country":
			q.s.Countries = append(q.s.Countries, g)
		case "as":
			q.s.ASes = append(q.s.ASes, g)
		case "peer":
			q.s.Peers = append(q.s.Peers, g)
		}
		return nil
	}, q.s.Since.Std(), q.s.Until.Std(), q.s.Step.Microseconds())
}

// peers counts connections and bytes. It comes after firsts.
func (q *summarizer) peers() error {
	err := q.each("peers", func(rows *sql.Rows) error {
		var what string
		var g Group
		if err := rows.Scan(&what, &g.Name, &g.Connections, &g.Bytes); err != nil {
			return err
		}
		if what == "transport" {
			q.s.Transports = append(q.s.Transports, g)
			return nil
		}
		i := slices.IndexFunc(q.s.Countries, func(c Group) bool { return c.Name == g.Name })
		if i < 0 {
			q.s.Countries = append(q.s.Countries, g)
			return nil
		}
		q.s.Countries[i].Connections, q.s.Countries[i].Bytes = g.Connections, g.Bytes
		return nil
	}, q.s.Since.Std(), q.s.Until.Std())
	slices.SortFunc(q.s.Countries, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(b.Firsts, a.Firsts), cmp.Compare(a.Name, b.Name))
	})
	return err
}

func (q *summarizer) rtts() error {
	return q.each("rtt", func(rows *sql.Rows) error {
		var us int64
		err := rows.Scan(&us)
		q.s.RTTs = append(q.s.RTTs, us)
		return err
	}, q.s.Since.Std(), q.s.Until.Std())
}

// spread looks at how a sample of transactions spread. In DuckDB all announcements have to be unpacked for a sample of all, so that a few
// hashes are tried first.
func (q *summarizer) spread() error {
	var sample [][]int64
	var err error
	if q.db.Dialect == DuckDB {
		sample, err = q.sample("spread_few", q.s.Since.Std(), q.s.Until.Std(), sampleSize, sampleOf)
	}
	if err == nil && len(sample) < sampleSize {
		sample, err = q.sample("spread", q.s.Since.Std(), q.s.Until.Std(), sampleSize)
	}
	if err != nil {
		return err
	}
	var reached [3][]int64
	for _, one := range sample {
		slices.Sort(one)
		for i := range one[1:] {
			one[1+i] -= one[0]
		}
		for i, percent := range [3]int{10, 50, 90} {
			reached[i] = append(reached[i], Quantile(one[1:], percent))
		}
		q.s.Delays = append(q.s.Delays, one[1:]...)
	}
	q.s.Sampled = len(sample)
	for i := range reached {
		slices.Sort(reached[i])
		q.s.Spread[i] = Quantile(reached[i], 50)
	}
	slices.Sort(q.s.Delays)
	return nil
}

// sample returns when each connection told of the transactions of a sample.
func (q *summarizer) sample(name string, args ...any) (sample [][]int64, err error) {
	err = q.each(name, func(rows *sql.Rows) error {
		var number int64
		var at time.Time
		if err := rows.Scan(&number, &at); err != nil {
			return err
		}
		if int64(len(sample)) < number {
			sample = append(sample, nil)
		}
		one := &sample[len(sample)-1]
		*one = append(*one, at.UnixMicro())
		return nil
	}, args...)
	return sample, err
}

// Quantile returns the least of the sorted values that percent of a hundred of them are not above; 0 of none.
func Quantile(sorted []int64, percent int) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

func (q *summarizer) captures() error {
	return q.each("captures", func(rows *sql.Rows) error {
		var c Capture
		var first time.Time
		var last sql.NullTime
		var ledger sql.NullString
		if err := rows.Scan(&c.Sensor, &c.Name, &first, &last, &c.Complete, &c.Files, &c.Problems, &ledger); err != nil {
			return err
		}
		c.First = record.Time(first.UnixMicro())
		if last.Valid {
			c.Last = record.Time(last.Time.UnixMicro())
		}
		if c.First >= q.s.Until || c.Last != 0 && c.Last < q.s.Since {
			return nil
		}
		if ledger.Valid {
			c.Ledger = &record.Ledger{}
			if err := json.Unmarshal([]byte(ledger.String), c.Ledger); err != nil {
				return fmt.Errorf("ledger of capture %q: %w", c.Name, err)
			}
			if c.Ledger.Check() != nil {
				q.s.Unclosed++
			}
			q.s.Ledger.Add(c.Ledger)
		}
		q.s.CaptureCount++
		q.s.ProblemCount += int(c.Problems)
		if len(q.s.Captures) < 200 {
			q.s.Captures = append(q.s.Captures, c)
		}
		return nil
	})
}

func (q *summarizer) problems() error {
	return q.each("problems", func(rows *sql.Rows) error {
		var p FileProblem
		err := rows.Scan(&p.Capture, &p.File, &p.Problem)
		q.s.Problems = append(q.s.Problems, p)
		return err
	})
}

func (q *summarizer) blind() error {
	err := q.each("blind", func(rows *sql.Rows) error {
		var b BlindTime
		var from, to time.Time
		var packets sql.NullInt64
		if err := rows.Scan(&b.Sensor, &b.Capture, &from, &to, &b.Reason, &packets); err != nil {
			return err
		}
		b.From, b.To, b.Packets = record.Time(from.UnixMicro()), record.Time(to.UnixMicro()), -1
		if packets.Valid {
			b.Packets = packets.Int64
		}
		q.s.Blind = append(q.s.Blind, b)
		return nil
	}, q.s.Since.Std(), q.s.Until.Std())
	slices.SortStableFunc(q.s.Blind, func(a, b BlindTime) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return err
}

func (q *summarizer) crossings() (err error) {
	q.s.Crossings, q.s.CrossingsOf, err = q.db.CrossingMatrix(q.ctx, CrossingQuery{Since: q.s.Since, Until: q.s.Until, AllPlaces: true, Messages: q.messages})
	return err
}
