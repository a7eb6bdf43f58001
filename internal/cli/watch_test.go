package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/metrics"
	"btcsniff/internal/pipeline"
)

// page is what a handler answers.
func page(t *testing.T, h http.Handler, path string) (code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// about returns the lines of a page of metrics that have the text, sorted.
func about(page, text string) (out []string) {
	for line := range strings.Lines(page) {
		if strings.Contains(line, text) && !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(out)
	return out
}

// TestMetricsAgree replays captures and checks that what is told at the end are the figures of the ledger, each one, and that what sinks
// were given is theirs.
func TestMetricsAgree(t *testing.T) {
	for _, name := range []string{"long/rotating", "lossy/lossy.pcap", "v2/v2-and-v1.pcap", "socks/rotating", "other/other.pcap", "mainnet/mainnet-handshakes.pcap", "ibd/ibd-offload.pcap"} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d workers", name, workers), func(t *testing.T) {
				f, err := parse("--sink null: --sink jsonl:- --metrics 127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				log := slog.New(slog.DiscardHandler)
				now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
				w, err := f.Watch(func() time.Time { return now }, log)
				if err != nil {
					t.Fatal(err)
				}
				if code, body := page(t, w.Handler(), "/healthz"); code != http.StatusServiceUnavailable || !strings.HasPrefix(body, "starting") {
					t.Errorf("before all is open: %d %q", code, body)
				}
				src, err := capture.Open([]string{"../../testdata/pcaps/" + name}, capture.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer src.Close()
				outs, err := OpenOutputs(t.Context(), t.Context(), f.Targets, time.Minute, io.Discard, log, func(error) {})
				if err != nil {
					t.Fatal(err)
				}
				w.Begin(outs, nil)
				res, err := pipeline.Run(t.Context(), src, pipeline.Config{
					Outputs: Queues(outs), Monitor: &w.Monitor, Workers: workers, Local: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
				})
				if err != nil {
					t.Fatal(err)
				}
				CloseOutputs(outs)
				st := src.Stats()
				sum := Summarize(&st, res, outs, 0)

				_, told := page(t, w.Handler(), "/metrics")
				var s metrics.State
				for i := range res.Captures {
					c := &res.Captures[i]
					s.Captures = append(s.Captures, metrics.Capture{Sensor: c.Capture.Sensor, Name: c.Capture.Name, Ledger: &c.Ledger})
				}
				_, want := page(t, metrics.Handler(metrics.Config{State: func(context.Context) metrics.State { return s }}), "/metrics")
				if diff := cmp.Diff(about(want, "{capture="), about(told, "{capture=")); diff != "" {
					t.Errorf("metrics of captures (-ledger +told):\n%s", diff)
				}
				for _, k := range sum.Sinks {
					for metric, n := range map[string]uint64{"records_made": sum.Ledger.Records(), "records_added": k.Added, "records_lost": 0} {
						line := fmt.Sprintf(`btcsniff_sink_%s_total{sink="%s"} `, metric, k.Name)
						if got := about(told, line); len(got) != 1 || parseCount(t, strings.TrimPrefix(got[0], line)) != n {
							t.Errorf("%s %v, want %d", line, got, n)
						}
					}
				}
				if code, body := page(t, w.Handler(), "/healthz"); code != http.StatusOK {
					t.Errorf("GET /healthz: %d %q", code, body)
				}
				if err := w.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
			})
		}
	}
}

func parseCount(t *testing.T, s string) uint64 {
	t.Helper()
	var f float64
	if _, err := fmt.Sscan(s, &f); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return uint64(f)
}

// TestStalled asks a run that does not answer, then does, then does not.
func TestStalled(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &Watch{now: func() time.Time { return now }}
	for i, step := range []struct {
		number   uint64 // of the progress that is there
		answered bool
		want     time.Duration // that the run has stalled for
	}{
		{0, false, 0}, {0, false, 15 * time.Second}, {0, false, 30 * time.Second},
		{1, true, -1}, {1, false, 0}, {1, false, 15 * time.Second},
		{2, false, 0}, // it answered after nobody waited any more
		{2, false, 15 * time.Second}, {3, true, -1},
	} {
		got := w.moved(&pipeline.Progress{Number: step.number}, step.answered, now)
		if d := now.Sub(got); got.IsZero() != (step.want < 0) || !got.IsZero() && d != step.want {
			t.Errorf("step %d: stalled since %v, want %v", i, got, step.want)
		}
		now = now.Add(15 * time.Second)
	}
}

// TestWatchWarns says who can read the metrics.
func TestWatchWarns(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:0": false, "[::1]:0": false, ":0": true} {
		f, err := parse("--sink null: --metrics " + addr)
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		w, err := f.Watch(time.Now, f.NewLogger("test", &said))
		if err != nil {
			if addr == "[::1]:0" {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(said.String(), "warning"); got != want || !strings.Contains(said.String(), "metrics on http://") {
			t.Errorf("--metrics %s: %q, want a warning: %v", addr, said.String(), want)
		}
	}
	if _, err := parse("--metrics 9332"); ExitCode(err) != Usage {
		t.Errorf("--metrics 9332: %v, want a usage error", err)
	}
}
