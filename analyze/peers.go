package analyze

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"btcsniff/record"
)

// A PeersQuery says what of peers is summed up. Zero fields mean what their comments say.
type PeersQuery struct {
	Since, Until  record.Time // 0, 0: the last stretch of time that has about 150,000 announcements; 0 alone: no limit
	ByConnection  bool        // each connection is a peer; else each address or onion name is
	Announcements int64       // instead of 150,000
}

const (
	someAnnouncements = 150_000     // take about half a second
	rttAtLeast        = time.Hour   // round-trip times are of that time before the end, at least: there is a ping every two minutes
	listensFor        = time.Minute // a peer that was watched for less may just not have begun
)

// A Peer is what one peer did in a stretch of time, as one sensor saw it.
type Peer struct {
	Sensor       string
	Peer         string // address, or name that a proxy was asked for; of a connection with the port
	Conn         int64  // a connection: with ByConnection the peer itself, else its latest as far as ids tell nothing of time: any
	Connections  int64  // in that time, one after the other or at once
	Network      string // of Conn, as all up to ASN
	Transport    string // v1, v2, unknown; "": it is still open
	UserAgent    string // as the peer sent it
	PeerOpened   bool
	Place        string
	Country      string
	ASN          int64
	Organisation string

	Watched   time.Duration // from the opening of its first connection in that time to the closing of the last
	Announced int64         // inventory entries of transactions that it sent
	PerHour   float64       // Announced, by Watched
	Offered   int64         // such entries that the node sent to it
	Asked     int64         // transactions that the node sent to it, which nodes do when asked

	// Of the transactions that nobody had told of before that time:
	Transactions int64         // that it told of
	Firsts       int64         // of these, that it was the first to tell of
	MeanDelay    time.Duration // behind the first, 0 where it was the first itself; less than 0: Transactions is 0
	MedianDelay  time.Duration // as MeanDelay

	Pongs       int64         // whose ping was captured
	MeanRTT     time.Duration // 0 if Pongs is, as MedianRTT is
	MedianRTT   time.Duration
	RTTVariance float64 // of the sample, in microseconds squared; 0 if Pongs is below 2

	// Signs are what a peer that only listens shows: "announces nothing", "asks for nothing" of what it is offered, "many connections".
	// An honest peer may show them, too: one that connects for blocks alone announces no transactions.
	Signs []string
}

// Peers sums up what peers did, those first that were first most often. It returns the stretch of time that it did so for.
func (db *DB) Peers(ctx context.Context, q PeersQuery) ([]Peer, Range, error) {
	span, err := db.peersRange(ctx, &q)
	if err != nil || span.Since >= span.Until {
		return nil, span, err
	}
	rtts := min(span.Since, span.Until.Add(-rttAtLeast))
	rows, err := db.QueryContext(ctx, db.text("peers_told")+db.text("peers"), span.Since.Std(), span.Until.Std(), q.ByConnection, rtts.Std())
	if err != nil {
		return nil, span, fmt.Errorf("sum up peers: %w", err)
	}
	defer rows.Close()
	var list []Peer
	for rows.Next() {
		p, err := scanPeer(rows, q.ByConnection)
		if err != nil {
			return nil, span, fmt.Errorf("sum up peers: %w", err)
		}
		p.Signs = p.signs()
		list = append(list, p)
	}
	if err := rows.Err(); err != nil {
		return nil, span, fmt.Errorf("sum up peers: %w", err)
	}
	return list, span, nil
}

// peersRange fills in what of the time is left open.
func (db *DB) peersRange(ctx context.Context, q *PeersQuery) (Range, error) {
	all, err := db.Extent(ctx)
	if err != nil || all.Last == 0 {
		return Range{}, err
	}
	span := Range{Since: max(q.Since, all.First), Until: all.Last + 1}
	if q.Until != 0 {
		span.Until = min(q.Until, span.Until)
	}
	if q.Since != 0 || q.Until != 0 {
		return span, nil
	}
	n := q.Announcements
	if n <= 0 {
		n = someAnnouncements
	}
	// Where there are few it must not search all: what is asked for is the latest, and so long.
	for reach := time.Minute; ; reach *= 8 {
		from := max(span.Until.Add(-reach), all.First)
		var since sql.NullTime
		var found int64
		if err := db.QueryRowContext(ctx, db.text("peers_window"), from.Std(), span.Until.Std(), n).Scan(&since, &found); err != nil {
			return Range{}, fmt.Errorf("choose a stretch of time: %w", err)
		}
		switch {
		case found >= n && since.Valid:
			return Range{Since: max(record.Time(since.Time.UnixMicro()), from), Until: span.Until}, nil
		case from == all.First:
			return span, nil
		}
	}
}

// scanPeer reads a row of the text peers.
func scanPeer(rows *sql.Rows, byConnection bool) (p Peer, err error) {
	var (
		key, address                                            string
		port                                                    int
		watched                                                 float64
		name, network, transport, agent, place, country, organi sql.NullString
		asn                                                     sql.NullInt64
		mean, median, rttMean, rttMedian, variance              sql.NullFloat64
	)
	if err := rows.Scan(&p.Sensor, &key, &p.Connections, &watched, &p.Conn, &address, &port, &name, &network, &transport, &agent,
		&p.PeerOpened, &place, &country, &asn, &organi, &p.Announced, &p.Offered, &p.Asked, &p.Transactions, &p.Firsts,
		&mean, &median, &p.Pongs, &rttMean, &rttMedian, &variance); err != nil {
		return p, err
	}
	p.Peer = key
	if byConnection {
		p.Peer = peerText(address, port, name.String)
	}
	p.Network, p.Transport, p.UserAgent = network.String, transport.String, agent.String
	p.Place, p.Country, p.ASN, p.Organisation = place.String, country.String, asn.Int64, organi.String
	p.Watched = fromSeconds(watched)
	if watched > 0 {
		p.PerHour = float64(p.Announced) / watched * 3600
	}
	p.MeanDelay, p.MedianDelay = -1, -1
	if p.Transactions > 0 {
		p.MeanDelay, p.MedianDelay = fromMicros(mean.Float64), fromMicros(median.Float64)
	}
	p.MeanRTT, p.MedianRTT, p.RTTVariance = fromMicros(rttMean.Float64), fromMicros(rttMedian.Float64), variance.Float64
	return p, nil
}

// fromMicros is us microseconds, rounded to whole ones: databases average in different ways behind the point.
func fromMicros(us float64) time.Duration {
	return time.Duration(math.Floor(min(max(us, -9e15), 9e15)+0.5)) * time.Microsecond
}

// manyConnections of one address at once are more than a node makes.
const manyConnections = 3

// signs says what of a listener the peer shows.
func (p *Peer) signs() (signs []string) {
	if p.Watched < listensFor || p.Network == "" { // it is encrypted
		return nil
	}
	if p.Announced == 0 {
		signs = append(signs, "announces nothing")
	}
	if p.Offered > 0 && p.Asked == 0 {
		signs = append(signs, "asks for nothing")
	}
	if p.Connections >= manyConnections {
		signs = append(signs, "many connections")
	}
	return signs
}
