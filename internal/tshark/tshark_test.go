package tshark_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"btcsniff/internal/tshark"
	"btcsniff/record"
)

const pcaps = "../../testdata/pcaps/"

// TestRead reads fixtures, one of several files. What tshark finds depends on its version: most of what is there, and nothing else.
func TestRead(t *testing.T) {
	for _, tt := range []struct {
		files []string
		all   map[record.Kind]int
	}{
		{[]string{"ipv6/ipv6.pcap"}, map[record.Kind]int{record.KindInv: 271, record.KindTx: 157, record.KindPing: 63, record.KindPong: 63, record.KindVersion: 10}},
		{[]string{"long/rotating/1795341529.eth0.pcap", "long/rotating/1795341535.eth0.pcap"}, map[record.Kind]int{
			record.KindInv: 6, record.KindPing: 12, record.KindPong: 12, record.KindVersion: 10}},
	} {
		var files []string
		for _, f := range tt.files {
			files = append(files, pcaps+f)
		}
		count := map[record.Kind]int{}
		var first tshark.Sighting
		res, err := tshark.Read(t.Context(), files, func(s tshark.Sighting) {
			if count[s.Kind]++; s.Kind == record.KindVersion && count[s.Kind] == 1 {
				first = s
			}
		})
		if errors.Is(err, tshark.ErrMissing) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		for k, n := range tt.all {
			if count[k] > n || count[k] < n*3/4 {
				t.Errorf("%v: %d %v, want most of %d", tt.files, count[k], k, n)
			}
		}
		if res.Odd != 0 || res.Messages["version"] != 10 || first.SeenAt == 0 || !first.From.IsValid() {
			t.Errorf("%v: %d odd lines, messages %v, the first %v", tt.files, res.Odd, res.Messages, first)
		}
	}
}

func TestReadError(t *testing.T) {
	_, err := tshark.Read(t.Context(), []string{t.TempDir() + "/none.pcap"}, func(tshark.Sighting) {})
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("Read = %v, want an error of one line", err)
	}
}

func TestComparison(t *testing.T) {
	at := func(n uint64, sec int64) tshark.Sighting {
		return tshark.Sighting{Item: tshark.Item{Kind: record.KindPing, From: netip.MustParseAddrPort("192.0.2.10:8333"), What: tshark.Nonce(n)}, SeenAt: record.FromNanos(sec * 1e9)}
	}
	c := tshark.NewComparison()
	for _, s := range []tshark.Sighting{at(1, 1), at(2, 1), at(2, 2), at(4, 9), at(3, 3), at(7, 1)} {
		c.Theirs(s)
	}
	for _, s := range []tshark.Sighting{at(1, 1), at(2, 1), at(5, 1), at(2, 2), at(6, 1), at(7, 2)} {
		c.Ours(s)
	}
	s := c.Sides(record.KindPing)
	if got := fmt.Sprint(s.Both, s.OtherTime, s.Ours, s.Theirs); got != "4 1 2 2" {
		t.Errorf("both, at another time, ours, theirs: %s, want 4 1 2 2", got)
	}
	if len(s.OursFirst) != 2 || len(s.TheirsFirst) != 2 || s.TheirsFirst[0].What != tshark.Nonce(3) {
		t.Errorf("examples: ours %v, theirs %v", s.OursFirst, s.TheirsFirst)
	}
}

func Example() {
	var b record.Batch
	conn := &record.Conn{A: netip.MustParseAddrPort("198.51.100.7:50000"), B: netip.MustParseAddrPort("192.0.2.10:8333")}
	b.Ping(record.Ping{Meta: record.Meta{Conn: conn, SeenAt: record.FromNanos(1795341528816965000)}, Nonce: 7})

	c := tshark.NewComparison() // of what tshark.Read would have found: nothing
	tshark.Each(&b, c.Ours)
	fmt.Println(c.Sides(record.KindPing).OursFirst[0])
	// Output: 2026-11-22T09:58:48.816965Z  198.51.100.7:50000 > 192.0.2.10:8333  7
}
