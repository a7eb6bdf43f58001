package page

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/analyze"
	"btcsniff/record"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "/Satoshi:28.1.0/", "/Satoshi:28.1.0/"},
		{"letters of all kinds", "żółw 🐢", "żółw 🐢"},
		{"control characters", "a\x1b[2J\r\nb\x00", `a\x1b[2J\r\nb\x00`},
		{"other direction", "\u202etxt.exe", `\u202etxt.exe`},
		{"no UTF-8", "\xff\xfe", `\xff\xfe`},
		{"joined with nothing", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"too long", strings.Repeat("a", 300), strings.Repeat("a", 256) + "…"},
		{"markup is left to the templates", "<b>&", "<b>&"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := clean(c.in); got != c.want {
				t.Errorf("clean(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"count", formatCount(1234567), "1,234,567"},
		{"small count", formatCount(uint64(999)), "999"},
		{"negative count", formatCount(-1000), "-1,000"},
		{"greatest count", formatCount(uint64(math.MaxUint64)), "18,446,744,073,709,551,615"},
		{"no bytes", formatBytes(0), "0 B"},
		{"bytes", formatBytes(1536), "1.54 kB"},
		{"many bytes", formatBytes(uint64(3.2e12)), "3.20 TB"},
		{"no time", formatMicros(0), "0 s"},
		{"microseconds", formatMicros(999), "999 µs"},
		{"milliseconds", formatMicros(int64(12345)), "12.3 ms"},
		{"seconds", formatSpan(1500 * time.Millisecond), "1.50 s"},
		{"days", formatSpan(36 * time.Hour), "1.50 d"},
		{"time", formatTime(1_759_791_402_000_001), "2025-10-06 22:56:42.000001"},
		{"unknown time", formatTime(0), "–"},
		{"percent", percent(1, 3), "33.3 %"},
		{"percent of nothing", percent(0, 0), "–"},
		{"bitcoins", formatBitcoin(123456789012), "1,234.56789012 BTC"},
		{"a number for SVG", num(12.345).String(), "12.3"},
		{"a whole number for SVG", num(200).String(), "200"},
		{"zero for SVG", num(math.Copysign(0, -1)).String(), "0"},
		{"scale", axisCount(20000), "20 k"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		})
	}
}

// hostile is text that no page may have as it is.
const hostile = "</title></svg><script>alert(1)</script>\"'\x1b[2J\u202e"

// summaryOf makes a summary with everything in it that a page can show.
func summaryOf() *analyze.Summary {
	const start = record.Time(1_759_791_402_000_000)
	s := &analyze.Summary{Range: analyze.Range{Since: start, Until: start + 60_000_000}, Step: time.Second}
	s.Steps = []analyze.Step{{At: start, Announcements: 10, Transactions: 2}, {At: start + 59_000_000, Announcements: 1_000_000, Transactions: 1}}
	s.Blind = []analyze.BlindTime{
		{Sensor: hostile, Capture: hostile, Reason: hostile, From: start - 5_000_000, To: start + 1_000_000, Packets: -1},
		{From: start + 500_000, To: start + 2_000_000}, {From: start + 59_000_000, To: start + 100_000_000},
	}
	s.Countries = []analyze.Group{{Name: "DE", Connections: 3, Firsts: 2}, {Name: hostile, Connections: 1, Firsts: 1}, {Name: ""}}
	s.Transports = []analyze.Group{{Name: "v2", Connections: 1, Bytes: 75}, {Name: hostile, Connections: 3, Bytes: 25}}
	s.ASes = []analyze.Group{{Name: "64496", More: hostile, Firsts: 2}}
	s.Peers = []analyze.Group{{Name: hostile, More: "tor", Firsts: 3}}
	s.RTTs = []int64{0, 99, 100, 5000, math.MaxInt64}
	s.Delays, s.Sampled, s.Spread = []int64{1, 2, 3, 4_000_000}, 2, [3]int64{1, 2, 3}
	s.Captures = []analyze.Capture{{Sensor: hostile, Name: hostile, First: start, Problems: 1, Ledger: &record.Ledger{}}}
	s.CaptureCount, s.ProblemCount = 201, 1
	s.Problems = []analyze.FileProblem{{Capture: hostile, File: hostile, Problem: hostile}}
	s.Ledger = record.Ledger{PacketsRead: 3, Undecodable: map[string]uint64{hostile: 3}, TCPBytes: 100, Messages: map[string]record.Command{hostile: {Messages: 1, Bytes: 100}}}
	s.Crossings = []analyze.CrossingCell{{From: "DE", To: "US", Number: 5, Value: 123}, {From: hostile, To: "DE", Number: 1}}
	return s
}

