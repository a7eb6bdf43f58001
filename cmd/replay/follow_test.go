package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/cli"
	"btcsniff/internal/pcaptest"
)

// patience is how long a test waits for what should take some seconds.
const patience = 100 * time.Second

// A process is a replay --follow under test.
type process struct {
	t     *testing.T
	ctx   context.Context
	stop  func()
	out   chan string // lines of standard output
	talk  chan string // lines of standard error
	err   chan error
	lines []string // of out, so far
	said  []string // of talk, so far
}

// startFollow runs replay --follow in this process, with JSON lines on standard output and the observed node's addresses given.
func startFollow(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	sig, stop := context.WithCancel(ctx)
	p := &process{t: t, ctx: ctx, stop: stop, err: make(chan error, 1)}
	outR, outW := io.Pipe()
	talkR, talkW := io.Pipe()
	p.out, p.talk = read(outR), read(talkR)
	args = append([]string{"--follow", "-v", "--sink", "jsonl:-", "--local", "192.0.2.10", "--local", "127.0.0.1"}, args...)
	go func() {
		err := run(sig, args, nil, outW, talkW)
		outW.Close()
		talkW.Close()
		p.err <- err
	}()
	return p
}

// read sends the lines of r. It never makes the writer wait.
func read(r io.Reader) chan string {
	lines := make(chan string, 1<<16)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(r)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	return lines
}

// records waits until n records have come.
func (p *process) records(n int) {
	p.t.Helper()
	for len(p.lines) < n {
		select {
		case l := <-p.out:
			p.lines = append(p.lines, l)
		case <-p.ctx.Done():
			p.t.Fatalf("%d records came, want %d; it said:\n%s", len(p.lines), n, p.drain())
		}
	}
}

// says waits for a line on standard error that has text in it, and returns it.
func (p *process) says(text string) string {
	p.t.Helper()
	for {
		select {
		case l := <-p.talk:
			if p.said = append(p.said, l); strings.Contains(l, text) {
				return l
			}
		case <-p.ctx.Done():
			p.t.Fatalf("nothing said about %q, but:\n%s", text, strings.Join(p.said, "\n"))
		}
	}
}

func (p *process) drain() string {
	for len(p.talk) > 0 {
		p.said = append(p.said, <-p.talk)
	}
	return strings.Join(p.said, "\n")
}

