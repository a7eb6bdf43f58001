package geo_test

import (
	"bytes"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/geo"
	"btcsniff/geo/geotest"
	"btcsniff/record"
)

const built = 1_750_000_000 // seconds since 1970

const asOf = record.Time(built) * 1_000_000

// open writes databases into files and opens them, in their order.
func open(t testing.TB, databases ...geotest.Database) *geo.DB {
	t.Helper()
	var paths []string
	for i, d := range databases {
		paths = append(paths, d.Write(t, filepath.Join(t.TempDir(), string(rune('a'+i))+".mmdb")))
	}
	db, err := geo.Open(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// one is a database that knows one network.
func one(entry any) geotest.Database {
	return geotest.Database{Built: built, Networks: map[string]any{"192.0.2.0/25": entry}}
}

type m = map[string]any

// TestLayouts has an entry of each maker's databases, as their documents and files have them.
func TestLayouts(t *testing.T) {
	tor := record.Place{Kind: record.PlacePrivate, AsOf: asOf}
	place := func(set func(*record.Place)) record.Place {
		p := tor
		set(&p)
		return p
	}
	maxmind := m{
		"city": m{"geoname_id": uint32(2655045), "names": m{"de": "Boxford", "en": "Boxford"}}, "continent": m{"code": "EU"},
		"country":  m{"iso_code": "GB", "names": m{"en": "United Kingdom"}, "is_in_european_union": "no"},
		"location": m{"accuracy_radius": uint32(100), "latitude": 51.75, "longitude": -1.25, "time_zone": "Europe/London"},
		"postal":   m{"code": "OX1"}, "registered_country": m{"iso_code": "FR"},
		"subdivisions": []any{m{"iso_code": "ENG"}},
	}
	enterprise := maps.Clone(maxmind)
	enterprise["traits"] = m{"autonomous_system_number": uint32(64496), "autonomous_system_organization": "Example", "isp": "x"}
	british := func(p *record.Place) {
		p.Country, p.City, p.Latitude, p.Longitude, p.Located, p.TimeZone = "GB", "Boxford", 51.75, -1.25, true, "Europe/London"
	}
	as := func(p *record.Place) { p.ASN, p.Organisation = 64496, "Example" }
	for _, tt := range []struct {
		name  string
		entry any
		want  record.Place
	}{
		{"GeoIP2 City", maxmind, place(british)},
		{"GeoIP2 Enterprise", enterprise, place(func(p *record.Place) { british(p); as(p) })},
		{"GeoLite2 Country", m{"country": m{"iso_code": "SE"}}, place(func(p *record.Place) { p.Country = "SE" })},
		{"registered country alone", m{"registered_country": m{"iso_code": "AU"}}, tor},
		{"GeoLite2 ASN, DB-IP ASN", m{"autonomous_system_number": uint32(64496), "autonomous_system_organization": "Example"}, place(as)},
		{"ip-location-db country", m{"country_code": "JP"}, place(func(p *record.Place) { p.Country = "JP" })},
		{"ip-location-db city", m{"country_code": "GB", "state1": "England", "state2": "", "city": "Boxford", "postcode": "OX1",
			"latitude": 51.75, "longitude": -1.25, "timezone": "Europe/London"}, place(british)},
		{"ip-location-db city with coordinates as text", m{"latitude": "51.75", "longitude": "-1.25"},
			place(func(p *record.Place) { p.Latitude, p.Longitude, p.Located = 51.75, -1.25, true })},
		{"IPinfo", m{"country": "DE", "country_name": "Germany", "asn": "AS64496", "as_name": "Example", "as_domain": "example.net"},
			place(func(p *record.Place) { as(p); p.Country = "DE" })},
		{"IPinfo Lite", m{"country": "Germany", "country_code": "DE", "asn": "AS64496", "as_name": "Example"},
			place(func(p *record.Place) { as(p); p.Country = "DE" })},
		{"lower case", m{"country_code": "de"}, place(func(p *record.Place) { p.Country = "DE" })},
		{"a continent's registry", m{"country_code": "EU"}, tor},
		{"no country", m{"country_code": "ZZ"}, tor},
		{"a dash for nothing", m{"country_code": "-", "city": "-"}, tor},
		{"country of wrong letters", m{"country_code": "\x1b["}, tor},
		{"coordinates that can't be", m{"latitude": 91.0, "longitude": 0.0}, tor},
		{"no number", m{"latitude": math.NaN(), "longitude": 0.0}, tor},
		{"infinite", m{"latitude": 0.0, "longitude": math.Inf(-1)}, tor},
		{"half a position", m{"latitude": 1.0}, tor},
		{"AS number too great", m{"autonomous_system_number": uint64(1 << 32), "autonomous_system_organization": "x"}, tor},
		{"organisation without number", m{"as_name": "x"}, tor},
		{"wrong types everywhere", m{"country": uint32(1), "city": []any{}, "location": "x", "traits": uint32(2), "asn": m{}}, tor},
		{"no map", "DE", tor},
		{"control characters and broken UTF-8", m{"city": "\x1b[2JK\x00\xff\u00f6ln\r\n"}, place(func(p *record.Place) { p.City = "[2JK\u00f6ln" })},
		{"long name", m{"city": strings.Repeat("é", 150)}, place(func(p *record.Place) { p.City = strings.Repeat("é", 100) })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := open(t, one(tt.entry))
			if diff := cmp.Diff(tt.want, db.Place("192.0.2.1")); diff != "" {
				t.Errorf("Place (-want +got):\n%s", diff)
			}
			if err := db.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPlace looks up hosts in one database, which has an entry for whole special ranges, as registries have, and for parts of some.
func TestPlace(t *testing.T) {
	db := open(t, geotest.Countries(built, map[string]string{
		"8.8.0.0/16": "US", "2a02:8380::/28": "AT",
		"192.168.0.0/16": "AU", "203.0.113.0/24": "AU", "2001:db8::/32": "JP", "fd00::/8": "CH", // whole ranges
		"192.0.2.0/25": "DE", "10.1.0.0/16": "FR", "fc12::/16": "NL", // parts
	}))
	for _, tt := range []struct {
		host string
		want record.Place
	}{
		{"8.8.8.8", record.Place{Kind: record.PlaceInternet, Country: "US", AsOf: asOf}},
		{"::ffff:8.8.8.8", record.Place{Kind: record.PlaceInternet, Country: "US", AsOf: asOf}},
		{"2a02:8388::1", record.Place{Kind: record.PlaceInternet, Country: "AT", AsOf: asOf}},
		{"9.9.9.9", record.Place{Kind: record.PlaceUnknown, AsOf: asOf}},
		{"192.168.1.1", record.Place{Kind: record.PlacePrivate}},
		{"203.0.113.9", record.Place{Kind: record.PlacePrivate}},
		{"2001:db8::9", record.Place{Kind: record.PlacePrivate}},
		{"fd00::1", record.Place{Kind: record.PlacePrivate}},
		{"192.0.2.127", record.Place{Kind: record.PlacePrivate, Country: "DE", AsOf: asOf}},
		{"192.0.2.128", record.Place{Kind: record.PlacePrivate}},
		{"10.1.2.3", record.Place{Kind: record.PlacePrivate, Country: "FR", AsOf: asOf}},
		{"fc12::1", record.Place{Kind: record.PlaceCJDNS, Country: "NL", AsOf: asOf}},
		{"fc13::1", record.Place{Kind: record.PlaceCJDNS}},
		{"expyuzz4wqqyqhjn.onion", record.Place{Kind: record.PlaceTor}},
		{"example.i2p", record.Place{Kind: record.PlaceI2P}},
		{"peer.example", record.Place{Kind: record.PlaceUnknown}},
		{"", record.Place{Kind: record.PlaceUnknown}},
	} {
		t.Run(tt.host, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, db.Place(tt.host)); diff != "" {
				t.Errorf("Place(%q) (-want +got):\n%s", tt.host, diff)
			}
		})
	}
}

// TestSeveral asks several files: the first that knows something has the word, and the youngest gives the date.
func TestSeveral(t *testing.T) {
	const network = "1.2.3.0/24"
	file := func(built int64, version int, entry any) geotest.Database {
		return geotest.Database{Built: built, Version: version, Networks: map[string]any{network: entry}}
	}
	db := open(t,
		file(built, 4, m{"country_code": "DE", "city": ""}),
		file(built+86400, 6, m{"country_code": "FR", "city": "Paris"}),
		file(built-86400, 6, m{"autonomous_system_number": uint32(64496), "autonomous_system_organization": "Example"}))
	want := record.Place{Kind: record.PlaceInternet, Country: "DE", City: "Paris", ASN: 64496, Organisation: "Example", AsOf: asOf + 86400_000_000}
	if diff := cmp.Diff(want, db.Place("1.2.3.4")); diff != "" {
		t.Errorf("Place (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(record.Place{Kind: record.PlaceUnknown, AsOf: db.AsOf()}, db.Place("2a00::1")); diff != "" {
		t.Errorf("Place of an address that the first file can't hold (-want +got):\n%s", diff)
	}
	if err := db.Err(); err != nil {
		t.Error(err)
	}
}

// TestOpenBroken opens files that are no databases: an error names the file, and nothing panics.
func TestOpenBroken(t *testing.T) {
	good := one(m{"country_code": "DE"}).Bytes(t)
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "it is empty"},
		{"text", []byte("192.0.2.0/24,DE\n"), "no database in MaxMind's format"},
		{"cut off", good[:len(good)-20], "no database in MaxMind's format"},
		{"end alone", good[len(good)-60:], "no database in MaxMind's format"},
		{"gzip", []byte("\x1f\x8b\x08\x00" + strings.Repeat("x", 100)), "no database in MaxMind's format"},
		{"not built", geotest.Database{Built: math.MaxInt64}.Bytes(t), "can't be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-")+".mmdb")
			if err := os.WriteFile(path, tt.data, 0o644); err != nil {
				t.Fatal(err)
			}
			db, err := geo.Open(path)
			if err == nil {
				db.Close()
				t.Fatal("Open has no error")
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open error = %q, want a line with the file's name and %q", err, tt.want)
			}
		})
	}
	for path, want := range map[string]string{dir: "this is no file", filepath.Join(dir, "absent.mmdb"): "no such file"} {
		if _, err := geo.Open(path); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("Open(%s) error = %v, want the name once and %q", path, err, want)
		}
	}
}

