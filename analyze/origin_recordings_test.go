package analyze

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"btcsniff/record"
)

// A recording is a capture of real nodes beside the truth about it: see testdata/pcaps/README.md.
type recording struct {
	Nodes []struct {
		Name, IP, IP6 string
		Country       string  `json:"country_label"`
		RTT           float64 `json:"rtt_to_observer_ms"` // of the link, as it was configured
	}
	Transactions []struct{ TxID, WTxID, Origin, Result string }
}

// A line is what the test needs of a golden record.
type line struct {
	Record, From, To, Conn, Hash, TxID, Network, Start string
	SeenAt                                             time.Time `json:"seen_at"`
	Outbound                                           bool
	Type                                               uint32
	RTT                                                int64 `json:"rtt_us"`
	Handshake                                          int64 `json:"handshake_rtt_us"`
}

func readRecording(t *testing.T, folder, golden string) (recording, []line) {
	t.Helper()
	root := filepath.Join("../testdata/pcaps", folder)
	var r recording
	b, err := os.ReadFile(filepath.Join(root, "sidecar.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(root, golden))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []line
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return r, lines
}

// sightings gathers the first sighting of each transaction on each connection, by txid, as the database's queries do.
func (r *recording) sightings(lines []line) map[string][]Sighting {
	txid := map[string]string{}
	for _, tx := range r.Transactions {
		txid[tx.TxID], txid[tx.WTxID] = tx.TxID, tx.TxID
	}
	conns := map[string]Sighting{}
	for _, l := range lines {
		s := conns[l.Conn]
		switch l.Record {
		case "pong":
			if rtt := time.Duration(l.RTT) * time.Microsecond; !l.Outbound && rtt > 0 && (s.RTTSource != "ping" || rtt < s.RTT) {
				s.RTT, s.RTTSource, s.RTTError = rtt, "ping", 5*time.Millisecond
			}
		case "conn":
			s.PeerOpened = !l.Outbound && l.Start == "syn"
			if s.RTT == 0 && l.Handshake > 0 {
				s.RTT, s.RTTSource, s.RTTError = time.Duration(l.Handshake)*time.Microsecond, "handshake", 10*time.Millisecond
			}
		}
		conns[l.Conn] = s
	}
	seen := map[string]map[string]bool{}
	list := map[string][]Sighting{}
	for _, l := range lines { // in order of time
		hash := l.TxID
		if l.Record == "inv" && (l.Type == 1 || l.Type == 5 || l.Type == 0x40000001) {
			hash = l.Hash
		}
		id := txid[hash]
		if l.Outbound || id == "" || seen[id][l.Conn] {
			continue
		}
		if seen[id] == nil {
			seen[id] = map[string]bool{}
		}
		seen[id][l.Conn] = true
		s := conns[l.Conn]
		s.Conn, s.Peer, s.Network, s.Via, s.SeenAt = int64(len(seen[id])), l.From, l.Network, l.Record, record.Time(l.SeenAt.UnixMicro())
		s.Place = r.Nodes[r.node(l.From)].Country
		list[id] = append(list[id], s)
	}
	return list
}

// node is the number of the node with a peer's address, 0 (the observer) for none.
func (r *recording) node(peer string) int {
	addr, err := netip.ParseAddrPort(peer)
	if err != nil {
		return 0
	}
	for i, n := range r.Nodes {
		if n.IP == addr.Addr().String() || n.IP6 == addr.Addr().String() {
			return i
		}
	}
	return 0
}

// TestOriginRecordings asks for the origin of transactions that entered at known nodes. Where the origin was the first to announce, when
// the configured delays of the links are taken off, it must be named: there is no more to be known. (Often another node's timer
// fired earlier: then nothing in what the observer saw tells the origin.)
func TestOriginRecordings(t *testing.T) {
	for _, c := range []struct {
		folder, golden string
		least          float64 // share of all transactions whose origin must be named
	}{
		{"long", "capture.golden", 0.75},
		{"ipv6", "ipv6.golden", 0.75},
		{"lossy", "lossy.golden", 0.6},
		{"midstream", "midstream.golden", 0.6},
	} {
		t.Run(c.folder, func(t *testing.T) {
			r, lines := readRecording(t, c.folder, c.golden)
			seen := r.sightings(lines)
			asked, named, could, sum := 0, 0, 0, 0.0
			for _, tx := range r.Transactions {
				list := seen[tx.TxID]
				if tx.Result != "ok" || len(list) < 2 {
					continue
				}
				v := Origin(list, Model{})
				checkSane(t, v, len(list))
				right := r.Nodes[r.node(list[v.Peer].Peer)].Name == tx.Origin
				asked++
				sum += v.Probability
				if right {
					named++
					if v.Place != r.Nodes[r.node(list[v.Peer].Peer)].Country {
						t.Errorf("transaction %s: place %q of node %s", tx.TxID, v.Place, tx.Origin)
					}
				}
				if first, clear := r.trueFirst(list); clear && first == tx.Origin {
					could++
					if !right {
						t.Errorf("transaction %s: named %s, want %s: %+v", tx.TxID, list[v.Peer].Peer, tx.Origin, v)
					}
				}
			}
			t.Logf("%d transactions: the origin announced first %d times, and was named %d times; said: %.1f", asked, could, named, sum)
			if asked < 20 || float64(named) < c.least*float64(asked) {
				t.Errorf("%d of %d origins named, want at least %.0f %%", named, asked, 100*c.least)
			}
		})
	}
}

// trueFirst is the node whose announcement left it first, by the configured delays of the links; clear is false if that is within
// 10 ms.
func (r *recording) trueFirst(list []Sighting) (name string, clear bool) {
	least, next := time.Hour, time.Hour
	for _, s := range list {
		n := r.Nodes[r.node(s.Peer)]
		at := s.SeenAt.Sub(list[0].SeenAt) - time.Duration(n.RTT/2*float64(time.Millisecond))
		switch {
		case at < least:
			least, next, name = at, least, n.Name
		case at < next:
			next = at
		}
	}
	return name, next-least > 10*time.Millisecond
}
