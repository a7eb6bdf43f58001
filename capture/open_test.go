package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// at is a pcap file with one packet for each time, in seconds, whose data is name and the time.
func at(name string, times ...uint32) []byte {
	var f pcapFile
	for _, s := range times {
		f.packets = append(f.packets, pcapPacket{sec: s, data: fmt.Sprintf("%s%d", name, s)})
	}
	return f.bytes()
}

// write makes files in a new folder, and makes that the working directory: paths are short then.
func write(t *testing.T, files map[string][]byte) {
	t.Helper()
	t.Chdir(t.TempDir())
	for path, b := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// summary is what a source yields, as text: captures, packets, then problems.
func summary(t *testing.T, src Source) string {
	t.Helper()
	var b strings.Builder
	for _, i := range src.Captures() {
		fmt.Fprintf(&b, "%s: %s\n", i.Name, strings.Join(i.Files, " "))
	}
	for i, p := range readAll(t, src) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.Data)
	}
	b.WriteByte('\n')
	for _, f := range src.Stats().Files {
		if f.Warning != "" {
			fmt.Fprintf(&b, "warning: %s\n", f.Warning)
		}
		if f.Err != nil {
			fmt.Fprintf(&b, "error: %v\n", f.Err)
		}
	}
	return b.String()
}