// TestHostileReport renders a report in which everything that could be is hostile.
func TestHostileReport(t *testing.T) {
	tmpl, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	o := newOverview(summaryOf())
	o.Tx = []txRow{{Hash: strings.Repeat("ab", 32), Peer: hostile, Place: hostile}}
	for _, c := range []struct {
		name string
		nav  bool
	}{{"report", false}, {"overview", true}, {"about", true}} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := render(&b, tmpl, c.name, view{Title: "a title", Source: hostile, Query: hostile, Nav: c.nav, Body: o}); err != nil {
				t.Fatal(err)
			}
			page := b.String()
			if strings.Contains(page, "<script") || strings.Contains(page, "ZgotmplZ") {
				t.Error("markup got through")
			}
			body := page[strings.Index(page, "<main"):strings.Index(page, "<footer")]
			if strings.ContainsAny(body, "\x1b\u202e") {
				t.Errorf("control characters got through: %q", body[strings.IndexAny(body, "\x1b\u202e")-80:])
			}
			if !c.nav && !strings.Contains(page, "75.0 %") {
				t.Error("the share of encrypted bytes is missing")
			}
		})
	}
}

// TestMatrixOfNewest checks that a matrix of the newest messages alone says so.
func TestMatrixOfNewest(t *testing.T) {
	s := &analyze.Summary{}
	const text = "this is about the newest 5,000 tx messages of that time, from 2025-11-22 08:00:00.000000"
	if m := newMatrix(s); strings.Contains(m.About, "newest") {
		t.Errorf("of all: %q", m.About)
	}
	s.CrossingsOf = analyze.Basis{Since: 1_763_798_400_000_000, Messages: 5000}
	if m := newMatrix(s); !strings.Contains(m.About, text) {
		t.Errorf("of some: %q, want %q in it", m.About, text)
	}
}

func TestBlindFor(t *testing.T) {
	if got := blindFor(summaryOf()); got != 3*time.Second { // 0 to 2 s, and the last second
		t.Errorf("blind for %v, want 3 s", got)
	}
}

// TestCharts draws what is hard to draw: nothing, one value, the greatest ones. No coordinate may be other than a number in the chart.
func TestCharts(t *testing.T) {
	one, huge := summaryOf(), summaryOf()
	one.Steps, one.RTTs, one.Delays, one.Blind = one.Steps[:1], []int64{0}, []int64{0}, nil
	for i := range huge.Steps {
		huge.Steps[i].Announcements = math.MaxInt64 / 4
	}
	huge.Until = huge.Since + math.MaxInt64/4
	huge.Delays = []int64{math.MaxInt64 / 4, math.MaxInt64 / 4}
	empty := &analyze.Summary{Range: one.Range, Step: time.Second}
	for _, c := range []struct {
		name string
		s    *analyze.Summary
	}{{"all", summaryOf()}, {"one", one}, {"huge", huge}, {"empty", empty}} {
		t.Run(c.name, func(t *testing.T) {
			for _, chart := range newOverview(c.s).Charts {
				if c.name == "empty" && chart.Empty == "" {
					t.Errorf("%s draws nothing", chart.ID)
				}
				inside(t, chart)
			}
		})
	}
}

func inside(t *testing.T, c *chart) {
	t.Helper()
	check := func(what string, x, y num) {
		if !(x >= -1 && x <= c.W+1 && y >= -1 && y <= c.H+1) {
			t.Errorf("%s: %s at %v, %v is outside of %v, %v", c.ID, what, x, y, c.W, c.H)
		}
	}
	for _, b := range append(c.Bars, c.Bands...) {
		check("bar", b.X, b.Y)
		check("bar's end", b.X+b.W, b.Y+b.H)
		if b.W < 0 || b.H < 0 {
			t.Errorf("%s: a bar of %v by %v", c.ID, b.W, b.H)
		}
	}
	for _, l := range c.Labels {
		check("label "+l.Text, l.X, l.Y)
	}
	for _, r := range c.Rules {
		check("rule", r.X1, r.Y1)
		check("rule's end", r.X2, r.Y2)
	}
	for _, curve := range c.Curves {
		if strings.Contains(curve.D, "NaN") || strings.Contains(curve.D, "Inf") {
			t.Errorf("%s: curve %s", c.ID, curve.D)
		}
	}
	if len(c.Labels) > 60 {
		t.Errorf("%s has %d labels", c.ID, len(c.Labels))
	}
}

