package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
	"btcsniff/sink"
)

// A store is a database that can be made to be away, to refuse, or to hang. It notes what it stored.
type store struct {
	mu     sync.Mutex
	away   bool
	hang   bool
	refuse uint64 // seq of a batch that it never takes; 0: none
	lines  []string
	changed
	waiting func(error, time.Duration)
}

// changed is a condition that tests wait for.
type changed struct{ c chan struct{} }

func (s *store) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if s.c != nil {
		close(s.c)
	}
	s.c = make(chan struct{})
}

func (s *store) note(format string, args ...any) {
	s.set(func() { s.lines = append(s.lines, fmt.Sprintf(format, args...)) })
}

// until waits until f holds; it is called with s.mu locked.
func (s *store) until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for timeout := time.After(20 * time.Second); ; {
		s.mu.Lock()
		ok, c := f(), s.c
		if c == nil {
			s.c = make(chan struct{})
			c = s.c
		}
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c:
		case <-timeout:
			t.Fatalf("never %s", what)
		}
	}
}

// ready waits as a sink does, until the database is there.
func (s *store) ready(ctx context.Context) error {
	for {
		s.mu.Lock()
		away, hang := s.away, s.hang
		if s.c == nil {
			s.c = make(chan struct{})
		}
		c := s.c
		s.mu.Unlock()
		if !away && !hang {
			return ctx.Err()
		}
		if away {
			s.waiting(errors.New("no route to host"), time.Second)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c:
		}
	}
}

func (s *store) Begin(ctx context.Context, c *record.Capture) (uint64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	s.note("begin %s", c.Name)
	return 0, nil
}

func (s *store) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	if b.Seq == s.refuse && s.refuse > 0 {
		s.note("refused %d", b.Seq)
		return 0, fmt.Errorf("value out of range: %w", sink.ErrRefused)
	}
	s.note("%s %d: %d", b.Capture.Name, b.Seq, b.Len())
	return uint64(b.Len()), nil
}

func (s *store) End(ctx context.Context, c *record.Capture, l *record.Ledger, _ []record.File) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	s.note("end %s, %d dropped", c.Name, l.RecordsDropped)
	return nil
}

func (s *store) Blind(ctx context.Context, b *record.Blind) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	s.note("blind %s %s %d to %d, %d records, open %v", b.Capture.Name, b.Reason, b.From-start, b.To-start, b.Records, b.Open)
	return nil
}

func (s *store) Close() error {
	s.note("close")
	return nil
}

// A lab is a Sink on a store, and what it said.
type lab struct {
	*Sink
	t    *testing.T
	db   *store
	c    *record.Capture
	mu   sync.Mutex
	said []string
}

func newLab(t *testing.T, db *store, dir string, size int64) *lab {
	t.Helper()
	l := &lab{t: t, db: db, c: newCapture("eth0")}
	say := func(kind string) func(error) {
		return func(err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.said = append(l.said, kind+err.Error())
		}
	}
	note := say("notice: ")
	var s *Sink
	ready := make(chan struct{})
	db.waiting = func(err error, d time.Duration) {
		<-ready
		s.Waiting(err, d)
	}
	s, err := Open(t.Context(), db, Options{Dir: dir, Place: "lab", Size: size, Patience: time.Minute,
		Alarm: say("alarm: "), Problem: say("problem: "), Notice: func(text string) { note(errors.New(text)) }})
	close(ready)
	if err != nil {
		t.Fatal(err)
	}
	l.Sink = s
	return l
}

// write writes batches of one ping each, a second apart.
func (l *lab) write(seqs ...uint64) {
	l.t.Helper()
	for _, n := range seqs {
		b := &record.Batch{Capture: l.c, Seq: n}
		at := start + record.Time(n)*1_000_000
		b.Ping(record.Ping{Meta: record.Meta{Conn: newConn(l.c, 1), SeenAt: at, FirstByteAt: at}, Nonce: n})
		if _, err := l.Write(l.t.Context(), b); err != nil {
			l.t.Fatalf("Write of batch %d: %v", n, err)
		}
	}
}

func (l *lab) end() {
	l.t.Helper()
	if err := l.End(l.t.Context(), l.c, &record.Ledger{}, nil); err != nil {
		l.t.Fatalf("End: %v", err)
	}
}

func (l *lab) want(what string, want ...string) {
	l.t.Helper()
	l.db.mu.Lock()
	defer l.db.mu.Unlock()
	if diff := cmp.Diff(want, l.db.lines); diff != "" {
		l.t.Errorf("%s: the database got (-want +got):\n%s", what, diff)
	}
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never %s", what)
		}
	}
}