func TestOpen(t *testing.T) {
	files := map[string][]byte{
		"rot/1590043904.eth0.pcap":    at("e", 1, 3),
		"rot/1590043906.eth0.pcap":    at("e", 5),
		"rot/1590043908.eth0.pcap":    at("e"),
		"rot/1590043904.lo.pcap":      at("l", 1, 2),
		"rot/1590043907.lo.pcap":      at("l", 5, 7),
		"rot/sidecar.json":            []byte("{}"),
		"rot/.hidden.pcap":            []byte("x"),
		"rot/below/1.pcap":            at("x", 1),
		"mixed/a.pcap":                at("a", 2),
		"mixed/b.cap":                 []byte("text\n"),
		"mixed/c.pcap":                {},
		"mixed/d":                     at("d", 1),
		"mixed/empty":                 {},
		"same/a.pcap":                 at("a", 1),
		"same/a.pcap.gz":              gzipped(t, at("a", 1)),
		"same/b.pcap.zst":             zstded(t, at("b", 2)),
		"same/b.pcap.gz":              gzipped(t, at("b", 2)),
		"none/readme.txt":             []byte("x"),
		"cut.pcap":                    at("c", 1, 2)[:50],
		"bad.pcap":                    append(at("b", 1), bytes.Repeat([]byte{0xff}, 20)...),
		"empty.pcap":                  {},
		"head.pcap":                   at("h")[:10],
		"[odd].pcap":                  at("o", 1),
		"packed/1590043904.x.pcap.gz": gzipped(t, at("x", 1)),
		"packed/1590043906.x.pcap":    at("x", 3),
		"packed/1590043905.x.pcap.gz": gzipped(t, at("x", 2)),
	}
	const pathHint = "; check the name\n"
	tests := []struct {
		name  string
		paths []string
		want  string
	}{
		{"folder", []string{"rot"},
			"eth0: rot/1590043904.eth0.pcap rot/1590043906.eth0.pcap rot/1590043908.eth0.pcap\n" +
				"lo: rot/1590043904.lo.pcap rot/1590043907.lo.pcap\ne1 l1 l2 e3 e5 l5 l7\n"},
		{"pattern", []string{"rot/*.lo.pcap"}, "lo: rot/1590043904.lo.pcap rot/1590043907.lo.pcap\nl1 l2 l5 l7\n"},
		{"the same twice", []string{"rot/*.lo.pcap", "rot/1590043904.lo.pcap", "./rot/1590043907.lo.pcap"},
			"lo: rot/1590043904.lo.pcap rot/1590043907.lo.pcap\nl1 l2 l5 l7\n"},
		{"file and folder", []string{"cut.pcap", "rot/1590043908.eth0.pcap"},
			"cut: cut.pcap\neth0: rot/1590043908.eth0.pcap\nc1\nwarning: cut.pcap: cut off within a packet's header at offset 42; the whole packets before were read\n"},
		{"mixed folder", []string{"mixed"},
			"a: mixed/a.pcap\nc: mixed/c.pcap\nd: mixed/d\nd1 a2\nwarning: mixed/c.pcap: empty (0 bytes)\n" +
				"error: mixed/b.cap: no packet capture but text; give pcap or pcapng files, plain or compressed with gzip or zstd\n"},
		{"compressed copies", []string{"same"}, "a: same/a.pcap\nb: same/b.pcap.gz\na1 b2\n" +
			"warning: same/a.pcap.gz: not read, it begins as same/a.pcap does, which was\n" +
			"warning: same/b.pcap.zst: not read, it begins as same/b.pcap.gz does, which was\n"},
		{"compressed after rotation", []string{"packed"},
			"x: packed/1590043904.x.pcap.gz packed/1590043905.x.pcap.gz packed/1590043906.x.pcap\nx1 x2 x3\n"},
		{"damaged file does not hide the next", []string{"bad.pcap", "cut.pcap"}, "bad: bad.pcap\ncut: cut.pcap\nb1 c1\n" +
			"error: bad.pcap: damaged at offset 42: a packet of 4294967295 bytes; the packets before were read: copy the file again, or repair it\n" +
			"warning: cut.pcap: cut off within a packet's header at offset 42; the whole packets before were read\n"},
		{"bad paths don't hide the others", []string{"missing.pcap", "none", "x*", "rot/sidecar.json", "same/a.pcap", "empty.pcap", "head.pcap"},
			"a: same/a.pcap\nempty: empty.pcap\nhead: head.pcap\na1\nwarning: empty.pcap: empty (0 bytes)\n" +
				"warning: head.pcap: cut off within its header at offset 0\n" +
				"error: missing.pcap: file does not exist" + pathHint +
				"error: none: no capture files in this folder; give the folder that has them, or files\n" +
				"error: x*: no file matches; check the pattern and the folder\n" +
				"error: rot/sidecar.json: no packet capture but text; give pcap or pcapng files, plain or compressed with gzip or zstd\n"},
		{"a name that looks like a pattern", []string{"[odd].pcap"}, "[odd]: [odd].pcap\no1\n"},
	}
	write(t, files)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := Open(tt.paths, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			if diff := cmp.Diff(tt.want, summary(t, src)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			st := src.Stats()
			for _, f := range st.Files {
				if (f.Capture < 0) != (f.Packets == 0 && !slices.ContainsFunc(src.Captures(), func(i Info) bool { return slices.Contains(i.Files, f.Path) })) {
					t.Errorf("%s is of capture %d", f.Path, f.Capture)
				}
			}
		})
	}
}

