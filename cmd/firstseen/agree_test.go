package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/analyze"
	"btcsniff/record"
)

// A jsonLine is what of a record in JSON lines these tests look at.
type jsonLine struct {
	Record, From, To, Conn, Hash, TxID, WTxID, Via, Transport string
	SeenAt                                                    time.Time `json:"seen_at"`
	ClosedAt                                                  time.Time `json:"closed_at"`
	OpenedAt                                                  time.Time `json:"opened_at"`
	SocksTarget                                               string    `json:"socks_target"`
	Network                                                   string
	Handshake                                                 *int64 `json:"handshake_rtt_us"`
	RTT                                                       *int64 `json:"rtt_us"`
	Outbound                                                  bool
	Type                                                      uint32
	Index                                                     int
}

func (l *jsonLine) at() record.Time { return record.Time(l.SeenAt.UnixMicro()) }

func (l *jsonLine) conn() int64 {
	id, _ := strconv.ParseInt(l.Conn, 10, 64)
	return id
}

// isTx says whether the line is an announcement of a transaction.
func (l *jsonLine) isTx() bool {
	return l.Record == "inv" && (l.Type == 1 || l.Type == 5 || l.Type == 1<<30|1)
}

// A truth computes, from JSON lines alone and in the simplest way, what the commands answer.
type truth struct {
	lines []jsonLine
	conns map[int64]*jsonLine // their conn records
	txid  map[string]string   // by txid and wtxid
}

func readTruth(t *testing.T, text []byte) *truth {
	t.Helper()
	tr := &truth{conns: map[int64]*jsonLine{}, txid: map[string]string{}}
	for row := range bytes.Lines(text) {
		var l jsonLine
		if err := json.Unmarshal(row, &l); err != nil {
			t.Fatal(err)
		}
		if l.Record == "tx" {
			tr.txid[l.TxID], tr.txid[l.WTxID] = l.TxID, l.TxID
		}
		tr.lines = append(tr.lines, l)
	}
	for i := range tr.lines {
		if l := &tr.lines[i]; l.Record == "conn" {
			tr.conns[l.conn()] = l
		}
	}
	return tr
}

// key is the txid of a transaction that a line tells of, or the hash as announced; "": it tells of none.
func (tr *truth) key(l *jsonLine) string {
	switch {
	case l.Record == "tx":
		return l.TxID
	case !l.isTx():
		return ""
	case tr.txid[l.Hash] != "":
		return tr.txid[l.Hash]
	}
	return l.Hash
}

// peer names the peer of a connection as commands do.
func (tr *truth) peer(conn int64, from string) string {
	if c := tr.conns[conn]; c != nil && c.SocksTarget != "" {
		return c.SocksTarget
	}
	return from
}

// announcer is a row of the command tx, as text.
type announcer struct {
	at   record.Time
	conn int64
	via  string
	peer string
}

// announcers lists, for each transaction, the first sighting of each connection in order.
func (tr *truth) announcers() map[string][]announcer {
	first := map[string]map[int64]announcer{}
	for i := range tr.lines {
		l := &tr.lines[i]
		key := tr.key(l)
		if key == "" || l.Outbound {
			continue
		}
		a := announcer{l.at(), l.conn(), l.Record, tr.peer(l.conn(), l.From)}
		was, ok := first[key][a.conn]
		if first[key] == nil {
			first[key] = map[int64]announcer{}
		}
		if !ok || a.at < was.at || a.at == was.at && a.via < was.via {
			first[key][a.conn] = a
		}
	}
	all := map[string][]announcer{}
	for key, conns := range first {
		for _, a := range conns {
			all[key] = append(all[key], a)
		}
		slices.SortFunc(all[key], func(a, b announcer) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.conn, b.conn)) })
	}
	return all
}

// rtt is what rtt.go says, once more: round-trip time, error and source of a connection near a time.
func (tr *truth) rtt(conn int64, at record.Time) (rtt, off int64, source string) {
	var us []int64
	for i := range tr.lines {
		l := &tr.lines[i]
		if l.Record == "pong" && !l.Outbound && l.RTT != nil && l.conn() == conn && l.at().Sub(at).Abs() < 25*time.Minute {
			us = append(us, *l.RTT)
		}
	}
	slices.Sort(us)
	hand := int64(0)
	if c := tr.conns[conn]; c != nil && c.Handshake != nil && c.SocksTarget == "" {
		hand = *c.Handshake
	}
	n := len(us)
	if n == 0 {
		if hand > 0 {
			return hand, hand / 4, "handshake"
		}
		return 0, 0, ""
	}
	least, median := us[(n+9)/10-1], us[(n+1)/2-1]
	switch {
	case hand > 0 && hand < least:
		return hand, max((least-hand)/2, hand/20), "handshake"
	case n == 1 && hand == 0:
		return least, least / 4, "ping"
	}
	return least, max((median-least)/2, least/20), "ping"
}

