package analyze

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A guess is which of a transaction's two outputs seems to be change.
type guess struct {
	change, payment int64
	votes           string
}

// explainCrossings fills in what of the crossings isn't known after the search: outputs, change, and how sure the origins are.
// It says whether it left something out, because there are too many spends.
func (db *DB) explainCrossings(ctx context.Context, list []Crossing) (capped bool, err error) {
	var makers, firsts []string
	for i := range list {
		makers = append(makers, list[i].Path[:list[i].Hops]...)
		firsts = append(firsts, list[i].From.TxID)
	}
	spent, capped, err := db.spends(ctx, makers)
	if err != nil {
		return false, err
	}
	guesses, err := db.guessChange(ctx, firsts)
	if err != nil {
		return false, err
	}
	for i := range list {
		list[i].explain(spent, guesses)
	}
	return capped, db.fillEnds(ctx, list)
}

// A spend is an output with those that spend it.
type spend struct {
	index, value int64
	address      string
	by           []string // txids, in order; of several, one at most is confirmed
}

// spends returns, for each of the transactions, its outputs of which spends were captured, in order; and whether there are more.
func (db *DB) spends(ctx context.Context, txids []string) (all map[string][]spend, capped bool, err error) {
	rows, err := db.QueryContext(ctx, db.text("crossings_spends"), commas(txids), int64(maxSpends))
	if err != nil {
		return nil, false, fmt.Errorf("list spends: %w", err)
	}
	defer rows.Close()
	all = map[string][]spend{}
	n := 0
	for ; rows.Next(); n++ {
		var txid, by string
		var s spend
		var address *string
		if err := rows.Scan(&txid, &s.index, &s.value, &address, &by); err != nil {
			return nil, false, fmt.Errorf("list spends: %w", err)
		}
		if address != nil {
			s.address = *address
		}
		list := all[txid]
		if len(list) == 0 || list[len(list)-1].index != s.index {
			list = append(list, s)
		}
		last := &list[len(list)-1]
		last.by = append(last.by, by)
		all[txid] = list
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("list spends: %w", err)
	}
	return all, n == maxSpends, nil
}

// guessChange guesses which outputs are change.
func (db *DB) guessChange(ctx context.Context, txids []string) (map[string]guess, error) {
	rows, err := db.QueryContext(ctx, db.text("crossings_change"), commas(txids))
	if err != nil {
		return nil, fmt.Errorf("guess change: %w", err)
	}
	defer rows.Close()
	all := map[string]guess{}
	for rows.Next() {
		var txid string
		var g guess
		if err := rows.Scan(&txid, &g.change, &g.payment, &g.votes); err != nil {
			return nil, fmt.Errorf("guess change: %w", err)
		}
		all[txid] = g
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("guess change: %w", err)
	}
	return all, nil
}

// explain fills in the outputs that the path goes through.
func (c *Crossing) explain(spent map[string][]spend, guesses map[string]guess) {
	rivals := map[string]bool{}
	var first []int64
	for i, txid := range c.Path[:c.Hops] {
		next, found := c.Path[i+1], false
		for _, s := range spent[txid] {
			if _, ok := slices.BinarySearch(s.by, next); !ok {
				continue
			}
			for _, other := range s.by {
				if other != next {
					rivals[other] = true
				}
			}
			if i == 0 {
				first = append(first, s.index)
			}
			if !found && i == c.Hops-1 {
				c.Address = s.address
			}
			found = true
		}
	}
	c.Rivals, c.Outputs = len(rivals), len(first)
	if len(first) > 0 {
		c.Output = first[0]
	}
	if g, ok := guesses[c.From.TxID]; ok {
		c.judge(g, first, spent[c.From.TxID])
	}
}

// judge says what the outputs of From, of which those at places were spent, seem to be.
func (c *Crossing) judge(g guess, places []int64, spent []spend) {
	c.Votes = g.votes
	change, payment := slices.Contains(places, g.change), slices.Contains(places, g.payment)
	switch {
	case change && payment:
		c.Role = "both"
	case change:
		c.Role = "change"
	case payment:
		c.Role = "payment"
		for _, s := range spent {
			if s.index == g.change {
				c.Change = &End{TxID: s.by[0]}
			}
		}
	}
}

// commas joins distinct txids with commas, as the queries take them.
func commas(txids []string) string {
	txids = slices.Clone(txids)
	slices.Sort(txids)
	return strings.Join(slices.Compact(txids), ",")
}
