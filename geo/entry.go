package geo

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"btcsniff/record"
)

const maxText = 200 // bytes of a city's, time zone's or organisation's name that are kept

// fill adds to p what an entry says and p doesn't have. These layouts are known:
//   - MaxMind's GeoIP2 and GeoLite2 (Country, City, Enterprise, ASN, ISP) and DB-IP's, which is the same: country.iso_code,
//     city.names.en, location.latitude, autonomous_system_number, ...; also below traits. Source: MaxMind's "GeoIP2 and GeoLite2
//     databases" documents, DB-IP's MMDB documents.
//   - ip-location-db's: country_code, city, latitude, timezone, autonomous_system_number, ... Source: the READMEs of its packages.
//   - IPinfo's: country or country_code, asn as in "AS64496", as_name. Source: its documents of the IP to Country ASN and Lite databases.
//
// Where a network's registered or represented country differs from the one where it is, the latter counts, and only that.
func fill(p *record.Place, entry any) {
	e := asMap(entry)
	if p.Country == "" {
		p.Country = first(country, asMap(e["country"])["iso_code"], e["country_code"], e["country"])
	}
	if p.City == "" {
		p.City = first(text, asMap(asMap(e["city"])["names"])["en"], e["city"])
	}
	location, traits := asMap(e["location"]), asMap(e["traits"])
	if !p.Located {
		p.Latitude, p.Longitude, p.Located = position(location["latitude"], location["longitude"])
	}
	if !p.Located {
		p.Latitude, p.Longitude, p.Located = position(e["latitude"], e["longitude"])
	}
	if p.TimeZone == "" {
		p.TimeZone = first(text, location["time_zone"], e["timezone"], e["time_zone"])
	}
	if p.ASN != 0 {
		return // number and name are of one database
	}
	for _, v := range []any{e["autonomous_system_number"], traits["autonomous_system_number"], e["as_number"], e["asn"]} {
		if p.ASN == 0 {
			p.ASN = number(v)
		}
	}
	if p.ASN != 0 {
		p.Organisation = first(text, e["autonomous_system_organization"], traits["autonomous_system_organization"],
			e["as_organization"], e["as_name"])
	}
}

// asMap returns v, or an empty map where v is no map.
func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// first returns the first of the values in which read finds something.
func first(read func(any) string, values ...any) string {
	for _, v := range values {
		if s := read(v); s != "" {
			return s
		}
	}
	return ""
}

// country returns a code of two letters. What registries write where they know none isn't one: EU and AP, which they use for networks
// of a continent, XX and ZZ.
func country(v any) string {
	s, _ := v.(string)
	s = strings.ToUpper(s)
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	switch s {
	case "EU", "AP", "XX", "ZZ":
		return ""
	}
	return s
}

// text returns a name without control characters, surrounding space and what is no UTF-8, cut where it is too long. A dash means that
// there is none.
func text(v any) string {
	s, _ := v.(string)
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s))
	for len(s) > maxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	if s == "-" {
		return ""
	}
	return s
}

// position returns coordinates in degrees, if both are there and can be.
func position(latitude, longitude any) (lat, long float64, ok bool) {
	lat, okLat := degrees(latitude, 90)
	long, okLong := degrees(longitude, 180)
	if !okLat || !okLong {
		return 0, 0, false
	}
	return lat, long, true
}

// degrees returns an angle from -limit to limit.
func degrees(v any, limit float64) (float64, bool) {
	var f float64
	switch v := v.(type) {
	case float64:
		f = v
	case float32:
		f = float64(v)
	case string:
		var err error
		if f, err = strconv.ParseFloat(v, 64); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	return f, math.Abs(f) <= limit // false for NaN
}

// number returns the number of an autonomous system, which may be written as in "AS64496"; 0 if there is none.
func number(v any) uint32 {
	switch v := v.(type) {
	case uint64:
		if v <= math.MaxUint32 {
			return uint32(v)
		}
	case string:
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(v), "AS"), 10, 32)
		if err == nil {
			return uint32(n)
		}
	}
	return 0
}