// recordings are captures whose JSON lines hold all kinds of records.
var recordings = []string{"lossy/lossy.pcap", "midstream/midstream.pcap"}

// TestAgree compares every answer on both databases with a computation on JSON lines that shares nothing with them.
func TestAgree(t *testing.T) {
	for _, name := range recordings {
		t.Run(name, func(t *testing.T) {
			databases := testDatabases(t)
			tr := readTruth(t, replayInto(t, "../../testdata/pcaps/"+name, databases...))
			for _, d := range databases {
				t.Run(d.name, func(t *testing.T) { tr.compare(t, d.open(t, false)) })
			}
		})
	}
}

// TestAgreeGenerated does so with transactions at random: announced by txid and by wtxid, captured late, twice or never.
func TestAgreeGenerated(t *testing.T) {
	databases := testDatabases(t)
	tr := readTruth(t, randomPayments(99).store(t, databases...))
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { tr.compare(t, d.open(t, false)) })
	}
}

func (tr *truth) compare(t *testing.T, db *analyze.DB) {
	t.Helper()
	tr.compareTx(t, db)
	tr.compareList(t, db)
	tr.compareBlocks(t, db)
	middle := tr.lines[len(tr.lines)/2].at()
	for _, q := range []analyze.PeersQuery{{}, {ByConnection: true}, {Since: middle}, {Until: middle}} {
		tr.comparePeers(t, db, q)
	}
}

// someHashes are enough to meet every kind of transaction.
const someHashes = 10

func (tr *truth) compareTx(t *testing.T, db *analyze.DB) {
	t.Helper()
	all := tr.announcers()
	if len(all) < 3 {
		t.Fatalf("%d transactions: the test tests nothing", len(all))
	}
	asked := map[string]string{}
	for key := range all {
		asked[key] = key
	}
	for hash, key := range tr.txid {
		if len(all[key]) > 0 {
			asked[hash] = key
		}
	}
	hashes := slices.Sorted(maps.Keys(asked))
	for _, hash := range hashes[:min(len(hashes), someHashes)] { // in any order, as hashes are
		key := asked[hash]
		tx, err := db.Tx(t.Context(), hash, analyze.Model{})
		if err != nil {
			t.Fatal(err)
		}
		if len(tx.Sensors) != 1 || tx.Hash != key {
			t.Fatalf("Tx(%s) = %s with %d sensors, want %s with one", hash, tx.Hash, len(tx.Sensors), key)
		}
		var want, got []string
		first := all[key][0].at
		for rank, a := range all[key] {
			rtt, off, source := tr.rtt(a.conn, first)
			want = append(want, fmt.Sprintln(rank+1, a.at, a.conn, a.via, a.peer, int64(a.at-first), rtt, off, source, a.at-record.Time(rtt/2)))
		}
		for _, a := range tx.Sensors[0].Announcers {
			got = append(got, fmt.Sprintln(a.Rank, a.SeenAt, a.Conn, a.Via, a.Peer, a.Behind.Microseconds(), a.RTT.Microseconds(),
				a.RTTError.Microseconds(), a.RTTSource, a.CorrectedAt))
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("Tx(%s) (-want +got):\n%s", hash, diff)
		}
	}
}

// firsts are rows of the command list, the latest first.
func (tr *truth) firsts() (list []analyze.First) {
	for key, a := range tr.announcers() {
		f := analyze.First{Hash: key, SeenAt: a[0].at, Conn: a[0].conn, Peer: a[0].peer, Lead: -1, Peers: int64(len(a))}
		if len(a) > 1 {
			f.Lead = a[1].at.Sub(a[0].at)
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b analyze.First) int {
		return cmp.Or(cmp.Compare(b.SeenAt, a.SeenAt), cmp.Compare(a.Hash, b.Hash))
	})
	return list
}

