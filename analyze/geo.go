package analyze

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"btcsniff/record"
)

// A Locator knows where hosts are, by databases of which the youngest was built at AsOf. A *geo.DB is one.
type Locator interface {
	Place(host string) record.Place
	AsOf() record.Time
}

// A PlaceCount is how many peers are in one place.
type PlaceCount struct {
	Place            string // a country in two letters, or tor, i2p, cjdns, private, unknown
	Peers            int64  // hosts
	Connections      int64
	Earliest, Latest record.Time // builds of the databases that say so; 0: it needed none
}

// Places returns in which places the peers are, that with the most of them first.
func (db *DB) Places(ctx context.Context) ([]PlaceCount, error) {
	rows, err := db.QueryContext(ctx, db.text("geo_places"))
	if err != nil {
		return nil, fmt.Errorf("list places: %w", err)
	}
	defer rows.Close()
	var all []PlaceCount
	for rows.Next() {
		var p PlaceCount
		var earliest, latest sql.NullTime
		if err := rows.Scan(&p.Place, &p.Peers, &p.Connections, &earliest, &latest); err != nil {
			return nil, fmt.Errorf("list places: %w", err)
		}
		if earliest.Valid {
			p.Earliest, p.Latest = record.Time(earliest.Time.UnixMicro()), record.Time(latest.Time.UnixMicro())
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list places: %w", err)
	}
	return all, nil
}

// A Refreshed says what RefreshPlaces found. A peer is a host here, whatever connections it had.
type Refreshed struct {
	Peers     int    // that were looked up
	Located   int    // of these, that are in a country
	Added     int    // rows of the table place
	Completed int    // rows of databases of the same date that now say more
	Found     int    // peers whose country was not known before
	Lost      int    // peers whose country is not known any more
	Changed   int    // peers that are in another country than before
	Moves     []Move // of these three, the most frequent first
}

// A Move is that peers are in another country than before.
type Move struct {
	From, To string // "": none that is known
	Peers    int
}

// RefreshPlaces looks all peers up again and stores what is new, under the date of the locator's databases; rows of other dates stay.
// "Before" is what the latest databases said that were built earlier. All is done in one transaction.
func (db *DB) RefreshPlaces(ctx context.Context, where Locator) (*Refreshed, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("refresh places: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after Commit; else the first error counts
	r, fresh, err := db.lookUp(ctx, tx, where)
	if err != nil {
		return nil, fmt.Errorf("look peers up: %w", err)
	}
	for chunk := range slices.Chunk(fresh, placesAtOnce) {
		if err := storePlaces(ctx, tx, chunk); err != nil {
			return nil, fmt.Errorf("store places: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("commit places: %w", err)
	}
	return r, nil
}

// placesAtOnce is how many rows a statement stores. Postgres has 65,535 parameters at most.
const placesAtOnce = 500

// A hostPlace is a row of the table place.
type hostPlace struct {
	host string
	record.Place
}

// lookUp looks all hosts up and returns the rows to store.
func (db *DB) lookUp(ctx context.Context, tx *sql.Tx, where Locator) (*Refreshed, []hostPlace, error) {
	rows, err := tx.QueryContext(ctx, db.text("geo_hosts"), where.AsOf().String())
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	r := &Refreshed{}
	var fresh []hostPlace
	moves := map[Move]int{}
	for rows.Next() {
		h, err := scanHost(rows)
		if err != nil {
			return nil, nil, err
		}
		r.Peers++
		p := where.Place(h.host)
		if h.stored && p.AsOf != 0 {
			h.now.AsOf = p.AsOf
			if p = merge(h.now, p); p != h.now {
				fresh = append(fresh, hostPlace{h.host, p})
				r.Completed++
			}
		} else if p.Known() && (p.AsOf != 0 || !h.alone) {
			fresh = append(fresh, hostPlace{h.host, p})
			r.Added++
		}
		r.compare(h.before, p.Country, moves)
	}
	for m, n := range moves {
		m.Peers = n
		r.Moves = append(r.Moves, m)
	}
	slices.SortFunc(r.Moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(b.Peers, a.Peers), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return r, fresh, rows.Err()
}

// compare counts a peer that was in one country and is in another. "" is none that is known.
func (r *Refreshed) compare(before, now string, moves map[Move]int) {
	if now != "" {
		r.Located++
	}
	if before != now {
		moves[Move{From: before, To: now}]++
	}
	switch {
	case before == now:
	case before == "":
		r.Found++
	case now == "":
		r.Lost++
	default:
		r.Changed++
	}
}

// A knownHost is a row of the text geo_hosts.
type knownHost struct {
	host   string
	before string // country
	alone  bool   // there is a row without a date
	stored bool   // there is a row of the date: now
	now    record.Place
}

func scanHost(rows *sql.Rows) (h knownHost, err error) {
	var kind string
	var asn int64
	var latitude, longitude sql.NullFloat64
	err = rows.Scan(&h.host, &h.before, &h.alone, &h.stored, &kind, &h.now.Country, &h.now.City, &latitude, &longitude,
		&h.now.TimeZone, &asn, &h.now.Organisation)
	h.now.Kind, h.now.ASN = record.PlaceKind(kind), uint32(asn)
	if latitude.Valid && longitude.Valid {
		h.now.Latitude, h.now.Longitude, h.now.Located = latitude.Float64, longitude.Float64, true
	}
	return h, err
}

// merge returns what is stored, with what it lacks from p, of the same date.
func merge(stored, p record.Place) record.Place {
	m := stored
	if m.Kind == record.PlaceUnknown {
		m.Kind = p.Kind
	}
	m.Country = cmp.Or(m.Country, p.Country)
	m.City = cmp.Or(m.City, p.City)
	if !m.Located {
		m.Latitude, m.Longitude, m.Located = p.Latitude, p.Longitude, p.Located
	}
	m.TimeZone = cmp.Or(m.TimeZone, p.TimeZone)
	if m.ASN == 0 {
		m.ASN, m.Organisation = p.ASN, p.Organisation
	}
	return m
}

// storePlaces stores rows, in place of rows of the same hosts and dates.
func storePlaces(ctx context.Context, tx *sql.Tx, list []hostPlace) error {
	var remove, insert strings.Builder
	var hosts, values []any
	remove.WriteString("DELETE FROM place WHERE as_of = CAST($1 AS timestamptz) AND host IN (")
	insert.WriteString("INSERT INTO place (host, as_of, kind, country, city, latitude, longitude, time_zone, asn, organisation) VALUES ")
	for i := range list {
		h := &list[i]
		if h.AsOf != 0 {
			if hosts == nil {
				hosts = append(hosts, h.AsOf.String())
			} else {
				remove.WriteString(", ")
			}
			hosts = append(hosts, h.host)
			fmt.Fprintf(&remove, "$%d", len(hosts))
		}
		if i > 0 {
			insert.WriteString(", ")
		}
		insert.WriteByte('(')
		for k, v := range h.values() {
			if k > 0 {
				insert.WriteString(", ")
			}
			values = append(values, v)
			fmt.Fprintf(&insert, "$%d", len(values))
		}
		insert.WriteByte(')')
	}
	if hosts != nil {
		if _, err := tx.ExecContext(ctx, remove.String()+")", hosts...); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, insert.String(), values...)
	return err
}

// values are the columns of the row.
func (h *hostPlace) values() []any {
	row := []any{h.host, nil, string(h.Kind), orNull(h.Country), orNull(h.City), nil, nil, orNull(h.TimeZone), nil, orNull(h.Organisation)}
	if h.AsOf != 0 {
		row[1] = time.UnixMicro(int64(h.AsOf)).UTC()
	}
	if h.Located {
		row[5], row[6] = h.Latitude, h.Longitude
	}
	if h.ASN != 0 {
		row[8] = int64(h.ASN)
	}
	return row
}

// orNull is s, or null for an empty string.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
