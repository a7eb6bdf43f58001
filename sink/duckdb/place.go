package duckdb

import (
	"database/sql/driver"

	"btcsniff/record"
	"btcsniff/sink"
)

// createStagedPlace makes the table that a batch's places are appended to before those that are new go into place.
const createStagedPlace = `CREATE TEMP TABLE staged_place AS FROM place LIMIT 0`

// mergeStagedPlace adds the rows that aren't there yet. There is no other writer, so that no index needs to guard them.
const mergeStagedPlace = `
INSERT INTO place FROM staged_place s
WHERE NOT EXISTS (SELECT 1 FROM place p WHERE p.host = s.host AND p.as_of IS NOT DISTINCT FROM s.as_of);
DELETE FROM staged_place`

// Locate has the sink ask where for the place of each peer host, as record.Conn.PeerHost gives it, instead of record.PlaceOf. where
// is called by the goroutine that uses the sink.
func (s *Sink) Locate(where func(host string) record.Place) { s.where = where }

// stagePlace appends the place of c's peer, if anything is known of it. staged are the hosts of the batch that were looked up.
func (s *Sink) stagePlace(w *writer, c *record.Conn, staged map[string]bool) error {
	host := c.PeerHost()
	if staged[host] {
		return nil
	}
	staged[host] = true
	p := s.where(host)
	if !p.Known() {
		return nil
	}
	s.placed = true
	return w.row("temp", "staged_place", placeRow(host, &p)...)
}

// placeRow returns a row of place.
func placeRow(host string, p *record.Place) []driver.Value {
	row := []driver.Value{sink.Text(host), nil, string(p.Kind), textOrNull(p.Country), textOrNull(p.City), nil, nil,
		textOrNull(p.TimeZone), nil, textOrNull(p.Organisation)}
	if p.AsOf != 0 {
		row[1] = p.AsOf.Std()
	}
	if p.Located {
		row[5], row[6] = p.Latitude, p.Longitude
	}
	if p.ASN != 0 {
		row[8] = int64(p.ASN)
	}
	return row
}
