package pipeline_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
)

var seeds = flag.Int("seeds", 1, "generated captures for each case of TestTruth")

// generated are kinds of traffic, each with something that goes wrong.
func generated() map[string]pcaptest.Config {
	type imp = pcaptest.Impair
	cases := map[string]pcaptest.Config{
		"plain":              {},
		"header and payload": {SplitHead: 1},
		"one byte":           {OneByte: 0.5, Duration: 3 * time.Second},
		"mid-stream":         {Midstream: 1},
		"IPv6":               {IPv6: 1, Layer: pcaptest.SLL2},
		"look-alikes":        {LookAlikes: 0.5},
		"one way":            {OneWay: 1, Midstream: 0.5},
		"no ACKs":            {NoACKs: true, Midstream: 0.5, Impair: imp{Reorder: 0.05}},
		"reordering":         {Impair: imp{Reorder: 0.2}},
		"reordered start":    {Midstream: 1, SplitHead: 1, Impair: imp{Reorder: 0.4}},
		"retransmission":     {Impair: imp{Retransmit: 0.1, Resegment: 0.1}},
		"conflict":           {Impair: imp{Conflict: 0.1, Reorder: 0.1}},
		"late":               {Impair: imp{Late: 0.05}},
		"holes":              {Impair: imp{Hole: 0.05}},
		"holes, mid-stream":  {Midstream: 1, Impair: imp{Hole: 0.05}, LookAlikes: 0.3},
		"keep-alive":         {Impair: imp{KeepAlive: 0.2, ZeroWindow: 0.1}},
		"stray":              {Impair: imp{Stray: 0.2}},
		"fragments":          {Impair: imp{Fragment: 0.3}},
		"offload":            {Impair: imp{Offload: 0.5, Jumbo: 1}},
		"wrap":               {Impair: imp{Wrap: 1, Reorder: 0.1, Late: 0.02, Hole: 0.02}},
		"reuse":              {Duration: 30 * time.Second, Impair: imp{Reuse: 0.9, RST: 0.3, FIN: 0.3}},
		"closing":            {Impair: imp{HalfClose: 0.3, RST: 0.3, FIN: 0.5, Simultaneous: 0.3}},
		"snap length":        {Snap: 400},
	}
	all := imp{
		Reorder: 0.05, Retransmit: 0.02, Resegment: 0.02, Conflict: 0.02, Late: 0.01, Hole: 0.01, KeepAlive: 0.02,
		ZeroWindow: 0.01, Stray: 0.01, Fragment: 0.02, Offload: 0.02, Jumbo: 0.2, Wrap: 0.3, Reuse: 0.5,
		HalfClose: 0.2, RST: 0.2, FIN: 0.4, Simultaneous: 0.1,
	}
	cases["everything"] = pcaptest.Config{
		Duration: 20 * time.Second, IPv6: 0.3, Midstream: 0.4, OneWay: 0.1, SplitHead: 0.3, OneByte: 0.1, LookAlikes: 0.1, Impair: all,
	}
	return cases
}

// TestTruth replays generated captures. Every message whose bytes were all captured gives its records with the true times, and
// nothing else does.
func TestTruth(t *testing.T) {
	for name, cfg := range generated() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range *seeds {
				cfg.Seed = uint64(seed + 1)
				traffic := pcaptest.Generate(cfg)
				file := pcaptest.Format{}.Append(nil, traffic.Packets)
				lines, _ := replay(t, capture.NewReader(bytes.NewReader(file), "x"), pipeline.Config{})
				missing, extra := compare(t, traffic.Truth, lines)
				if len(missing)+len(extra) > 0 {
					t.Fatalf("seed %d: of %d records %d missing, %d false:\n-%s\n+%s", seed+1, len(traffic.Truth),
						len(missing), len(extra), strings.Join(head(missing), "\n-"), strings.Join(head(extra), "\n+"))
				}
			}
		})
	}
}

func head(s []string) []string { return s[:min(len(s), 4)] }

// compare returns the true records that lines do not have, and those of the same kinds that only lines have.
func compare(t *testing.T, truth []pcaptest.Record, lines []byte) (missing, extra []string) {
	t.Helper()
	keys := map[string]map[string]bool{} // that truth knows, by kind of record
	count := map[string]int{}
	for i := range truth {
		m := parse(t, truth[i].AppendJSON(nil))
		kind := m["record"].(string)
		if keys[kind] == nil {
			keys[kind] = map[string]bool{}
		}
		for k := range m {
			keys[kind][k] = true
		}
		count[canonical(m, keys[kind])]++
	}
	for _, line := range bytes.Split(bytes.TrimSpace(lines), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		m := parse(t, line)
		kind := m["record"].(string)
		switch kind {
		case "inv", "tx", "ping", "pong", "version", "block":
			count[canonical(m, keys[kind])]--
		}
	}
	for r, n := range count {
		for ; n > 0; n-- {
			missing = append(missing, r)
		}
		for ; n < 0; n++ {
			extra = append(extra, r)
		}
	}
	sort.Strings(missing)
	sort.Strings(extra)
	return missing, extra
}

func parse(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return m
}

// canonical is a record's text, without what the truth does not know: keys not in known, and outputs' addresses.
func canonical(m map[string]any, known map[string]bool) string {
	for k := range m {
		if !known[k] {
			delete(m, k)
		}
	}
	if outs, ok := m["outputs"].([]any); ok {
		for _, o := range outs {
			delete(o.(map[string]any), "address")
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return string(b)
}
