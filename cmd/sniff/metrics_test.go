package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"btcsniff/internal/netlab"
	"btcsniff/record"
)

// TestMetrics asks a live run, compares what it tells with its summary, and takes its interface away.
func TestMetrics(t *testing.T) {
	netlab.Need(t)
	netlab.IP(t, "link set lo up")
	netlab.Pair(t, "left", "right")
	sent := packets(t, "ipv6/ipv6.pcap")
	s := start(t, nil, "-i", "right", "--sensor", "here", "--local", local, "--sink", "jsonl:-", "--metrics", "127.0.0.1:0", "--log-format", "json")
	_, rest, _ := strings.Cut(s.expect("metrics on"), "http://")
	addr, _, _ := strings.Cut(rest, "/")
	s.expect("listening on right")
	until(t, addr, "/readyz", "ready\n")
	netlab.Send(t, "left", sent)
	const ours = `{capture="right",sensor="here"} `
	until(t, addr, "/metrics", "btcsniff_packets_read_total"+ours+strconv.Itoa(len(sent))+"\n")
	if code, body := ask(t, addr, "/healthz"); code != http.StatusOK {
		t.Errorf("GET /healthz: %d %s", code, body)
	}
	page := until(t, addr, "/metrics", fmt.Sprintf("btcsniff_interface_packets_total{interface=\"right\"} %d\n", len(sent)))
	s.signal(syscall.SIGUSR1)
	if line := s.expect("status: "); !strings.Contains(line, "; 0.0 % unreadable, 0.0 % missed by the capture; ") {
		t.Errorf("status: %s", line)
	}
	netlab.IP(t, "link set dev right down")
	until(t, addr, "/metrics", "btcsniff_interface_up{interface=\"right\"} 0\n")
	if code, body := ask(t, addr, "/healthz"); code != http.StatusServiceUnavailable || body != "right is down\n" {
		t.Errorf("GET /healthz: %d %q, want 503 right is down", code, body)
	}
	netlab.IP(t, "link set dev right up")
	until(t, addr, "/metrics", "btcsniff_up 1\n")

	s.signal(syscall.SIGTERM)
	code, said := s.end()
	if code != 0 {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	var l record.Ledger
	for line := range strings.Lines(said) {
		var sum struct{ Ledger *record.Ledger }
		if json.Unmarshal([]byte(line), &sum) == nil && sum.Ledger != nil {
			l = *sum.Ledger
		}
	}
	want := map[string]uint64{
		"packets_read_total": l.PacketsRead, "tcp_segments_total": l.Segments, "tcp_bytes_total": l.TCPBytes, "retransmitted_bytes_total": l.Retransmitted,
		"lost_bytes_total": l.LostBytes, "unseen_bytes_total": l.UnseenBytes, "kernel_dropped_packets_total": l.KernelDropped,
	}
	for name, n := range want {
		if line := "btcsniff_" + name + ours + strconv.FormatUint(n, 10) + "\n"; !strings.Contains(page, line) {
			t.Errorf("metrics had no %sthe summary says %d", line, n)
		}
	}
	for name, c := range l.Messages {
		if line := fmt.Sprintf(`btcsniff_messages_total{capture="right",command="%s",sensor="here"} %d`, name, c.Messages); !strings.Contains(page, line) {
			t.Errorf("metrics had no %s", line)
		}
	}
	if l.PacketsRead < uint64(len(sent)) || len(l.Messages) < 5 {
		t.Errorf("summary: %+v", l)
	}
}

func ask(t *testing.T, addr, path string) (code int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// until asks until the answer has the text.
func until(t *testing.T, addr, path, text string) (page string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if _, page = ask(t, addr, path); strings.Contains(page, text) {
			return page
		}
	}
	t.Fatalf("%s: no %q:\n%s", path, text, page)
	return ""
}
