package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"btcsniff/analyze"
)

const heardTwice = "0749f8db7bc8af1353c0d8f146559978bba871f0d28ad37f825c159e5446bac2" // in long/capture.pcap

// later copies a capture file into a folder as another sensor's, whose clock is ahead by so many seconds.
func later(t *testing.T, path, name string, seconds uint32) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 24; at < len(b); { // https://www.tcpdump.org/manpages/pcap-savefile.5.html
		binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+seconds)
		at += 16 + int(binary.LittleEndian.Uint32(b[at+8:]))
	}
	file := filepath.Join(t.TempDir(), name+".pcap")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTwoSensors has one recording from two sensors, of which one's clock is three seconds ahead: leads are the same on each, and the
// peers' claims tell that the clocks differ, so that nothing is made of the three seconds.
func TestTwoSensors(t *testing.T) {
	databases := testDatabases(t)
	path := "../../testdata/pcaps/long/capture.pcap"
	replayInto(t, path, databases...)
	replayInto(t, later(t, path, "other", 3), databases...)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			db := d.open(t, false)
			tx, err := db.Tx(t.Context(), heardTwice, analyze.Model{})
			if err != nil {
				t.Fatal(err)
			}
			if len(tx.Sensors) != 2 || tx.Sensors[0].Sensor != "capture" || tx.Sensors[1].Sensor != "other" {
				t.Fatalf("sensors: %+v, want capture and other", tx.Sensors)
			}
			a, b := &tx.Sensors[0], &tx.Sensors[1]
			if a.Lead != 118373*time.Microsecond || b.Lead != a.Lead || len(a.Announcers) != 3 || len(b.Announcers) != 3 {
				t.Errorf("leads %v and %v, want 118.373ms for both", a.Lead, b.Lead)
			}
			if ahead := b.Clock.Ahead - a.Clock.Ahead; ahead < 2999*time.Millisecond || ahead > 3001*time.Millisecond {
				t.Errorf("other's clock is ahead by %v, want 3s: %+v, %+v", ahead, a.Clock, b.Clock)
			}
			if a.Clock.Peers != 5 || a.Clock.Ahead.Abs() > a.Clock.Error {
				t.Errorf("clock %+v, want five peers' and no offset", a.Clock)
			}
			diff := analyze.Differences(tx.Sensors)
			if len(diff) != 1 || !diff[0].Known || diff[0].Earlier.Abs() > time.Millisecond || diff[0].Error < time.Second {
				t.Errorf("differences: %+v, want none, give or take a second", diff)
			}
			list, err := db.List(t.Context(), analyze.ListQuery{Limit: 1, Oldest: true})
			if err != nil {
				t.Fatal(err)
			}
			if f := list[0]; f.Hash != heardTwice || f.Sensor != "capture" || f.Lead != a.Lead || f.Peers != 6 {
				t.Errorf("list: %+v, want the lead on the sensor capture, and six peers", f)
			}
		})
	}
}

// TestCoverage has times in which the sensor was blind, in all ways in which they can lie around the first sighting.
func TestCoverage(t *testing.T) {
	databases := testDatabases(t)
	replayInto(t, "../../testdata/pcaps/long/capture.pcap", databases...)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			blindTimes(t, d, [][3]string{ // the first sighting is at 09:58:54.789797, the recording begins at 09:58:48.801666
				{"09:00:00+00", "09:58:50+00", "kernel drops"},     // overlaps the time before the recording: 1.198334 s more
				{"09:58:49+00", "09:58:51+00", "spool full"},       // overlaps that: 1 s more
				{"09:59:54+00", "10:00:54+00", "interface down"},   // of it 0.789797 s are within a minute
				{"10:30:00+00", "10:31:00+00", "interface drops"},  // is none of this
				{"09:58:49.5+00", "09:58:49.6+00", "kernel drops"}, // lies within
			})
			tx, err := d.open(t, false).Tx(t.Context(), heardTwice, analyze.Model{})
			if err != nil {
				t.Fatal(err)
			}
			c := tx.Sensors[0].Coverage
			want := 54011869*time.Microsecond + 1198334*time.Microsecond + time.Second + 789797*time.Microsecond
			if c.Watched != 5 || c.Unreadable != 0 || c.Blind != want || c.Silent {
				t.Errorf("coverage %+v, want 5 watched, %v blind, and a node that relays", c, want)
			}
			if got := strings.Join(c.Reasons, ", "); got != "kernel drops, not yet recording, spool full, interface down" &&
				got != "not yet recording, kernel drops, spool full, interface down" {
				t.Errorf("reasons: %s", got)
			}
		})
	}
}

