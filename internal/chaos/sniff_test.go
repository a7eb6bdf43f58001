package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"btcsniff/sink/spool"
)

// TestSniff breaks the database, again and again, while sniff writes to it: all records are stored, once.
func TestSniff(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	r := random(t)
	s := NewServer(t)
	p := NewProxy(t, s)
	w, iface := newTraffic(t, 0)
	dir := t.TempDir()
	lines := filepath.Join(dir, "records.jsonl")
	url := schema(t, s.Connect(t), p.URL(), "live")
	s.Stop(t, syscall.SIGINT) // it is away also at the start
	sniff := start(t, "sniff", "-i", iface, "--sensor", "here", "--local", local, "--spool", filepath.Join(dir, "spool"), "--sink", url, "--sink", "jsonl:"+lines)
	sniff.expect("until it can be reached")
	w.during(5, func() {
		for range rounds(t) {
			upTo(r, 400*time.Millisecond)
			disasters[r.IntN(len(disasters))].does(t, s, p, r)
		}
		upTo(r, 500*time.Millisecond)
	})
	p.arm(cut{})
	s.Wait(t)
	said := sniff.stop(0)
	want, blind := written(t, lines)
	equal(t, "records", want, stored(t, s.Connect(t), "live"))
	if len(blind) > 0 {
		t.Errorf("blind times: %s", blind)
	}
	if !strings.Contains(said, "are kept in") {
		t.Errorf("nothing was ever kept on disk:\n%s", said)
	}
}

// nonces are the pings' nonces in a schema, of one sensor, in the order in which they were captured.
func nonces(t *testing.T, db *pgx.Conn, schema, sensor string) (list []uint64) {
	t.Helper()
	rows, err := db.Query(context.Background(), fmt.Sprintf(`SELECT nonce::bigint FROM %[1]s.ping p JOIN %[1]s.capture c ON c.id = p.capture
		JOIN %[1]s.sensor s ON s.id = c.sensor WHERE s.name = $1 ORDER BY seen_at, nonce`, schema), sensor)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = pgx.CollectRows(rows, pgx.RowTo[uint64]); err != nil {
		t.Fatal(err)
	}
	return list
}

// mayLose is how much of what was captured before a kill may be lost: a batch that is being filled (1 s), what the kernel gathers
// (0.1 s), and a batch on its way to the database or the disk; the rest is for a busy machine.
const mayLose = 2500 * time.Millisecond

// TestSniffKilled kills sniff, again and again, while the database comes and goes. What was stored or kept on disk is stored once in the
// end; of each run nothing is missing but its last moments.
func TestSniffKilled(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	r := random(t)
	s := NewServer(t)
	db := s.Connect(t)
	url := schema(t, db, s.URL(), "live")
	const lanes = 5
	var all sync.WaitGroup
	var checks [lanes]func(*pgx.Conn) // made when the database is left in peace
	for lane := range lanes {
		w, iface := newTraffic(t, 1+lane)
		waits := []time.Duration{mayLose + 1500*time.Millisecond} // of one, something is stored for sure
		for range (rounds(t)+lanes-1)/lanes - 1 {
			waits = append(waits, 200*time.Millisecond+time.Duration(r.Int64N(int64(3500*time.Millisecond))))
		}
		all.Go(func() { checks[lane] = killOften(t, w, iface, url, fmt.Sprint("sensor", lane), waits) })
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		all.Wait()
	}()
	for done := false; !done; {
		upTo(r, 2*time.Second)
		s.Kill(t)
		upTo(r, 2*time.Second)
		s.Wait(t)
		select {
		case <-gone:
			done = true
		default:
		}
	}
	db = s.Connect(t)
	for _, check := range checks {
		if check != nil {
			check(db)
		}
	}
}

// killOften starts and kills sniff, and returns what looks at what is stored in the end; nil if that can't be told.
func killOften(t *testing.T, w *traffic, iface, url, sensor string, waits []time.Duration) (check func(*pgx.Conn)) {
	dir := filepath.Join(t.TempDir(), "spool")
	args := []string{"-i", iface, "--sensor", sensor, "--local", local, "--spool", dir, "--sink", url}
	var runs []killed
	kept := uint64(0)
	w.during(2, func() {
		for _, wait := range waits {
			sniff := start(t, "sniff", args...)
			sniff.expect("listening on")
			this := killed{first: w.n.Load() + 1}
			select {
			case <-time.After(max(0, wait-mayLose)):
			case <-sniff.done:
			}
			if wait > mayLose {
				this.sure = w.n.Load()
			}
			<-time.After(min(wait, mayLose))
			sniff.kill()
			this.last = w.n.Load()
			runs = append(runs, this)
			for _, o := range spool.Others(dir, nil) {
				kept += o.Records
			}
		}
	})
	// The last run stores what is left.
	last := start(t, "sniff", args...)
	last.expect("listening on")
	for deadline := time.Now().Add(patience); len(spool.Others(dir, nil)) > 0 || left(dir); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s: records still wait:\n%s", sensor, last.text())
			return nil
		}
	}
	last.stop(0)
	return func(db *pgx.Conn) { wantOnce(t, sensor, runs, nonces(t, db, "live", sensor), kept) }
}

