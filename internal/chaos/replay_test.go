package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"btcsniff/internal/pcaptest"
)

// A disaster is something that happens to a database. It returns once that is over, or will be by itself.
type disaster struct {
	name string
	does func(t *testing.T, s *Server, p *Proxy, r *rand.Rand)
}

var disasters = []disaster{
	{"the server is killed", func(t *testing.T, s *Server, _ *Proxy, r *rand.Rand) {
		s.Kill(t)
		upTo(r, 300*time.Millisecond)
		s.Wait(t)
	}},
	{"one of its processes is killed", func(t *testing.T, s *Server, _ *Proxy, r *rand.Rand) {
		s.KillOne(r)
		s.Wait(t)
	}},
	{"it is stopped and started", func(t *testing.T, s *Server, _ *Proxy, r *rand.Rand) {
		s.Stop(t, []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}[r.IntN(2)])
		upTo(r, 500*time.Millisecond)
		s.Wait(t)
	}},
	{"connections are cut", func(_ *testing.T, _ *Server, p *Proxy, _ *rand.Rand) { p.Cut() }},
	{"one is cut in the middle of a message", func(_ *testing.T, _ *Server, p *Proxy, r *rand.Rand) { p.CutAfter(r.IntN(300_000)) }},
	{"one is cut before COMMIT", func(_ *testing.T, _ *Server, p *Proxy, _ *rand.Rand) { p.CutAtCommit(false) }},
	{"one is cut before the answer to COMMIT", func(_ *testing.T, _ *Server, p *Proxy, _ *rand.Rand) { p.CutAtCommit(true) }},
	{"nothing gets through for a while", func(_ *testing.T, _ *Server, p *Proxy, r *rand.Rand) {
		p.Hold()
		upTo(r, 800*time.Millisecond)
		p.Go()
	}},
}

// recording makes a capture of some minutes, in several files, so that it is stored in many batches.
func recording(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "eth0.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pcaptest.Bulk(f, pcaptest.BulkConfig{Seed: 7, Peers: 20, Rate: 60, Duration: 5 * time.Minute}, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// finish waits for replay's end. One that met the disaster before it had opened the database has said so and ended: it is
// started again, as its user would.
func finish(t *testing.T, s *Server, p *process, args []string) {
	t.Helper()
	for range 10 {
		select {
		case <-p.done:
		case <-time.After(2 * patience):
			t.Fatalf("replay doesn't end:\n%s", p.text())
		}
		if said := p.text(); p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said, "57P0") && !strings.Contains(said, "can't connect") &&
			!strings.Contains(said, "unexpected EOF") && !strings.Contains(said, "closed") && !strings.Contains(said, "reset") {
			break
		}
		s.Wait(t)
		p = start(t, "replay", args...)
	}
	p.end(0)
}

// TestReplay breaks the database while replay writes to it, and kills replay and starts it again: the rows are those of an undisturbed
// run. Some rounds have two at once on the same files.
func TestReplay(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	r := random(t)
	dir := recording(t)
	const lanes = 3
	for lane := range lanes {
		mine := rand.New(rand.NewPCG(r.Uint64(), 2))
		t.Run(fmt.Sprint("lane ", lane), func(t *testing.T) {
			t.Parallel()
			replayOften(t, mine, dir, (rounds(t)+lanes-1)/lanes)
		})
	}
}

// replayOften replays what is in dir into a new schema for each round, with a server of its own.
func replayOften(t *testing.T, r *rand.Rand, dir string, rounds int) {
	s := NewServer(t)
	p := NewProxy(t, s)
	args := func(url string) []string {
		return []string{"-q", "--local", "192.0.2.10", "--local", "2001:db8::10", "--sink", url, dir}
	}
	db := s.Connect(t)
	start(t, "replay", args(schema(t, db, s.URL(), "truth"))...).end(0)
	want := stored(t, db, "truth")
	for n := range rounds {
		name := fmt.Sprintf("round%d", n)
		url := schema(t, s.Connect(t), p.URL(), name)
		began := time.Now()
		story := replayRound(t, s, p, r, args(url), n%5 == 4)
		ended := time.Now()
		p.arm(cut{})
		db := s.Connect(t)
		equal(t, name+": "+strings.Join(story, ", "), want, stored(t, db, name))
		if _, err := db.Exec(t.Context(), "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s: %.1f s, then %.1f s", name, strings.Join(story, ", "), ended.Sub(began).Seconds(), time.Since(ended).Seconds())
		if t.Failed() {
			return
		}
	}
}

// replayRound runs replay to its end, or two of them, and breaks something meanwhile.
func replayRound(t *testing.T, s *Server, p *Proxy, r *rand.Rand, args []string, two bool) (story []string) {
	t.Helper()
	first := start(t, "replay", args...)
	var second *process
	if two {
		story = append(story, "two processes")
		second = start(t, "replay", args...)
	}
	for range 1 + r.IntN(2) {
		upTo(r, 300*time.Millisecond)
		if r.IntN(2) == 0 {
			story = append(story, "replay is killed")
			first.kill()
			first = start(t, "replay", args...)
			continue
		}
		d := disasters[r.IntN(len(disasters))]
		story = append(story, d.name)
		d.does(t, s, p, r)
	}
	finish(t, s, first, args)
	if second != nil {
		finish(t, s, second, args)
	}
	return story
}
