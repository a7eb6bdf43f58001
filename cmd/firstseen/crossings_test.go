package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// asLines are crossings as told.crossings has them.
func asLines(list []analyze.Crossing) (lines []string) {
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d %d", c.From.TxID, c.To.TxID, c.From.Place, c.To.Place, c.Hops, c.Value))
	}
	slices.Sort(lines)
	return lines
}

// randomPayments has peers in several places, some unknown, and transactions that spend each other at random: some several times over,
// announced by txid or wtxid, captured once, twice or before those that they spend.
func randomPayments(seed uint64) *payments {
	r := rand.New(rand.NewPCG(seed, 7))
	places := map[string]string{}
	var peers []string
	for i, place := range []string{"NL", "DE", "US", "JP", "", "tor", "NL", "BR"} {
		peer := fmt.Sprintf("198.51.100.%d:8333", i+1)
		places[peer], peers = place, append(peers, peer)
	}
	p := newPayments(places)
	p.Step = 100 * time.Microsecond
	var txs []*pcaptest.Tx
	for i := range 60 {
		inputs := []wire.OutPoint{elsewhere(uint32(i))}
		for range r.IntN(4) {
			if len(txs) > 0 {
				tx := txs[r.IntN(len(txs))]
				inputs = append(inputs, out(tx, r.Uint32N(uint32(len(tx.TxOut)+1)))) // sometimes one that it doesn't have
			}
		}
		var outputs []payment
		for n := range 1 + r.IntN(3) {
			outputs = append(outputs, payment{r.Int64N(1e8), byte(i*3 + n), "wpd"[r.IntN(3)]})
		}
		tx := newTx(uint32(i), inputs, outputs...)
		txs = append(txs, tx)
		for _, n := range r.Perm(len(peers))[:1+r.IntN(len(peers)-1)] {
			p.announce(peers[n], tx, r.IntN(2) == 0)
		}
		if r.IntN(8) > 0 {
			p.send(peers[r.IntN(len(peers))], tx)
		}
		if late := r.IntN(len(txs)); r.IntN(8) == 0 {
			p.send(peers[r.IntN(len(peers))], txs[late])
		}
	}
	return p
}

// TestCrossingsAgree compares both databases with a computation on JSON lines that shares nothing with them.
func TestCrossingsAgree(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			p := randomPayments(seed)
			databases := testDatabases(t)
			all := readTold(t, p.store(t, databases...))
			for _, d := range databases {
				db := d.open(t, false)
				for _, hops := range []int{1, 2, 5} {
					got, basis, err := db.Crossings(t.Context(), analyze.CrossingQuery{Hops: hops})
					if err != nil {
						t.Fatal(err)
					}
					want := all.crossings(p.places, hops)
					if len(want) == 0 {
						t.Fatal("no crossings: the test tests nothing")
					}
					if diff := cmp.Diff(want, asLines(got)); diff != "" {
						t.Errorf("%s, %d hops: crossings differ (-want +got):\n%s", d.name, hops, diff)
					}
					if basis.Crossings != int64(len(want)) || basis.Capped {
						t.Errorf("%s, %d hops: basis = %+v, want %d crossings", d.name, hops, basis, len(want))
					}
				}
				all.newest(t, d.name, db)
			}
		})
	}
}

// newest compares what is found among the newest tx messages with what is found since the first of them.
func (all *told) newest(t *testing.T, name string, db *analyze.DB) {
	t.Helper()
	var seen []record.Time
	for _, times := range all.captured {
		seen = append(seen, times...)
	}
	slices.Sort(seen)
	crossings := func(q analyze.CrossingQuery) ([]string, analyze.Basis) {
		list, basis, err := db.Crossings(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return asLines(list), basis
	}
	for _, n := range []int{1, 7, 30, len(seen), 1000} {
		got, basis := crossings(analyze.CrossingQuery{Hops: 2, Messages: int64(n)})
		var since record.Time // 0: nothing is left out
		if n < len(seen) {
			since = seen[len(seen)-n]
		}
		want, whole := crossings(analyze.CrossingQuery{Hops: 2, Since: since})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, newest %d of %d messages: crossings differ (-since +newest):\n%s", name, n, len(seen), diff)
		}
		if whole.Since = since; since != 0 {
			whole.Messages = int64(n)
		}
		if basis != whole {
			t.Errorf("%s, newest %d of %d messages: basis = %+v, want %+v", name, n, len(seen), basis, whole)
		}
	}
	if _, basis := crossings(analyze.CrossingQuery{Until: seen[len(seen)/2], Messages: 5}); basis.Since != seen[len(seen)/2-5] {
		t.Errorf("%s, five messages before %s: since %s, want %s", name, seen[len(seen)/2], basis.Since, seen[len(seen)/2-5])
	}
}

