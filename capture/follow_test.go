package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A following is a Followed under test, with a clock that goes on only when something is waited for.
type following struct {
	*Followed
	t     *testing.T
	clock time.Time
}

func follow(t *testing.T, paths ...string) *following {
	t.Helper()
	f := &following{t: t, clock: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)}
	src, err := Follow(paths, FollowOptions{
		now: func() time.Time { return f.clock },
		wait: func(ctx context.Context, d time.Duration) error {
			f.clock = f.clock.Add(d)
			return ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	f.Followed = src
	return f
}

// rest reads until nothing has come for d, and returns the packets and what was finished, as text.
func (f *following) rest(d time.Duration) string {
	f.t.Helper()
	var out []string
	var p Packet
	for beats := time.Duration(0); beats*f.opt.Heartbeat < d; {
		if err := f.Next(context.Background(), &p); err != nil {
			f.t.Fatal(err)
		}
		if p.Data == nil {
			beats++
			continue
		}
		beats = 0
		out = append(out, string(p.Data))
	}
	for _, st := range f.Finished() {
		s := fmt.Sprintf("[%s %d]", st.Path, st.Packets)
		if st.Warning != "" {
			s += " warning: " + st.Warning
		}
		if st.Err != nil {
			s += " error: " + st.Err.Error()
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// add makes a file, or adds to it.
func add(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestFollow(t *testing.T) {
	type step struct {
		do   func(t *testing.T)
		want string // what comes within five seconds after that
	}
	adds := func(path string, b []byte) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); add(t, path, b) }
	}
	two := at("a", 1, 2)
	tests := []struct {
		name  string
		steps []step
	}{
		{"a file grows byte by byte", []step{
			{adds("1590043904.pcap", two[:1]), ""},
			{adds("1590043904.pcap", two[1:24]), ""},
			{adds("1590043904.pcap", two[24:41]), ""},
			{adds("1590043904.pcap", two[41:45]), "a1"},
			{adds("1590043904.pcap", two[45:]), "a2"},
			{adds("1590043904.pcap", at("a", 3)[24:]), "a3"},
		}},
		{"its successor goes on", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{adds("1590043906.pcap", at("a")), "[1590043904.pcap 2]"},
			{adds("1590043906.pcap", at("a", 3)[24:]), "a3"},
			{adds("1590043908.pcap", at("a", 4)), "[1590043906.pcap 1] a4"},
		}},
		{"files that are there already", []step{
			{func(t *testing.T) {
				add(t, "1590043908.pcap", at("a", 4))
				add(t, "1590043904.pcap", two)
				add(t, "1590043906.pcap", at("a", 3))
			}, "a1 a2 a3 a4 [1590043904.pcap 2] [1590043906.pcap 1]"},
		}},
		{"empty files", []step{
			{adds("1590043904.pcap", nil), ""},
			{adds("1590043906.pcap", two), "a1 a2 [1590043904.pcap 0] warning: 1590043904.pcap: empty (0 bytes)"},
			{adds("1590043908.pcap", at("a")), "[1590043906.pcap 2]"},
			{adds("1590043910.pcap", at("a", 5)), "a5 [1590043908.pcap 0]"},
		}},
		{"cut off before the successor", []step{
			{adds("1590043904.pcap", two[:50]), "a1"},
			{adds("1590043906.pcap", at("a", 3)), "a3 [1590043904.pcap 1] warning: 1590043904.pcap: cut off within a packet's header at offset 42; the whole packets before were read"},
		}},
		{"zeros that data comes to later", []step{
			{adds("1590043904.pcap", append(at("a", 1), make([]byte, 100)...)), "a1"},
			{func(t *testing.T) {
				if err := os.WriteFile("1590043904.pcap", at("a", 1, 2, 3), 0o644); err != nil {
					t.Fatal(err)
				}
			}, "a2 a3"},
		}},
		{"compressed after rotation", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{adds("1590043906.pcap", at("a", 3)), "a3 [1590043904.pcap 2]"},
			{adds("1590043904.pcap.gz", gzipped(t, two)[:20]), "[1590043904.pcap.gz 0]"},
			{func(t *testing.T) {
				add(t, "1590043904.pcap.gz", gzipped(t, two)[20:])
				remove(t, "1590043904.pcap")
			}, ""},
		}},
		{"compressed under another name", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{adds("1590043906.pcap", at("a", 3)), "a3 [1590043904.pcap 2]"},
			{func(t *testing.T) {
				add(t, "1600000000.pcap.zst", zstded(t, two))
				remove(t, "1590043904.pcap")
			}, "[1600000000.pcap.zst 0]"},
		}},
		{"compressed before it was read", []step{
			{adds("1590043902.pcap", at("a")), ""},
			{func(t *testing.T) {
				add(t, "1590043904.pcap.gz", gzipped(t, two))
				add(t, "1590043904.pcap", two)
			}, "a1 a2 [1590043902.pcap 0]"},
			{adds("1590043906.pcap.gz", gzipped(t, at("a", 3))), "a3 [1590043904.pcap 2] [1590043906.pcap.gz 1] [1590043904.pcap.gz 0]"},
		}},
		{"renamed while it is read", []step{
			{adds("t.pcap", two[:45]), "a1"},
			{func(t *testing.T) {
				rename(t, "t.pcap", "t.pcap.1")
				add(t, "t.pcap.1", two[45:])
				add(t, "t.pcap", at("a", 3))
			}, "a2 a3 [t.pcap.1 2]"},
		}},
		{"deleted while it is read", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{func(t *testing.T) { remove(t, "1590043904.pcap") }, "[1590043904.pcap 2]"},
		}},
		{"deleted before it was read", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{adds("1590043902.pcap", at("a", 0)), ""}, // too early: it waits
			{func(t *testing.T) { remove(t, "1590043902.pcap") }, "[1590043902.pcap 0] error: 1590043902.pcap: gone before it was read; keep files until they have been read"},
		}},
		{"appears late", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{adds("1590043902.pcap", at("b", 1)), ""},
			{adds("1590043906.pcap", at("a", 3)), "b1 a3 [1590043904.pcap 2] [1590043902.pcap 1]"},
		}},
		{"late and older", []step{
			{adds("1590043904.pcap", at("a", 5)), "a5"},
			{adds("1590043902.pcap", at("b", 1)), ""},
			{adds("1590043906.pcap", at("a", 7)), "b1 a7 [1590043904.pcap 1] [1590043902.pcap 1] warning: 1590043902.pcap: appeared only when later files had been read; its packets came late"},
		}},
		{"a ring of files", []step{
			{adds("t.pcap0", at("a", 1)), "a1"},
			{adds("t.pcap1", at("a", 2)), "a2 [t.pcap0 1]"},
			{func(t *testing.T) {
				if err := os.WriteFile("t.pcap0", at("a", 3), 0o644); err != nil {
					t.Fatal(err)
				}
			}, "a3 [t.pcap1 1]"},
		}},
		{"tcpdump -C", []step{
			{adds("trace", two), "a1 a2"},
			{adds("trace1", at("a", 3)), "a3 [trace 2]"},
			{adds("trace2", at("a", 4)), "a4 [trace1 1]"},
		}},
		{"tcpdump -C -W", []step{
			{adds("w0", at("a", 1)), "a1"},
			{adds("w1", at("a", 3)), "a3 [w0 1]"},
			{func(t *testing.T) {
				if err := os.WriteFile("w0", at("a", 5, 6, 7), 0o644); err != nil {
					t.Fatal(err)
				}
			}, "a5 a6 a7 [w1 1]"},
		}},
		{"new captures, and things that are none", []step{
			{adds("1590043904.eth0.pcap", two), "a1 a2"},
			{adds("readme.txt", []byte("hello")), ""},
			{adds(".1590043904.lo.pcap.Xy12", two), ""},
			{adds("bad.pcap", []byte("hello")), "[bad.pcap 0] error: bad.pcap: no packet capture but text; give pcap or pcapng files, plain or compressed with gzip or zstd"},
			{adds("1590043904.lo.pcap", at("l", 3)), "l3"},
		}},
		{"damaged", []step{
			{adds("1590043904.pcap", append(at("a", 1), bytes.Repeat([]byte{0xff}, 20)...)),
				"a1 [1590043904.pcap 1] error: 1590043904.pcap: damaged at offset 42: a packet of 4294967295 bytes; the packets before were read: copy the file again, or repair it"},
			{adds("1590043906.pcap", at("a", 3)), "a3"},
		}},
		{"cut short", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{func(t *testing.T) {
				if err := os.Truncate("1590043904.pcap", 24); err != nil {
					t.Fatal(err)
				}
			}, "[1590043904.pcap 2] warning: 1590043904.pcap: cut to 24 bytes by another program while it was read; what was written right before may be lost"},
			{adds("1590043904.pcap", at("a", 9)[24:]), "a9"},
		}},
		{"grew when it was finished", []step{
			{adds("1590043904.pcap", two), "a1 a2"},
			{adds("1590043906.pcap", at("a", 3)), "a3 [1590043904.pcap 2]"},
			{adds("1590043904.pcap", at("a", 4)[24:]), "[1590043904.pcap 0] warning: 1590043904.pcap: grew by 18 bytes after the next file had been begun; they were not read"},
		}},
		{"pcapng", []step{
			{adds("t_00001_20251006225642.pcapng", (&ng{o: binary.LittleEndian}).section().iface(1, 0).packet(0, 1, "one").b), "one"},
			{adds("t_00001_20251006225642.pcapng", (&ng{o: binary.LittleEndian}).block(0x99, make([]byte, 400)).packet(0, 2, "two").b[:300]), ""},
			{adds("t_00001_20251006225642.pcapng", (&ng{o: binary.LittleEndian}).block(0x99, make([]byte, 400)).packet(0, 2, "two").b[300:]), "two"},
			{adds("t_00002_20251006225652.pcapng", (&ng{o: binary.LittleEndian}).section().iface(1, 0).packet(0, 3, "three").b), "three [t_00001_20251006225642.pcapng 2]"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			f := follow(t, ".")
			for i, s := range tt.steps {
				s.do(t)
				// What is finished is said at the end of a step.
				want, got := sortBrackets(s.want), sortBrackets(f.rest(5*time.Second))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("step %d (-want +got)\n%s", i, diff)
				}
			}
		})
	}
}

