package main

import (
	"bytes"

	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/analyze"
	"btcsniff/internal/cli"
	"btcsniff/internal/page"
	"btcsniff/record"
)

// counted is what a summary says, as far as it can be counted in JSON lines with little.
type counted struct {
	Announcements, Transactions int64
	Steps                       map[int64][2]int64 // microseconds: announcements, transactions
	Countries                   map[string]int64   // first announcements
	Peers                       map[string]int64
	RTTs                        []int64
}

// count counts in JSON lines, without a database.
func count(t *testing.T, lines []byte, places map[string]string, step time.Duration) counted {
	t.Helper()
	c := counted{Steps: map[int64][2]int64{}, Countries: map[string]int64{}, Peers: map[string]int64{}}
	at := func(seen record.Time, i int, n int64) {
		us := seen - seen%record.Time(step.Microseconds())
		v := c.Steps[int64(us)]
		v[i] += n
		c.Steps[int64(us)] = v
	}
	least := map[string]int64{}
	for line := range bytes.Lines(lines) {
		var r struct {
			Record   string
			SeenAt   string `json:"seen_at"`
			Outbound bool
			Conn     string
			RTT      *int64 `json:"rtt_us"`
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		seen, err := time.Parse(record.Layout, r.SeenAt)
		if err != nil || r.Outbound {
			continue
		}
		if r.Record == "inv" {
			c.Announcements++
			at(record.Time(seen.UnixMicro()), 0, 1)
		}
		if known, ok := least[r.Conn]; r.RTT != nil && (!ok || *r.RTT < known) {
			least[r.Conn] = *r.RTT
		}
	}
	for _, us := range least {
		c.RTTs = append(c.RTTs, us)
	}
	slices.Sort(c.RTTs)
	told := readTold(t, lines)
	for txid := range told.sighted {
		first := told.first(txid)
		c.Transactions++
		at(first.at, 1, 1)
		c.Countries[places[first.peer]]++
		c.Peers[first.peer]++
	}
	return c
}

func TestSummary(t *testing.T) {
	g := newGossip(20, 60, 5)
	databases := testDatabases(t)
	lines := g.store(t, databases...)
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			g.blind(t, d)
			db := d.open(t, false)
			e, err := db.Extent(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s, err := db.Summarize(t.Context(), analyze.Range{Since: e.First, Until: e.Last + 1}, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := count(t, lines, g.places, s.Step)
			if diff := cmp.Diff(want, asCounted(s)); diff != "" {
				t.Errorf("summary and JSON lines (-want +got):\n%s", diff)
			}
			if len(s.Blind) != 1 || s.Blind[0].Packets != 77 || s.Blind[0].Reason != "kernel drops" {
				t.Errorf("blind times are %+v", s.Blind)
			}
			if n := s.Connections(); n != 20 {
				t.Errorf("%d connections, want 20", n)
			}
			if s.Sampled != 25 || len(s.Delays) < 25*5 || s.Spread[0] <= 0 || s.Spread[2] < s.Spread[1] || s.Spread[1] < s.Spread[0] {
				t.Errorf("sample of %d transactions with %d delays, quantiles %v", s.Sampled, len(s.Delays), s.Spread)
			}
			if s.CaptureCount != 1 || s.Unclosed != 0 || s.Ledger.PacketsRead == 0 {
				t.Errorf("%d captures, %d ledgers that don't close, %d packets", s.CaptureCount, s.Unclosed, s.Ledger.PacketsRead)
			}
			summaryParts(t, db, e, s)
		})
	}
}

// summaryParts cuts the extent in two and compares the sums: nothing is in both, nothing in none.
func summaryParts(t *testing.T, db *analyze.DB, e analyze.Extent, all *analyze.Summary) {
	t.Helper()
	middle := e.First + (e.Last-e.First)/2
	middle -= middle % record.Time(all.Step.Microseconds())
	var announcements, transactions int64
	for _, in := range []analyze.Range{{Since: e.First, Until: middle}, {Since: middle, Until: e.Last + 1}} {
		s, err := db.Summarize(t.Context(), in, 0)
		if err != nil {
			t.Fatal(err)
		}
		announcements += s.Announcements()
		transactions += s.Transactions()
	}
	if announcements != all.Announcements() || transactions != all.Transactions() {
		t.Errorf("two halves have %d announcements and %d transactions, want %d and %d", announcements, transactions, all.Announcements(), all.Transactions())
	}
}