// A killed is what was sent while one run of sniff listened: messages from first to last, and up to sure a while before the kill.
type killed struct{ first, last, sure uint64 }

// wantOnce checks that each message is stored once at most, and that of each run nothing is missing but its last moments.
func wantOnce(t *testing.T, sensor string, runs []killed, got []uint64, kept uint64) {
	t.Helper()
	seen := map[uint64]bool{}
	for _, n := range got {
		if seen[n] {
			t.Errorf("%s: message %d is stored twice", sensor, n)
		}
		seen[n] = true
	}
	lost := 0
	for i, k := range runs {
		end := uint64(0) // the first message of the run that is missing
		for n := k.first; n <= k.last; n++ {
			switch {
			case !seen[n] && end == 0:
				end = n
			case seen[n] && end != 0:
				t.Fatalf("%s, run %d: message %d is stored, %d before it is not", sensor, i, n, end)
			}
			if !seen[n] {
				lost++
			}
		}
		if end != 0 && end <= k.sure {
			t.Errorf("%s, run %d: message %d is missing, sent long before the kill: the run's are %d to %d, and %d should be stored", sensor, i, end, k.first, k.last, k.sure)
		}
	}
	t.Logf("%s: %d runs, %d messages stored, %d lost in their last moments, %d records found on disk after kills", sensor, len(runs), len(got), lost, kept)
	if len(got) == 0 {
		t.Errorf("%s: nothing is stored", sensor)
	}
}

// left says whether there are files in a spool's folder.
func left(dir string) bool {
	list, _ := filepath.Glob(filepath.Join(dir, "*", "*.spool")) // the pattern is a good one
	return len(list) > 0
}

// TestFullDisk has a spool on a disk that is full while the database is away: sniff says so, waits, and loses nothing.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	s := NewServer(t)
	w, iface := newTraffic(t, 10)
	w.rich = true
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("needs to mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	lines := filepath.Join(dir, "records.jsonl")
	url := schema(t, s.Connect(t), s.URL(), "live")
	sniff := start(t, "sniff", "-i", iface, "--sensor", "here", "--local", local, "--spool", disk, "--sink", url, "--sink", "jsonl:"+lines)
	sniff.expect("listening on")
	w.during(20, func() {
		<-time.After(time.Second)
		s.Stop(t, syscall.SIGINT)
		sniff.expect("no space left on device: nothing can be kept there")
		<-time.After(2 * time.Second)
		s.Wait(t)
		sniff.expect("has all that was kept in spool")
		<-time.After(time.Second)
	})
	said := sniff.stop(0)
	want, blind := written(t, lines)
	equal(t, "records", want, stored(t, s.Connect(t), "live"))
	if len(blind) > 0 {
		t.Errorf("blind times: %s", blind)
	}
	if !strings.Contains(said, "dropped: 0 by the kernel") {
		t.Errorf("packets were dropped:\n%s", said)
	}
}

