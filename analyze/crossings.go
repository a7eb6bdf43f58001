package analyze

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"btcsniff/record"
)

// Bounds of a search for crossings, so that what hostile peers make up costs bounded time and memory.
const (
	MaxHops      = 10      // spends from one end of a chain to the other
	MaxChains    = 100_000 // chains that are followed further, from each number of spends
	maxCrossings = 1_000   // in one answer
	maxSpends    = 100_000 // that are looked at to explain the crossings of one answer
)

// RecentMessages is how many tx messages a quick question about crossings looks at: with Postgres, that takes about half a second. Where there
// may be several spends between, it is half as many. Of up to fewTimes as many, which takes a few seconds at most, all are looked at
// where nothing else was asked for.
const (
	RecentMessages = 5_000
	fewTimes       = 4
)

// Times that every database holds, for no limit.
var (
	beginning = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	end       = time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC)
)

// A CrossingQuery says which crossings are looked for. Zero fields mean what their comments say.
type CrossingQuery struct {
	Since, Until record.Time // the last transaction was captured (its tx message) from Since up to Until; 0: no limit, but see Messages
	From, To     string      // where the first and the last transaction were first seen; "": any country
	AllPlaces    bool        // "" means any known place, as tor and private are, and not just any country
	MinValue     int64       // satoshi that can have crossed, at least
	Hops         int         // spends from the first transaction to the last, at most; 0: 1, the most is MaxHops
	Chains       int         // chains that are followed further from each number of spends, at most; 0 or above: MaxChains
	Limit        int         // crossings that are returned, at most; 0 or above: 1,000
	Messages     int64       // only the newest so many tx messages in that time are looked at for the last transaction, about; 0: all where Since or Until is given or they are few, else RecentMessages, or half of that where Hops is above 1
}

// A Crossing is two captured transactions of which the second spends what the first made, at once or through others between them, and
// which were first seen from different places. Everything in it was seen in the mempool: that a transaction was confirmed is in no record.
type Crossing struct {
	From, To End
	Hops     int      // spends from From to To
	Path     []string // txids from From to To, Hops+1 of them
	Value    int64    // satoshi: the least that the transactions of the path spend of the one before: what can have crossed at most
	Output   int64    // place of the output of From that the path's next transaction spends; of several, the first
	Outputs  int      // how many of them it spends
	Address  string   // that the coins were sent to by the transaction before To, so that the one who spent them there held its key; "": it has none
	Role     string   // what the output seems to be: change, payment, both (the next transaction spends both), or "": no guess
	Votes    string   // heuristics that this guess rests on, spaces between
	Change   *End     // the transaction that spent the change of From, as far as the change is guessed and its spend was captured; else nil
	Rivals   int      // other captured transactions that spend the same coins as a transaction of the path: one at most is confirmed
}

// An End is a transaction with where it was first seen from, and how sure it is that it began there.
type End struct {
	TxID       string
	Place      string        // of who was first: a country as two letters, or tor, i2p, cjdns, private; "": not known
	Peer       string        // who was first
	SeenAt     record.Time   // when
	Lead       time.Duration // to the next connection's sighting; less than 0: nobody else told of it
	Ties       int           // connections that can't be told from the first, within the error of their latencies: Verdict.Ties
	Peers      int           // connections that told of it
	Likely     string        // where it began, most likely: Verdict.Place
	Confidence float64       // that Likely is right: Verdict.Confidence
}

// A Basis is what an answer about crossings rests on.
type Basis struct {
	Pairs     int64 // pairs of transactions with a chain of spends between them
	Located   int64 // pairs of which both ends have a known place
	Crossings int64 // of them, those asked for
	Capped    bool  // there were more chains than are followed, so that some crossings are missing

	Since    record.Time // where CrossingQuery.Messages left out older ones: the time that is looked at begins here; else 0
	Messages int64       // then, how many tx messages were looked at
}

// args are the parameters that the list and the matrix have in common.
func (q *CrossingQuery) args() []any {
	since, until := beginning, end
	if q.Since != 0 {
		since = q.Since.Std()
	}
	if q.Until != 0 {
		until = q.Until.Std()
	}
	chains := int64(q.Chains)
	if chains <= 0 || chains > MaxChains {
		chains = MaxChains
	}
	return []any{since, until, q.From, q.To, q.MinValue, min(max(q.Hops, 1), MaxHops), chains, q.AllPlaces}
}