// A chain is a story with known answers: T0, first from NL, pays 500,000 satoshi to somebody and the rest back. The payment is spent by T1
// from DE, that by T2 from DE, and that by T3 from BR. The change is spent by C1 from NL. Somebody in the US spends the payment as well.
type chain struct {
	*payments
	t0, t1, t2, t3, c1, rival *pcaptest.Tx
}

const (
	peerNL = "198.51.100.1:8333"
	peerDE = "198.51.100.2:8333"
	peerUS = "198.51.100.3:8333"
	peerBR = "198.51.100.4:8333"
)

func newChain() *chain {
	p := newPayments(map[string]string{peerNL: "NL", peerDE: "DE", peerUS: "US", peerBR: "BR"})
	c := &chain{payments: p}
	c.t0 = newTx(0, []wire.OutPoint{elsewhere(0)}, payment{500_000, 'a', 'w'}, payment{123_456, 'b', 'w'}, payment{0, 'x', 'd'})
	c.t1 = newTx(1, []wire.OutPoint{out(c.t0, 0)}, payment{499_000, 'c', 'w'})
	c.t2 = newTx(2, []wire.OutPoint{out(c.t1, 0)}, payment{498_000, 'd', 'w'})
	c.t3 = newTx(3, []wire.OutPoint{out(c.t2, 0), elsewhere(3)}, payment{900_000, 'e', 'p'})
	c.c1 = newTx(4, []wire.OutPoint{out(c.t0, 1)}, payment{120_000, 'f', 'w'})
	c.rival = newTx(5, []wire.OutPoint{out(c.t0, 0)}, payment{450_000, 'g', 'w'})
	for _, s := range []struct {
		tx    *pcaptest.Tx
		peers []string // the first sends it when all have announced it
	}{
		{c.t0, []string{peerNL, peerDE, peerUS}}, {c.t1, []string{peerDE, peerNL}}, {c.t2, []string{peerDE, peerBR}},
		{c.t3, []string{peerBR}}, {c.c1, []string{peerNL, peerUS}}, {c.rival, []string{peerUS, peerNL}},
	} {
		p.Wait(time.Second)
		for i, peer := range s.peers {
			p.announce(peer, s.tx, i%2 == 0)
			p.Wait(20 * time.Millisecond)
		}
		p.send(s.peers[0], s.tx)
	}
	return c
}

// id is a transaction's txid.
func id(tx *pcaptest.Tx) string { return tx.TxID.String() }