// TestFullSpool has a database that is away for longer than the spool holds: what is missing is counted, and the time is in the table.
func TestFullSpool(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	s := NewServer(t)
	w, iface := newTraffic(t, 11)
	w.rich = true
	dir := t.TempDir()
	lines := filepath.Join(dir, "records.jsonl")
	url := schema(t, s.Connect(t), s.URL(), "live")
	sniff := start(t, "sniff", "-i", iface, "--sensor", "here", "--local", local, "--spool", filepath.Join(dir, "spool"), "--spool-size", "100k",
		"--sink", url, "--sink", "jsonl:"+lines)
	sniff.expect("listening on")
	w.during(20, func() {
		<-time.After(time.Second)
		s.Stop(t, syscall.SIGINT)
		sniff.expect("RECORDS ARE LOST from")
		<-time.After(2 * time.Second)
		s.Wait(t)
		sniff.expect("records were lost, from")
		<-time.After(1500 * time.Millisecond)
	})
	said := sniff.stop(0)
	if !strings.Contains(said, "LOST while the database took none") {
		t.Errorf("the summary doesn't tell of the loss:\n%s", said)
	}
	db := s.Connect(t)
	want, _ := written(t, lines)
	got := stored(t, db, "live")
	var lost, dropped int64
	var from, to time.Time
	if err := db.QueryRow(t.Context(), `SELECT sum(b.records)::bigint, min(from_at), max(to_at), max(c.ledger->>'records_dropped')::bigint
		FROM blind b JOIN capture c ON c.id = b.capture WHERE reason = 'spool full'`).Scan(&lost, &from, &to, &dropped); err != nil {
		t.Fatal(err)
	}
	if int64(len(want)-len(got)) != lost || lost == 0 || dropped != lost {
		t.Errorf("%d records of %d are stored, the table blind has %d that are missing, the ledger %d", len(got), len(want), lost, dropped)
	}
	// Exactly those that were seen in that time are missing.
	in := 0
	for i, j := 0, 0; i < len(want); i++ {
		if j < len(got) && got[j] == want[i] {
			j++
			continue
		}
		in++
		fields := strings.Fields(want[i])
		var us int64
		if _, err := fmt.Sscan(fields[1], &us); err != nil {
			t.Fatal(err)
		}
		if at := time.UnixMicro(us); at.Before(from) || at.After(to) {
			t.Fatalf("missing outside of the blind time from %v to %v: %s", from, to, want[i])
		}
	}
	if int64(in) != lost {
		t.Errorf("%d records are missing, and what is stored instead was never seen", in)
	}
}

// TestTwice starts sniff twice by mistake: on the same folder the second one ends and says why; with a folder of its own, both store the
// same records, once.
func TestTwice(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	s := NewServer(t)
	w, iface := newTraffic(t, 12)
	dir := t.TempDir()
	lines := filepath.Join(dir, "records.jsonl")
	url := schema(t, s.Connect(t), s.URL(), "live")
	args := []string{"-i", iface, "--sensor", "here", "--local", local, "--sink", url, "--spool"}
	first := start(t, "sniff", append(args, filepath.Join(dir, "spool"), "--sink", "jsonl:"+lines)...)
	first.expect("listening on")
	second := start(t, "sniff", append(args, filepath.Join(dir, "other"))...)
	second.expect("listening on")
	third := start(t, "sniff", append(args, filepath.Join(dir, "spool"))...)
	if said := third.end(1); !strings.Contains(said, "another sniff uses it: give each its own with --spool") {
		t.Errorf("two on the same folder:\n%s", said)
	}
	w.during(5, func() {
		<-time.After(time.Second)
		s.Kill(t)
		<-time.After(time.Second)
		s.Wait(t)
		<-time.After(time.Second)
	})
	_ = second.cmd.Process.Signal(syscall.SIGTERM)
	first.stop(0)
	second.end(0)
	want, _ := written(t, lines)
	equal(t, "records", want, stored(t, s.Connect(t), "live"))
}

// TestSoak runs sniff for a while with a database that is restarted now and then, and looks at its memory.
func TestSoak(t *testing.T) {
	t.Parallel()
	netlabNeed(t)
	r := random(t)
	s := NewServer(t)
	p := NewProxy(t, s)
	w, iface := newTraffic(t, 13)
	dir := t.TempDir()
	lines := filepath.Join(dir, "records.jsonl")
	url := schema(t, s.Connect(t), p.URL(), "live")
	sniff := start(t, "sniff", "-i", iface, "--sensor", "here", "--local", local, "--spool", filepath.Join(dir, "spool"), "--sink", url, "--sink", "jsonl:"+lines)
	sniff.expect("listening on")
	end := time.Now().Add(lasts(t, soakVar, 3*time.Second))
	w.during(20, func() {
		for time.Now().Before(end) {
			upTo(r, min(10*time.Second, max(time.Millisecond, time.Until(end))))
			disasters[r.IntN(len(disasters))].does(t, s, p, r)
		}
	})
	p.arm(cut{})
	s.Wait(t)
	sniff.stop(0)
	want, _ := written(t, lines)
	equal(t, "records", want, stored(t, s.Connect(t), "live"))
	usage, ok := sniff.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || usage.Maxrss > 320<<10 { // KiB; 256 MiB for --memory, 64 for the rest
		t.Errorf("sniff took %d KiB of memory", usage.Maxrss)
	}
	t.Logf("%d records in %v, %d MiB of memory, %v of processor time", len(want), lasts(t, soakVar, 3*time.Second), usage.Maxrss>>10,
		sniff.cmd.ProcessState.UserTime()+sniff.cmd.ProcessState.SystemTime())
}
