package capture

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseName(t *testing.T) {
	tests := []struct{ in, rest, ext, counter string }{
		// tcpdump -G: seconds since 1970.
		{"1590043904.eth0.pcap", "eth0", ".pcap", "stamped"},
		{"1590043904.lo.pcap.gz", "lo", ".pcap", "stamped"},
		{"1590043904.pcap", "", ".pcap", "stamped"},
		{"eth0-1590043904.pcap", "eth0", ".pcap", "stamped"},
		{"eth0_1590043904_node1.pcap", "eth0_node1", ".pcap", "stamped"},
		{"eth0.1590043904123.pcap", "eth0", ".pcap", "stamped"},
		{"15900439041.pcap", "15900439041", ".pcap", "15900439041"}, // eleven digits
		{"0590043904.pcap", "0590043904", ".pcap", "0590043904"},
		// tcpdump -G: strftime.
		{"trace-2025-10-06_22-56-42.pcap", "trace", ".pcap", "stamped"},
		{"20251006225642", "", "", "stamped"},
		{"20251006225642.pcap", "", ".pcap", "stamped"},
		{"trace_20251006225642.pcap.zst", "trace", ".pcap", "stamped"},
		{"trace.20251006-225642.cap", "trace", ".cap", "stamped"},
		{"trace-20251006T225642Z.pcap", "trace", ".pcap", "stamped"},
		{"trace-2025-10-06T22:56:42+02:00.pcap", "trace", ".pcap", "stamped"},
		{"trace-2025-10-06T22:56:42.123456.pcap", "trace", ".pcap", "stamped"},
		{"trace-2025-10-06 22.56.42.pcap", "trace", ".pcap", "stamped"},
		{"2025-10-06.eth0.pcap", "eth0", ".pcap", "stamped"},
		{"eth0-20251006.pcap", "eth0", ".pcap", "stamped"},
		{"eth0-20251006-22.pcap", "eth0", ".pcap", "stamped"},
		{"eth0-20251006_2256.pcap", "eth0", ".pcap", "stamped"},
		{"20251006-eth0-225642.pcap", "eth0", ".pcap", "stamped"},
		{"host7-2025-10-06_22-56-42-eth1.pcap", "host7-eth1", ".pcap", "stamped"},
		{"trace-2025-10-06_22-56-42.pcap1", "trace", ".pcap", "stamped"},
		{"trace-20251306.pcap", "trace-20251306", ".pcap", "20251306"}, // no month 13
		{"trace-120251006.pcap", "trace-120251006", ".pcap", "120251006"},
		// tcpdump -C, -W.
		{"trace.pcap", "trace", ".pcap", ""},
		{"trace.pcap1", "trace", ".pcap", ""},
		{"trace.pcap12.gz", "trace", ".pcap", ""},
		{"trace.pcap.3", "trace", ".pcap", ""},
		{"trace.PCAP007", "trace", ".pcap", ""},
		{"trace", "trace", "", ""},
		{"trace1", "trace1", "", "1"},
		{"trace-10.zst", "trace-10", "", "10"},
		// dumpcap.
		{"trace_00001_20251006225642.pcapng", "trace", ".pcapng", "stamped"},
		{"trace_20251006225642_00001.pcapng", "trace", ".pcapng", "stamped"},
		{"trace_123456_20251006225642.pcapng.gz", "trace", ".pcapng", "stamped"},
		{"_00001_20251006225642.pcapng", "", ".pcapng", "stamped"},
		// People.
		{"node1.pcap", "node1", ".pcap", "1"},
		{"any-sll2.pcap", "any-sll2", ".pcap", "2"},
		{"192.0.2.10.pcap", "192.0.2.10", ".pcap", "10"},
		{"ipv6.pcap", "ipv6", ".pcap", "6"},
		{"1.pcap", "1", ".pcap", "1"},
		{"core-28.1.pcap", "core-28.1", ".pcap", "1"},
		{"sidecar.json", "sidecar.json", "", ""},
		{"mainnet-2011.pcap", "mainnet-2011", ".pcap", "2011"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			n := parseName(tt.in)
			counter := n.counter
			if n.stamped {
				counter = "stamped"
			}
			got := struct{ in, rest, ext, counter string }{tt.in, n.rest, n.ext, counter}
			if got != tt {
				t.Errorf("got %+v, want %+v", got, tt)
			}
		})
	}
}

func TestNaturalCompare(t *testing.T) {
	want := []string{"", "a", "a0", "a01", "a1", "a1.b", "a2", "a10", "a10b", "ab", "b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, naturalCompare)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got)\n%s", diff)
	}
	for _, a := range want {
		for _, b := range want {
			if x, y := naturalCompare(a, b), naturalCompare(b, a); (x < 0) != (y > 0) || (x == 0) != (a == b) {
				t.Errorf("naturalCompare(%q, %q) = %d, the other way %d", a, b, x, y)
			}
		}
	}
}