func asCounted(s *analyze.Summary) counted {
	c := counted{Announcements: s.Announcements(), Transactions: s.Transactions(), Steps: map[int64][2]int64{}, Countries: map[string]int64{}, Peers: map[string]int64{}, RTTs: s.RTTs}
	for _, x := range s.Steps {
		c.Steps[int64(x.At)] = [2]int64{x.Announcements, x.Transactions}
	}
	for _, g := range s.Countries {
		if g.Firsts > 0 {
			c.Countries[g.Name] = g.Firsts
		}
	}
	for _, g := range s.Peers {
		c.Peers[g.Name] = g.Firsts
	}
	return c
}

// reportOf runs the command and returns the page, without the database's name.
func reportOf(t *testing.T, d testDatabase, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "r.html")
	var stderr bytes.Buffer
	if err := run(t.Context(), append([]string{"report", "--db", d.url, "-o", file}, args...), io.Discard, &stderr); err != nil {
		t.Fatalf("report: %v: %s", err, &stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	source := regexp.MustCompile(`<footer><p>.*?\. All times`)
	return source.ReplaceAllString(string(b), "<footer><p>All times")
}

func TestReport(t *testing.T) {
	g := newGossip(12, 40, 6)
	databases := testDatabases(t)
	g.store(t, databases...)
	var pages []string
	for _, d := range databases {
		g.blind(t, d)
		pages = append(pages, reportOf(t, d), reportOf(t, d))
	}
	for i, p := range pages[1:] {
		if diff := cmp.Diff(pages[0], p); diff != "" {
			t.Errorf("report %d differs from the first (-want +got):\n%s", i+2, diff)
		}
	}
	wantSelfContained(t, pages[0])
	for _, text := range []string{
		"Announcements over time", "How announcements spread", "First announcers by country", "Round-trip times", "Transports", "Coins that crossed a border",
		"Captures", "Ledger", "kernel drops", `class="blind"`, "40</b> transactions first seen", g.txs[39].TxID.String(),
	} {
		if !strings.Contains(pages[0], text) {
			t.Errorf("the report lacks %q", text)
		}
	}
	if p := reportOf(t, databases[0], "--since", "2025-10-06T22:56:50Z"); p == pages[0] || !strings.Contains(p, "From <b>2025-10-06 22:56:50</b>") {
		t.Errorf("a later --since gives the same page, or another range")
	}
	if p := reportOf(t, databases[0], "--since", "2030-01-01", "--until", "2030-01-02"); !strings.Contains(p, "0</b> transactions first seen") {
		t.Errorf("a range without records: %s", p)
	}
	if len(pages[0]) > 300_000 {
		t.Errorf("the report has %d bytes", len(pages[0]))
	}
}

// wantSelfContained checks that a page needs nothing from elsewhere, runs nothing, and has the policy that says so.
func wantSelfContained(t *testing.T, p string) {
	t.Helper()
	for _, bad := range []string{"<script", "<img", "<link", "<iframe", " src=", " style=", "http://", "https://", "url(", "@import", "javascript:", " on"} {
		where := strings.Index(p, bad)
		if bad == " on" { // an event handler is an attribute
			if m := regexp.MustCompile(`<[^>]* on[a-z]+=`).FindStringIndex(p); m != nil {
				t.Errorf("the page has an event handler: %s", p[m[0]:m[1]])
			}
			continue
		}
		if where >= 0 {
			t.Errorf("the page has %q: ...%s", bad, p[where:min(len(p), where+80)])
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(p)
	if style == nil {
		t.Fatal("the page has no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	if want := "style-src &#39;sha256-" + strings.ReplaceAll(base64.StdEncoding.EncodeToString(sum[:]), "+", "&#43;") + "&#39;"; !strings.Contains(p, want) {
		t.Errorf("the page's policy does not name its style: want %s", want)
	}
}

func TestReportEmpty(t *testing.T) {
	for _, d := range testDatabases(t) {
		t.Run(d.name, func(t *testing.T) {
			d.empty(t)
			p := reportOf(t, d)
			wantSelfContained(t, p)
			if !strings.Contains(p, "Nothing is recorded yet") {
				t.Errorf("report of an empty database: %s", p)
			}
			h := newSite(t, d)
			for _, path := range []string{"/", "/about", "/transactions"} {
				if w := ask(h, path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Nothing is recorded yet") {
					t.Errorf("%s of an empty database: %d\n%s", path, w.Code, w.Body)
				}
			}
		})
	}
}

// empty makes the tables.
func (d testDatabase) empty(t *testing.T) {
	t.Helper()
	replayInto(t, emptyCapture(t), d)
}

// emptyCapture is a capture file without packets.
func emptyCapture(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "empty.pcap")
	header := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}
	if err := os.WriteFile(file, header, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newSite(t *testing.T, d testDatabase) http.Handler {
	t.Helper()
	h, err := page.New(page.Config{DB: d.open(t, false), Source: "test", Hosts: []string{"sniffer.example"}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
	h.ServeHTTP(w, r)
	return w
}

func TestSite(t *testing.T) {
	g := newGossip(12, 80, 7)
	databases := testDatabases(t)
	g.store(t, databases...)
	txid, wtxid := g.txs[5].TxID.String(), g.txs[5].WTxID.String()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			h := newSite(t, d)
			for _, c := range []struct {
				name, path string
				status     int
				want       string
			}{
				{"overview", "/", 200, "80</b> transactions first seen"},
				{"overview of everything", "/?span=all", 200, "80</b> transactions first seen"},
				{"a range", "/?since=2025-10-06T22:56:43&until=2025-10-06T22:56:44Z", 200, `value="2025-10-06 22:56:43"`},
				{"a range of days", "/?since=2025-10-06&until=2025-10-08", 200, "80</b> transactions first seen"},
				{"a range without records", "/?since=2031-01-01&until=2031-01-02", 200, "0</b> transactions first seen"},
				{"a range backwards", "/?since=2031-01-02&until=2031-01-01", 400, "ends before it begins"},
				{"no time", "/?since=<b>%1b[2J", 400, `&lt;b&gt;\x1b[2J`},
				{"no span", "/?span=%3BDROP", 400, "no such span"},
				{"about", "/about", 200, "Packets read"},
				{"by txid", "/tx/" + txid, 200, wtxid},
				{"by wtxid", "/tx/" + wtxid, 200, txid},
				{"by txid in capitals", "/tx/" + strings.ToUpper(txid), 200, "Seen by"},
				{"unknown transaction", "/tx/" + strings.Repeat("0", 64), 404, "No peer told"},
				{"no hash", "/tx/xyz", 400, "64 hexadecimal digits"},
				{"hostile peer", "/peer?name=198.51.100.1", 200, `/&lt;script&gt;alert(1)&lt;/script&gt;`},
				{"hostile peer's control characters", "/peer?name=198.51.100.1:8333", 200, `\x1b[2J\u202e`},
				{"peer", "/peer?name=198.51.100.2", 200, "/Satoshi:21.0.0/"},
				{"unknown peer", "/peer?name=' OR 1=1 --", 404, "&#39; OR 1=1 --"},
				{"peer with NUL", "/peer?name=a%00b", 400, "no peer"},
				{"peer that is no UTF-8", "/peer?name=%ff%fe", 400, "no peer"},
				{"no peer", "/peer", 400, "Which peer"},
				{"transactions", "/transactions", 200, "Older ones"},
				{"transactions of a peer", "/transactions?peer=198.51.100.2", 200, "198.51.100.2:8333"},
				{"transactions of nobody", "/transactions?peer=' OR ''='", 200, "None: give another"},
				{"transactions of a place", "/transactions?place=de", 200, "DE"},
				{"transactions with NUL", "/transactions?peer=%00", 400, "no peer"},
				{"transactions too far on", "/transactions?skip=1000000000", 400, "give a time"},
				{"search for nothing", "/search?q=+", 400, "Search for what"},
				{"search for too much", "/search?q=" + strings.Repeat("a", 400), 400, "too long"},
				{"no page", "/../../etc/passwd", 404, ""},
				{"no such page", "/nothing", 404, "no such page"},
				{"stylesheet", "/style.css", 200, "prefers-color-scheme"},
				{"icon", "/icon.svg", 200, "<svg"},
			} {
				t.Run(c.name, func(t *testing.T) {
					w := ask(h, strings.ReplaceAll(c.path, " ", "%20"))
					if w.Code == http.StatusTemporaryRedirect || w.Code == http.StatusMovedPermanently { // a path that was not clean
						w = ask(h, w.Header().Get("Location"))
					}
					body := w.Body.String()
					if w.Code != c.status || !strings.Contains(body, c.want) {
						t.Errorf("%s: status %d, want %d with %q\n%s", c.path, w.Code, c.status, c.want, body)
					}
					if strings.Contains(body, "<script") || strings.ContainsAny(body, "\x1b\u202e\x00") {
						t.Errorf("%s: something hostile got through:\n%s", c.path, body)
					}
					if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
						t.Errorf("%s: policy %q", c.path, csp)
					}
				})
			}
			t.Run("search", func(t *testing.T) { siteSearch(t, h, txid) })
			t.Run("pages of a list", func(t *testing.T) { sitePages(t, h, g) })
		})
	}
}

// siteSearch checks where a search leads.
func siteSearch(t *testing.T, h http.Handler, txid string) {
	for _, c := range []struct{ q, to string }{
		{txid, "/tx/" + txid}, {"+" + strings.ToUpper(txid) + "+", "/tx/" + txid},
		{"198.51.100.1:8333", "/peer?name=198.51.100.1%3A8333"}, {"//evil.example/", "/peer?name=%2F%2Fevil.example%2F"},
		{"%0d%0aSet-Cookie:+a=b", "/peer?name=Set-Cookie%3A+a%3Db"},
	} {
		w := ask(h, "/search?q="+c.q)
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != c.to {
			t.Errorf("search for %q: %d to %q, want %q", c.q, w.Code, got, c.to)
		}
	}
}

// sitePages follows the links from page to page of the list: every transaction is there once.
func sitePages(t *testing.T, h http.Handler, g *gossip) {
	row := regexp.MustCompile(`href="/tx/([0-9a-f]{64})"`)
	older := regexp.MustCompile(`<a href="(/transactions\?[^"]*)">Older ones`)
	seen := map[string]int{}
	for path, n := "/transactions", 0; path != ""; n++ {
		if n > 10 {
			t.Fatal("the list does not end")
		}
		body := ask(h, path).Body.String()
		for _, m := range row.FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := older.FindStringSubmatch(body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	for _, tx := range g.txs {
		if id := tx.TxID.String(); seen[id] != 1 {
			t.Errorf("transaction %s is %d times in the list", id, seen[id])
		}
	}
	if len(seen) != len(g.txs) {
		t.Errorf("the list has %d transactions, want %d", len(seen), len(g.txs))
	}
}

// TestServe runs the command until it is interrupted.
func TestServe(t *testing.T) {
	g := newGossip(4, 5, 8)
	d := testDatabases(t)[0]
	g.store(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan error, 1)
	go func() {
		defer w.Close()
		done <- run(ctx, []string{"serve", "--db", d.url, "--listen", "127.0.0.1:0"}, w, &stderr)
	}()
	var url string
	if _, err := fmt.Fscanln(r, &url); err != nil {
		t.Fatalf("serve: %v: %s", err, &stderr)
	}
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != 200 || !bytes.Contains(body, []byte("5</b> transactions first seen")) {
		t.Errorf("GET %s: %v, %v\n%s", url, answer.Status, err, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve: %v, want no error after an interrupt: %s", err, &stderr)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("it still answers after its end")
	}
}

func TestPageErrors(t *testing.T) {
	d := testDatabases(t)[0]
	newGossip(3, 2, 9).store(t, d)
	busy := httptest.NewServer(nil)
	defer busy.Close()
	held := filepath.Join(t.TempDir(), "held.duckdb")
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no such file", []string{"report", "--db", held}, 1, "held.duckdb"},
		{"folder that isn't there", []string{"report", "--db", d.url, "-o", "/nonexistent/r.html"}, 1, "/nonexistent"},
		{"contradiction", []string{"report", "--since", "2025-01-02", "--until", "2025-01-01"}, 2, "want a later time"},
		{"json", []string{"report", "--json"}, 2, "not for pages"},
		{"address", []string{"serve", "--listen", "8380"}, 2, "want an address with a port"},
		{"queries", []string{"serve", "--queries", "0"}, 2, "from 1 to 100"},
		{"port in use", []string{"serve", "--db", d.url, "--listen", busy.Listener.Addr().String()}, 1, "choose another --listen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			err := run(t.Context(), c.args, io.Discard, &stderr)
			if got := cli.ExitCode(err); got != c.code || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("firstseen %s: exit code %d, %q; want %d, %q", strings.Join(c.args, " "), got, stderr.String(), c.code, c.want)
			}
		})
	}
}

// TestReportKeepsOld checks that a report that fails leaves the one that is there.
func TestReportKeepsOld(t *testing.T) {
	d := testDatabases(t)[0]
	newGossip(3, 2, 9).store(t, d)
	dir := t.TempDir()
	file := filepath.Join(dir, "r.html")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"report", "--db", d.url, "-o", file, "--timeout", "1ns"}, io.Discard, io.Discard); err == nil {
		t.Error("report within no time: no error")
	}
	b, err := os.ReadFile(file)
	names, _ := os.ReadDir(dir)
	if string(b) != "old" || err != nil || len(names) != 1 {
		t.Errorf("after a failure there is %q in %d files, %v", b, len(names), err)
	}
}
