package capture

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFixtures reads the recorded captures. Counts are those of capinfos.
func TestFixtures(t *testing.T) {
	const dir = "../testdata/pcaps"
	tests := []struct {
		path     string
		packets  map[string]int // by capture
		link     LinkType
		snapped  bool
		captures int
	}{
		{path: "long/capture.pcap", packets: map[string]int{"capture": 2762}, link: 1},
		{path: "long/rotating", packets: map[string]int{"eth0": 2762}, link: 1},
		{path: "long/formats/any-sll2.pcap", packets: map[string]int{"any-sll2": 1069}, link: 276},
		{path: "long/formats/capture.pcapng", packets: map[string]int{"capture": 221}, link: 1},
		{path: "long/formats/nano.pcap", packets: map[string]int{"nano": 173}, link: 1},
		{path: "long/formats/snaplen96.pcap", packets: map[string]int{"snaplen96": 203}, link: 1, snapped: true},
		{path: "socks/rotating", packets: map[string]int{"eth0": 1383, "lo": 679}, link: 1},
		{path: "ibd/ibd-offload.pcap", packets: map[string]int{"ibd-offload": 754}, link: 1},
	}
	for _, tt := range tests {
		t.Run(filepath.Base(tt.path), func(t *testing.T) {
			src, err := Open([]string{filepath.Join(dir, tt.path)}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			got := map[string]int{}
			snapped := false
			last := int64(0)
			for _, p := range readAll(t, src) {
				got[src.Captures()[p.Capture].Name]++
				snapped = snapped || p.Len > len(p.Data)
				if p.Link != tt.link || p.Time < last || p.Time < 1_700_000_000e9 {
					t.Fatalf("packet %+v after %d", p, last)
				}
				last = p.Time
			}
			if len(got) != len(tt.packets) || snapped != tt.snapped {
				t.Errorf("%v, cut at the snap length %t; want %v, %t", got, snapped, tt.packets, tt.snapped)
			}
			for name, n := range tt.packets {
				if got[name] != n {
					t.Errorf("%s: %d packets, want %d", name, got[name], n)
				}
			}
			st := src.Stats()
			if st.Bytes != st.Total {
				t.Errorf("read %d bytes of %d", st.Bytes, st.Total)
			}
			for _, f := range st.Files {
				info, err := os.Stat(f.Path)
				if f.Warning != "" || f.Err != nil || err != nil || f.Size != info.Size() {
					t.Errorf("%+v, %v", f, err)
				}
			}
		})
	}
}