// TestFollowCompressedUnread compresses a file that is not begun, between two looks or while we look: its place is taken by the
// compressed one, for which its successor waits.
func TestFollowCompressedUnread(t *testing.T) {
	whole := gzipped(t, at("b", 3))
	for _, steps := range [][]int{{len(whole)}, {10, len(whole)}, {0, 5, len(whole)}, {}} {
		write(t, map[string][]byte{
			"1590043904.pcap": at("a", 1), "1590043906.pcap": at("b", 3), "1590043908.pcap": at("c", 5), "1590043910.pcap": at("d", 7),
		})
		if len(steps) == 0 { // before we look for the first time
			add(t, "1590043906.pcap.gz", whole)
			remove(t, "1590043906.pcap")
			now := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
			if err := os.Chtimes("1590043906.pcap.gz", now, now); err != nil {
				t.Fatal(err)
			}
		}
		f := follow(t, ".")
		from := 0
		for i, to := range steps {
			add(t, "1590043906.pcap.gz", whole[from:to])
			from = to
			if i < len(steps)-1 {
				f.scan()
			}
		}
		if len(steps) > 0 {
			remove(t, "1590043906.pcap")
		}
		f.scan()
		got := f.rest(5 * time.Second)
		packets, finished, _ := strings.Cut(got, " [")
		if packets != "a1 b3 c5 d7" || !strings.Contains(finished, "[1590043906.pcap.gz 1]") || strings.Contains(finished, ": ") {
			t.Errorf("written in steps %v: got %s", steps, got)
		}
	}
}

