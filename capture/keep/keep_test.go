package keep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/capture/keep"
)

const second = int64(time.Second)

// start is a whole hour.
const start = 1_795_341_600 * second

// A script is a source of given packets.
type script struct {
	names   []string
	packets []capture.Packet
}

func (s *script) Next(_ context.Context, p *capture.Packet) error {
	if len(s.packets) == 0 {
		return io.EOF
	}
	*p, s.packets = s.packets[0], s.packets[1:]
	return nil
}

func (s *script) Captures() (infos []capture.Info) {
	for _, n := range s.names {
		infos = append(infos, capture.Info{Name: n})
	}
	return infos
}

func (s *script) Stats() capture.Stats { return capture.Stats{} }
func (s *script) Close() error         { return nil }

func packet(at int64, of int, data string) capture.Packet {
	return capture.Packet{Data: []byte(data), Time: at, Len: len(data) + 3, Link: 1, Capture: of}
}

func beat(at int64) capture.Packet { return capture.Packet{Time: at} }

// read returns all packets of a source, with their data copied.
func read(t *testing.T, src capture.Source) (all []capture.Packet) {
	t.Helper()
	for {
		var p capture.Packet
		err := src.Next(t.Context(), &p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Data != nil {
			p.Data, p.Block = bytes.Clone(p.Data), nil
			all = append(all, p)
		}
	}
}

// files lists a folder's capture files with their packets.
func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		src, err := capture.Open([]string{filepath.Join(dir, e.Name())}, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		line := e.Name() + ":"
		for _, p := range read(t, src) {
			line += fmt.Sprintf(" %s@%d", p.Data, p.Time-start)
		}
		for _, f := range src.Stats().Files {
			if f.Warning != "" || f.Err != nil {
				line += fmt.Sprintf(" %s %v", f.Warning, f.Err)
			}
		}
		src.Close()
		out = append(out, line)
	}
	return out
}

