package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"btcsniff/analyze"
	"btcsniff/geo/geotest"
	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// greet lets both sides of a connection send their version messages.
func greet(c *pcaptest.Conn, from *pcaptest.Side, agent string, height int32) {
	other := c.A
	if from == c.A {
		other = c.B
	}
	version := func(agent string, height int32) []byte {
		return pcaptest.Regtest.Version(pcaptest.Version{
			Protocol: 70016, Services: 1033, Timestamp: pcaptest.Start / 1e9, Recv: c.B.Addr, From: c.A.Addr, UserAgent: agent, StartHeight: height,
		})
	}
	from.Send(version(agent, height))
	other.Send(version("/Observed:1.0/", 1))
}

// newNeighbours is a capture with every way to learn of nodes: .1 is a peer that the node called, twice; .2 called the node, and says in
// addr messages at which port it listens; .3 called the node, and nobody knows its port; others are told of only. The agent of .3 is hostile.
func newNeighbours() *payments {
	p := &payments{Script: &pcaptest.Script{}, places: map[string]string{"198.51.100.1": "NL", "198.51.100.2": "DE"}}
	c1 := p.Conn("192.0.2.10:40001", "198.51.100.1:8333").Open()
	greet(c1, c1.B, "/Old:1.0/", 100)
	c1.Close()
	c1 = p.Conn("192.0.2.10:40002", "198.51.100.1:8333").Open()
	greet(c1, c1.B, "/New:2.0/", 200)
	c2 := p.Conn("198.51.100.2:50002", "192.0.2.10:8333").Open()
	greet(c2, c2.A, "/Satoshi:28.1.0/", 150)
	c3 := p.Conn("198.51.100.3:50003", "192.0.2.10:8333").Open()
	greet(c3, c3.A, "=cmd()\x1b[2J<b>\u202e", 150)
	seen := uint32(pcaptest.Start / 1e9)
	onion := bytes.Repeat([]byte{7}, 32)
	ip := func(s string) []byte { return netip.MustParseAddr(s).AsSlice() }
	c1.B.Send(pcaptest.Regtest.Addr(
		pcaptest.Addr{LastSeen: seen - 100, Services: 9, Address: ip("198.51.100.2"), Port: 18444},
		pcaptest.Addr{LastSeen: seen - 200, Services: 5, Address: ip("2001:db8::7"), Port: 8333}))
	c2.A.Send(pcaptest.Regtest.AddrV2(
		pcaptest.Addr{LastSeen: seen + 1e6, Services: 1, Network: 2, Address: ip("2001:db8::7"), Port: 8333}, // in the future
		pcaptest.Addr{LastSeen: seen - 300, Services: 1, Network: 4, Address: onion, Port: 8333}))
	c1.A.Send(pcaptest.Regtest.Addr(pcaptest.Addr{LastSeen: seen, Address: ip("203.0.113.99"), Port: 8333})) // by the node itself
	c2.Close()
	return p
}

const neighbourOnion = "a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dwc6ad.onion"

func TestNodes(t *testing.T) {
	p := newNeighbours()
	databases := testDatabases(t)
	p.store(t, databases...)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			db := d.open(t, false)
			t.Run("all", func(t *testing.T) { wantNodes(t, db) })
			t.Run("filters", func(t *testing.T) { nodeFilters(t, db) })
		})
	}
}

// summary is what wantNodes compares of a node.
func summary(n *analyze.Node) string {
	start := record.FromNanos(pcaptest.Start)
	ms := func(t record.Time) string {
		if t == 0 {
			return "-"
		}
		return fmt.Sprint(t.Sub(start).Milliseconds())
	}
	return fmt.Sprintf("%s %s %d v%d %q s%d h%d %s-%s n%d %s/%s", n.Network, n.Address, n.Port, n.Protocol, n.UserAgent, n.Services, n.Height,
		ms(n.ConnectedSince), ms(n.LastSeen), n.Connections, n.Place.Kind, n.Place.Country)
}

