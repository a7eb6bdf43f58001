package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/tshark"
	"btcsniff/record"
)

const pcaps = "testdata/pcaps"

// recorded returns the fixtures beside which the observed node's own notes lie.
func recorded() ([]*sample, error) {
	var all []*sample
	for _, name := range []string{
		"ibd/ibd-offload.pcap", "ipv6/ipv6.pcap", "long/capture.pcap", "long/rotating", "lossy/lossy.pcap",
		"mainnet/mainnet-handshakes.pcap", "midstream/midstream.pcap", "other/other.pcap", "v2/v2-and-v1.pcap",
	} {
		s, err := fixture(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// A message is a line of observer-messages.jsonl.gz: what the node noted, at which time.
type message struct {
	T     int64       `json:"t_us"`
	Peer  string      `json:"peer"`
	Dir   string      `json:"dir"`
	Cmd   string      `json:"cmd"`
	Size  int         `json:"size"`
	Items [][2]string `json:"items"`
	WTxID string      `json:"wtxid"`
	Nonce uint64      `json:"nonce"`
}

// fixture returns a fixture with what its node noted while it was recorded, as far as records can be told by that: inv, tx, ping and pong, with
// the peer and the direction.
func fixture(name string) (*sample, error) {
	files, first, last, err := span(filepath.Join(pcaps, name))
	if err != nil {
		return nil, err
	}
	messages, err := notes(filepath.Join(pcaps, filepath.Dir(name), "observer-messages.jsonl.gz"))
	if err != nil {
		return nil, err
	}
	s := &sample{name: name, files: files}
	peers := map[netip.AddrPort]bool{}
	const slack = int64(20 * time.Millisecond / time.Microsecond) // the node notes before it sends, and after it received
	for _, m := range messages {
		peer, err := netip.ParseAddrPort(m.Peer)
		if err != nil {
			return nil, err
		}
		peers[peer] = true
		if m.T < first-slack || m.T > last+slack {
			continue
		}
		if s.truth, err = m.append(s.truth, peer); err != nil {
			return nil, err
		}
	}
	s.normal = func(t tshark.Sighting) (tshark.Sighting, bool) {
		known := slices.Contains([]record.Kind{record.KindInv, record.KindTx, record.KindPing, record.KindPong}, t.Kind)
		switch {
		case peers[t.From]:
			t.To = netip.AddrPort{}
		case peers[t.To]:
			t.From = netip.AddrPort{}
		default:
			return t, false
		}
		return t, known
	}
	return s, nil
}

// span returns the files of a capture in their order, and the times of its first and last packets in microseconds.
func span(path string) (files []string, first, last int64, err error) {
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		return nil, 0, 0, err
	}
	defer src.Close()
	var p capture.Packet
	for err == nil {
		if err = src.Next(context.Background(), &p); err == nil {
			if first == 0 {
				first = p.Time / 1000
			}
			last = p.Time / 1000
		}
	}
	return src.Captures()[0].Files, first, last, nil
}

// notes reads the observed node's notes.
func notes(path string) (all []message, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var m message
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, m)
	}
	return all, in.Err()
}

// inventoryTypes are the node's names of inventory types. Source: Bitcoin Core, protocol.h, GetDataMsg.
var inventoryTypes = map[string]record.InvType{"tx": 1, "block": 2, "cmpct_block": 4, "wtx": 5}

// append appends what the message says. The node's own endpoint is left out: it did not note that.
func (m *message) append(list []tshark.Sighting, peer netip.AddrPort) ([]tshark.Sighting, error) {
	item := tshark.Item{From: peer}
	if m.Dir == "sent" {
		item = tshark.Item{To: peer}
	}
	add := func(k record.Kind, what [36]byte) {
		item.Kind, item.What = k, what
		list = append(list, tshark.Sighting{Item: item})
	}
	switch m.Cmd {
	case "inv":
		for _, it := range m.Items {
			hash, err := parseHash(it[1])
			if err != nil {
				return nil, err
			}
			add(record.KindInv, tshark.Inv(record.InvVect{Type: inventoryTypes[it[0]], Hash: hash}))
		}
	case "tx":
		hash, err := parseHash(m.WTxID)
		if err != nil {
			return nil, err
		}
		add(record.KindTx, tshark.Tx(hash, m.Size))
	case "ping":
		add(record.KindPing, tshark.Nonce(m.Nonce))
	case "pong":
		add(record.KindPong, tshark.Nonce(m.Nonce))
	}
	return list, nil
}

// parseHash reads a hash as block explorers show it: the wire's order backwards.
func parseHash(s string) (h record.Hash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("hash %q: want 64 hex digits", s)
	}
	slices.Reverse(b)
	return record.Hash(b), nil
}
