package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"btcsniff/analyze"
	"btcsniff/capture"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
	"btcsniff/internal/simnet"
	"btcsniff/record"
	"btcsniff/sink"
	"btcsniff/sink/postgres"
)

// observerAddr is the observer's address in simulated captures (RFC 3849).
const observerAddr = "2001:db8:ffff::1"

// A wire turns what a simulated observer hears into packets.
type wire struct {
	script pcaptest.Script
	peers  map[string]*pcaptest.Conn
	dialed map[string]bool
	events []wireEvent
}

// A wireEvent is one packet or more at a moment, in nanoseconds.
type wireEvent struct {
	at   int64
	send func()
}

func (w *wire) at(at int64, send func()) { w.events = append(w.events, wireEvent{at, send}) }

// ends are the observer's and the peer's ends of a connection.
func (w *wire) ends(peer string) (near, far *pcaptest.Side) {
	c := w.peers[peer]
	if w.dialed[peer] {
		return c.A, c.B
	}
	return c.B, c.A
}

// connect opens a peer's connection, with version messages, and a ping that tells its round-trip time.
func (w *wire) connect(s *analyze.Sighting, at int64) {
	n := len(w.peers)
	here := fmt.Sprintf("[%s]:%d", observerAddr, 40000+n)
	if s.PeerOpened {
		here = fmt.Sprintf("[%s]:8333", observerAddr)
		w.peers[s.Peer] = w.script.Conn(s.Peer, here)
	} else {
		w.peers[s.Peer] = w.script.Conn(here, s.Peer)
	}
	w.dialed[s.Peer] = !s.PeerOpened
	c, rtt := w.peers[s.Peer], s.RTT.Nanoseconds()
	near, far := w.ends(s.Peer)
	if s.PeerOpened {
		w.at(at, func() { c.A.SYN(); c.B.SYN() })
		w.at(at+rtt, func() { c.A.Nothing() })
	} else {
		w.at(at, func() { c.A.SYN() })
		w.at(at+rtt, func() { c.B.SYN(); c.A.Nothing() })
	}
	v := pcaptest.Version{Protocol: 70016, UserAgent: "/Satoshi:28.1.0/", Recv: netip.MustParseAddrPort(here), From: netip.MustParseAddrPort(s.Peer), Relay: true}
	w.at(at+3*rtt, func() {
		near.Send(pcaptest.Mainnet.Version(v))
		far.Send(pcaptest.Mainnet.Version(v), pcaptest.Mainnet.Verack())
	})
	w.at(at+4*rtt, func() { near.Send(pcaptest.Mainnet.Verack(), pcaptest.Mainnet.Ping(uint64(n))) })
	w.at(at+5*rtt, func() { far.Send(pcaptest.Mainnet.Pong(uint64(n))) })
}

