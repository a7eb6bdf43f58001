package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"btcsniff/record"
)

const insertPlaces = `
INSERT INTO place (host, as_of, kind, country, city, latitude, longitude, time_zone, asn, organisation)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::text[],
                     $9::bigint[], $10::text[])
ON CONFLICT DO NOTHING`

// Locate has the sink ask where for the place of each peer host, as record.Conn.PeerHost gives it, instead of record.PlaceOf. where
// is called by the goroutine that uses the sink.
func (s *Sink) Locate(where func(host string) record.Place) { s.where = where }

// storePlaces stores where the peers of connections are, as far as that is known.
func (s *Sink) storePlaces(ctx context.Context, db *pgx.Conn, conns []*record.Conn) error {
	where := s.where
	if where == nil {
		where = record.PlaceOf
	}
	places := map[string]record.Place{}
	var hosts []string
	for _, c := range conns {
		host := c.PeerHost()
		if _, done := places[host]; done {
			continue
		}
		p := where(host)
		places[host] = p
		if p.Known() {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	slices.Sort(hosts) // in one order, as connections are, so that writers never wait for each other in a circle
	var cols struct {
		host, kind, country, city, zone, organisation []pgtype.Text
		asOf                                          []pgtype.Timestamptz
		latitude, longitude                           []pgtype.Float8
		asn                                           []pgtype.Int8
	}
	for _, host := range hosts {
		p := places[host]
		cols.host, cols.kind = append(cols.host, text(host)), append(cols.kind, text(string(p.Kind)))
		cols.asOf = append(cols.asOf, timestampOrNull(p.AsOf))
		cols.country, cols.city = append(cols.country, textOrNull(p.Country)), append(cols.city, textOrNull(p.City))
		cols.latitude = append(cols.latitude, pgtype.Float8{Float64: p.Latitude, Valid: p.Located})
		cols.longitude = append(cols.longitude, pgtype.Float8{Float64: p.Longitude, Valid: p.Located})
		cols.zone = append(cols.zone, textOrNull(p.TimeZone))
		cols.asn = append(cols.asn, pgtype.Int8{Int64: int64(p.ASN), Valid: p.ASN != 0})
		cols.organisation = append(cols.organisation, textOrNull(p.Organisation))
	}
	if _, err := db.Exec(ctx, insertPlaces, cols.host, cols.asOf, cols.kind, cols.country, cols.city, cols.latitude, cols.longitude,
		cols.zone, cols.asn, cols.organisation); err != nil {
		return fmt.Errorf("store places: %w", err)
	}
	return nil
}
