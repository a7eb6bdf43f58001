package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"btcsniff/record"
)

func TestCheckAddr(t *testing.T) {
	for addr, good := range map[string]bool{
		"127.0.0.1:9332": true, ":9332": true, "[::1]:9332": true, "localhost:0": true, "192.0.2.1:80": true,
		"9332": false, "": false, "127.0.0.1": false, "127.0.0.1:": true, "::1:9332": false, "example.org:9332": false, "127.0.0.1:99999": false, ":x y": false,
	} {
		if err := CheckAddr(addr); (err == nil) != good {
			t.Errorf("CheckAddr(%q) = %v, want an error: %v", addr, err, !good)
		}
	}
}

func TestServer(t *testing.T) {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Open() {
		t.Errorf("%s is open to others", s.URL())
	}
	if _, err := Listen(strings.TrimPrefix(s.URL(), "http://")); err == nil || !strings.Contains(err.Error(), "choose another address or port") {
		t.Errorf("listening twice: %v", err)
	}
	s.Serve(Handler(Config{Version: "v1", State: func(context.Context) State { return State{Now: noon, Opened: noon} }}))
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/": "/metrics", "/metrics": "btcsniff_up 1", "/nowhere": "404"} {
		if body := fetch(t, s.URL()+path); !strings.Contains(body, want) {
			t.Errorf("GET %s: %q, want %q in it", path, body, want)
		}
	}
	resp, err := http.Post(s.URL()+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: %s", resp.Status)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://")); err == nil {
		c.Close()
		t.Error("the port is open after Close")
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServerNeverBegun(t *testing.T) {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// TestCrowd opens more connections than are answered at a time: those beyond wait, and are answered when others leave.
func TestCrowd(t *testing.T) {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(Handler(Config{State: func(context.Context) State { return State{Now: noon, Opened: noon} }}))
	addr := strings.TrimPrefix(s.URL(), "http://")
	ask := func() (net.Conn, *bufio.Reader) {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		return c, bufio.NewReader(c)
	}
	var crowd []net.Conn
	for range maxClients {
		c, r := ask()
		defer c.Close()
		crowd = append(crowd, c)
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
			t.Fatalf("answer %q, %v", line, err)
		}
	}
	late, r := ask()
	defer late.Close()
	if err := late.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := r.ReadByte(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("one beyond %d was answered: %v", maxClients, err)
	}
	crowd[0].Close()
	if err := late.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("after another has left: %q, %v", line, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func TestMeter(t *testing.T) {
	now := noon
	m := NewMeter(func() time.Time { return now })
	commit := func(took time.Duration, seen record.Time, err error) Commits {
		b := &record.Batch{}
		b.Ping(record.Ping{Meta: record.Meta{SeenAt: seen}})
		end := m.Begin(b)
		if c := m.Commits(); !c.Begun.Equal(now) {
			t.Errorf("under way since %v, want %v", c.Begun, now)
		}
		now = now.Add(took)
		end(err)
		return m.Commits()
	}
	commit(2*time.Millisecond, 7, nil)
	commit(90*time.Second, 5, nil)
	c := commit(time.Hour, 9, errors.New("failed"))
	if c.Count != 2 || c.Failed != 1 || c.Seconds != 90.002 || c.Newest != 7 || !c.Begun.IsZero() || !c.Last.Equal(noon.Add(90_002*time.Millisecond)) {
		t.Errorf("commits %+v", c)
	}
	if c.Buckets[0] != 0 || c.Buckets[1] != 1 || c.Buckets[len(buckets)-1] != 1 {
		t.Errorf("buckets %v, want one from 2.5 ms on, and 90 s in none", c.Buckets)
	}
}
