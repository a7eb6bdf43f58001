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
// "Before" is what the latest databases of up to that date had said. All is done in one transaction.
func (db *DB) RefreshPlaces(ctx context.Context, where Locator) (*Refreshed, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("refresh places: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after Commit; else the first error counts
	r, fresh, completed, err := db.lookUp(ctx, tx, where)
	if err != nil {
		return nil, fmt.Errorf("look peers up: %w", err)
	}
	for chunk := range slices.Chunk(fresh, placesAtOnce) {
		if err := db.insertPlaces(ctx, tx, chunk); err != nil {
			return nil, fmt.Errorf("store places: %w", err)
		}
	}
	for chunk := range slices.Chunk(completed, placesAtOnce) {
		if err := updatePlaces(ctx, tx, chunk); err != nil {
			return nil, fmt.Errorf("complete places: %w", err)
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

// lookUp looks all hosts up and returns the rows to add, and those to replace.
func (db *DB) lookUp(ctx context.Context, tx *sql.Tx, where Locator) (r *Refreshed, fresh, completed []hostPlace, err error) {
	rows, err := tx.QueryContext(ctx, db.text("geo_hosts"), where.AsOf().String())
	if err != nil {
		return nil, nil, nil, err
	}
	defer rows.Close()
	r = &Refreshed{}
	moves := map[Move]int{}
	for rows.Next() {
		h, err := scanHost(rows)
		if err != nil {
			return nil, nil, nil, err
		}
		r.Peers++
		p := where.Place(h.host)
		if p.AsOf == 0 && h.dated { // a place in a lab's network, which older databases had
			p.AsOf = where.AsOf()
		}
		if h.stored && p.AsOf != 0 {
			h.now.AsOf = p.AsOf
			if p = merge(h.now, p); p != h.now {
				completed = append(completed, hostPlace{h.host, p})
			}
		} else if p.Known() && (p.AsOf != 0 || !h.alone) {
			fresh = append(fresh, hostPlace{h.host, p})
		}
		r.compare(h.before, p.Country, moves)
	}
	r.Added, r.Completed = len(fresh), len(completed)
	for m, n := range moves {
		m.Peers = n
		r.Moves = append(r.Moves, m)
	}
	slices.SortFunc(r.Moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(b.Peers, a.Peers), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return r, fresh, completed, rows.Err()
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
	dated  bool   // there is a row of the date, or of an earlier one
	alone  bool   // there is a row without a date
	stored bool   // there is a row of the date: now
	now    record.Place
}

func scanHost(rows *sql.Rows) (h knownHost, err error) {
	var kind string
	var asn int64
	var latitude, longitude sql.NullFloat64
	err = rows.Scan(&h.host, &h.before, &h.dated, &h.alone, &h.stored, &kind, &h.now.Country, &h.now.City, &latitude, &longitude,
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

// placeColumns are the columns of place that databases fill, with their types.
var placeColumns = []struct{ name, sqlType string }{
	{"host", "text"}, {"as_of", "timestamptz"}, {"kind", "text"}, {"country", "text"}, {"city", "text"}, {"latitude", "float8"},
	{"longitude", "float8"}, {"time_zone", "text"}, {"asn", "bigint"}, {"organisation", "text"},
}

// columnNames are the placeColumns with commas between.
func columnNames() string {
	var names []string
	for _, c := range placeColumns {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// insertPlaces adds rows. One that another process has added meanwhile stays.
func (db *DB) insertPlaces(ctx context.Context, tx *sql.Tx, list []hostPlace) error {
	text, args := placeValues(list)
	text = "INSERT INTO place (" + columnNames() + ") " + text
	if db.Dialect == Postgres { // in DuckDB there is no other process
		text += " ON CONFLICT DO NOTHING"
	}
	_, err := tx.ExecContext(ctx, text, args...)
	return err
}

// updatePlaces replaces what rows of the same hosts and dates say.
func updatePlaces(ctx context.Context, tx *sql.Tx, list []hostPlace) error {
	text, args := placeValues(list)
	var set []string
	for _, c := range placeColumns[2:] {
		set = append(set, c.name+" = v."+c.name)
	}
	_, err := tx.ExecContext(ctx, "UPDATE place SET "+strings.Join(set, ", ")+" FROM ("+text+") v ("+columnNames()+
		") WHERE place.host = v.host AND place.as_of = v.as_of", args...)
	return err
}

// placeValues returns rows as a list of VALUES, with its arguments.
func placeValues(list []hostPlace) (text string, args []any) {
	var b strings.Builder
	for i := range list {
		if i == 0 {
			b.WriteString("VALUES (")
		} else {
			b.WriteString(", (")
		}
		for k, v := range list[i].values() {
			if k > 0 {
				b.WriteString(", ")
			}
			args = append(args, v)
			fmt.Fprintf(&b, "CAST($%d AS %s)", len(args), placeColumns[k].sqlType)
		}
		b.WriteByte(')')
	}
	return b.String(), args
}

// values are the row's, in the order of placeColumns.
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
