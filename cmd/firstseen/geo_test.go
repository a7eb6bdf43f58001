package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/geo/geotest"
	"btcsniff/internal/cli"
	"btcsniff/record"
)

// TestGeo refreshes the places of a recording's peers from databases of several dates, on both kinds of databases.
func TestGeo(t *testing.T) {
	const built = 1_763_800_000 // 2025-11-22, before the recording
	dir := t.TempDir()
	write := func(name string, d geotest.Database) string { return d.Write(t, filepath.Join(dir, name+".mmdb")) }
	countries := func(v4, v6 string) map[string]string {
		m := map[string]string{}
		for network, country := range map[string]string{"203.0.113.0/25": v4, "fd77:a::/64": v6} {
			if country != "" {
				m[network] = country
			}
		}
		return m
	}
	first := write("first", geotest.Countries(built, countries("DE", "FR")))
	as := write("as", geotest.Database{Built: built - 1, Networks: map[string]any{"203.0.113.0/25": map[string]any{"asn": "AS64496", "as_name": "Example"}}})
	later := write("later", geotest.Countries(built+86400, countries("SE", "")))
	older := write("older", geotest.Countries(built-86400, countries("NO", "")))
	for _, d := range testDatabases(t) {
		t.Run(d.name, func(t *testing.T) {
			replayInto(t, "../../testdata/pcaps/ipv6/ipv6.pcap", d)
			firstseen := func(want string, args ...string) {
				t.Helper()
				var stdout, stderr strings.Builder
				args = append([]string{"geo", "--db", d.url}, args...)
				if err := run(t.Context(), args, &stdout, &stderr); err != nil {
					t.Fatalf("firstseen %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
				}
				if diff := cmp.Diff(want, stdout.String()); diff != "" {
					t.Errorf("firstseen %s (-want +got):\n%s", strings.Join(args, " "), diff)
				}
			}
			const csv = "place,peers,connections,earliest,latest\n"
			firstseen(csv+"private,4,5,,\n", "--csv")
			firstseen("from,to,peers\n,DE,1\n,FR,1\n", "--refresh", "--geoip", first, "--csv")
			said := func(date string, located, added, completed, changed, found, lost int) string {
				return fmt.Sprintf("peers      4 looked up in databases of %s: %d in a country\nplaces     %d added, %d completed\n"+
					"countries  %d changed, %d found, %d lost\n", date, located, added, completed, changed, found, lost)
			}
			const day21, day22, day23 = "2025-11-21T08:26:40.000000Z", "2025-11-22T08:26:40.000000Z", "2025-11-23T08:26:40.000000Z"
			firstseen(said(day22, 2, 0, 0, 0, 0, 0), "--refresh", "--geoip", first)
			firstseen(said(day22, 2, 0, 1, 0, 0, 0), "--refresh", "--geoip", first, "--geoip", as)
			firstseen(said(day23, 1, 2, 0, 1, 0, 1)+"from  to  peers\nDE    SE      1\nFR    -       1\n", "--refresh", "--geoip", later)
			firstseen(said(day21, 1, 1, 0, 0, 1, 0)+"from  to  peers\n   -  NO      1\n", "--refresh", "--geoip", older)
			firstseen("", "--refresh", "--geoip", older, "--json")
			firstseen(csv+"private,3,4,"+day23+","+day23+"\nSE,1,1,"+day23+","+day23+"\n", "--csv")
			db := d.open(t, false)
			var rows, asns int
			if err := db.QueryRow("SELECT count(*), count(asn) FROM place").Scan(&rows, &asns); err != nil {
				t.Fatal(err)
			}
			if rows != 4+2+2+1 || asns != 1 {
				t.Errorf("%d rows of place, %d with an AS, want 9 and 1: what older databases said must stay", rows, asns)
			}
		})
	}
}

// TestGeoUsage has command lines that can't be meant, and a file that is none.
func TestGeoUsage(t *testing.T) {
	for _, tt := range []struct{ name, args, want string }{
		{"refresh from nothing", "geo --refresh", "--geoip FILE"},
		{"a database that isn't asked", "geo --geoip a.mmdb", "--refresh"},
		{"a database that isn't there", "geo --refresh --geoip absent.mmdb", "absent.mmdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			err := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
			if got := stderr.String(); err == nil || stdout.Len() > 0 || strings.Count(got, "\n") != 1 || !strings.Contains(got, tt.want) {
				t.Errorf("firstseen %s ended with %v and said %q, want one line with %q", tt.args, err, got, tt.want)
			}
		})
	}
}