// heard waits until each text was said, once; without texts, it says whether nothing was.
func (l *lab) heard(texts ...string) {
	l.t.Helper()
	all := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.Join(l.said, "\n")
	}
	for _, text := range texts {
		eventually(l.t, fmt.Sprintf("said %q", text), func() bool { return strings.Contains(all(), text) })
		if n := strings.Count(all(), text); n != 1 {
			l.t.Errorf("%q was said %d times, want once:\n%s", text, n, all())
		}
	}
	if len(texts) == 0 && all() != "" {
		l.t.Errorf("said, and nothing should be:\n%s", all())
	}
}

// While the database takes records, nothing is written to disk.
func TestHealthy(t *testing.T) {
	dir := t.TempDir()
	l := newLab(t, &store{}, dir, 0)
	if _, err := l.Begin(t.Context(), l.c); err != nil {
		t.Fatal(err)
	}
	l.write(1, 2)
	l.end()
	if files := spoolFiles(t, Dir(dir, "lab")); len(files) > 0 {
		t.Errorf("files: %q", files)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.want("all", "begin eth0", "eth0 1: 1", "eth0 2: 1", "end eth0, 0 dropped", "close")
	if d := l.Deferred(); d.Added != 2 || d.Lost+d.Records+d.Recovered != 0 || d.Limit != DefaultSize || d.Away {
		t.Errorf("Deferred() = %+v, want 2 added", d)
	}
	l.heard()
}

// The database is away from the start, comes back, goes away again, and is away at the end. The next run stores what is left.
func TestAway(t *testing.T) {
	dir, db := t.TempDir(), &store{away: true}
	l := newLab(t, db, dir, 0)
	if _, err := l.Begin(t.Context(), l.c); err != nil {
		t.Fatal(err)
	}
	l.write(1, 2)
	if d := l.Deferred(); d.Own != 2 || d.Batches != 2 || d.Oldest != start+1_000_000 || !d.Away || d.Bytes == 0 || d.Added != 0 {
		t.Errorf("Deferred() = %+v, want 2 records on disk", d)
	}
	db.set(func() { db.away = false })
	db.until(t, "stored 2", func() bool { return len(db.lines) == 3 })
	l.write(3)
	db.until(t, "stored 3", func() bool { return len(db.lines) == 4 })
	l.heard("the database takes records again")
	db.set(func() { db.away = true })
	l.write(4, 5)
	l.end()
	err := l.Close()
	if err == nil || !strings.Contains(err.Error(), "2 records wait in "+dir) || !strings.Contains(err.Error(), "no route to host: start sniff again") {
		t.Errorf("Close error = %v", err)
	}
	l.want("first run", "begin eth0", "eth0 1: 1", "eth0 2: 1", "eth0 3: 1", "close")
	if d := l.Deferred(); d.Added != 3 || d.Own != 2 {
		t.Errorf("Deferred() = %+v, want 3 added, 2 on disk", d)
	}
	if others := Others(dir, nil); len(others) != 1 || others[0].Records != 2 || others[0].Place != "lab" {
		t.Errorf("Others() = %+v, want 2 records", others)
	}

	db.set(func() { db.away, db.lines = false, nil })
	l = newLab(t, db, dir, 0)
	l.heard("2 records of an earlier run wait there", "has all that was kept")
	l.write(6)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.want("second run", "begin eth0", "eth0 4: 1", "eth0 5: 1", "end eth0, 0 dropped", "begin eth0", "eth0 6: 1", "close")
	if d := l.Deferred(); d.Added != 1 || d.Recovered != 2 || d.Records != 0 {
		t.Errorf("Deferred() = %+v, want 1 added, 2 recovered", d)
	}
	if files := spoolFiles(t, Dir(dir, "lab")); len(files) > 0 || len(Others(dir, nil)) > 0 {
		t.Errorf("files: %q", files)
	}
}

// A database that hangs is not waited for any longer once the queue is full.
func TestHurry(t *testing.T) {
	db := &store{hang: true}
	l := newLab(t, db, t.TempDir(), 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				l.Hurry()
				if l.Deferred().Records > 0 {
					return
				}
			}
		}
	}()
	l.write(1)
	<-done
	db.set(func() { db.hang = false })
	db.until(t, "stored", func() bool { return len(db.lines) == 2 })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.want("all", "begin eth0", "eth0 1: 1", "close")
}

