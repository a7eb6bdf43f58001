package analyze

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"btcsniff/record"
)

// A BlocksQuery says which blocks are asked for. Zero fields mean what their comments say.
type BlocksQuery struct {
	Hash         string      // the block alone, in 64 hex digits; "": the latest
	Since, Until record.Time // announced in that time; 0: no limit
	Limit        int         // blocks, at most; 0: 10
}

const defaultBlocks = 10

// A Block is how one block became known to one sensor.
type Block struct {
	Hash       string
	Sensor     string
	Network    string
	Announcers []BlockAnnouncer // in order of time
	Lead       time.Duration    // of the first over the second; less than 0: there was no second
	Half, Most time.Duration    // after the first, when half and nine tenths of the connections that told of it had told; rounded up to whole ones
}

// A BlockAnnouncer is a connection that told of a block, in whichever way: inv, headers, cmpctblock or block message.
type BlockAnnouncer struct {
	Conn      int64
	Peer      string
	Place     string
	UserAgent string
	SeenAt    record.Time
	Via       string        // the first way; of several in one microsecond the first in alphabetical order
	Behind    time.Duration // the first
	Ways      []Way         // all ways, in order of time
}

// A Way is when a connection first told of a block in one way.
type Way struct {
	Via    string // inv, headers, cmpctblock, block
	SeenAt record.Time
}

// Blocks returns how blocks became known, the latest first; each has a Block for every sensor that saw it, in order of their names.
// The error is ErrNoHash for a hash that is none.
func (db *DB) Blocks(ctx context.Context, q BlocksQuery) ([]Block, error) {
	since, until := minTime, maxTime
	if q.Since != 0 {
		since = max(q.Since, minTime)
	}
	if q.Until != 0 {
		until = min(q.Until, maxTime)
	}
	if q.Limit <= 0 {
		q.Limit = defaultBlocks
	}
	if q.Hash != "" {
		raw, err := hex.DecodeString(q.Hash)
		if err != nil || len(raw) != 32 {
			return nil, ErrNoHash
		}
		q.Hash = hex.EncodeToString(raw)
	}
	rows, err := db.QueryContext(ctx, db.text("blocks_told")+db.text("blocks"), since.Std(), until.Std(), q.Hash, int64(q.Limit))
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	defer rows.Close()
	var list []Block
	for rows.Next() {
		if list, err = addBlockRow(list, rows); err != nil {
			return nil, fmt.Errorf("list blocks: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	for i := range list {
		list[i].finish()
	}
	sortBlocks(list)
	return list, nil
}

// addBlockRow adds a row of the text blocks: rows of one block and sensor follow each other in order of time.
func addBlockRow(list []Block, rows *sql.Rows) ([]Block, error) {
	var b Block
	var a BlockAnnouncer
	var seen time.Time
	var address string
	var port int
	var name, network, agent, place sql.NullString
	if err := rows.Scan(&b.Hash, &b.Sensor, &a.Conn, &seen, &a.Via, &address, &port, &name, &network, &agent, &place); err != nil {
		return nil, err
	}
	a.SeenAt, a.Peer, a.UserAgent, a.Place = record.Time(seen.UnixMicro()), peerText(address, port, name.String), agent.String, place.String
	if n := len(list); n == 0 || list[n-1].Hash != b.Hash || list[n-1].Sensor != b.Sensor {
		b.Network = network.String
		list = append(list, b)
	}
	last := &list[len(list)-1]
	i := slices.IndexFunc(last.Announcers, func(o BlockAnnouncer) bool { return o.Conn == a.Conn })
	if i < 0 {
		i = len(last.Announcers)
		last.Announcers = append(last.Announcers, a)
	}
	last.Announcers[i].Ways = append(last.Announcers[i].Ways, Way{a.Via, a.SeenAt})
	return list, nil
}

// finish fills in what follows from the announcers, of which there is one at least.
func (b *Block) finish() {
	first := b.Announcers[0].SeenAt
	for i := range b.Announcers {
		b.Announcers[i].Behind = b.Announcers[i].SeenAt.Sub(first)
	}
	n := len(b.Announcers)
	b.Lead = -1
	if n > 1 {
		b.Lead = b.Announcers[1].Behind
	}
	b.Half, b.Most = b.Announcers[(n+1)/2-1].Behind, b.Announcers[(9*n+9)/10-1].Behind
}

// sortBlocks puts the blocks in order: that which was seen last by any sensor first, and those of one block together.
func sortBlocks(list []Block) {
	first := map[string]record.Time{}
	for i := range list {
		at, ok := first[list[i].Hash]
		if seen := list[i].Announcers[0].SeenAt; !ok || seen < at {
			first[list[i].Hash] = seen
		}
	}
	slices.SortStableFunc(list, func(a, b Block) int {
		return cmp.Or(cmp.Compare(first[b.Hash], first[a.Hash]), cmp.Compare(a.Hash, b.Hash), cmp.Compare(a.Sensor, b.Sensor))
	})
}