// write writes the packets into a capture file, in order of time.
func (w *wire) write(t *testing.T) string {
	t.Helper()
	w.script.Step = 1
	slices.SortStableFunc(w.events, func(a, b wireEvent) int { return cmp.Compare(a.at, b.at) })
	for _, e := range w.events {
		w.script.Wait(max(0, time.Duration(e.at-w.script.Now())))
		e.send()
	}
	path := filepath.Join(t.TempDir(), "simulated.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := (pcaptest.Format{Nanos: true}).Write(f, w.script.Packets()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// schemaURL makes an empty schema in the test's database, and skips the test where there is none.
func schemaURL(t *testing.T) string {
	t.Helper()
	base := os.Getenv("BTCSNIFF_TEST_DATABASE_URL")
	if base == "" {
		t.Skip("BTCSNIFF_TEST_DATABASE_URL is not set")
	}
	name := "btcsniff_test_" + strings.ToLower(rand.Text()[:12])
	ctx := context.Background()
	exec := func(sql string) {
		db, err := pgx.Connect(ctx, base)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close(ctx)
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE SCHEMA " + name)
	t.Cleanup(func() { exec("DROP SCHEMA " + name + " CASCADE") })
	switch {
	case !strings.Contains(base, "://"):
		return base + " search_path=" + name
	case strings.Contains(base, "?"):
		return base + "&search_path=" + url.QueryEscape(name)
	}
	return base + "?search_path=" + url.QueryEscape(name)
}

// store replays a capture into the database.
func store(t *testing.T, path, url string) {
	t.Helper()
	ctx := context.Background()
	s, err := postgres.Open(ctx, url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	q := sink.NewQueue(ctx, s, sink.QueueOptions{})
	local := netip.MustParsePrefix(observerAddr + "/128")
	_, err = pipeline.Run(ctx, src, pipeline.Config{Sensor: "simulated", Local: []netip.Prefix{local}, Outputs: []*sink.Queue{q}})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRecords goes the whole way: what a simulated observer hears is written as packets into a capture, which is replayed into a database
// and asked for origins. The answers must be those that the sightings give without that way.
func TestRecords(t *testing.T) {
	url := schemaURL(t)
	n := simnet.New(simnet.Config{Seed: 11, Reachable: 60, Tor: -1, Inbound: 20})
	w := &wire{peers: map[string]*pcaptest.Conn{}, dialed: map[string]bool{}}
	const txs = 12
	var want [txs][]analyze.Sighting
	var hashes [txs]record.Hash
	for k := range txs {
		hashes[k] = record.Hash(sha256.Sum256([]byte{byte(k)}))
		tx := n.Send(uint64(k), k*7%n.Reachable())
		list := n.Sightings(tx, 0.8)
		for i := range list {
			s := &list[i]
			if s.RTT == 0 {
				s.RTT = 80 * time.Millisecond
			}
			s.RTT = 20*time.Millisecond + time.Duration(s.Conn)*time.Millisecond // one for all of a peer's sightings
			s.SeenAt = s.SeenAt.Add(time.Duration(k+1) * time.Minute)
			if w.peers[s.Peer] == nil {
				w.connect(s, pcaptest.Start)
			}
			_, far := w.ends(s.Peer)
			w.at(int64(s.SeenAt)*1000, func() { far.Send(pcaptest.Mainnet.Inv(record.InvVect{Type: record.InvType(5), Hash: hashes[k]})) })
		}
		want[k] = list
	}
	store(t, w.write(t), url)
	ctx := context.Background()
	sqlDB, err := postgres.OpenDB(ctx, url, postgres.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sqlDB.Close()
	db := &analyze.DB{DB: sqlDB, Dialect: analyze.Postgres}
	named := 0
	for k, list := range want {
		m := analyze.Model{Watched: 0.8, Silent: true, Peers: n.Peers(0.8)}
		unsaid := m
		unsaid.Silent = false // the recording tells
		got, err := db.Tx(ctx, hashes[k].String(), unsaid)
		if err != nil || len(got.Sensors) != 1 {
			t.Fatalf("transaction %d: %d sensors, error %v", k, len(got.Sensors), err)
		}
		scene := got.Sensors[0]
		if !scene.Coverage.Silent {
			t.Errorf("transaction %d: the observer, which announces nothing, is taken to relay", k)
		}
		if len(scene.Announcers) != len(list) {
			t.Errorf("transaction %d: %d announcers, want %d", k, len(scene.Announcers), len(list))
		}
		a, b := scene.Verdict, analyze.Origin(list, m)
		if got, want := scene.Announcers[a.Peer].Peer, list[b.Peer].Peer; got != want || math.Abs(a.Probability-b.Probability) > 0.02 {
			t.Errorf("transaction %d: %s with %.3f, want %s with %.3f", k, got, a.Probability, want, b.Probability)
		}
		if got, want := scene.Announcers[a.Corrected].Peer, list[b.Corrected].Peer; got != want {
			t.Errorf("transaction %d: %s was the first with latency taken off, want %s", k, got, want)
		}
		if scene.Announcers[a.Peer].Peer == n.Peer(k*7%n.Reachable()) {
			named++
		}
	}
	if named < 3 {
		t.Errorf("%d of %d origins named, want at least 3", named, txs)
	}
}