func TestOpenNothing(t *testing.T) {
	write(t, map[string][]byte{"empty.pcap": {}, "text.pcap": []byte("text"), "none/x": []byte("x"), "empties/a.pcap": {}, "empties/b.pcap": {},
		"head.pcap": at("h")[:10]})
	tests := []struct {
		name  string
		paths []string
		want  string
	}{
		{"no paths", nil, "no capture files: name files, folders, patterns, or - for standard input"},
		{"missing", []string{"missing.pcap"}, "missing.pcap: file does not exist; check the name"},
		{"empty", []string{"empty.pcap"}, "empty.pcap: empty (0 bytes); there is nothing to read: was it recorded with -w, and to its end?"},
		{"empties", []string{"empties"}, "empties/a.pcap: empty (0 bytes); there is nothing to read: was it recorded with -w, and to its end? (and 1 more paths that can't be read)"},
		{"header cut off", []string{"head.pcap"}, "head.pcap: cut off within its header at offset 0; there is nothing to read: was it recorded with -w, and to its end?"},
		{"header cut off beside an empty one", []string{"head.pcap", "empty.pcap"}, "head.pcap: cut off within its header at offset 0; there is nothing to read: was it recorded with -w, and to its end? (and 1 more paths that can't be read)"},
		{"text", []string{"text.pcap"}, "text.pcap: no packet capture but text; give pcap or pcapng files, plain or compressed with gzip or zstd"},
		{"folder without captures", []string{"none"}, "none: no capture files in this folder; give the folder that has them, or files"},
		{"pattern", []string{"*.cap"}, "*.cap: no file matches; check the pattern and the folder"},
		{"bad pattern", []string{"[a"}, "[a: syntax error in pattern; close each [ with a ]"},
		{"several", []string{"a", "b", "c"}, "a: file does not exist; check the name (and 2 more paths that can't be read)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(tt.paths, Options{})
			if err == nil || err.Error() != tt.want {
				t.Errorf("Open(%q) = %v, want %s", tt.paths, err, tt.want)
			}
		})
	}
	if _, err := Open([]string{"missing"}, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestOpenUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	write(t, map[string][]byte{"shut/a.pcap": at("a", 1), "a.pcap": at("a", 1), "b.pcap": at("b", 2)})
	for _, p := range []string{"shut", "a.pcap"} {
		if err := os.Chmod(p, 0); err != nil {
			t.Fatal(err)
		}
	}
	src, err := Open([]string{"shut", "a.pcap", "b.pcap"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "b: b.pcap\nb2\nerror: shut: permission denied; run as a user who may read it\nerror: a.pcap: permission denied; run as a user who may read it\n"
	if diff := cmp.Diff(want, summary(t, src)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := os.Chmod("shut", 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestOpenLinks(t *testing.T) {
	write(t, map[string][]byte{"d/1590043904.pcap": at("a", 1)})
	for from, to := range map[string]string{"1590043904.pcap": "d/1000000000.pcap", "gone": "d/gone.pcap"} {
		if err := os.Symlink(from, to); err != nil {
			t.Skip(err)
		}
	}
	if err := os.Link("d/1590043904.pcap", "hard.pcap"); err != nil {
		t.Skip(err)
	}
	src, err := Open([]string{"d", "hard.pcap", "d/1000000000.pcap"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "capture: d/1590043904.pcap\na1\nerror: d/gone.pcap: file does not exist; check the name\n"
	if diff := cmp.Diff(want, summary(t, src)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestStdin(t *testing.T) {
	for _, pack := range []func(testing.TB, []byte) []byte{gzipped, zstded, func(_ testing.TB, b []byte) []byte { return b }} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		src, err := Open([]string{"-", "-"}, Options{Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		b := pack(t, at("s", 1, 2))
		done := make(chan error)
		go func() {
			_, err := w.Write(b)
			done <- errors.Join(err, w.Close())
		}()
		if diff := cmp.Diff("stdin: -\ns1 s2\n", summary(t, src)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if st := src.Stats(); st.Bytes != int64(len(b)) || st.Total != 0 {
			t.Errorf("read %d bytes of %d, want %d of 0", st.Bytes, st.Total, len(b))
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStdinEmpty(t *testing.T) {
	src, err := Open([]string{"-"}, Options{Stdin: strings.NewReader("")})
	if err != nil {
		t.Fatal(err)
	}
	want := "stdin: -\n\nerror: -: empty (0 bytes); there is nothing to read: was it recorded with -w, and to its end?\n"
	if diff := cmp.Diff(want, summary(t, src)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestStop is about a context that is done while standard input is silent, and about going on after that.
func TestStop(t *testing.T) {
	r, w := io.Pipe()
	src, err := Open([]string{"-"}, Options{Stdin: r})
	if err != nil {
		t.Fatal(err)
	}
	b := at("s", 1, 2)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _, _ = w.Write(b[:50]) }()
	var p Packet
	if err := src.Next(ctx, &p); err != nil || string(p.Data) != "s1" {
		t.Fatalf("Next: %q, %v", p.Data, err)
	}
	cancel()
	if err := src.Next(ctx, &p); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v, want %v", err, context.Canceled)
	}
	go func() {
		_, _ = w.Write(b[50:])
		_ = w.Close()
	}()
	if all := readAll(t, src); len(all) != 1 || all[0].Data != "s2" {
		t.Errorf("after that: %v", all)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}

// TestManyCaptures reads more captures at the same time than files may be open.
func TestManyCaptures(t *testing.T) {
	files := map[string][]byte{}
	const n = maxOpen + 40
	for i := range n {
		b := at("x", 1, 2, 3)
		if i%2 == 0 {
			b = gzipped(t, b)
		}
		files[fmt.Sprintf("d/%c%c.pcap", 'a'+i/26, 'a'+i%26)] = b
	}
	write(t, files)
	src, err := Open([]string{"d"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var last got
	all := readAll(t, src)
	for _, p := range all {
		if p.Time < last.Time || p.Time == last.Time && p.Capture <= last.Capture {
			t.Fatalf("%v after %v", p, last)
		}
		last = p
	}
	if len(all) != 3*n {
		t.Errorf("%d packets, want %d", len(all), 3*n)
	}
	if src.open != 0 {
		t.Errorf("%d files are still open", src.open)
	}
}

// TestBackwards is about a capture whose times jump back: its own order stays.
func TestBackwards(t *testing.T) {
	write(t, map[string][]byte{"a.pcap": at("a", 5, 4, 8), "b.pcap": at("b", 4, 6)})
	src, err := Open([]string{"a.pcap", "b.pcap"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a: a.pcap\nb: b.pcap\nb4 a5 a4 b6 a8\n", summary(t, src)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestVanished is about a file that is taken away after Open, as in a ring of files.
func TestVanished(t *testing.T) {
	write(t, map[string][]byte{"t.pcap": at("a", 1), "t.pcap1": at("a", 2), "t.pcap2": at("a", 3)})
	src, err := Open([]string{"."}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("t.pcap1"); err != nil {
		t.Fatal(err)
	}
	want := "t: t.pcap t.pcap1 t.pcap2\na1 a3\nerror: t.pcap1: file does not exist; check the name\n"
	if diff := cmp.Diff(want, summary(t, src)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestLast compares what a file's end says with what reading it through says.
func TestLast(t *testing.T) {
	var f pcapFile
	n := &ng{o: binary.LittleEndian}
	n.section().iface(1, 0)
	for i := range uint32(3000) {
		data := strings.Repeat("\x00\x01\x02\x03", int(i%90))
		f.packets = append(f.packets, pcapPacket{sec: 1_600_000_000 + i, frac: i, data: data, wire: 1500})
		n.packet(0, 1_600_000_000e6+uint64(i), data)
	}
	pcap := f.bytes()
	write(t, map[string][]byte{
		"small": at("a", 1, 2), "smallcut": at("a", 1, 2)[:50], "header": at("a"), "pcap": pcap, "pcap.gz": gzipped(t, pcap),
		"pcapcut": pcap[:len(pcap)-9], "pcapng": n.b, "statistics": n.statistics(0).b, "pcapngcut": n.b[:len(n.b)-4],
	})
	tests := []struct {
		path string
		want int64
		ok   bool
	}{
		{"small", 2e9, true}, {"smallcut", 1e9, true}, {"header", 0, false},
		{"pcap", 1_600_002_999_002_999_000, true}, {"pcap.gz", 1_600_002_999_002_999_000, true}, {"pcapcut", 0, false},
		{"pcapng", 1_600_000_000_002_999_000, true}, {"statistics", 1_600_000_000_002_999_000, true}, {"pcapngcut", 0, false},
		{"missing", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			var pr prober
			if ns, ok := pr.last(tt.path, pr.head(tt.path)); ns != tt.want || ok != tt.ok {
				t.Errorf("last = %d, %t, want %d, %t", ns, ok, tt.want, tt.ok)
			}
		})
	}
}
