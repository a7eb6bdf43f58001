package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/cli"
	"btcsniff/internal/netlab"
	"btcsniff/internal/pipeline"
	"btcsniff/sink"
)

// program makes the test program be sniff itself.
const program = "BTCSNIFF_TEST_IS_SNIFF"

func TestMain(m *testing.M) {
	if os.Getenv(program) != "" {
		main()
	}
	os.Exit(netlab.Run(m))
}

const pcaps = "../../testdata/pcaps"

// packets reads a fixture, which must be of Ethernet frames that are there as a whole.
func packets(t *testing.T, name string) (all []capture.Packet) {
	t.Helper()
	src := openFiles(t, filepath.Join(pcaps, name))
	for {
		var p capture.Packet
		err := src.Next(t.Context(), &p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Link != 1 || p.Len != len(p.Data) {
			t.Fatalf("%s: packet of link type %d with %d of %d bytes can't be sent", name, p.Link, len(p.Data), p.Len)
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

func openFiles(t *testing.T, path string) capture.Source {
	t.Helper()
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// replay returns the records of capture files as lines, as the command replay would write them.
func replay(t *testing.T, path string, opt *options) []string {
	t.Helper()
	var out bytes.Buffer
	q := sink.NewQueue(t.Context(), sink.NewJSON(&out), sink.QueueOptions{Mixed: true})
	_, err := pipeline.Run(t.Context(), openFiles(t, path), pipeline.Config{Sensor: opt.Sensor, Local: opt.Local, Outputs: []*sink.Queue{q}})
	if err := errors.Join(err, q.Close()); err != nil {
		t.Fatal(err)
	}
	return lines(out.String())
}

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }

// timeless removes what is different when the same packets are captured again, and sorts: connections may close in another order.
func timeless(t *testing.T, records []string) []string {
	t.Helper()
	var out []string
	for _, line := range records {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"seen_at", "first_byte_at", "conn", "opened_at", "closed_at", "handshake_rtt_us"} {
			delete(r, key)
		}
		if _, ok := r["rtt_us"]; ok {
			r["rtt_us"] = "some"
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

// compare shows the first few lines that differ.
func compare(t *testing.T, what string, want, got []string) {
	t.Helper()
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	if len(want) < 10 {
		t.Errorf("%s: only %d lines to compare with", what, len(want))
	}
	if i < len(want) || i < len(got) {
		t.Errorf("%s: %d lines, want %d; from line %d on (-want +got):\n%s", what, len(got), len(want), i,
			cmp.Diff(want[i:min(i+3, len(want))], got[i:min(i+3, len(got))]))
	}
}

// A sniffer is a running sniff.
type sniffer struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	said   chan string // lines on standard error
	all    []string    // those that were taken from said
}

// start starts sniff with arguments and waits until it listens. prepare may change how.
func start(t *testing.T, prepare func(*exec.Cmd), args ...string) *sniffer {
	t.Helper()
	s := &sniffer{t: t, said: make(chan string, 1000)}
	s.cmd = exec.Command(os.Args[0], args...)
	s.cmd.Env = append(os.Environ(), program+"=yes")
	s.cmd.Stdout = &s.stdout
	if prepare != nil {
		prepare(s.cmd)
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // it has ended, mostly
	go func() {
		defer close(s.said)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			s.said <- in.Text()
		}
	}()
	return s
}

// expect waits for a line with the text and returns it.
func (s *sniffer) expect(text string) string {
	s.t.Helper()
	for line := range s.said {
		s.all = append(s.all, line)
		if strings.Contains(line, text) {
			return line
		}
	}
	s.t.Fatalf("sniff said no %q:\n%s", text, strings.Join(s.all, "\n"))
	return ""
}

func (s *sniffer) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for sniff's end and returns its exit code, -1 after a signal, and what it said in all.
func (s *sniffer) end() (code int, said string) {
	s.t.Helper()
	for line := range s.said {
		s.all = append(s.all, line)
	}
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode(), strings.Join(s.all, "\n")
}

// stop ends sniff as an operator does, and checks that all is well.
func (s *sniffer) stop() (said string) {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	code, said := s.end()
	if code != 0 || !strings.Contains(said, "ledger       closes") {
		s.t.Errorf("exit code %d, want 0, and a ledger that closes:\n%s", code, said)
	}
	return said
}

const local = "192.0.2.0/24"

// TestRecords sends recorded captures over a network and compares the records with those of the recording, and with those of
// the files that sniff kept.
func TestRecords(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	for _, name := range []string{"mainnet/mainnet-handshakes.pcap", "ipv6/ipv6.pcap", "midstream/midstream.pcap", "v2/v2-and-v1.pcap", "other/other.pcap"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			sent := packets(t, name)
			opt, err := parseFlags([]string{"-i", "right", "--sensor", "here", "--local", local})
			if err != nil {
				t.Fatal(err)
			}
			s := start(t, nil, "-i", "right", "--sensor", "here", "--local", local, "-w", dir, "-G", "1", "-c", fmt.Sprint(len(sent)),
				"--sink", "jsonl:-")
			s.expect("listening on right")
			netlab.Send(t, "left", sent)
			code, said := s.end()
			if code != 0 || !strings.Contains(said, "ledger       closes") {
				t.Fatalf("exit code %d, want 0:\n%s", code, said)
			}
			got := lines(s.stdout.String())
			compare(t, "records of the kept files", got, replay(t, dir, opt))
			compare(t, "records of the recording, without times", timeless(t, replay(t, filepath.Join(pcaps, name), opt)), timeless(t, got))
		})
	}
}

// TestStoredOnce stores a live run in a database, and then the files that it kept: nothing is added.
func TestStoredOnce(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	dir := t.TempDir()
	db := filepath.Join(t.TempDir(), "x.duckdb")
	sent := packets(t, "ipv6/ipv6.pcap")
	s := start(t, nil, "-i", "right", "--sensor", "here", "--local", local, "-w", dir, "--zstd", "--sink", db)
	s.expect("listening on right")
	netlab.Send(t, "left", sent)
	if said := s.stop(); !strings.Contains(said, "931 packets in 1 file") || !strings.Contains(said, "931 read: 931 TCP") {
		t.Errorf("not all packets that were sent before the signal are there:\n%s", said)
	}

	target, err := cli.ParseTarget(db)
	if err != nil {
		t.Fatal(err)
	}
	to, err := target.Open(t.Context(), io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	opt, err := parseFlags([]string{"--local", local})
	if err != nil {
		t.Fatal(err)
	}
	q := sink.NewQueue(t.Context(), to, sink.QueueOptions{MaxAge: time.Minute})
	_, err = pipeline.Run(t.Context(), openFiles(t, dir), pipeline.Config{Sensor: "here", Local: opt.Local, Outputs: []*sink.Queue{q}})
	if err := errors.Join(err, q.Close()); err != nil {
		t.Fatal(err)
	}
	if st := q.Stats(); st.Added != 0 || st.Stored < 590 {
		t.Errorf("%d records added, %d stored already, want none and all", st.Added, st.Stored)
	}
}

// TestTwoInterfaces captures on two interfaces at once, and on any.
func TestTwoInterfaces(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	netlab.Pair(t, "top", "bottom")
	a, b := packets(t, "ipv6/ipv6.pcap"), packets(t, "mainnet/mainnet-handshakes.pcap")
	for _, tt := range []struct {
		name  string
		args  []string
		files int
	}{
		{"two", []string{"-i", "right", "-i", "bottom"}, 2},
		{"any", []string{"-i", "any", "inbound"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"--sensor", "here", "--local", local, "-w", dir, "--sink", "jsonl:-"}
			opt, err := parseFlags(args)
			if err != nil {
				t.Fatal(err)
			}
			s := start(t, nil, slices.Concat(args, tt.args)...)
			s.expect("listening on")
			for i := 0; i < max(len(a), len(b)); i += 20 {
				netlab.Send(t, "left", a[min(i, len(a)):min(i+20, len(a))])
				netlab.Send(t, "top", b[min(i, len(b)):min(i+20, len(b))])
			}
			said := s.stop()
			if want := fmt.Sprintf("%d packets in %d file", len(a)+len(b), tt.files); !strings.Contains(strings.ReplaceAll(said, ",", ""), want) {
				t.Errorf("sniff did not say %q:\n%s", want, said)
			}
			got := lines(s.stdout.String())
			slices.Sort(got)
			again := replay(t, dir, opt)
			slices.Sort(again)
			compare(t, "records of the kept files", got, again)
			want := slices.Concat(replay(t, filepath.Join(pcaps, "ipv6/ipv6.pcap"), opt), replay(t, filepath.Join(pcaps, "mainnet/mainnet-handshakes.pcap"), opt))
			compare(t, "records of the recordings, without times", timeless(t, want), timeless(t, got))
		})
	}
}

// folder is one that everybody may write to.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sniff")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// needRoot skips a test that has to become another user.
func needRoot(t *testing.T) {
	t.Helper()
	netlab.Need(t)
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || os.Geteuid() != 0 || strings.Join(strings.Fields(string(users)), " ") != "0 0 4294967295" {
		t.Skip("needs root, to become another user")
	}
}

const nobody = 65534 // the user's number on Debian

// TestDropRoot looks at a sniff that became nobody: it has no rights any more, makes its files as nobody, and captures on.
func TestDropRoot(t *testing.T) {
	needRoot(t)
	netlab.Pair(t, "left", "right")
	dir := folder(t)
	sent := packets(t, "ipv6/ipv6.pcap")
	s := start(t, nil, "-i", "right", "-Z", "nobody", "-w", dir, "--sink", "jsonl:"+filepath.Join(dir, "records.jsonl"))
	s.expect("listening on right")
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		id := identity{uid: nobody, gid: nobody}
		if err := id.verifyThread(string(b)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if !strings.Contains(string(b), fmt.Sprintf("\nGroups:\t%d \n", nobody)) {
			t.Errorf("%s has other groups:\n%s", path, b)
		}
	}
	netlab.Send(t, "left", sent)
	if said := s.stop(); !strings.Contains(said, "931 packets in 1 file") {
		t.Errorf("not all packets were kept:\n%s", said)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d files, %v, want 2", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != nobody || info.Size() == 0 {
			t.Errorf("%s is %d's, of %d bytes, want %d's", e.Name(), owner, info.Size(), nobody)
		}
	}
}

// Without root an interface that went away can't be opened again, and sniff says so.
func TestLostAfterDrop(t *testing.T) {
	needRoot(t)
	netlab.Pair(t, "left", "right")
	s := start(t, nil, "-i", "right", "-Z", "nobody", "--sink", "null:")
	s.expect("listening on right")
	netlab.IP(t, "link del left")
	s.expect("warning: capturing on right ended")
	netlab.Pair(t, "left", "right")
	code, said := s.end()
	if code != 1 || !strings.Contains(said, "sniff: right went away and can't be opened again without root") {
		t.Errorf("exit code %d, want 1 and why:\n%s", code, said)
	}
}

// As nobody, with the capability alone, everything works, also opening an interface again.
func TestCapability(t *testing.T) {
	needRoot(t)
	netlab.Pair(t, "left", "right")
	const capNetRaw = 13 // linux/capability.h
	copied := filepath.Join(folder(t), "sniff")
	program, err := os.ReadFile(os.Args[0]) // the folder of the original is root's
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	become := func(caps ...uintptr) func(*exec.Cmd) {
		return func(cmd *exec.Cmd) {
			cmd.Path, cmd.Dir = copied, filepath.Dir(copied)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps}
		}
	}
	s := start(t, become(), "-i", "right", "--sink", "null:")
	if code, said := s.end(); code != 1 || said != "sniff: interface right: permission denied: capturing needs the capability CAP_NET_RAW: run it as root "+
		"(-Z drops root afterwards), or allow the program once with: setcap cap_net_raw+ep PROGRAM" {
		t.Errorf("without rights: exit code %d:\n%s", code, said)
	}
	s = start(t, become(capNetRaw), "-i", "right", "-Z", "daemon", "--sink", "null:")
	if code, said := s.end(); code != 1 || !strings.Contains(said, "-Z daemon: only root can become another user") {
		t.Errorf("-Z without root: exit code %d:\n%s", code, said)
	}
	s = start(t, become(capNetRaw), "-i", "right", "--sink", "null:")
	s.expect("listening on right")
	netlab.IP(t, "link del left")
	s.expect("warning: capturing on right ended")
	netlab.Pair(t, "left", "right")
	s.expect("right is back: nothing was captured on it for ")
	netlab.Send(t, "left", packets(t, "ipv6/ipv6.pcap"))
	if said := s.stop(); !strings.Contains(said, "931 read: 931 TCP") || !strings.Contains(said, "; down 1 time, ") {
		t.Errorf("not all packets were captured, or the time in between is not in the summary:\n%s", said)
	}
}

// TestKilled looks at what there is while sniff runs and after it was killed: records come in good time, and the files that were
// kept can be read.
func TestKilled(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	dir, records := t.TempDir(), filepath.Join(t.TempDir(), "records.jsonl")
	s := start(t, nil, "-i", "right", "--sensor", "here", "--local", local, "-w", dir, "--sink", "jsonl:"+records)
	s.expect("listening on right")
	sent := packets(t, "ipv6/ipv6.pcap")
	netlab.Send(t, "left", sent)
	var got []byte
	for bytes.Count(got, []byte(`"record":"inv"`)) < 271 || !strings.Contains(s.expect("status: "), "; 931 packets in 1 file") {
		<-time.After(10 * time.Millisecond)
		s.signal(syscall.SIGUSR1)
		var err error
		if got, err = os.ReadFile(records); err != nil {
			t.Fatal(err)
		}
	}
	s.signal(syscall.SIGKILL)
	s.end()
	opt, err := parseFlags([]string{"--sensor", "here", "--local", local})
	if err != nil {
		t.Fatal(err)
	}
	again := replay(t, dir, opt)
	compare(t, "records of the recording, without times", timeless(t, replay(t, filepath.Join(pcaps, "ipv6/ipv6.pcap"), opt)), timeless(t, again))
	for i, line := range lines(string(got)) {
		if !slices.Contains(again, line) {
			t.Fatalf("record %d is not among those of the kept file: %s", i, line)
		}
	}
}

// TestStatus asks for the line of status.
func TestStatus(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	s := start(t, nil, "-i", "right", "--sink", "null:", "-w", t.TempDir())
	s.expect("listening on right")
	s.signal(syscall.SIGUSR1)
	if line := s.expect("status: "); !strings.Contains(line, "; right 0 packets; null:: 0 records stored; 0 packets in 0 files, 0.0 MB") {
		t.Errorf("status: %s", line)
	}
	s.stop()
}

// A second signal stops at once, whatever sniff waits for: here a pipe that nobody reads.
func TestSecondSignal(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, nil, "-i", "right", "--sink", "jsonl:"+pipe)
	s.expect("listening on right")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if code, _ := s.end(); code != -1 {
			t.Errorf("exit code %d, want an end by the second signal", code)
		}
	}()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		}
	}
}