func blindTimes(t *testing.T, d testDatabase, times [][3]string) {
	t.Helper()
	db := d.open(t, true)
	defer db.Close()
	for _, b := range times {
		if _, err := db.Exec(`INSERT INTO blind (sensor, capture, from_at, to_at, reason)
			SELECT sensor, id, CAST('2026-11-22 ` + b[0] + `' AS timestamptz), CAST('2026-11-22 ` + b[1] + `' AS timestamptz), '` + b[2] + `' FROM capture`); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnreadable has encrypted connections beside others.
func TestUnreadable(t *testing.T) {
	databases := testDatabases(t)
	replayInto(t, "../../testdata/pcaps/v2/v2-and-v1.pcap", databases...)
	for _, d := range databases {
		db := d.open(t, false)
		list, err := db.List(t.Context(), analyze.ListQuery{Limit: 1})
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %d transactions, %v", d.name, len(list), err)
		}
		tx, err := db.Tx(t.Context(), list[0].Hash, analyze.Model{})
		if err != nil {
			t.Fatal(err)
		}
		var v1, v2 int64
		at := tx.Sensors[0].Announcers[0].SeenAt.Std()
		for sql, n := range map[string]*int64{"k.network IS NOT NULL": &v1, "k.network IS NULL AND k.transport = 'v2'": &v2} {
			if err := db.QueryRow("SELECT count(*) FROM connection k WHERE opened_at <= $1 AND closed_at >= $1 AND "+sql, at).Scan(n); err != nil {
				t.Fatal(err)
			}
		}
		if c := tx.Sensors[0].Coverage; v2 == 0 || c.Watched != v1 || c.Unreadable != v2 {
			t.Errorf("%s: coverage %+v, want %d watched and %d unreadable", d.name, c, v1, v2)
		}
	}
}

// TestProxy has peers behind a SOCKS5 proxy: they have names, and the handshake with the proxy tells nothing of how far away they are.
func TestProxy(t *testing.T) {
	databases := testDatabases(t)
	replayInto(t, "../../testdata/pcaps/socks/lo.pcap", databases...)
	for _, d := range databases {
		db := d.open(t, false)
		list, err := db.List(t.Context(), analyze.ListQuery{Limit: 1000})
		if err != nil || len(list) < 5 {
			t.Fatalf("%s: %d transactions, %v", d.name, len(list), err)
		}
		names := map[string]bool{}
		for _, f := range list[:5] {
			tx, err := db.Tx(t.Context(), f.Hash, analyze.Model{})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range tx.Sensors[0].Announcers {
				names[a.Peer] = true
				if a.RTTSource == analyze.FromHandshake || a.RTTSource == analyze.FromPing && a.RTT < 5*time.Millisecond {
					t.Errorf("%s: %s has a round-trip time of %v by %s, want one to the peer and not to the proxy", d.name, a.Peer, a.RTT, a.RTTSource)
				}
				if strings.Contains(a.Peer, ".onion:") != (a.Place == "tor") {
					t.Errorf("%s: place of %s = %s", d.name, a.Peer, a.Place)
				}
			}
		}
		onion := ""
		for name := range names {
			if host, _, _ := strings.Cut(name, ":"); strings.HasSuffix(host, ".onion") {
				onion = host
			}
		}
		found, err := db.List(t.Context(), analyze.ListQuery{Limit: 1, Peer: onion})
		if err != nil || onion == "" || len(found) != 1 || !strings.HasPrefix(found[0].Peer, onion+":") {
			t.Errorf("%s: list of %q = %+v, %v, want one of it", d.name, onion, found, err)
		}
	}
}