func TestSets(t *testing.T) {
	// A line is a file: its path, the time of its first and of its last packet in seconds; * where it has none, ? where it is not
	// known. The link type is 1, or behind a slash.
	tests := []struct {
		name  string
		files string
		want  string // the captures, one a line
	}{
		{"interfaces", "d/1590043906.eth0.pcap 6 7, d/1590043904.eth0.pcap 4 5, d/1590043904.lo.pcap 4 7",
			"eth0: d/1590043904.eth0.pcap d/1590043906.eth0.pcap\nlo: d/1590043904.lo.pcap"},
		{"folders", "a/1590043904.eth0.pcap 4 5, b/1590043906.eth0.pcap 6 7",
			"eth0: a/1590043904.eth0.pcap\neth0: b/1590043906.eth0.pcap"},
		{"by time, not by name", "1600000000.pcap 9 9, 1700000000.pcap 4 5, 1500000000.pcap 6 6",
			"capture: 1700000000.pcap 1500000000.pcap 1600000000.pcap"},
		{"without packets by name", "1590043908.pcap *, 1590043904.pcap 4 5, 1590043902.pcap *, 1590043906.pcap 6 7",
			"capture: 1590043902.pcap 1590043904.pcap 1590043906.pcap 1590043908.pcap"},
		{"same time by name", "t.pcap10 5 5, t.pcap 5 5, t.pcap9 5 5", "t: t.pcap t.pcap9 t.pcap10"},
		{"two at once under one name", "1590043904.pcap 4 14, 1590043905.pcap 5 15, 1590043914.pcap 14 24, 1590043915.pcap 15 25",
			"capture: 1590043904.pcap 1590043914.pcap\ncapture-2: 1590043905.pcap 1590043915.pcap"},
		{"a moment's overlap", "1590043904.pcap 4 15, 1590043914.pcap 14 24", "capture: 1590043904.pcap 1590043914.pcap"},
		{"end not known", "1590043904.pcap 4 ?, 1590043914.pcap 14 ?", "capture: 1590043904.pcap 1590043914.pcap"},
		{"tcpdump -C", "t.pcap1 5 6, t.pcap2 7 8, t.pcap 3 4", "t: t.pcap t.pcap1 t.pcap2"},
		{"tcpdump -C without extension", "t1 5 6, t2 700 800, t 3 4", "t: t t1 t2"},
		{"the same, a file missing", "t2 700 800, t 3 4", "t: t t2"},
		{"tcpdump -C -W", "t0 3 4, t1 5 6, t2 7 8", "t: t0 t1 t2"},
		{"two nodes", "node1.pcap 3 9, node2.pcap 4 8", "node1: node1.pcap\nnode2: node2.pcap"},
		{"two nodes, one later", "node1.pcap 3 9, node2.pcap 40 80", "node1: node1.pcap\nnode2: node2.pcap"},
		{"a number missing", "t1.pcap 3 4, t3.pcap 5 6", "t1: t1.pcap\nt3: t3.pcap"},
		{"numbers against time", "t1.pcap 5 6, t2.pcap 3 4", "t1: t1.pcap\nt2: t2.pcap"},
		{"link types differ", "t1.pcap 3 4, t2.pcap/276 5 6", "t1: t1.pcap\nt2: t2.pcap"},
		{"extensions differ", "t1.pcap 3 4, t2.pcapng 5 6", "t1: t1.pcap\nt2: t2.pcapng"},
		{"end of node1 not known", "node1.pcap.gz 3 ?, node2.pcap.gz 5 6", "node1: node1.pcap.gz\nnode2: node2.pcap.gz"},
		{"counter before the extension", "t.pcap 3 4, t1.pcap 4 5, t2.pcap *, t3.pcap 9 10", "t: t.pcap t1.pcap t2.pcap t3.pcap"},
		{"numbers alone", "1.pcap 3 4, 2.pcap 4 5", "capture: 1.pcap 2.pcap"},
		{"one with a number", "any-sll2.pcap 3 4", "any-sll2: any-sll2.pcap"},
		{"a whole capture beside rotated ones", "eth0.pcap 3 9, 1590043904.eth0.pcap 4 5", "eth0: eth0.pcap\neth0: 1590043904.eth0.pcap"},
		{"no packets at all", "t1 *, t2 *", "t1: t1\nt2: t2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var files []*file
			lasts := map[*file]int64{}
			for _, line := range strings.Split(tt.files, ", ") {
				f, last := scriptFile(t, line)
				files = append(files, f)
				if last > 0 {
					lasts[f] = last
				}
			}
			last := func(f *file) (int64, bool) {
				ns, ok := lasts[f]
				return ns, ok
			}
			for range files { // in whichever order they are named
				files = append(files[1:], files[0])
				var got []string
				for _, s := range sets(files, last) {
					line := s.name + ":"
					for _, f := range s.files {
						line += " " + f.path
					}
					got = append(got, line)
				}
				if diff := cmp.Diff(tt.want, strings.Join(got, "\n")); diff != "" {
					t.Fatalf("captures (-want +got)\n%s", diff)
				}
			}
		})
	}
}

// scriptFile makes a file from a line of TestSets.
func scriptFile(t *testing.T, line string) (f *file, last int64) {
	t.Helper()
	fields := strings.Fields(line)
	path, link, _ := strings.Cut(fields[0], "/2")
	f = &file{path: path, name: parseName(path[strings.LastIndex(path, "/")+1:])}
	f.head.link = 1
	if link != "" {
		f.head.link = 276
	}
	seconds := func(s string) int64 {
		var n int64
		for _, c := range s {
			n = 10*n + int64(c-'0')
		}
		return n * 1e9
	}
	if fields[1] != "*" {
		f.head.packet = true
		f.head.first = seconds(fields[1])
		if fields[2] != "?" {
			last = seconds(fields[2])
		}
	}
	return f, last
}
