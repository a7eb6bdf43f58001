package metrics

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"btcsniff/record"
	"btcsniff/sink"
)

var update = flag.Bool("update", false, "rewrite the table of docs/metrics.md")

var noon = time.Date(2025, 10, 6, 12, 0, 0, 0, time.UTC)

// full is a State in which nothing is missing and no two figures are the same; it returns the ledger's, too.
func full(t *testing.T) (s State, want map[uint64]string) {
	t.Helper()
	var l record.Ledger
	want = map[uint64]string{}
	n := uint64(1_000_000)
	next := func(what string) uint64 {
		n++
		want[n] = what
		return n
	}
	v := reflect.ValueOf(&l).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "RecordsDropped" {
			continue // of what one database stores, 0 in a run's own ledger: btcsniff_spool_dropped_records_total
		}
		switch f := v.Field(i).Addr().Interface().(type) {
		case *uint64:
			*f = next(name)
		case *map[string]uint64:
			*f = map[string]uint64{"x": next(name)}
		case *map[string]record.Command:
			*f = map[string]record.Command{"x": {Messages: next(name + " messages"), Bytes: next(name + " bytes"), Malformed: next(name + " malformed")}}
		case *map[string]record.Class:
			*f = map[string]record.Class{"x": {Conns: next(name + " conns"), Bytes: next(name + " bytes")}}
		default:
			t.Fatalf("field %s of the ledger is of a kind that this test doesn't know: teach it and figures", name)
		}
	}
	meter := NewMeter(func() time.Time { return noon })
	b := &record.Batch{}
	b.Ping(record.Ping{Meta: record.Meta{SeenAt: micros(noon.Add(-3 * time.Second))}})
	meter.Begin(b)(nil)
	return State{
		Now: noon, Opened: noon.Add(-time.Hour), Memory: 1 << 20,
		Captures:   []Capture{{"fra1", "eth0", &l, map[string]uint64{"v1": 1, "v2": 2, "unknown": 3}}},
		Interfaces: []Interface{{Name: "eth0", Packets: 4, Dropped: 5, IfDropped: 6, Downs: 7, Reopened: 8, Away: 9 * time.Second}},
		Sinks: []Sink{{
			Name: "postgres://u:xxxxx@192.0.2.1/db", Stats: sink.QueueStats{Made: 10, Added: 11}, Meter: meter.Commits(),
			Deferred: &sink.Deferred{Oldest: micros(noon)},
		}},
	}, want
}

// get asks a handler that shows s.
func get(t *testing.T, s State, path string) (code int, body string) {
	t.Helper()
	h := Handler(Config{Version: "v1", State: func(context.Context) State { return s }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

var sample = regexp.MustCompile(`(?m)^([a-z_0-9]+)(\{.*\})? (\S+)$`)

// samples returns the values of a page of metrics, by name and labels.
func samples(t *testing.T, page string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, m := range sample.FindAllStringSubmatch(page, -1) {
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%q: %v", m[0], err)
		}
		out[m[1]+m[2]] = v
	}
	return out
}

// TestEveryFigure checks that each count of the ledger, also one that is new, is a metric.
func TestEveryFigure(t *testing.T) {
	s, want := full(t)
	code, page := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("GET /metrics: %d\n%s", code, page)
	}
	for key, v := range samples(t, page) {
		if strings.HasPrefix(key, prefix) && strings.Contains(key, `capture="eth0"`) {
			delete(want, uint64(v))
		}
	}
	if len(want) > 0 {
		t.Errorf("figures of the ledger that are no metric: %v", slices.Collect(maps.Values(want)))
	}
}

// TestValues checks what is not of the ledger.
func TestValues(t *testing.T) {
	s, _ := full(t)
	_, page := get(t, s, "/metrics")
	got := samples(t, page)
	for key, want := range map[string]float64{
		`btcsniff_connections_open{capture="eth0",sensor="fra1",transport="v2"}`:                 2,
		`btcsniff_interface_up{interface="eth0"}`:                                                1,
		`btcsniff_interface_packets_total{interface="eth0"}`:                                     4,
		`btcsniff_interface_kernel_drops_total{interface="eth0"}`:                                5,
		`btcsniff_interface_card_drops_total{interface="eth0"}`:                                  6,
		`btcsniff_interface_away_seconds_total{interface="eth0"}`:                                9,
		`btcsniff_sink_records_added_total{sink="postgres://u:xxxxx@192.0.2.1/db"}`:              11,
		`btcsniff_sink_newest_record_age_seconds{sink="postgres://u:xxxxx@192.0.2.1/db"}`:        3,
		`btcsniff_sink_last_commit_timestamp_seconds{sink="postgres://u:xxxxx@192.0.2.1/db"}`:    float64(noon.Unix()),
		`btcsniff_sink_commit_seconds_count{sink="postgres://u:xxxxx@192.0.2.1/db"}`:             1,
		`btcsniff_sink_commit_seconds_bucket{sink="postgres://u:xxxxx@192.0.2.1/db",le="0.001"}`: 1,
		`btcsniff_spool_oldest_record_timestamp_seconds{sink="postgres://u:xxxxx@192.0.2.1/db"}`: float64(noon.Unix()),
		`btcsniff_build_info{version="v1"}`:                                                      1, `btcsniff_up`: 1, `btcsniff_captures`: 1, `btcsniff_memory_limit_bytes`: 1 << 20,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s = %v, %v, want %v", key, v, ok, want)
		}
	}
}