func TestKnows(t *testing.T) {
	s := &site{cfg: Config{Hosts: []string{"sniffer.example"}}}
	for _, c := range []struct {
		host string
		want bool
	}{
		{"127.0.0.1", true}, {"127.0.0.1:8380", true}, {"127.9.9.9:1", true}, {"localhost:8380", true}, {"LOCALHOST.", true}, {"[::1]:8380", true}, {"[::1]", true},
		{"sniffer.example:80", true}, {"Sniffer.Example", true},
		{"", false}, {"evil.example", false}, {"localhost.evil.example", false}, {"127.0.0.1.evil.example", false}, {"192.0.2.1:8380", false}, {"[2001:db8::1]", false},
		{"evil.example:127.0.0.1", false}, {"2130706433", false}, {"xsniffer.example", false},
	} {
		if got := s.knows(c.host); got != c.want {
			t.Errorf("knows(%q) = %v, want %v", c.host, got, c.want)
		}
	}
}

func TestGuards(t *testing.T) {
	h, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, method, host string
		status             int
	}{
		{"rebinding", "GET", "evil.example", http.StatusMisdirectedRequest},
		{"no host", "GET", "", http.StatusMisdirectedRequest},
		{"post", "POST", "localhost", http.StatusMethodNotAllowed},
		{"delete", "DELETE", "localhost", http.StatusMethodNotAllowed},
		{"file", "GET", "localhost", http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/style.css", nil)
			r.Host = c.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("%s for %q: status %d, want %d", c.method, c.host, w.Code, c.status)
			}
			if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers are %v", w.Header())
			}
		})
	}
}

// TestLimits lets one page take the only slot and more time than it has: it is a page that says so, and so is that of who waited.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tmpl, err := parse()
		if err != nil {
			t.Fatal(err)
		}
		s := &site{cfg: Config{Timeout: time.Minute}, templates: tmpl, slots: make(chan struct{}, 1)}
		show := func(ctx context.Context, _ *http.Request) (string, view, error) {
			<-ctx.Done()
			return "", view{}, errors.New("canceled by the database")
		}
		codes := make(chan int, 2) // of one value for each page
		ask := func(s *site) {
			w := httptest.NewRecorder()
			s.page(w, httptest.NewRequest(http.MethodGet, "/", nil), show)
			codes <- w.Code
		}
		go ask(s)
		synctest.Wait()
		ask(&site{cfg: Config{Timeout: time.Second}, templates: tmpl, slots: s.slots})
		if got := <-codes; got != http.StatusServiceUnavailable {
			t.Errorf("who waited for the slot: status %d, want 503", got)
		}
		if got := <-codes; got != http.StatusGatewayTimeout {
			t.Errorf("who took too long: status %d, want 504", got)
		}
	})
}

func TestChosen(t *testing.T) {
	first, err := parseTime("2026-01-01")
	if err != nil {
		t.Fatal(err)
	}
	last := first.Add(30 * 24 * time.Hour)
	e := analyze.Extent{First: first, Last: last}
	for _, c := range []struct {
		name, query string
		want        analyze.Range
		bad         bool
	}{
		{"default", "", analyze.Range{Since: (last + 1).Add(-time.Hour), Until: last + 1}, false},
		{"day", "span=24h", analyze.Range{Since: (last + 1).Add(-24 * time.Hour), Until: last + 1}, false},
		{"all", "span=all", analyze.Range{Since: first, Until: last + 1}, false},
		{"since", "since=2026-01-02", analyze.Range{Since: first.Add(24 * time.Hour), Until: last + 1}, false},
		{"until", "until=2026-01-02 10:00", analyze.Range{Since: first, Until: first.Add(34 * time.Hour)}, false},
		{"microseconds", "since=2026-01-02T00:00:00.000001Z", analyze.Range{Since: first.Add(24*time.Hour) + 1, Until: last + 1}, false},
		{"no time", "since=yesterday", analyze.Range{}, true},
		{"another offset", "since=2026-01-02T00:00:00+02:00", analyze.Range{}, true},
		{"no span", "span=2h", analyze.Range{}, true},
		{"nothing", "since=2026-01-02&until=2026-01-02", analyze.Range{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := url.ParseQuery(strings.ReplaceAll(c.query, "+", "%2B"))
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := chosen(q, e)
			if c.bad {
				if f := (failure{}); !errors.As(err, &f) || f.status != http.StatusBadRequest {
					t.Errorf("error %v, want a bad request", err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("range (-want +got):\n%s%v", diff, err)
			}
		})
	}
}

func TestNiceStep(t *testing.T) {
	for _, c := range []struct{ most, want float64 }{{1, 0.5}, {4, 1}, {5, 2}, {100, 50}, {299, 100}, {0, 1}, {math.NaN(), 1}, {1e18, 5e17}} {
		if got := niceStep(c.most, 4); math.Abs(got-c.want) > c.want*1e-9 {
			t.Errorf("niceStep(%v) = %v, want %v", c.most, got, c.want)
		}
	}
}