// sortBrackets moves what is in brackets behind the rest.
func sortBrackets(s string) string {
	packets, finished, found := strings.Cut(s, "[")
	if found && strings.Contains(finished, "] ") && !strings.Contains(finished, ": ") {
		var p, b []string
		fields := strings.Fields("[" + finished)
		for i := 0; i < len(fields); i++ {
			if strings.HasPrefix(fields[i], "[") {
				b = append(b, fields[i]+" "+fields[i+1])
				i++
				continue
			}
			p = append(p, fields[i])
		}
		return strings.TrimSpace(packets + strings.Join(append(p, b...), " "))
	}
	return s
}

func TestFollowPlaces(t *testing.T) {
	write(t, map[string][]byte{"d/a.pcap": at("a", 1), "e/1590043904.eth0.pcap": at("e", 2), "e/1590043904.lo.pcap": at("l", 3)})
	f := follow(t, "d/a.pcap", "e/*.eth0.pcap", "d")
	if got := f.rest(5 * time.Second); got != "a1 e2" {
		t.Errorf("got %s", got)
	}
	want := []Info{{Name: "a"}, {Name: "eth0"}}
	if diff := cmp.Diff(want, f.Captures()); diff != "" {
		t.Errorf("captures (-want +got)\n%s", diff)
	}
	add(t, "e/1590043906.eth0.pcap", at("e", 4))
	if got := f.rest(5 * time.Second); got != "e4 [e/1590043904.eth0.pcap 1]" {
		t.Errorf("got %s", got)
	}
	for _, tt := range []struct{ path, want string }{
		{"missing", "missing: file does not exist; check the name"},
		{"-", "-: standard input can't be followed; it is read as it comes anyway: leave out --follow"},
		{"[a*", "[a*: syntax error in pattern; close each [ with a ]"},
	} {
		if _, err := Follow([]string{tt.path}, FollowOptions{}); err == nil || err.Error() != tt.want {
			t.Errorf("Follow(%q): %v, want %s", tt.path, err, tt.want)
		}
	}
	if _, err := Follow(nil, FollowOptions{}); err == nil {
		t.Error("Follow of nothing succeeded")
	}
}