// Crossings returns crossings, those with the newest last transaction first, and what the answer rests on.
func (db *DB) Crossings(ctx context.Context, q CrossingQuery) ([]Crossing, Basis, error) {
	if q.Limit <= 0 || q.Limit > maxCrossings {
		q.Limit = maxCrossings
	}
	list, basis, err := db.findCrossings(ctx, &q)
	if err == nil && len(list) > 0 {
		var capped bool
		capped, err = db.explainCrossings(ctx, list)
		basis.Capped = basis.Capped || capped
	}
	if err != nil {
		return nil, basis, fmt.Errorf("look for crossings: %w", err)
	}
	return list, basis, nil
}

// messages returns how many of the newest tx messages are wanted where there are more than few; 0: all.
func (q *CrossingQuery) messages() (want, few int64) {
	switch {
	case q.Messages > 0:
		return q.Messages, q.Messages
	case q.Since != 0 || q.Until != 0:
		return 0, 0
	case q.Hops > 1:
		return RecentMessages / 2, RecentMessages / 2 * fewTimes
	}
	return RecentMessages, RecentMessages * fewTimes
}

// recent narrows q to the newest tx messages, where these alone are asked for, and says so in b.
func (db *DB) recent(ctx context.Context, q *CrossingQuery, b *Basis) error {
	want, few := q.messages()
	if want == 0 {
		return nil
	}
	all, err := db.Extent(ctx)
	if err != nil || all.Last == 0 {
		return err
	}
	until := all.Last + 1
	if q.Until != 0 {
		until = min(q.Until, until)
	}
	// Parts that grow, so that a large table is not sorted as a whole.
	for reach := time.Minute; ; reach *= 4 {
		from := max(until.Add(-reach), all.First, q.Since)
		var since sql.NullTime
		var taken, found int64
		if err := db.QueryRowContext(ctx, db.text("crossings_window"), from.Std(), until.Std(), want).Scan(&since, &taken, &found); err != nil {
			return fmt.Errorf("choose a stretch of time: %w", err)
		}
		whole := from <= max(all.First, q.Since)
		switch {
		case whole && found <= few:
			return nil
		case found > few && since.Valid:
			q.Since = record.Time(since.Time.UnixMicro())
			b.Since, b.Messages = q.Since, taken
			return nil
		}
	}
}

// findCrossings finds pairs of transactions.
func (db *DB) findCrossings(ctx context.Context, q *CrossingQuery) (list []Crossing, b Basis, err error) {
	if err := db.recent(ctx, q, &b); err != nil {
		return nil, b, err
	}
	rows, err := db.QueryContext(ctx, db.text("crossings")+"\n"+db.text("crossings_list"), append(q.args(), int64(q.Limit))...)
	if err != nil {
		return nil, b, err
	}
	defer rows.Close()
	for rows.Next() {
		var fromTx, fromPlace, toTx, toPlace, path *string
		var hops, value *int64
		if err := rows.Scan(&b.Pairs, &b.Located, &b.Crossings, &b.Capped, &fromTx, &fromPlace, &toTx, &toPlace, &hops, &value, &path); err != nil {
			return nil, b, err
		}
		if fromTx == nil {
			continue
		}
		list = append(list, Crossing{
			From: End{TxID: *fromTx, Place: *fromPlace}, To: End{TxID: *toTx, Place: *toPlace},
			Hops: int(*hops), Value: *value, Path: strings.Fields(*path),
		})
	}
	return list, b, rows.Err()
}

// A CrossingCell is one cell of the matrix of crossings.
type CrossingCell struct {
	From, To string
	Number   int64
	Value    int64 // satoshi; coins that several crossings have in common count in each, and the sum stops at the greatest int64
}

// CrossingMatrix counts crossings by their two places. q.Limit is of no meaning.
func (db *DB) CrossingMatrix(ctx context.Context, q CrossingQuery) (cells []CrossingCell, b Basis, err error) {
	if err := db.recent(ctx, &q, &b); err != nil {
		return nil, b, fmt.Errorf("count crossings: %w", err)
	}
	rows, err := db.QueryContext(ctx, db.text("crossings")+"\n"+db.text("crossings_matrix"), q.args()...)
	if err != nil {
		return nil, b, fmt.Errorf("count crossings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var from, to *string
		var number, value *int64
		if err := rows.Scan(&b.Pairs, &b.Located, &b.Crossings, &b.Capped, &from, &to, &number, &value); err != nil {
			return nil, b, fmt.Errorf("count crossings: %w", err)
		}
		if from != nil {
			cells = append(cells, CrossingCell{*from, *to, *number, *value})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, b, fmt.Errorf("count crossings: %w", err)
	}
	return cells, b, nil
}
