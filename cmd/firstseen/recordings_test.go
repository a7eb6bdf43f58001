package main

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"btcsniff/analyze"
)

// A sidecar is the truth about a recording, as those who made it knew it.
type sidecar struct {
	Nodes []struct {
		Name, IP, IP6 string
		RTT           float64 `json:"rtt_to_observer_ms"`
	}
	Transactions []struct {
		TxID   string
		Origin string
		Heard  [][3]any `json:"observer_heard"` // node, how, microseconds: when the observer had handled the message
	}
}

// TestRecordings asks for the transactions of recordings of real nodes, whose origins and delays are known from another source: the
// observer's own record of what it heard, and the links that the nodes were put on.
func TestRecordings(t *testing.T) {
	for _, dir := range []string{"long/capture", "lossy/lossy"} {
		t.Run(dir, func(t *testing.T) {
			truth := readSidecar(t, dir)
			databases := testDatabases(t)
			replayInto(t, "../../testdata/pcaps/"+dir+".pcap", databases...)
			for _, d := range databases {
				t.Run(d.name, func(t *testing.T) { truth.compare(t, d.open(t, false)) })
			}
		})
	}
}

func readSidecar(t *testing.T, dir string) *sidecar {
	t.Helper()
	folder, _, _ := strings.Cut(dir, "/")
	b, err := os.ReadFile("../../testdata/pcaps/" + folder + "/sidecar.json")
	if err != nil {
		t.Fatal(err)
	}
	s := &sidecar{}
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// node names the node at the end of a connection.
func (s *sidecar) node(peer string) (name string, rtt time.Duration) {
	host, _, _ := net.SplitHostPort(peer)
	for _, n := range s.Nodes {
		if n.IP == host || n.IP6 == host {
			return n.Name, time.Duration(n.RTT * float64(time.Millisecond))
		}
	}
	return "", 0
}

const (
	handling = 400 * time.Millisecond // that the observer takes at most until it handles a message that has come in
	linkSlop = 8 * time.Millisecond   // by which a link may be slower than it was set to be
)

func (s *sidecar) compare(t *testing.T, db *analyze.DB) {
	t.Helper()
	asked, origins := 0, 0
	for _, truth := range s.Transactions {
		if len(truth.Heard) < 2 || asked == 25 {
			continue
		}
		tx, err := db.Tx(t.Context(), truth.TxID, analyze.Model{})
		if err != nil {
			t.Fatal(err)
		}
		if len(tx.Sensors) != 1 {
			t.Errorf("%s: %d sensors, want 1", truth.TxID, len(tx.Sensors))
			continue
		}
		asked++
		first := map[string]time.Time{} // by the observer's record
		var order []string
		for _, h := range truth.Heard {
			if name := h[0].(string); first[name].IsZero() {
				first[name] = time.UnixMicro(int64(h[2].(float64)))
				order = append(order, name)
			}
		}
		list := tx.Sensors[0].Announcers
		if name, _ := s.node(list[0].Peer); name != order[0] && first[name].Sub(first[order[0]]) > handling {
			t.Errorf("%s: first was %s, want %s", truth.TxID, name, order[0])
		}
		if len(list) != len(order) {
			t.Errorf("%s: %d announcers, want %d: %v", truth.TxID, len(list), len(order), order)
		}
		for i := range list {
			a := &list[i]
			name, link := s.node(a.Peer)
			if late := first[name].Sub(a.SeenAt.Std()); first[name].IsZero() || late < 0 || late > handling {
				t.Errorf("%s: %s told of it %v before the observer had handled that, want 0 to %v", truth.TxID, name, late, handling)
			}
			if off := a.RTT - link; a.RTTSource == "" || off < 0 || off > linkSlop {
				t.Errorf("%s: round-trip time to %s = %v by %q, want %v and at most %v more", truth.TxID, name, a.RTT, a.RTTSource, link, linkSlop)
			}
		}
		if name, _ := s.node(list[0].Peer); name == truth.Origin {
			origins++
		}
	}
	// Nodes wait for random times before they announce, so the first is not always the origin; but here it mostly is.
	if asked < 10 || origins*2 < asked {
		t.Errorf("the first was the origin of %d of %d transactions, want half of them, and 10 at least", origins, asked)
	}
}