func TestCrossingsChain(t *testing.T) {
	c := newChain()
	databases := testDatabases(t)
	c.store(t, databases...)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			db := d.open(t, false)
			t.Run("details", func(t *testing.T) { c.details(t, db) })
			t.Run("filters", func(t *testing.T) { c.filters(t, db) })
			t.Run("matrix", func(t *testing.T) {
				got, _, err := db.CrossingMatrix(t.Context(), analyze.CrossingQuery{Hops: 3})
				if err != nil {
					t.Fatal(err)
				}
				want := []analyze.CrossingCell{
					{From: "DE", To: "BR", Number: 2, Value: 996_000}, {From: "NL", To: "BR", Number: 1, Value: 498_000},
					{From: "NL", To: "DE", Number: 2, Value: 999_000}, {From: "NL", To: "US", Number: 1, Value: 500_000},
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("matrix differs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// details checks everything about the crossings with one spend.
func (c *chain) details(t *testing.T, db *analyze.DB) {
	got, basis, err := db.Crossings(t.Context(), analyze.CrossingQuery{})
	if err != nil {
		t.Fatal(err)
	}
	end := func(tx *pcaptest.Tx, place, peer string, peers int) analyze.End {
		lead := 21 * time.Millisecond // 20 of waiting, 1 of the packet
		if peers == 1 {
			lead = -1
		}
		return analyze.End{TxID: id(tx), Place: place, Peer: peer, Lead: lead, Peers: peers}
	}
	change := end(c.c1, "NL", peerNL, 2)
	// P2WPKH addresses of 20 times the letters a and d (BIP 173).
	const a, d = "bcrt1qv9skzctpv9skzctpv9skzctpv9skzctpqhydm2", "bcrt1qv3jxgeryv3jxgeryv3jxgeryv3jxgerysnyvap"
	t0 := end(c.t0, "NL", peerNL, 3)
	want := []analyze.Crossing{
		{From: t0, To: end(c.rival, "US", peerUS, 2), Hops: 1, Path: []string{id(c.t0), id(c.rival)}, Value: 500_000, Outputs: 1, Address: a,
			Role: "payment", Votes: "power_of_ten_value", Change: &change, Rivals: 1},
		{From: end(c.t2, "DE", peerDE, 2), To: end(c.t3, "BR", peerBR, 1), Hops: 1, Path: []string{id(c.t2), id(c.t3)}, Value: 498_000,
			Outputs: 1, Address: d},
		{From: t0, To: end(c.t1, "DE", peerDE, 2), Hops: 1, Path: []string{id(c.t0), id(c.t1)}, Value: 500_000, Outputs: 1, Address: a,
			Role: "payment", Votes: "power_of_ten_value", Change: &change, Rivals: 1},
	}
	for i := range got {
		x := &got[i]
		for _, e := range []*analyze.End{&x.From, &x.To, x.Change} {
			if e == nil {
				continue
			}
			if e.SeenAt == 0 || e.Likely == "" || e.Confidence <= 0 || e.Confidence > 1 {
				t.Errorf("crossing %d: end %+v, want a time, a likely place and a confidence", i, e)
			}
			e.SeenAt, e.Likely, e.Confidence, e.Ties = 0, "", 0, 0
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Crossings differ (-want +got):\n%s", diff)
	}
	if want := (analyze.Basis{Pairs: 5, Located: 5, Crossings: 3}); basis != want {
		t.Errorf("basis = %+v, want %+v", basis, want)
	}
}

// filters checks which crossings each filter leaves.
func (c *chain) filters(t *testing.T, db *analyze.DB) {
	all, _, err := db.Crossings(t.Context(), analyze.CrossingQuery{Hops: 3})
	if err != nil {
		t.Fatal(err)
	}
	seen := all[len(all)-1].To.SeenAt // T1's
	for _, tt := range []struct {
		name  string
		query analyze.CrossingQuery
		want  int
	}{
		{"three hops", analyze.CrossingQuery{Hops: 3}, 6},
		{"two hops", analyze.CrossingQuery{Hops: 2}, 5},
		{"from", analyze.CrossingQuery{Hops: 3, From: "NL"}, 4},
		{"to", analyze.CrossingQuery{Hops: 3, To: "BR"}, 3},
		{"from and to", analyze.CrossingQuery{Hops: 3, From: "NL", To: "BR"}, 1},
		{"from elsewhere", analyze.CrossingQuery{Hops: 3, From: "JP"}, 0},
		{"hostile place", analyze.CrossingQuery{Hops: 3, From: "' OR 1=1 --"}, 0},
		{"least value", analyze.CrossingQuery{Hops: 3, MinValue: 499_000}, 3},
		{"since", analyze.CrossingQuery{Hops: 3, Since: seen.Add(2 * time.Second)}, 4},
		{"until", analyze.CrossingQuery{Hops: 3, Until: seen.Add(time.Second)}, 1},
		{"limit", analyze.CrossingQuery{Hops: 3, Limit: 2}, 2},
	} {
		got, basis, err := db.Crossings(t.Context(), tt.query)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if len(got) != tt.want || tt.query.Limit == 0 && basis.Crossings != int64(tt.want) {
			t.Errorf("%s: %d crossings, basis %+v, want %d", tt.name, len(got), basis, tt.want)
		}
	}
}

// TestCrossingsHostile follows what a hostile peer makes up: layers of transactions of which each spends from all of the layer before,
// so that the number of paths grows with a power of the number of layers. Two chains with the same ends are followed as one.
func TestCrossingsHostile(t *testing.T) {
	const layers, width = 9, 12
	p := newPayments(map[string]string{peerNL: "NL", peerDE: "DE"})
	p.Step = 100 * time.Microsecond
	var before []*pcaptest.Tx
	for layer := range layers {
		var these []*pcaptest.Tx
		for i := range width {
			inputs := []wire.OutPoint{elsewhere(uint32(layer*width + i))}
			for _, tx := range before {
				inputs = append(inputs, out(tx, uint32(i)))
			}
			outputs := make([]payment, width)
			for n := range outputs {
				outputs[n] = payment{1000, byte(n), 'w'}
			}
			tx := newTx(uint32(layer*width+i), inputs, outputs...)
			p.send([]string{peerNL, peerDE}[(layer+i)%2], tx)
			these = append(these, tx)
		}
		before = these
	}
	databases := testDatabases(t)
	all := readTold(t, p.store(t, databases...))
	want := all.crossings(p.places, analyze.MaxHops)
	var some []string
	for _, d := range databases {
		db := d.open(t, false)
		got, basis, err := db.Crossings(t.Context(), analyze.CrossingQuery{Hops: analyze.MaxHops})
		if err != nil {
			t.Fatal(err)
		}
		if len(want) < 1000 || basis.Crossings != int64(len(want)) || len(got) != 1000 || basis.Capped {
			t.Errorf("%s: %d crossings, basis %+v, want %d, of which 1000 are listed", d.name, len(got), basis, len(want))
		}
		got, basis, err = db.Crossings(t.Context(), analyze.CrossingQuery{Hops: analyze.MaxHops, Chains: 20})
		if err != nil {
			t.Fatal(err)
		}
		lines := asLines(got)
		if !basis.Capped || basis.Crossings >= int64(len(want)) || slices.ContainsFunc(lines, func(l string) bool { return !slices.Contains(want, l) }) {
			t.Errorf("%s, 20 chains: %d crossings, basis %+v, want some of %d, and to be told so", d.name, len(got), basis, len(want))
		}
		if some == nil {
			some = lines
		}
		if diff := cmp.Diff(some, lines); diff != "" {
			t.Errorf("%s differs from %s (-want +got):\n%s", d.name, databases[0].name, diff)
		}
	}
}

// TestCrossingsRecorded compares both databases with the computation on JSON lines, for a recording of real nodes, and both with what the lab
// that recorded it knows: where each transaction entered the network.
func TestCrossingsRecorded(t *testing.T) {
	databases := testDatabases(t)
	all := readTold(t, replayInto(t, "../../testdata/pcaps/long/capture.pcap", databases...))
	places := map[string]string{
		"192.0.2.21": "NL", "198.51.100.22": "DE", "198.51.100.33": "US", "203.0.113.44": "JP", "203.0.113.55": "BR",
	}
	truth := readOrigins(t, "../../testdata/pcaps/long/sidecar.json")
	for _, d := range databases {
		d.setPlaces(t, places)
		db := d.open(t, false)
		for _, hops := range []int{1, 4} {
			got, _, err := db.Crossings(t.Context(), analyze.CrossingQuery{Hops: hops})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(all.crossings(places, hops), asLines(got)); diff != "" {
				t.Errorf("%s, %d hops: crossings differ (-want +got):\n%s", d.name, hops, diff)
			}
			if hops > 1 {
				continue
			}
			// Nodes announce at random moments: not every crossing found is true, nor every true one found.
			right := 0
			for _, c := range got {
				if truth[c.From.TxID] == c.From.Place && truth[c.To.TxID] == c.To.Place {
					right++
				}
			}
			t.Logf("%s: %d crossings, of which %d have both true origins", d.name, len(got), right)
			if len(got) < 10 || right*2 < len(got) {
				t.Errorf("%s: %d crossings, of which %d have both true origins, want at least 10, and half of them", d.name, len(got), right)
			}
		}
	}
}

// readOrigins reads at which country's node each transaction of a lab entered the network.
func readOrigins(t *testing.T, path string) map[string]string {
	t.Helper()
	var lab struct {
		Transactions []struct {
			TxID    string
			Country string `json:"origin_country_label"`
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &lab); err != nil {
		t.Fatal(err)
	}
	origins := map[string]string{}
	for _, tx := range lab.Transactions {
		origins[tx.TxID] = tx.Country
	}
	return origins
}

// TestCrossingsCommand runs the command on the chain: what it prints for people and for programs, and what it refuses.
func TestCrossingsCommand(t *testing.T) {
	c := newChain()
	d := testDatabases(t)[0]
	c.store(t, d)
	call := func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		err := run(t.Context(), append([]string{"crossings", "--db", d.url}, args...), &out, &errs)
		return out.String(), errs.String(), cli.ExitCode(err)
	}
	out, errs, code := call("--to", "de")
	for _, want := range []string{
		"  NL to DE  500000 satoshi, 1 spend, unconfirmed\n", "\n  from  " + id(c.t0) + "  first " + peerNL + ", 21.000 ms before the next of 3 peers",
		"\n  to    " + id(c.t1), "\n  guess a payment (power_of_ten_value); the change was spent from NL\n",
		"\n  but   1 other transaction spends the same coins", "\n1 crossings among 5 pairs",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if code != cli.Done || errs != "" {
		t.Errorf("exit code %d, %q", code, errs)
	}
	out, _, _ = call("--hops", "3", "--from", "NL", "--to", "BR", "--json")
	row := values(t, out, []string{"status", "hops", "value", "from_tx", "from_place", "to_tx", "to_place", "path", "role", "role_votes", "change_tx",
		"change_place", "rivals", "outputs", "output", "address", "from_peer", "from_seen_at", "from_lead_us", "from_ties", "from_peers", "from_likely",
		"from_confidence", "to_peer", "to_seen_at", "to_lead_us", "to_ties", "to_peers", "to_likely", "to_confidence"})
	want := []any{"unconfirmed", json.Number("3"), json.Number("498000"), id(c.t0), "NL", id(c.t3), "BR",
		strings.Join([]string{id(c.t0), id(c.t1), id(c.t2), id(c.t3)}, " "), "payment", "power_of_ten_value", id(c.c1), "NL"}
	if diff := cmp.Diff(want, row[:len(want)]); diff != "" {
		t.Errorf("row differs (-want +got):\n%s", diff)
	}
	if out, _, _ := call("--matrix", "--csv"); out != "from_place,to_place,crossings,value\nDE,BR,1,498000\nNL,DE,1,500000\nNL,US,1,500000\n" {
		t.Errorf("matrix: %s", out)
	}
	for _, tt := range []struct{ flag, value, want string }{
		{"--hops", "11", "want a number from 1 to 10"}, {"--hops", "0", "want a number from 1 to 10"}, {"--limit", "0", "want a number from 1 to 1000"},
		{"--from", "Germany", "want a country as two letters"}, {"--since", "yesterday", "want a time as in"}, {"--until", "2026-13-01", "want a time as in"},
	} {
		if out, errs, code := call(tt.flag, tt.value); code != cli.Usage || !strings.Contains(errs, tt.want) || out != "" {
			t.Errorf("%s %s: exit code %d, %q, %q", tt.flag, tt.value, code, out, errs)
		}
	}
	if _, errs, code := call("--since", "2025-01-02", "--until", "2025-01-02"); code != cli.Usage || !strings.Contains(errs, "want a later time") {
		t.Errorf("no time: exit code %d, %q", code, errs)
	}
}

// TestSayBasis checks that an answer about the newest messages alone says so: to people behind the rows, to programs on standard error.
func TestSayBasis(t *testing.T) {
	b := analyze.Basis{Pairs: 3, Located: 2, Crossings: 0, Since: 1_763_798_400_000_000, Messages: 5000}
	const text = "this is about the newest 5000 tx messages, from 2025-11-22T08:00:00.000000Z: give --since for more\n"
	const rest = "0 crossings among 3 pairs of captured transactions of which one spends from the other; both places are known of 2 pairs\n"
	for _, tt := range []struct {
		name      string
		format    format
		since     record.Time
		out, errs string
	}{
		{"people", forPeople, b.Since, text + rest, ""},
		{"people, all", forPeople, 0, rest, ""},
		{"programs", asJSON, b.Since, "", "firstseen: " + text},
		{"programs, all", asJSON, 0, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			b.Since = tt.since
			(&call{stdout: &out, stderr: &errs, format: tt.format}).sayBasis(&b, -1)
			if diff := cmp.Diff([]string{tt.out, tt.errs}, []string{out.String(), errs.String()}); diff != "" {
				t.Errorf("output and errors (-want +got):\n%s", diff)
			}
		})
	}
}