func TestRotation(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     keep.Config
		packets []capture.Packet
		want    []string
	}{
		{"a file for each interval and capture", keep.Config{Every: 10 * time.Second, Nanos: true}, []capture.Packet{
			packet(start+1, 0, "a"), packet(start+2, 1, "b"), packet(start+10*second-1, 0, "c"), packet(start+10*second, 0, "d"),
		}, []string{"1795341600.eth0.pcap: a@1 c@9999999999", "1795341600.lo.pcap: b@2", "1795341610.eth0.pcap: d@10000000000"}},
		{"microseconds", keep.Config{}, []capture.Packet{packet(start+1999, 0, "a")}, []string{"1795341600.eth0.pcap: a@1000"}},
		{"named after the first packet", keep.Config{Every: 10 * time.Second}, []capture.Packet{packet(start+7*second, 0, "a")},
			[]string{"1795341607.eth0.pcap: a@7000000000"}},
		{"no file without a packet", keep.Config{}, []capture.Packet{beat(start), beat(start + 9*second)}, nil},
		{"packets of several queues, out of order", keep.Config{Every: 10 * time.Second}, []capture.Packet{
			packet(start+10*second, 0, "b"), packet(start+10*second-second/100, 0, "a"),
		}, []string{"1795341610.eth0.pcap: b@10000000000 a@9990000000"}},
		{"the clock was set back", keep.Config{Every: 10 * time.Second}, []capture.Packet{
			packet(start+10*second, 0, "b"), packet(start, 0, "a"),
		}, []string{"1795341600.eth0.pcap: a@0", "1795341610.eth0.pcap: b@10000000000"}},
		{"and again within one second", keep.Config{Every: 10 * time.Second}, []capture.Packet{
			packet(start+10*second, 0, "b"), packet(start, 0, "a"), packet(start+10*second, 0, "c"),
		}, []string{"1795341600.eth0.pcap: a@0", "1795341610.eth0.pcap: b@10000000000", "1795341610000.eth0.pcap: c@10000000000"}},
		{"compressed", keep.Config{Zstd: true}, []capture.Packet{packet(start, 0, "a"), packet(start+3*second, 0, "b")},
			[]string{"1795341600.eth0.pcap.zst: a@0 b@3000000000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Dir = t.TempDir()
			n := uint64(0)
			for _, p := range tt.packets {
				if p.Data != nil {
					n++
				}
			}
			k, err := keep.New(&script{[]string{"eth0", "lo"}, tt.packets}, tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			read(t, k)
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, files(t, tt.cfg.Dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if s := k.Kept(); s.Packets != n || s.Files != uint64(len(tt.want)) || s.Lost != 0 {
				t.Errorf("Kept() = %+v, want %d packets in %d files", s, n, len(tt.want))
			}
		})
	}
}

// TestFixtures keeps recorded captures and reads them again: the same packets, as one capture.
func TestFixtures(t *testing.T) {
	for _, name := range []string{"long/formats/nano.pcap", "long/formats/any-sll2.pcap", "long/rotating", "long/formats/snaplen96.pcap"} {
		for _, zip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s zstd=%v", name, zip), func(t *testing.T) {
				open := func(path string) []capture.Packet {
					src, err := capture.Open([]string{path}, capture.Options{})
					if err != nil {
						t.Fatal(err)
					}
					defer src.Close()
					return read(t, src)
				}
				path := filepath.Join("../../testdata/pcaps", name)
				src, err := capture.Open([]string{path}, capture.Options{})
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				k, err := keep.New(src, keep.Config{Dir: dir, Every: 20 * time.Second, Nanos: true, Zstd: zip})
				if err != nil {
					t.Fatal(err)
				}
				read(t, k)
				if err := k.Close(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(open(path), open(dir)); diff != "" {
					t.Errorf("packets (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestCrash looks at files that nobody completed: what a heartbeat handed over is there, and can be read.
func TestCrash(t *testing.T) {
	for _, zip := range []bool{false, true} {
		t.Run(fmt.Sprintf("zstd=%v", zip), func(t *testing.T) {
			dir := t.TempDir()
			k, err := keep.New(&script{[]string{"eth0"}, []capture.Packet{
				packet(start, 0, "a"), packet(start+1, 0, "b"), beat(start + second),
			}}, keep.Config{Dir: dir, Nanos: true, Zstd: zip})
			if err != nil {
				t.Fatal(err)
			}
			read(t, k)
			for k.Kept().Packets < 2 {
				select { // the writer writes when it can
				case <-t.Context().Done():
				case <-time.After(time.Millisecond):
				}
			}
			got := strings.Join(files(t, dir), "\n")
			if !strings.Contains(got, " a@0 b@1") {
				t.Errorf("files: %s, want both packets", got)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestBroken takes the folder away: packets are counted as lost, the source goes on, and files are made again when they can be.
func TestBroken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	problems := make(chan error, 10)
	k, err := keep.New(&script{[]string{"eth0"}, []capture.Packet{
		packet(start, 0, "a"), packet(start+1, 0, "b"), packet(start+10*second, 0, "c"), beat(start + 11*second), packet(start+20*second, 0, "d"),
	}}, keep.Config{Dir: dir, Every: 10 * time.Second, Nanos: true, Problem: func(err error) { problems <- err }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	var p capture.Packet
	for range 4 {
		if err := k.Next(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := <-problems; !strings.Contains(err.Error(), dir) {
			t.Errorf("problem %v, want one that names %s", err, dir)
		}
	}
	for k.Kept().Lost < 3 {
		<-time.After(time.Millisecond)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	read(t, k)
	if err := k.Close(); err == nil {
		t.Error("Close() = nil, want the first problem")
	}
	if diff := cmp.Diff([]string{"1795341620.eth0.pcap: d@20000000000"}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if s := k.Kept(); s.Lost != 3 || s.Packets != 1 || s.Broken != 2 {
		t.Errorf("Kept() = %+v, want 3 packets lost, 1 written, 2 files broken", s)
	}
	if _, err := keep.New(nil, keep.Config{Dir: "/proc/1/nothing"}); err == nil {
		t.Error("New in a folder that can't be written to = nil error")
	}
}

// An endless source repeats one packet.
type endless struct {
	script
	p capture.Packet
}

func (e *endless) Next(_ context.Context, p *capture.Packet) error {
	e.p.Time += 1000
	*p = e.p
	return nil
}

func TestNoAllocation(t *testing.T) {
	src := &endless{script: script{names: []string{"eth0"}}, p: packet(start, 0, strings.Repeat("x", 1000))}
	k, err := keep.New(src, keep.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	var p capture.Packet
	next := func() {
		if err := k.Next(context.Background(), &p); err != nil {
			t.Fatal(err)
		}
	}
	for range 10_000 { // all chunks are made
		next()
	}
	if n := testing.AllocsPerRun(5_000, next); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}