// When the spool is full, the newest records are dropped, counted and told; the interval becomes a row.
func TestFull(t *testing.T) {
	db := &store{away: true}
	l := newLab(t, db, t.TempDir(), 400)
	if _, err := l.Begin(t.Context(), l.c); err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for n := range uint64(30) {
		seqs = append(seqs, n+1)
	}
	l.write(seqs...)
	d := l.Deferred()
	kept := d.Records
	if kept == 0 || d.Dropped != 30-kept || d.Lost != d.Dropped {
		t.Fatalf("Deferred() = %+v, want some of 30 dropped", d)
	}
	first := (kept + 1) * 1_000_000
	db.set(func() { db.away = false })
	eventually(t, "stored all", func() bool { return l.Deferred().Batches == 0 })
	l.write(31)
	l.end()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"begin eth0"}
	for n := range kept {
		want = append(want, fmt.Sprintf("eth0 %d: 1", n+1))
	}
	// Told at once, then every ten seconds, then when it was over.
	for at := first; at <= 30_000_000; at += 10_000_000 {
		want = append(want, fmt.Sprintf("blind eth0 spool full %d to %d, %d records, open true", first, at, (at-first)/1_000_000+1))
	}
	want = append(want, "eth0 31: 1", fmt.Sprintf("blind eth0 spool full %d to 30000000, %d records, open false", first, 30-kept),
		fmt.Sprintf("end eth0, %d dropped", 30-kept), "close")
	l.want("all", want...)
	l.heard("RECORDS ARE LOST from", "records were lost, from")
}

// A batch that the database refuses is set aside, and doesn't hinder others.
func TestRefused(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprint("from disk ", away), func(t *testing.T) {
			dir, db := t.TempDir(), &store{refuse: 2, away: away}
			l := newLab(t, db, dir, 0)
			l.write(1, 2, 3)
			db.set(func() { db.away = false })
			db.until(t, "stored the last", func() bool { return strings.HasSuffix(strings.Join(db.lines, "\n"), "eth0 3: 1") })
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l.want("all", "begin eth0", "eth0 1: 1", "refused 2", "begin eth0", "refused 2", "begin eth0", "refused 2", "begin eth0",
				"blind eth0 refused 2000000 to 2000000, 1 records, open false", "eth0 3: 1", "close")
			if d := l.Deferred(); d.Added != 2 || d.Refused != 1 || d.Lost != 1 {
				t.Errorf("Deferred() = %+v, want 2 added, 1 refused", d)
			}
			l.heard("1 RECORDS ARE LOST to the database, set aside in")
			// Under another name, it is stored by a database that takes it.
			folder := Dir(dir, "lab")
			if err := os.Rename(filepath.Join(folder, refusedName), filepath.Join(folder, "0000000000000000.spool")); err != nil {
				t.Fatal(err)
			}
			db = &store{}
			l = newLab(t, db, dir, 0)
			db.until(t, "stored", func() bool { return len(db.lines) == 2 })
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l.want("second run", "begin eth0", "eth0 2: 1", "close")
		})
	}
}

// With a folder that can't be used, records wait for the database in memory; once it can, they are kept there.
func TestBroken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file is in the way
		t.Fatal(err)
	}
	db := &store{away: true}
	l := newLab(t, db, dir, 0)
	l.heard("nothing can be kept there")
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.write(1)
	}()
	db.set(func() { db.away = false })
	<-written
	l.want("in memory", "begin eth0", "eth0 1: 1")
	db.set(func() { db.away = true })
	again := make(chan struct{})
	go func() {
		defer close(again)
		l.write(2)
	}()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	<-again
	if d := l.Deferred(); d.Records != 1 || d.Problem != "" {
		t.Errorf("Deferred() = %+v, want 1 on disk", d)
	}
	db.set(func() { db.away = false })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.want("all", "begin eth0", "eth0 1: 1", "eth0 2: 1", "close")
}

// What can't be read back is counted, and the rest is stored.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	f, err := openFiles(Dir(dir, "lab"), "lab", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	add(t, f, "this is no batch")
	f.close()
	db := &store{}
	l := newLab(t, db, dir, 0)
	eventually(t, "emptied", func() bool { return l.Deferred().Batches == 0 })
	l.write(1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if d := l.Deferred(); d.Damaged != uint64(len("this is no batch")) || d.Lost != 0 {
		t.Errorf("Deferred() = %+v, want %d damaged", d, len("this is no batch"))
	}
	l.heard("what was kept can't be read back")
}

// A file that can't be opened for a while is waited for.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	folder := Dir(dir, "lab")
	db := &store{away: true}
	l := newLab(t, db, dir, 0)
	l.write(1)
	if err := l.Close(); err == nil {
		t.Fatal("nothing was left")
	}
	db.set(func() { db.away, db.hang, db.lines = false, true, nil })
	l = newLab(t, db, dir, 0)
	name := spoolFiles(t, folder)[0]
	if err := os.Rename(name, name+".away"); err != nil {
		t.Fatal(err)
	}
	if err := l.get().reopen(); err != nil {
		t.Fatal(err)
	}
	l.stop()
	<-l.over
	if more, err := l.step(t.Context()); !more || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("step = %v, %v, want an error and the entry still there", more, err)
	}
	if err := os.Rename(name+".away", name); err != nil {
		t.Fatal(err)
	}
	db.set(func() { db.hang = false })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.want("all", "begin eth0", "eth0 1: 1", "close")
}

// reopen has the oldest file opened again.
func (f *files) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ahead = false
	if f.in == nil {
		return nil
	}
	err := f.in.Close()
	f.in = nil
	return err
}
