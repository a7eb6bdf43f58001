package analyze

import (
	"context"
	"fmt"
	"time"

	"btcsniff/record"
)

// Sources of round-trip times.
const (
	FromPing      = "ping"      // of pings that the node sent and the peer answered with the same nonce
	FromHandshake = "handshake" // SYN to the ACK of the SYN-ACK
)

// rttReach is how far from an announcement, to both sides, pings may be to tell its round-trip time. Bitcoin Core sends one every two
// minutes (net_processing.cpp, PING_INTERVAL), so that there are thirty in it, while routes rarely change (Paxson, "End-to-End Routing
// Behavior in the Internet", 1997: most last for days, though some for minutes only).
const rttReach = 30 * time.Minute

// An RTT is what is known of the round-trip time to a peer at a moment. The zero RTT is that nothing is.
type RTT struct {
	Time   time.Duration
	Error  time.Duration // how much half of Time, taken for the latency of one way, may be off
	Source string        // FromPing, FromHandshake; "": none
	Pongs  int64         // that were looked at
}

// pongs are the round-trip times of a connection's pongs near a moment, in microseconds.
type pongs struct{ n, least, median int64 }

// estimateRTT puts together what is known. handshake is the TCP handshake's round-trip time in microseconds, nil if it was not captured
// or was a proxy's.
//
// Pongs come late where the way or the peer is busy, so the least is the way's: a filter for the minimum, as BBR has it (Cardwell and
// others, "BBR: Congestion-Based Congestion Control", ACM Queue 2016). Least is here the least tenth, so that fewer than a tenth of
// measurements that are too small, by a clock that was set in between, change nothing; any number that is too great doesn't up to nine
// tenths (the breakdown points of that quantile: Huber and Ronchetti, "Robust Statistics", 2009). With up to ten pongs it is the minimum.
//
// A peer can hold back its pongs to look farther away, and so earlier. A handshake, which its kernel answers before anything is known
// of the connection, bounds that: the less of the two counts.
//
// The error has three parts of which the greatest counts: half of how far the pongs are spread above the least; half of how far ping and
// handshake are apart; and what no measurement at one end can see, that there and back take different times, for which a tenth of the
// latency is assumed, or half of it where there was one measurement alone. (All that is certain is the latency itself.)
func estimateRTT(p pongs, handshake *int64) RTT {
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	byHand := handshake != nil && *handshake > 0
	switch {
	case byHand && p.n > 0 && *handshake < p.least:
		return RTT{us(*handshake), max(us(p.least-*handshake)/2, us(*handshake)/20), FromHandshake, p.n}
	case p.n == 1 && !byHand:
		return RTT{us(p.least), us(p.least) / 4, FromPing, 1}
	case p.n > 0:
		return RTT{us(p.least), max(us(p.median-p.least)/2, us(p.least)/20), FromPing, p.n}
	case byHand:
		return RTT{us(*handshake), us(*handshake) / 4, FromHandshake, 0}
	}
	return RTT{}
}

// pongsFrom returns the pongs of each connection in a range of time.
func (db *DB) pongsFrom(ctx context.Context, since, until record.Time) (map[int64]pongs, error) {
	rows, err := db.QueryContext(ctx, db.text("rtt"), since.Std(), until.Std())
	if err != nil {
		return nil, fmt.Errorf("measure round-trip times: %w", err)
	}
	defer rows.Close()
	all := map[int64]pongs{}
	for rows.Next() {
		var conn int64
		var p pongs
		if err := rows.Scan(&conn, &p.n, &p.least, &p.median); err != nil {
			return nil, fmt.Errorf("measure round-trip times: %w", err)
		}
		all[conn] = p
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("measure round-trip times: %w", err)
	}
	return all, nil
}