// TestFollowNoCapture follows what is no capture: that is said of a file that was named, and of one that claims to be a capture.
func TestFollowNoCapture(t *testing.T) {
	text := []byte("hello, world\n")
	write(t, map[string][]byte{"a.txt": text, "d/a.txt": text, "d/b.pcap": text, "d/c.pcap": at("c", 1)})
	f := follow(t, "a.txt", "d")
	const why = "no packet capture but text; give pcap or pcapng files, plain or compressed with gzip or zstd"
	if got, want := f.rest(5*time.Second), "c1 [a.txt 0] error: a.txt: "+why+" [d/b.pcap 0] error: d/b.pcap: "+why; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestFollowMerge is about two captures: in order where both have packets, and not waiting for a silent one for ever.
func TestFollowMerge(t *testing.T) {
	write(t, map[string][]byte{
		"1590043904.eth0.pcap": at("e", 10, 12, 14), "1590043904.lo.pcap": at("l", 11, 13),
	})
	f := follow(t, ".")
	if got := f.rest(5 * time.Second); got != "e10 l11 e12 l13 e14" {
		t.Errorf("got %s", got)
	}
	start := f.clock
	add(t, "1590043904.eth0.pcap", at("e", 16)[24:])
	var p Packet
	if err := f.Next(context.Background(), &p); err != nil || string(p.Data) != "e16" || f.clock.Sub(start) > f.opt.Heartbeat {
		t.Errorf("the silent capture held up %q for %v, %v", p.Data, f.clock.Sub(start), err)
	}
	// eth0 has just had news: what lo has is held up for it.
	add(t, "1590043904.lo.pcap", at("l", 18)[24:])
	if got := f.rest(f.opt.Heartbeat); got != "" {
		t.Errorf("got %s, too early", got)
	}
	add(t, "1590043904.eth0.pcap", at("e", 17)[24:])
	if got := f.rest(5 * time.Second); got != "e17 l18" {
		t.Errorf("got %s", got)
	}
}

func TestFollowHeartbeat(t *testing.T) {
	write(t, map[string][]byte{})
	f := follow(t, ".")
	var p Packet
	beat := func() int64 {
		t.Helper()
		if err := f.Next(context.Background(), &p); err != nil || p.Data != nil {
			t.Fatalf("%v, %v, want a heartbeat", p, err)
		}
		return p.Time
	}
	if got := beat(); got != 0 {
		t.Errorf("heartbeat before any packet: %d", got)
	}
	add(t, "a.pcap", at("a", 100))
	for p.Data == nil {
		if err := f.Next(context.Background(), &p); err != nil {
			t.Fatal(err)
		}
	}
	start, last := f.clock, int64(100e9)
	for range 20 {
		got, passed := beat(), int64(f.clock.Sub(start))
		want := max(100e9, 100e9+passed-int64(f.opt.Patience))
		if got != want || got < last {
			t.Errorf("heartbeat %v after the packet: %d, want %d", time.Duration(passed), got, want)
		}
		last = got
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Next(ctx, &p); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v, want %v", err, context.Canceled)
	}
}

// TestFollowBacklog reads many finished files: it does not wait at the end of each.
func TestFollowBacklog(t *testing.T) {
	files := map[string][]byte{}
	for i := range uint32(300) {
		files[fmt.Sprintf("d/%d.pcap", 1590043904+i)] = at("a", i+1)
	}
	write(t, files)
	f := follow(t, "d")
	start := f.clock
	var p Packet
	for i := range 300 {
		if err := f.Next(context.Background(), &p); err != nil || string(p.Data) != fmt.Sprintf("a%d", i+1) {
			if i < 299 || err != nil {
				t.Fatalf("packet %d: %q, %v", i, p.Data, err)
			}
		}
	}
	if took := f.clock.Sub(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if n := len(f.Finished()); n < 298 {
		t.Errorf("%d files finished", n)
	}
	if n := len(f.Stats().Files); n > 2 {
		t.Errorf("%d files are left in Stats", n)
	}
}

// TestFollowNotices uses the system's notices and clock: a file that appears is found without a poll.
func TestFollowNotices(t *testing.T) {
	write(t, map[string][]byte{})
	src, err := Follow([]string{"."}, FollowOptions{Poll: time.Hour, Heartbeat: time.Hour, Patience: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	if src.watch.w == nil {
		t.Skip("this system has no notices")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var p Packet
	for i := range uint32(3) {
		add(t, fmt.Sprintf("%d.pcap", 1590043904+i), at("a", i+1))
		add(t, fmt.Sprintf("%d.pcap", 1590043904+i), at("a", i+1001)[24:])
		if i > 0 {
			old := time.Unix(1_600_000_000, 0)
			if err := os.Chtimes(fmt.Sprintf("%d.pcap", 1590043903+i), old, old); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := src.Next(ctx, &p); err != nil {
				t.Fatalf("file %d: %v", i, err)
			}
		}
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}