// TestGeoMany refreshes more peers than one statement stores.
func TestGeoMany(t *testing.T) {
	const peers = 1300
	country := func(built int64, first, second string) string {
		return geotest.Countries(built, map[string]string{"198.18.0.0/22": first, "198.18.4.0/22": second}).
			Write(t, filepath.Join(t.TempDir(), "country.mmdb"))
	}
	as := geotest.Database{Built: 1, Networks: map[string]any{"198.18.0.0/16": map[string]any{"autonomous_system_number": uint32(64496)}}}.
		Write(t, filepath.Join(t.TempDir(), "as.mmdb"))
	before, after := country(1_700_000_000, "DE", "FR"), country(1_800_000_000, "DE", "SE")
	for _, d := range testDatabases(t) {
		t.Run(d.name, func(t *testing.T) {
			storePeers(t, d, peers)
			firstseen := func(files ...string) string {
				t.Helper()
				args := []string{"geo", "--db", d.url, "--refresh"}
				for _, f := range files {
					args = append(args, "--geoip", f)
				}
				var stdout, stderr strings.Builder
				if err := run(t.Context(), args, &stdout, &stderr); err != nil {
					t.Fatalf("firstseen %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
				}
				return stdout.String()
			}
			for _, tt := range []struct {
				files []string
				want  string
			}{
				{[]string{before}, "1,300 added, 0 completed\ncountries  0 changed, 1,300 found, 0 lost\nfrom  to  peers\n   -  DE   1024\n   -  FR    276\n"},
				{[]string{before, as}, "0 added, 1,300 completed\ncountries  0 changed, 0 found, 0 lost\n"},
				{[]string{after}, "1,300 added, 0 completed\ncountries  276 changed, 0 found, 0 lost\nfrom  to  peers\nFR    SE    276\n"},
			} {
				if got := firstseen(tt.files...); !strings.HasSuffix(got, tt.want) {
					t.Errorf("firstseen geo --refresh said %q, want %q at its end", got, tt.want)
				}
			}
			db := d.open(t, false)
			var rows, asns, conns int
			if err := db.QueryRow("SELECT (SELECT count(*) FROM place), (SELECT count(asn) FROM place), (SELECT count(*) FROM peer_place WHERE country = 'FR')").
				Scan(&rows, &asns, &conns); err != nil {
				t.Fatal(err)
			}
			if rows != 3*peers || asns != peers || conns != 276 {
				t.Errorf("%d rows of place, %d with an AS, %d connections in FR; want %d, %d, 276", rows, asns, conns, 3*peers, peers)
			}
		})
	}
}

// storePeers stores a connection of each of n peers, 198.18.0.0 and the next addresses, in 2025.
func storePeers(t *testing.T, d testDatabase, n int) {
	t.Helper()
	target, err := cli.ParseTarget(d.url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := target.Open(t.Context(), io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const opened record.Time = 1759791402_000000
	c := &record.Capture{Sensor: "lab", Name: "eth0", First: opened}
	if _, err := s.Begin(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b := &record.Batch{Capture: c}
	node := netip.MustParseAddrPort("192.0.2.10:8333")
	for i := range n {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 8333)
		conn := &record.Conn{ID: record.ConnID(c.Sensor, node, peer, opened), Capture: c, A: node, B: peer, OpenedAt: opened, LocalA: true}
		b.Ping(record.Ping{Meta: record.Meta{Conn: conn, SeenAt: opened, FromB: true}})
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
