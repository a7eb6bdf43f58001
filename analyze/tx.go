package analyze

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// latest is how long after the first an announcement may be to have its round-trip time looked up: those that come later, when nodes
// announce a transaction again, say nothing of where it began.
const latest = time.Hour

// ErrNoHash is of a text that is no hash.
var ErrNoHash = errors.New("want a txid or wtxid: 64 hexadecimal digits")

// A Transaction is all that was recorded of how a transaction became known to the observed nodes.
type Transaction struct {
	Hash    string   // txid where a tx message told it, else the hash that was asked for
	WTxIDs  []string // that tx messages told; more than one is of witnesses that somebody changed
	Sensors []Scene  // by name; none: nobody announced it to any
}

// A Scene is what one sensor saw of a transaction.
type Scene struct {
	Sensor     string
	Announcers []Announcer   // in order of capture time: the first is the one that was first seen
	Lead       time.Duration // of the first over the second, by capture time; 0 if there is one alone
	Coverage   Coverage      // when the first was seen
	Clock      Clock         // meaningful where there are several sensors
	Verdict    Verdict       // its indices are of Announcers
}

// Tx returns what was recorded of a transaction, given by its txid or wtxid in 64 hex digits. Its error is ErrNoHash for any other text.
// m is for the verdicts.
func (db *DB) Tx(ctx context.Context, hash string, m Model) (*Transaction, error) {
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != 32 {
		return nil, ErrNoHash
	}
	hash = hex.EncodeToString(raw)
	lists, err := db.announcers(ctx, []string{hash})
	if err != nil {
		return nil, err
	}
	tx := &Transaction{Hash: hash}
	for key, list := range lists { // one
		tx.Hash = key
		if err := db.addScenes(ctx, tx, list, m); err != nil {
			return nil, err
		}
	}
	return tx, db.addWTxIDs(ctx, tx)
}

// addScenes fills in what each sensor saw.
func (db *DB) addScenes(ctx context.Context, tx *Transaction, list []Announcer, m Model) error {
	first, last := list[0].SeenAt, list[0].SeenAt
	for i := range list {
		first, last = min(first, list[i].SeenAt), max(last, list[i].SeenAt)
	}
	last = min(last, first.Add(latest))
	measured, err := db.pongsFrom(ctx, first.Add(-rttReach), last.Add(rttReach))
	if err != nil {
		return err
	}
	clocks, err := db.clocks(ctx, first)
	if err != nil {
		return err
	}
	for part := range bySensor(list) {
		correct(part, measured)
		seen := make([]Sighting, len(part))
		for i := range part {
			seen[i] = part[i].Sighting
		}
		s := Scene{Sensor: part[0].Sensor, Announcers: part, Clock: clocks[part[0].Sensor]}
		if len(part) > 1 {
			s.Lead = part[1].Behind
		}
		covered, err := db.coverage(ctx, part[0].SeenAt, part[0].Network)
		if err != nil {
			return err
		}
		s.Coverage = covered[s.Sensor]
		given := m
		if given.Peers == 0 {
			given.Peers = int(s.Coverage.Watched)
		}
		given.Silent = given.Silent || s.Coverage.Silent
		s.Verdict = Origin(seen, given)
		tx.Sensors = append(tx.Sensors, s)
	}
	return nil
}

// addWTxIDs fills in the wtxids.
func (db *DB) addWTxIDs(ctx context.Context, tx *Transaction) error {
	rows, err := db.QueryContext(ctx, db.text("wtxids"), tx.Hash)
	if err != nil {
		return fmt.Errorf("look for wtxids: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var wtxid string
		if err := rows.Scan(&wtxid); err != nil {
			return fmt.Errorf("look for wtxids: %w", err)
		}
		tx.WTxIDs = append(tx.WTxIDs, wtxid)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for wtxids: %w", err)
	}
	return nil
}