// TestHostileNames checks that what peers choose can't break the page: not what is no text, not what looks like a label, not
// names that are the same as text.
func TestHostileNames(t *testing.T) {
	s, _ := full(t)
	evil := "a\"} 1\nbtcsniff_up 0\n"
	s.Captures[0].Ledger.Messages = map[string]record.Command{
		"\xff": {Messages: 1}, `\xff`: {Messages: 2}, "\x00\x00": {Messages: 3}, evil: {Messages: 4}, "<script>": {Messages: 5},
	}
	code, page := get(t, s, "/metrics")
	got := samples(t, page)
	if code != http.StatusOK || got["btcsniff_up"] != 1 {
		t.Errorf("GET /metrics: %d, btcsniff_up %v", code, got["btcsniff_up"])
	}
	const name = `btcsniff_messages_total{capture="eth0",command="%s",sensor="fra1"}`
	for command, want := range map[string]float64{`\\xff`: 3, `\\x00\\x00`: 3, `a\"} 1\nbtcsniff_up 0\n`: 4} {
		if v := got[fmt.Sprintf(name, command)]; v != want {
			t.Errorf("command %s: %v, want %v", command, v, want)
		}
	}
}

// TestManyCaptures checks that series are bounded, and that nothing is left out.
func TestManyCaptures(t *testing.T) {
	var s State
	for i := range 3 * maxCaptures {
		s.Captures = append(s.Captures, Capture{"s", fmt.Sprint("c", i%(2*maxCaptures)), &record.Ledger{PacketsRead: 1}, map[string]uint64{"v1": 1}})
	}
	_, page := get(t, s, "/metrics")
	series, sum := 0, 0.0
	for key, v := range samples(t, page) {
		if strings.HasPrefix(key, "btcsniff_packets_read_total{") {
			series++
			sum += v
		}
	}
	if series != maxCaptures+1 || sum != 3*maxCaptures {
		t.Errorf("%d series of %v packets, want %d of %d", series, sum, maxCaptures+1, 3*maxCaptures)
	}
}

// TestDocumented compares docs/metrics.md with the metrics that there are.
func TestDocumented(t *testing.T) {
	const path, begin, end = "../../docs/metrics.md", "<!-- table -->\n", "<!-- end of table -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", path, begin, end)
	}
	want := table(t)
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got), go test -update writes it:\n%s", path, diff)
	}
}

// table is the documentation's: each metric of ours, in the order of the code.
func table(t *testing.T) string {
	t.Helper()
	s, _ := full(t)
	reg := prometheus.NewRegistry()
	c := newCollector(func(context.Context) State { return s })
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		rows[f.GetName()] = fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	text := "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
	for _, name := range c.order {
		if rows[name] == "" {
			t.Errorf("%s is described, but a full State has none", name)
		}
		text += rows[name]
	}
	return text + "| `btcsniff_build_info` | gauge | `version` | 1; its label is btcsniff's version. |\n"
}

var metricName = regexp.MustCompile(`\b((?:btcsniff|process|go)_[a-z0-9_]+)\b`)

// TestDeployed checks that the alerts and the dashboard ask for metrics that there are, and ask for the labels that these have.
func TestDeployed(t *testing.T) {
	s, _ := full(t)
	_, page := get(t, s, "/metrics")
	there := map[string]bool{}
	for key := range samples(t, page) {
		name, _, _ := strings.Cut(key, "{")
		there[name] = true
	}
	for _, path := range []string{"../../deploy/alerts.yml", "../../deploy/dashboard.json"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(text), -1)
		if len(names) < 15 {
			t.Errorf("%s names %d metrics, want more", path, len(names))
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s names %s, which is no metric", path, name)
			}
		}
	}
}

// TestAlerts has Prometheus' own tool, where it is installed, look at the rules and at when they fire.
func TestAlerts(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("no promtool here (Debian: prometheus): only the names of metrics were checked")
		return
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = "../../deploy"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestDashboard checks what Grafana needs: valid JSON, an id and a place of its own for each panel, a query in each.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../deploy/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID    string
		SchemaVersion int
		Panels        []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	if board.Title == "" || board.UID == "" || board.SchemaVersion == 0 || len(board.Panels) < 10 {
		t.Errorf("title %q, uid %q, schema version %d, %d panels", board.Title, board.UID, board.SchemaVersion, len(board.Panels))
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %q has the id %d of another one", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q covers %q, or leaves the page", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}

func micros(t time.Time) record.Time { return record.FromNanos(t.UnixNano()) }