func (tr *truth) compareList(t *testing.T, db *analyze.DB) {
	t.Helper()
	all := tr.firsts()
	middle := all[len(all)/2].SeenAt
	host, _, _ := strings.Cut(all[0].Peer, ":")
	var leads []time.Duration
	for _, f := range all {
		leads = append(leads, f.Lead)
	}
	slices.Sort(leads)
	lead := max(leads[len(leads)/2], 1)
	for _, tt := range []struct {
		name string
		q    analyze.ListQuery
		keep func(f analyze.First) bool
	}{
		{"all", analyze.ListQuery{Limit: 1000}, func(analyze.First) bool { return true }},
		{"the latest", analyze.ListQuery{Limit: 2}, func(analyze.First) bool { return true }},
		{"oldest", analyze.ListQuery{Limit: 3, Oldest: true}, func(analyze.First) bool { return true }},
		{"since", analyze.ListQuery{Limit: 1000, Since: middle}, func(f analyze.First) bool { return f.SeenAt >= middle }},
		{"until", analyze.ListQuery{Limit: 1000, Until: middle}, func(f analyze.First) bool { return f.SeenAt < middle }},
		{"peer", analyze.ListQuery{Limit: 1000, Peer: all[0].Peer}, func(f analyze.First) bool { return f.Peer == all[0].Peer }},
		{"peer's address", analyze.ListQuery{Limit: 1000, Peer: host}, func(f analyze.First) bool { return strings.HasPrefix(f.Peer, host+":") }},
		{"lead", analyze.ListQuery{Limit: 1000, MinLead: lead}, func(f analyze.First) bool { return f.Lead >= lead }},
		{"lead, in pages", analyze.ListQuery{Limit: 2, MinLead: lead}, func(f analyze.First) bool { return f.Lead >= lead }},
	} {
		list := slices.DeleteFunc(slices.Clone(all), func(f analyze.First) bool { return !tt.keep(f) })
		if tt.q.Oldest {
			slices.SortFunc(list, func(a, b analyze.First) int {
				return cmp.Or(cmp.Compare(a.SeenAt, b.SeenAt), cmp.Compare(a.Hash, b.Hash))
			})
		}
		got, err := db.List(t.Context(), tt.q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			f := &got[i]
			got[i] = analyze.First{Hash: f.Hash, SeenAt: f.SeenAt, Conn: f.Conn, Peer: f.Peer, Lead: f.Lead, Peers: f.Peers}
		}
		if diff := gocmp.Diff(list[:min(len(list), tt.q.Limit)], got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("List, %s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// A peerSum is what peers are compared by, as text; times in whole microseconds.
func peerSum(key string, announced, offered, asked, txs, firsts, pongs int64, mean, median, rttMean, rttMedian, variance float64) string {
	return fmt.Sprintf("%s announced %d offered %d asked %d transactions %d firsts %d delay %.0f %.0f pongs %d rtt %.0f %.0f %.0f", key,
		announced, offered, asked, txs, firsts, mean, median, pongs, rttMean, rttMedian, variance)
}

func (tr *truth) comparePeers(t *testing.T, db *analyze.DB, q analyze.PeersQuery) {
	t.Helper()
	list, span, err := db.Peers(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	in := func(at record.Time) bool { return at >= span.Since && at < span.Until }
	key := func(conn int64) string {
		c := tr.conns[conn]
		switch {
		case q.ByConnection:
			return strconv.FormatInt(conn, 10)
		case c.SocksTarget != "":
			return c.SocksTarget[:strings.LastIndexByte(c.SocksTarget, ':')]
		case strings.HasPrefix(c.From, "192.0.2.10:"):
			return c.To[:strings.LastIndexByte(c.To, ':')]
		}
		return c.From[:strings.LastIndexByte(c.From, ':')]
	}
	count := map[string][]int64{} // announced, offered, asked
	rtts := map[string][]float64{}
	told, before := map[string]map[string]record.Time{}, map[string]bool{}
	watched, open := map[string]bool{}, map[int64]bool{}
	for id, c := range tr.conns {
		opened, closed := record.Time(c.OpenedAt.UnixMicro()), record.Time(c.ClosedAt.UnixMicro())
		if (c.Network != "" || c.Transport == "v2") && opened < span.Until && closed >= span.Since {
			watched[key(id)], open[id] = true, true
			count[key(id)] = make([]int64, 3)
		}
	}
	for i := range tr.lines {
		l := &tr.lines[i]
		tx := tr.key(l)
		if tx != "" && !l.Outbound && l.at() < span.Since {
			before[tx] = true
		}
		if !in(l.at()) && l.Record != "pong" || l.Record == "conn" {
			continue
		}
		k := key(l.conn())
		switch {
		case l.Record == "pong" && !l.Outbound && l.RTT != nil && l.at() < span.Until && open[l.conn()]:
			rtts[k] = append(rtts[k], float64(*l.RTT))
		case l.isTx() && !l.Outbound:
			count[k][0]++
		case l.isTx():
			count[k][1]++
		case l.Record == "tx" && l.Outbound:
			count[k][2]++
		}
		if tx != "" && !l.Outbound {
			if told[tx] == nil {
				told[tx] = map[string]record.Time{}
			}
			if was, ok := told[tx][k]; !ok || l.at() < was {
				told[tx][k] = l.at()
			}
		}
	}
	delays, firsts := map[string][]float64{}, map[string]int64{}
	for tx, by := range told {
		if before[tx] {
			continue
		}
		var best string
		for k, at := range by {
			if best == "" || at < by[best] || at == by[best] && k < best {
				best = k
			}
		}
		firsts[best]++
		for k, at := range by {
			delays[k] = append(delays[k], float64(at-by[best]))
		}
	}
	var want, got []string
	for k := range watched {
		mean, median, variance := stats(rtts[k])
		delayMean, delayMedian, _ := stats(delays[k])
		want = append(want, peerSum(k, count[k][0], count[k][1], count[k][2], int64(len(delays[k])), firsts[k], int64(len(rtts[k])),
			delayMean, delayMedian, mean, median, variance))
	}
	for _, p := range list {
		k := p.Peer
		if q.ByConnection {
			k = strconv.FormatInt(p.Conn, 10)
		}
		got = append(got, peerSum(k, p.Announced, p.Offered, p.Asked, p.Transactions, p.Firsts, p.Pongs, max(0, float64(p.MeanDelay.Microseconds())),
			max(0, float64(p.MedianDelay.Microseconds())), float64(p.MeanRTT.Microseconds()), float64(p.MedianRTT.Microseconds()), p.RTTVariance))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("Peers(%+v), %d transactions (-want +got):\n%s", q, len(told), diff)
	}
}

// stats are mean and median, rounded up from half, and the variance of a sample; 0 where there is none.
func stats(list []float64) (mean, median, variance float64) {
	n := len(list)
	if n == 0 {
		return 0, 0, 0
	}
	slices.Sort(list)
	for _, v := range list {
		mean += v / float64(n)
	}
	for _, v := range list {
		variance += (v - mean) * (v - mean) / max(1, float64(n-1))
	}
	median = (list[(n-1)/2] + list[n/2]) / 2
	return math.Floor(mean + 0.5), math.Floor(median + 0.5), variance
}

func (tr *truth) compareBlocks(t *testing.T, db *analyze.DB) {
	t.Helper()
	long := map[string]bool{} // headers messages of more than eight
	id := func(l *jsonLine) string { return l.Conn + l.From + l.SeenAt.String() }
	for i := range tr.lines {
		if l := &tr.lines[i]; l.Record == "block" && l.Via == "headers" {
			// Lines don't have the place within the message, but headers of one message have the same time.
			n := 0
			for k := max(0, i-8); k <= i; k++ {
				if o := &tr.lines[k]; o.Record == "block" && o.Via == "headers" && id(o) == id(l) {
					n++
				}
			}
			long[id(l)] = long[id(l)] || n > 8
		}
	}
	first := map[string]map[string]record.Time{} // block: "conn via"
	for i := range tr.lines {
		l := &tr.lines[i]
		via := l.Via
		switch {
		case l.Outbound:
			continue
		case l.Record == "inv" && (l.Type >= 2 && l.Type <= 4 || l.Type == 1<<30|2):
			via = "inv"
		case l.Record != "block" || via == "headers" && long[id(l)]:
			continue
		}
		if first[l.Hash] == nil {
			first[l.Hash] = map[string]record.Time{}
		}
		k := l.Conn + " " + via
		if was, ok := first[l.Hash][k]; !ok || l.at() < was {
			first[l.Hash][k] = l.at()
		}
	}
	got := map[string]map[string]record.Time{}
	list, err := db.Blocks(t.Context(), analyze.BlocksQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	last := record.Time(math.MaxInt64)
	for _, b := range list {
		got[b.Hash] = map[string]record.Time{}
		if b.Announcers[0].SeenAt > last {
			t.Errorf("block %s comes behind an earlier one", b.Hash)
		}
		last = b.Announcers[0].SeenAt
		for _, a := range b.Announcers {
			if a.Behind != a.SeenAt.Sub(b.Announcers[0].SeenAt) || a.Behind < 0 || a.SeenAt != a.Ways[0].SeenAt {
				t.Errorf("block %s: %+v, the first at %v", b.Hash, a, b.Announcers[0].SeenAt)
			}
			for _, w := range a.Ways {
				got[b.Hash][fmt.Sprint(a.Conn, " ", w.Via)] = w.SeenAt
			}
		}
	}
	if diff := gocmp.Diff(first, got); diff != "" {
		t.Errorf("Blocks (-want +got):\n%s", diff)
	}
}
