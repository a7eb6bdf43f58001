package pipeline_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"btcsniff/internal/pipeline"
	"btcsniff/record"
)

// An observed message is a line of observer-messages.jsonl.gz: what the recorded node itself noted.
type observed struct {
	T         record.Time `json:"t_us"`
	Peer      string      `json:"peer"`
	Dir       string      `json:"dir"`
	Cmd       string      `json:"cmd"`
	Size      int         `json:"size"`
	Items     [][2]string `json:"items"`
	TxID      string      `json:"txid"`
	WTxID     string      `json:"wtxid"`
	Nonce     uint64      `json:"nonce"`
	Version   int         `json:"version"`
	Services  uint64      `json:"services"`
	UserAgent string      `json:"user_agent"`
	Hash      string      `json:"hash"`
	Count     int         `json:"count"`
}

// inventoryTypes are the observer's names of inventory types. Source: Bitcoin Core, protocol.h, GetDataMsg.
var inventoryTypes = map[string]uint32{"tx": 1, "block": 2, "cmpct_block": 4, "wtx": 5}

// facts are what the message says that records must say too: the records' kinds with their hashes, nonces and so on. The node did not
// note what headers and addr messages have in them, but how much.
func (m *observed) facts() (facts []string) {
	switch m.Cmd {
	case "inv":
		for i, it := range m.Items {
			facts = append(facts, fmt.Sprintf("inv %d %s %d/%d", inventoryTypes[it[0]], it[1], i, len(m.Items)))
		}
	case "tx":
		facts = append(facts, fmt.Sprintf("tx %s %s %d", m.TxID, m.WTxID, m.Size))
	case "ping", "pong":
		facts = append(facts, fmt.Sprintf("%s %d", m.Cmd, m.Nonce))
	case "version":
		facts = append(facts, fmt.Sprintf("version %d %d %q", m.Version, m.Services, m.UserAgent))
	case "block", "cmpctblock":
		facts = append(facts, fmt.Sprintf("block %s %s", m.Cmd, m.Hash))
	case "headers":
		facts = slices.Repeat([]string{"block headers"}, m.Count)
	case "addr", "addrv2":
		facts = slices.Repeat([]string{"addr"}, m.Count)
	}
	return facts
}

// A fact is what one record says, or one of the observer's messages.
type fact struct {
	peer, dir, what string
}

// A line is a record as a replay writes it.
type line struct {
	Record    string `json:"record"`
	SeenAt    string `json:"seen_at"`
	From      string `json:"from"`
	To        string `json:"to"`
	Conn      string `json:"conn"`
	Outbound  bool   `json:"outbound"`
	Type      uint32 `json:"type"`
	Hash      string `json:"hash"`
	Index     int    `json:"index"`
	Count     int    `json:"count"`
	TxID      string `json:"txid"`
	WTxID     string `json:"wtxid"`
	Size      int    `json:"size"`
	Nonce     string `json:"nonce"`
	Protocol  int    `json:"protocol"`
	Services  uint64 `json:"services"`
	UserAgent string `json:"user_agent"`
	Via       string `json:"via"`
	OpenedAt  string `json:"opened_at"`
	ClosedAt  string `json:"closed_at"`
	Transport string `json:"transport"`
	Target    string `json:"socks_target"`
}

func (l *line) what() string {
	switch l.Record {
	case "inv":
		return fmt.Sprintf("inv %d %s %d/%d", l.Type, l.Hash, l.Index, l.Count)
	case "tx":
		return fmt.Sprintf("tx %s %s %d", l.TxID, l.WTxID, l.Size)
	case "ping", "pong":
		return l.Record + " " + l.Nonce
	case "version":
		return fmt.Sprintf("version %d %d %q", l.Protocol, l.Services, l.UserAgent)
	case "block":
		if l.Via == "headers" {
			return "block headers"
		}
		return fmt.Sprintf("block %s %s", l.Via, l.Hash)
	}
	return l.Record
}

// TestObserver holds the records of every fixture against what the recorded node itself noted of its messages, on the connections that
// can be read: each fact as often as the node noted it and no other, at the time when the node handled it.
func TestObserver(t *testing.T) {
	for _, tt := range []struct {
		capture string
		late    time.Duration // by which the node may note later than the capture that it received a message
		begun   []string      // messages that were under way when the capture began
		proxied bool          // only connections through the proxy are in the capture
	}{
		{capture: "ibd/ibd-offload.pcap"},
		{capture: "ipv6/ipv6.pcap"},
		{capture: "long/capture.pcap"},
		{capture: "long/rotating"},
		{capture: "lossy/lossy.pcap", late: 400 * time.Millisecond}, // a message waits for one before it that was lost
		{capture: "mainnet/mainnet-handshakes.pcap"},
		{capture: "midstream/midstream.pcap", begun: []string{"block block 342a19f7e1e398f6153d68baaa15d3372456c5ab480011ccda18cb4730bf7b01"}},
		{capture: "other/other.pcap"},
		{capture: "socks/lo.pcap", proxied: true},
		{capture: "v2/v2-and-v1.pcap"},
	} {
		t.Run(tt.capture, func(t *testing.T) {
			late := max(tt.late, 20*time.Millisecond)
			lines := readLines(t, tt.capture)
			messages := readObserved(t, filepath.Dir(tt.capture))
			conns := readable(lines, messages)
			if len(conns) == 0 {
				t.Fatal("no connection of the observer's")
			}
			want, got := noted(messages, conns), found(lines, conns)
			compareFacts(t, want, got, tt.begun, late)
			for _, c := range conns {
				if c.proxied != tt.proxied {
					t.Errorf("connection with %s: through a proxy %v, want %v", c.peer, c.proxied, tt.proxied)
				}
			}
		})
	}
}