// whole waits until the files in a folder were read to their end. It makes an empty one behind the last of each interface, which tells
// replay that nothing will be added to that.
func (p *process) whole(dir string) {
	p.t.Helper()
	last := map[string]string{} // by what comes behind the time stamp
	for _, name := range names(p.t, dir) {
		name = strings.TrimSuffix(name, ".gz")
		if stamp, rest, ok := strings.Cut(name, "."); ok && stamp > last[rest] && stamp < "2" {
			last[rest] = stamp
		}
	}
	for rest := range last {
		if err := os.WriteFile(filepath.Join(dir, "1999999999."+rest), pcaptest.Format{}.Append(nil, nil), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	for len(last) > 0 {
		said := p.says(" packets read")
		for rest, stamp := range last {
			if strings.Contains(said, stamp+"."+rest) {
				delete(last, rest)
			}
		}
	}
}

// end sends the signal, and returns all records, in the order of their text, and the error.
func (p *process) end() (string, error) {
	p.t.Helper()
	p.stop()
	err := <-p.err
	for l := range p.out {
		p.lines = append(p.lines, l)
	}
	for l := range p.talk {
		p.said = append(p.said, l)
	}
	slices.Sort(p.lines)
	return strings.Join(p.lines, "\n"), err
}

// replayed returns the records of an ordinary run, in the order of their text, and how many of them are not about connections' ends.
func replayed(t *testing.T, paths ...string) (sorted string, early int) {
	t.Helper()
	var out, talk bytes.Buffer
	args := append([]string{"-q", "--sink", "jsonl:-", "--local", "192.0.2.10", "--local", "127.0.0.1"}, paths...)
	if err := run(t.Context(), args, nil, &out, &talk); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	slices.Sort(lines)
	for _, l := range lines {
		if !strings.Contains(l, `"record":"conn"`) {
			early++
		}
	}
	return strings.Join(lines, "\n"), early
}

// firstDiff shows the first lines that differ.
func firstDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	return cmp.Diff(w[i:min(i+3, len(w))], g[i:min(i+3, len(g))])
}

const pcaps = "../../testdata/pcaps"

// copyFile copies a file in two steps, so that a reader may find half of it, and cut within a packet.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	half := len(b) / 2
	for i, part := range [][]byte{b[:half], b[half:]} {
		flags := os.O_WRONLY | os.O_APPEND
		if i == 0 {
			flags |= os.O_CREATE
		}
		f, err := os.OpenFile(to, flags, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// compress replaces a file by a gzip of it, as tcpdump -z gzip does. A file that somebody else has deleted stays so.
func compress(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".gz", z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// names are the names of the captures in a folder.
func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".txt") {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestFollowRotated writes the files of two interfaces in steps while they are followed, compresses some of them, and compares the
// records with those of an ordinary run.
func TestFollowRotated(t *testing.T) {
	t.Parallel()
	from := filepath.Join(pcaps, "socks/rotating")
	want, early := replayed(t, from)
	dir := t.TempDir()
	p := startFollow(t, dir)
	all := names(t, from)
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(a[:10], b[:10]) })
	for i, name := range all {
		copyFile(t, filepath.Join(from, name), filepath.Join(dir, name))
		if i > 6 && i%3 == 0 {
			compress(t, filepath.Join(dir, all[i-6]))
		}
	}
	p.records(early)
	p.whole(dir)
	got, err := p.end()
	if err != nil {
		t.Errorf("run = %v, want that a signal ends it well", err)
	}
	if got != want {
		t.Errorf("records differ (-want +got):\n%s", firstDiff(want, got))
	}
	if said := p.drain(); !strings.Contains(said, "captures     2 captures, ") || !strings.Contains(said, "ledger       closes") {
		t.Errorf("the summary is\n%s", said)
	}
}

// TestFollowNothing follows until the signal what nothing can be read from, and a file that has no packet yet.
func TestFollowNothing(t *testing.T) {
	header := pcaptest.Format{}.Append(nil, nil)
	for _, tt := range []struct {
		name  string
		files map[string]string
		wait  string // what is said before the signal comes
		want  string // the last line that is said; DIR is the folder
	}{
		{"no file", nil, "", "replay: nothing was read: not even a capture's header is in DIR; name the folder or file that is written to, and give tcpdump -U, which has it write at once"},
		{"text of another's", map[string]string{"a.txt": "text"}, "", "replay: nothing was read: "},
		{"text that claims to be a capture", map[string]string{"a.pcap": "text"}, "no packet capture but text", "replay: DIR/a.pcap: no packet capture but text; "},
		{"an empty file", map[string]string{"a.pcap": ""}, "", "replay: nothing was read: "},
		{"a file without its whole header", map[string]string{"1590043904.eth0.pcap": string(header[:23]), "1590043906.eth0.pcap": ""},
			"warning: DIR/1590043904.eth0.pcap: cut off within its header at offset 0", "replay: nothing was read: "},
		{"a file without packets", map[string]string{"1590043904.eth0.pcap": string(header), "1590043906.eth0.pcap": ""},
			"DIR/1590043904.eth0.pcap: 0 packets read", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p := startFollow(t, dir)
			if tt.wait != "" {
				p.says(strings.ReplaceAll(tt.wait, "DIR", dir))
			}
			_, err := p.end()
			if code := cli.ExitCode(err); (code == cli.Failed) != (tt.want != "") {
				t.Errorf("exit code %d", code)
			}
			if last := p.said[len(p.said)-1]; tt.want != "" && !strings.HasPrefix(last, strings.ReplaceAll(tt.want, "DIR", dir)) {
				t.Errorf("the last line is %q, want %q", last, tt.want)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startFollow(t, file)
	p.says("replay: " + file + ": no packet capture but text")
	if _, err := p.end(); cli.ExitCode(err) != cli.Failed {
		t.Errorf("of a file that is no capture: %v, want an error", err)
	}
}

// TestFollowAnyBoundary follows a folder into which a capture is written, cut at random places: the records are those of a replay.
func TestFollowAnyBoundary(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	packets := readPackets(t, filepath.Join(pcaps, "lossy/lossy.pcap"))
	for range 3 {
		var cuts []int
		for range 5 {
			cuts = append(cuts, rng.IntN(len(packets)))
		}
		slices.Sort(cuts)
		whole, dir := t.TempDir(), t.TempDir()
		files, err := pcaptest.Format{}.WriteRotated(whole, "eth0", packets, cuts...)
		if err != nil {
			t.Fatal(err)
		}
		want, early := replayed(t, whole)
		p := startFollow(t, dir)
		for _, f := range files {
			copyFile(t, f, filepath.Join(dir, filepath.Base(f)))
		}
		p.records(early)
		p.whole(dir)
		got, err := p.end()
		if err != nil || got != want {
			t.Errorf("cut before packets %v: error %v, records differ (-want +got):\n%s", cuts, err, firstDiff(want, got))
		}
	}
}

func readPackets(t *testing.T, path string) (all []capture.Packet) {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for {
		var p capture.Packet
		if err := src.Next(t.Context(), &p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

// TestFollowRemove deletes files whose records are stored, and keeps what could not be read.
func TestFollowRemove(t *testing.T) {
	t.Parallel()
	from := filepath.Join(pcaps, "long/rotating")
	want, early := replayed(t, from)
	dir := t.TempDir()
	bad := filepath.Join(dir, "notes.pcap")
	if err := os.WriteFile(bad, []byte("This is no capture, whatever its name says.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startFollow(t, "--rm", "--workers", "2", "--sink", filepath.Join(t.TempDir(), "x.duckdb"), dir)
	p.says("notes.pcap: ")
	all := names(t, from)
	for _, name := range all {
		copyFile(t, filepath.Join(from, name), filepath.Join(dir, name))
	}
	p.records(early)
	p.whole(dir)
	if deleted := all[1] + ": 165 packets, stored and deleted"; !strings.Contains(strings.Join(p.said, "\n"), deleted) {
		p.says(deleted)
	}
	got, err := p.end()
	if cli.ExitCode(err) != 1 {
		t.Errorf("run = %v, want exit code 1 for notes.pcap", err)
	}
	if got != want {
		t.Errorf("records differ (-want +got):\n%s", firstDiff(want, got))
	}
	left := names(t, dir)
	if slices.Contains(left, all[0]) || !slices.Contains(left, all[len(all)-1]) || slices.Contains(left, all[1]) || !slices.Contains(left, "notes.pcap") {
		t.Errorf("%v are left, want the first of %v deleted, the last and notes.pcap kept", left, all)
	}
}

// TestRemoveWithoutDatabase keeps files if a sink fails.
func TestRemoveSinkFails(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	dir := t.TempDir()
	for _, name := range names(t, filepath.Join(pcaps, "long/rotating")) {
		copyFile(t, filepath.Join(pcaps, "long/rotating", name), filepath.Join(dir, name))
	}
	if err := os.Remove(filepath.Join(dir, "1795341527.eth0.pcap")); err != nil { // has no packets, so nothing waits for it
		t.Fatal(err)
	}
	before := names(t, dir)
	var talk bytes.Buffer
	err := run(t.Context(), []string{"--rm", "--sink", "jsonl:/dev/full", "--sink", filepath.Join(t.TempDir(), "x.duckdb"), dir}, nil, io.Discard, &talk)
	if cli.ExitCode(err) != 1 || !strings.Contains(talk.String(), "no space left on device") {
		t.Errorf("run = %v, want an error about /dev/full; it said:\n%s", err, talk.String())
	}
	if diff := cmp.Diff(before, names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestRemoveAll deletes all of a recording that was replayed, and of two links to one file none.
func TestRemoveAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range names(t, filepath.Join(pcaps, "long/rotating")) {
		copyFile(t, filepath.Join(pcaps, "long/rotating", name), filepath.Join(dir, name))
	}
	other := filepath.Join(t.TempDir(), "other.pcap")
	copyFile(t, filepath.Join(pcaps, "ipv6/ipv6.pcap"), other)
	if err := os.Symlink(other, filepath.Join(dir, "link.pcap")); err != nil {
		t.Fatal(err)
	}
	var talk bytes.Buffer
	if err := run(t.Context(), []string{"--rm", "--sink", filepath.Join(t.TempDir(), "x.duckdb"), dir}, nil, io.Discard, &talk); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	if diff := cmp.Diff([]string{"link.pcap"}, names(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s\n%s", diff, talk.String())
	}
	for _, want := range []string{"deleted      41 files; kept 1 file, ", "link.pcap: kept, since it is no ordinary file"} {
		if !strings.Contains(talk.String(), want) {
			t.Errorf("it said nothing of %q:\n%s", want, talk.String())
		}
	}
}

// TestFollowKilled kills replay in the middle and runs it again: the database has what one undisturbed run stores.
func TestFollowKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	databases := map[string]func(name string) database{"DuckDB": func(name string) database {
		return duckFile(filepath.Join(t.TempDir(), name+".duckdb"))
	}}
	if os.Getenv("BTCSNIFF_TEST_DATABASE_URL") != "" {
		databases["Postgres"] = func(string) database { return newPostgresSchema(t) }
	}
	from := filepath.Join(pcaps, "long/rotating")
	all := names(t, from)
	_, early := replayed(t, from)
	for kind, open := range databases {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(dir, kind, "rotating")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			undisturbed, killed := open("undisturbed"), open("killed")
			var talk bytes.Buffer
			if err := run(t.Context(), []string{"-q", "--local", "192.0.2.10", "--sink", undisturbed.url(), from}, nil, io.Discard, &talk); err != nil {
				t.Fatalf("%v\n%s", err, talk.String())
			}
			for _, name := range all[:36] {
				copyFile(t, filepath.Join(from, name), filepath.Join(dir, name))
			}
			killAfter(t, all[1]+": 165 packets, stored", "--follow", "-v", "--local", "192.0.2.10", "--sink", killed.url(), dir)
			if n := killed.count(t); n == 0 || n == undisturbed.count(t) {
				t.Errorf("%d rows stored when it was killed, want some and not all", n)
			}
			p := startFollow(t, "--sink", killed.url(), dir)
			for _, name := range all[36:] {
				copyFile(t, filepath.Join(from, name), filepath.Join(dir, name))
			}
			p.records(early)
			p.whole(dir)
			if _, err := p.end(); err != nil {
				t.Errorf("second run: %v\n%s", err, p.drain())
			}
			if diff := cmp.Diff(undisturbed.rows(t), killed.rows(t)); diff != "" {
				t.Errorf("rows (-undisturbed +killed):\n%s", diff)
			}
		})
	}
}

// killAfter runs replay in a process of its own, and kills it when it has said something.
func killAfter(t *testing.T, text string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "replay", args...)
	talk, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(talk)
	heard := false
	for !heard && in.Scan() {
		heard = strings.Contains(in.Text(), text)
	}
	if err := cmd.Process.Kill(); err != nil || !heard {
		t.Errorf("kill: %v; it said %q: %v", err, text, heard)
	}
	_ = cmd.Wait() // that it was killed
}
