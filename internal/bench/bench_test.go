package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// The yardstick must do its work: it finds all there is.
func TestLeast(t *testing.T) {
	var file, out bytes.Buffer
	want := counts{}
	cfg := pcaptest.BulkConfig{Seed: 2, Peers: 100, Rate: 3000, Duration: 3 * time.Second}
	if err := pcaptest.Bulk(&file, cfg, func(r *pcaptest.Record) {
		switch r.Kind {
		case record.KindInv:
			want.vects++
		case record.KindTx:
			want.tx++
		}
	}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "small.pcap")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := least(path, &out); err != nil {
		t.Fatal(err)
	}
	got, err := parseCounts(out.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.vects != want.vects || got.tx != want.tx || got.packets == 0 || got.span <= 0 {
		t.Errorf("least = %+v, want %+v", got, want)
	}
}

// The plot is well-formed, and has every point.
func TestGrowthPlot(t *testing.T) {
	series := func(xs ...int) (all []*size) {
		for _, x := range xs {
			all = append(all, &size{
				peers: x, seconds: float64(x) * 3600,
				least: &program{
					runs: []usage{{cpu: time.Millisecond}},
					said: "packets 1000 bytes 2 messages 3 vects 4 tx 5 nanoseconds 6\n",
				},
				replay: &program{runs: []usage{{cpu: 2 * time.Millisecond, peak: 50 << 10}}},
			})
		}
		return all
	}
	plot := growthPlot(series(100, 3000, 100_000), series(1, 24))
	d := xml.NewDecoder(bytes.NewReader(plot))
	points := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, plot)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			points++
		}
	}
	if points != 3+3+2 {
		t.Errorf("%d points, want 8", points)
	}
}

func TestReport(t *testing.T) {
	runs := func(cpu ...time.Duration) (all []usage) {
		for _, d := range cpu {
			all = append(all, usage{cpu: d * time.Second, wall: d * time.Second, peak: int64(d) << 10})
		}
		return all
	}
	var out bytes.Buffer
	err := report(&out, &options{rounds: 3, tsharked: 1}, []*program{
		{name: "least analyzer", runs: runs(1, 9, 2), said: "packets 1 bytes 2 messages 3 vects 4 tx 5 nanoseconds 60000000000\n"},
		{name: tsharkName, runs: runs(40)},
		{name: "replay, null", runs: runs(4, 4, 5)},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := strings.Join(strings.Fields(lines[len(lines)-1]), " ")
	if want := "replay, null 4.00 2.00 1/10.0 4.00 15 4"; last != want {
		t.Errorf("last line %q, want %q", last, want)
	}
}
