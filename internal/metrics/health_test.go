package metrics

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"btcsniff/sink"
)

func TestHealth(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	busy := func(begun, last time.Duration) Sink {
		return Sink{Name: "db", Stats: sink.QueueStats{Waiting: 2}, Meter: Commits{Count: 1, Begun: ago(begun), Last: ago(last)}}
	}
	spooled := func(d sink.Deferred, last time.Time) Sink {
		return Sink{Name: "db", Deferred: &d, Meter: Commits{Last: last}}
	}
	for _, tt := range []struct {
		name  string
		s     State
		wrong []string // what is said, in part; none: healthy
	}{
		{"not open yet", State{Stalled: ago(time.Hour)}, []string{"starting"}},
		{"nothing to say", State{Opened: noon}, nil},
		{"interfaces up", State{Opened: noon, Interfaces: []Interface{{Name: "eth0"}, {Name: "lo"}}}, nil},
		{"one down, one lost", State{Opened: noon, Interfaces: []Interface{{Name: "eth0", Down: true}, {Name: "tun0", Down: true, Lost: "no permission"}, {Name: "lo"}}},
			[]string{"eth0 is down", "tun0 can't be captured on any more: no permission"}},
		{"busy for a moment", State{Opened: noon, Stalled: ago(9 * time.Second)}, nil},
		{"stalled", State{Opened: noon, Stalled: ago(11 * time.Second)}, []string{"no packet and no heartbeat was handled for 11s"}},
		{"idle sink", State{Opened: ago(time.Hour), Sinks: []Sink{{Name: "db", Meter: Commits{Last: ago(30 * time.Minute)}}}}, nil},
		{"a record after a long silence", State{Opened: ago(time.Hour), Sinks: []Sink{busy(time.Second, 30*time.Minute)}}, nil},
		{"between queue and sink", State{Opened: ago(time.Hour), Sinks: []Sink{{Name: "db", Stats: sink.QueueStats{Waiting: 1}, Meter: Commits{Last: ago(time.Hour)}}}}, nil},
		{"a commit that hangs", State{Opened: ago(time.Hour), Sinks: []Sink{busy(90*time.Second, 90*time.Second)}}, []string{"db: nothing was committed for 1m30s, while records wait"}},
		{"a sink that failed", State{Opened: noon, Sinks: []Sink{{Name: "jsonl:x", Stats: sink.QueueStats{Lost: 3}}}}, []string{"jsonl:x: failed, and 3 records were not stored"}},
		{"spool that drains", State{Opened: ago(time.Hour), Sinks: []Sink{spooled(sink.Deferred{Records: 7, Oldest: micros(ago(40 * time.Minute))}, ago(time.Second))}}, nil},
		{"spool used after a long silence", State{Opened: ago(time.Hour), Sinks: []Sink{spooled(sink.Deferred{Records: 7, Oldest: micros(ago(time.Second))}, ago(40*time.Minute))}}, nil},
		{"database away", State{Opened: ago(time.Hour), Sinks: []Sink{spooled(sink.Deferred{Records: 7, Away: true, Oldest: micros(ago(5 * time.Minute))}, ago(6*time.Minute))}},
			[]string{"db: nothing was committed for 5m0s, while records wait; 7 of them are kept on disk"}},
		{"database away from the start", State{Opened: ago(2 * time.Minute), Sinks: []Sink{spooled(sink.Deferred{Records: 7, Away: true, Oldest: micros(ago(time.Hour))}, time.Time{})}},
			[]string{"db: nothing was committed for 2m0s"}},
		{"spool full", State{Opened: noon, Sinks: []Sink{spooled(sink.Deferred{Records: 7, Dropped: 5}, noon)}}, []string{"db: the spool was full, and 5 records were dropped"}},
		{"spool was full once", State{Opened: noon, Sinks: []Sink{{Name: "db", Stats: sink.QueueStats{Lost: 5}, Deferred: &sink.Deferred{Dropped: 5}}}}, nil},
		{"spool on a full disk", State{Opened: noon, Sinks: []Sink{spooled(sink.Deferred{Problem: "no space left"}, noon)}}, []string{"db: records can't be kept on disk: no space left"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.Now = noon
			code, body := get(t, tt.s, "/healthz")
			if len(tt.wrong) == 0 {
				if code != http.StatusOK || body != "ok\n" {
					t.Errorf("GET /healthz: %d %q, want 200 ok", code, body)
				}
				return
			}
			lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
			if code != http.StatusServiceUnavailable || len(lines) != len(tt.wrong) {
				t.Fatalf("GET /healthz: %d %q, want 503 and %d lines", code, body, len(tt.wrong))
			}
			for i, want := range tt.wrong {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %d is %q, want %q", i, lines[i], want)
				}
			}
		})
	}
}

func TestReady(t *testing.T) {
	away := Sink{Name: "db", Deferred: &sink.Deferred{Away: true}}
	reached := away
	reached.Meter.Count = 1
	for _, tt := range []struct {
		name string
		s    State
		want string // with 200 if it is "ready\n"
	}{
		{"starting", State{}, "starting: not everything is open yet\n"},
		{"open", State{Opened: noon, Sinks: []Sink{{Name: "db"}}}, "ready\n"},
		{"a database that was never reached", State{Opened: noon, Sinks: []Sink{away}}, "db was not reached yet\n"},
		{"a database that was reached once", State{Opened: noon, Sinks: []Sink{reached}}, "ready\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := get(t, tt.s, "/readyz")
			if want := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[tt.want == "ready\n"]; code != want || body != tt.want {
				t.Errorf("GET /readyz: %d %q, want %d %q", code, body, want, tt.want)
			}
		})
	}
}