// TestBrokenEntry looks up an entry that can't be read: it is as if it were missing, and Err says so.
func TestBrokenEntry(t *testing.T) {
	data := one(m{"country_code": "DE", "city": "Boxford"}).Bytes(t)
	i := bytes.Index(data, []byte("\x47Boxford")) // a string of 7 bytes: MaxMind DB format, "Data field format"
	if i < 0 {
		t.Fatal("no city in the file")
	}
	data[i] = 0x5d // a string of 29 bytes and more
	data[i+1] = 0xff
	path := filepath.Join(t.TempDir(), "broken.mmdb")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	db, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got, want := db.Place("192.0.2.1"), (record.Place{Kind: record.PlacePrivate}); got != want {
		t.Errorf("Place = %+v, want %+v", got, want)
	}
	if err := db.Err(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("Err() = %v, want one with the file and the address", err)
	}
}

// TestReplaced overwrites and shortens the file while it is open: what was read is what counts.
func TestReplaced(t *testing.T) {
	path := one(m{"country_code": "DE"}).Write(t, filepath.Join(t.TempDir(), "a.mmdb"))
	db, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	p := db.Place("192.0.2.1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if p.Country != "DE" {
		t.Errorf("country = %q, want DE", p.Country)
	}
}

func TestGoroutines(t *testing.T) {
	db := open(t, one(m{"country_code": "DE"}))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if p := db.Place("192.0.2.1"); p.Country != "DE" {
					t.Errorf("country = %q, want DE", p.Country)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzOpen opens and asks files that were made to break it.
func FuzzOpen(f *testing.F) {
	f.Add(one(m{"country_code": "DE"}).Bytes(f), "192.0.2.1")
	f.Add(geotest.Database{Built: built, Version: 4, Networks: map[string]any{"1.2.3.0/24": m{"country": m{"iso_code": "DE"},
		"location": m{"latitude": 1.5, "longitude": 2.5}, "asn": "AS1"}}}.Bytes(f), "1.2.3.4")
	f.Add([]byte("\xab\xcd\xefMaxMind.com"), "::1")
	path := filepath.Join(f.TempDir(), "fuzz.mmdb")
	f.Fuzz(func(t *testing.T, data []byte, host string) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		db, err := geo.Open(path)
		if err != nil {
			return
		}
		for _, h := range []string{host, "192.0.2.1", "1.2.3.4", "2001:db8::1"} {
			p := db.Place(h)
			if p.Kind == "" || len(p.Country) != 0 && len(p.Country) != 2 || math.Abs(p.Latitude) > 90 || math.Abs(p.Longitude) > 180 || p.AsOf < 0 {
				t.Errorf("Place(%q) = %+v", h, p)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	db := open(b, one(m{"country": m{"iso_code": "DE", "names": m{"en": "Germany", "de": "Deutschland"}}, "city": m{"names": m{"en": "Boxford"}},
		"location": m{"latitude": 51.75, "longitude": -1.25, "time_zone": "Europe/London"}}))
	for b.Loop() {
		db.Place("192.0.2.1")
	}
}