func allNodes(t *testing.T, db *analyze.DB, q analyze.NodeQuery) (lines []string) {
	t.Helper()
	if err := db.Nodes(t.Context(), q, func(n *analyze.Node) error {
		lines = append(lines, summary(n))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

func wantNodes(t *testing.T, db *analyze.DB) {
	got := allNodes(t, db, analyze.NodeQuery{})
	// Packets are a millisecond apart, each handshake is three of them, each end of a connection three.
	want := []string{
		`regtest 198.51.100.1 8333 v70016 "/New:2.0/" s1033 h200 8-25 n2 internet/NL`,
		`regtest 198.51.100.2 18444 v70016 "/Satoshi:28.1.0/" s1033 h150 13-28 n1 internet/DE`,
		`regtest 198.51.100.3 0 v70016 "=cmd()\x1b[2J<b>\u202e" s1033 h150 18-22 n1 private/`,
		`regtest 2001:db8::7 8333 v0 "" s1 h-1 --24 n0 private/`,
		`regtest ` + neighbourOnion + ` 8333 v0 "" s1 h-1 ---300000 n0 tor/`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes differ (-want +got):\n%s", diff)
	}
}

func nodeFilters(t *testing.T, db *analyze.DB) {
	start := record.FromNanos(pcaptest.Start)
	for _, tt := range []struct {
		name  string
		query analyze.NodeQuery
		want  int
	}{
		{"peers", analyze.NodeQuery{PeersOnly: true}, 3},
		{"network", analyze.NodeQuery{Network: "regtest"}, 5},
		{"other network", analyze.NodeQuery{Network: "mainnet"}, 0},
		{"hostile network", analyze.NodeQuery{Network: "' OR ''='"}, 0},
		{"since the end", analyze.NodeQuery{Since: start.Add(1e9)}, 0},
		{"until the first", analyze.NodeQuery{Until: start.Add(8e6)}, 1},
	} {
		if got := allNodes(t, db, tt.query); len(got) != tt.want {
			t.Errorf("%s: %d nodes, want %d: %v", tt.name, len(got), tt.want, got)
		}
	}
}

// TestNodesBitnodes checks the array that programs for Bitnodes' exports read.
func TestNodesBitnodes(t *testing.T) {
	p := newNeighbours()
	d := testDatabases(t)[0]
	p.store(t, d)
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"nodes", "--db", d.url, "--format", "bitnodes"}, &out, &errs); err != nil {
		t.Fatal(err, errs.String())
	}
	var rows [][]any
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	start := float64(pcaptest.Start / 1e9)
	want := [][]any{
		{"198.51.100.1", 8333., 70016., "/New:2.0/", start, 1033., 200., nil, nil, "NL", 0., 0., nil, nil, nil},
		{"198.51.100.2", 18444., 70016., "/Satoshi:28.1.0/", start, 1033., 150., nil, nil, "DE", 0., 0., nil, nil, nil},
		{"198.51.100.3", nil, 70016., "=cmd()\x1b[2J<b>\u202e", start, 1033., 150., nil, nil, nil, 0., 0., nil, nil, nil},
		{"2001:db8::7", 8333., nil, nil, start, 1., nil, nil, nil, nil, 0., 0., nil, nil, nil},
		{neighbourOnion, 8333., nil, nil, start - 300, 1., nil, nil, nil, nil, 0., 0., nil, "TOR", "Tor network"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	if !strings.Contains(out.String(), "0.0, 0.0") || strings.ContainsAny(out.String(), "\x1b\u202e") {
		t.Errorf("want coordinates with a point and no control characters: %q", out.String())
	}
}

// TestNodesGeoIP looks up addresses of which the database knows no country.
func TestNodesGeoIP(t *testing.T) {
	p := newNeighbours()
	d := testDatabases(t)[0]
	p.store(t, d)
	file := geotest.Database{Built: 1_750_000_000, Networks: map[string]any{
		"2001:db8::/48": map[string]any{
			"country": map[string]any{"iso_code": "FR"}, "city": map[string]any{"names": map[string]any{"en": "Paris"}},
			"location":                 map[string]any{"latitude": 48.8, "longitude": 2.0, "time_zone": "Europe/Paris"},
			"autonomous_system_number": uint32(64500), "autonomous_system_organization": "=Example",
		},
		"198.51.100.0/25": map[string]any{"country_code": "SE"}, // not asked where the database knows better
	}}.Write(t, filepath.Join(t.TempDir(), "places.mmdb"))
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"nodes", "--db", d.url, "--format", "csv", "--geoip", file}, &out, &errs); err != nil {
		t.Fatal(err, errs.String())
	}
	want := `network,address,port,protocol,user_agent,last_seen,connected_since,connections,services,height,hostname,kind,city,country,latitude,longitude,time_zone,asn,organisation
regtest,198.51.100.1,8333,70016,/New:2.0/,2025-10-06T22:56:42.025000Z,2025-10-06T22:56:42.008000Z,2,1033,200,,internet,,NL,,,,,
regtest,198.51.100.2,18444,70016,/Satoshi:28.1.0/,2025-10-06T22:56:42.028000Z,2025-10-06T22:56:42.013000Z,1,1033,150,,internet,,DE,,,,,
regtest,198.51.100.3,,70016,'=cmd()\x1b[2J<b>\u202e,2025-10-06T22:56:42.022000Z,2025-10-06T22:56:42.018000Z,1,1033,150,,private,,SE,,,,,
regtest,2001:db8::7,8333,,,2025-10-06T22:56:42.024000Z,,0,1,,,private,Paris,FR,48.8,2,Europe/Paris,64500,'=Example
regtest,a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dwc6ad.onion,8333,,,2025-10-06T22:51:42.000000Z,,0,1,,,tor,,,,,,,
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("CSV differs (-want +got):\n%s", diff)
	}
}

// TestResolve asks a DNS server of its own on the loopback interface.
func TestResolve(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		answerDNS(server, map[string]string{"1.100.51.198.in-addr.arpa.": "dns.example."})
	}()
	t.Cleanup(func() { server.Close(); <-done })
	r := resolver{dns: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}}
	var nodes []analyze.Node
	for _, address := range []string{"198.51.100.1", "198.51.100.2", "fc00::1", "198.51.100.1", neighbourOnion, ""} {
		nodes = append(nodes, analyze.Node{Address: address})
	}
	want := []string{"dns.example", "", "", "dns.example", "", ""}
	if diff := cmp.Diff(want, r.resolve(t.Context(), nodes)); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
}

// answerDNS answers questions until the server is closed: with a name, or that there is none.
func answerDNS(server net.PacketConn, names map[string]string) {
	buf := make([]byte, 1500)
	for {
		n, from, err := server.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals, m.RCode = true, nil, dnsmessage.RCodeNameError
		if name := names[m.Questions[0].Name.String()]; name != "" {
			m.RCode = dnsmessage.RCodeSuccess
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(name)},
			}}
		}
		if b, err := m.Pack(); err == nil {
			server.WriteTo(b, from) //nolint:errcheck // the question is asked again
		}
	}
}