// What ends a run by itself.
func TestEnds(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	var out, said strings.Builder
	err := run(t.Context(), []string{"-i", "right", "--duration", "300ms", "--sink", "jsonl:-"}, nil, &out, &said)
	if err != nil || !strings.Contains(said.String(), "ledger       closes") {
		t.Errorf("--duration: %v:\n%s", err, said.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	said.Reset()
	if err := run(ctx, []string{"-i", "right", "--sink", "null:"}, nil, &out, &said); err != nil {
		t.Errorf("a signal at once: %v:\n%s", err, said.String())
	}
}

// TestErrors runs sniff where it can't work: one line each, and the exit code.
func TestErrors(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	for _, tt := range []struct {
		name, args, want string
		code             int
	}{
		{"no such interface", "-i nope --sink null:", "sniff: no interface nope: there are ", 1},
		{"bad filter", "-i right --sink null: tcp prot 8333", `sniff: filter "tcp prot 8333": can't parse filter expression: syntax error`, 2},
		{"no folder", "-i right --sink null: -w /nonexistent/folder", "sniff: listening", 1},
		{"no such user", "-i right --sink null: -Z nosuchuser", "sniff: -Z nosuchuser: there is no such user", 1},
		{"root stays root", "-i right --sink null: -Z root", "sniff: -Z root: that is root, which -Z is to drop: name another user", 1},
		{"sink", "-i right --sink jsonl:/nonexistent/file", "sniff: open /nonexistent/file: no such file or directory", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, said strings.Builder
			err := run(t.Context(), strings.Fields(tt.args), nil, &out, &said)
			all := lines(said.String())
			last := all[len(all)-1]
			if tt.name == "no folder" {
				tt.want = "sniff: keep packets in /nonexistent/folder: no such file or directory: make the folder"
			}
			if cli.ExitCode(err) != tt.code || !strings.HasPrefix(last, tt.want) {
				t.Errorf("sniff %s: exit code %d, %q, want %d, %q", tt.args, cli.ExitCode(err), last, tt.code, tt.want)
			}
		})
	}
}