// A span is a connection whose messages can be read.
type span struct {
	peer           string // by the observer's name for it
	proxied        bool
	opened, closed record.Time
}

// readable returns the connections with peers of the observer that are not encrypted, by their ids.
func readable(lines []line, messages []observed) map[string]span {
	peers := map[string]bool{}
	for _, m := range messages {
		peers[m.Peer] = true
	}
	conns := map[string]span{}
	for _, l := range lines {
		if l.Record != "conn" || l.Transport != "v1" {
			continue
		}
		c := span{opened: micros(l.OpenedAt), closed: micros(l.ClosedAt), proxied: l.Target != ""}
		for _, name := range []string{l.Target, l.From, l.To} {
			if c.peer == "" && peers[name] {
				c.peer = name
			}
		}
		if c.peer != "" {
			conns[l.Conn] = c
		}
	}
	return conns
}

// noted returns the facts of messages on the connections, with their times.
func noted(messages []observed, conns map[string]span) map[fact][]record.Time {
	const slack = 20 * time.Millisecond // the node notes before it sends, and after it received
	facts := map[fact][]record.Time{}
	for _, m := range messages {
		on := false
		for _, c := range conns {
			on = on || c.peer == m.Peer && m.T >= c.opened.Add(-slack) && m.T <= c.closed.Add(slack)
		}
		if !on {
			continue
		}
		for _, what := range m.facts() {
			f := fact{m.Peer, m.Dir, what}
			facts[f] = append(facts[f], m.T)
		}
	}
	return facts
}

// found returns the facts of records on the connections, with their times.
func found(lines []line, conns map[string]span) map[fact][]record.Time {
	facts := map[fact][]record.Time{}
	for _, l := range lines {
		c, ok := conns[l.Conn]
		if !ok || l.Record == "conn" {
			continue
		}
		f := fact{c.peer, "recv", l.what()}
		if l.To == c.peer || c.proxied && l.Outbound { // by the address where that tells: not every capture shows who is local
			f.dir = "sent"
		}
		facts[f] = append(facts[f], micros(l.SeenAt))
	}
	return facts
}

// How long the node's kernel may keep what the node has sent, while the peer's window or the line is full.
const sendWait = 400 * time.Millisecond

func compareFacts(t *testing.T, want, got map[fact][]record.Time, begun []string, late time.Duration) {
	t.Helper()
	all, bad := 0, 0
	report := func(format string, args ...any) {
		if bad++; bad <= 5 {
			t.Errorf(format, args...)
		}
	}
	for f, w := range want {
		g := got[f]
		all += len(g)
		if slices.Contains(begun, f.what) && len(g) == 0 {
			continue
		}
		if len(w) != len(g) {
			report("%v: %d records, the node noted %d", f, len(g), len(w))
			continue
		}
		slices.Sort(w)
		slices.Sort(g)
		for i := range w {
			d, most := w[i].Sub(g[i]), late
			if f.dir == "sent" {
				d, most = -d, sendWait
			}
			if d < 0 || d > most {
				report("%v: seen at %v, the node noted %v, %v apart", f, g[i], w[i], d)
			}
		}
	}
	for f, g := range got {
		if want[f] == nil {
			report("%v: %d records, the node noted none", f, len(g))
		}
	}
	if all == 0 {
		t.Error("no record of the observer's messages")
	}
}

func micros(s string) record.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0
	}
	return record.FromNanos(t.UnixNano())
}

// readLines replays a fixture.
func readLines(t *testing.T, name string) (lines []line) {
	t.Helper()
	out, _ := replay(t, open(t, filepath.Join(pcaps, name)), pipeline.Config{})
	for text := range bytes.Lines(out) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func readObserved(t *testing.T, dir string) (messages []observed) {
	t.Helper()
	f, err := os.Open(filepath.Join(pcaps, dir, "observer-messages.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 16<<20) // a line has all items of an inv
	for in.Scan() {
		var m observed
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(in.Text()), err)
		}
		messages = append(messages, m)
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return messages
}
