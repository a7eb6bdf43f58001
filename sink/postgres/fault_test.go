package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"btcsniff/record"
	"btcsniff/sink"
)

const start record.Time = 1759791402_000000 // 2025-10-06T22:56:42Z

func newCapture(sensor string) *record.Capture {
	return &record.Capture{Sensor: sensor, Name: "eth0", First: start, Digest: [32]byte{1}}
}

// newConn returns the connection that peer n opened to the observed node.
func newConn(c *record.Capture, n byte) *record.Conn {
	a, b := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 8333), netip.MustParseAddrPort("203.0.113.1:8333")
	return &record.Conn{ID: record.ConnID(c.Sensor, a, b, start), Capture: c, A: a, B: b, OpenedAt: start, LocalB: true}
}

func hashOf(n int) record.Hash { return record.Hash{byte(n), byte(n >> 8)} }

// newBatch returns a batch with announcements of five transactions and a ping on each of three connections, us microseconds after start.
func newBatch(c *record.Capture, seq uint64, us int64) *record.Batch {
	b := &record.Batch{Capture: c, Seq: seq}
	for n := range byte(3) {
		m := record.Meta{Conn: newConn(c, n), SeenAt: start + record.Time(us+int64(n)), FirstByteAt: start + record.Time(us), Pos: uint64(us)}
		var vects []record.InvVect
		for i := range 5 {
			vects = append(vects, record.InvVect{Type: record.InvWTx, Hash: hashOf(int(us)/10_000 + i)})
		}
		b.Inv(m, vects)
		m.Pos += 1000
		b.Ping(record.Ping{Meta: m, Nonce: uint64(us)})
	}
	return b
}

// A cutter is a connection to the server on which something happens before, or instead of the answer to, the first write that holds a
// text.
type cutter struct {
	net.Conn
	on     string
	before func() error // called before the write; its error is the write's
	answer bool         // let the write through, wait for the answer, and lose both
	once   *sync.Once
}

func (c *cutter) Write(b []byte) (int, error) {
	var err error
	if bytes.Contains(b, []byte(c.on)) {
		c.once.Do(func() {
			switch {
			case c.answer:
				_, err = c.Conn.Write(b)
				if err == nil {
					_, err = c.Conn.Read(make([]byte, 1))
				}
				err = errors.Join(errors.New("cut off"), err, c.Conn.Close())
			case c.before != nil:
				err = c.before()
			}
		})
	}
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// TestLostConnection loses the connection at every kind of statement of a batch. The batch is stored once nevertheless.
func TestLostConnection(t *testing.T) {
	const firstBatch, both = 18, 36 // records
	for _, tt := range []struct {
		name, on string
		kill     bool // the server's process ends before it gets the statement
		answer   bool // the statement's answer is lost
	}{
		{name: "killed at begin", on: "pg_advisory_xact_lock", kill: true},
		{name: "killed at items", on: "INSERT INTO item", kill: true},
		{name: "killed at copy", on: "COPY inv_chunk", kill: true},
		{name: "killed at second copy", on: "COPY ping", kill: true},
		{name: "killed at batch", on: "INSERT INTO batch", kill: true},
		{name: "killed before commit", on: "COMMIT", kill: true},
		{name: "cut before commit", on: "COMMIT"},
		{name: "cut after commit", on: "COMMIT", answer: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := fresh(t)
			s := p.sink(t)
			waits := 0
			s.sleep = func(context.Context, time.Duration) { waits++ }
			c := newCapture("lab")
			begin(t, s, c, 0)
			write(t, s, newBatch(c, 0, 0), firstBatch)

			once := new(sync.Once)
			dial := s.config.DialFunc
			s.config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				cut := &cutter{Conn: conn, on: tt.on, answer: tt.answer, once: once}
				cut.before = func() error {
					if tt.kill {
						return p.kill(s.db.PgConn().PID())
					}
					return errors.Join(errors.New("cut off"), conn.Close())
				}
				return cut, err
			}
			s.drop()
			write(t, s, newBatch(c, 1, 100_000), firstBatch)
			if waits != 1 {
				t.Errorf("waited %d times for the database, want 1", waits)
			}
			want := []int64{30, 6, both}
			got := []int64{
				one[int64](t, p.db, "SELECT count(*) FROM inv"), one[int64](t, p.db, "SELECT count(*) FROM ping"),
				one[int64](t, p.db, "SELECT sum(records)::bigint FROM batch"),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("announcements, pings, records (-want +got):\n%s", diff)
			}
			write(t, s, newBatch(c, 1, 100_000), 0)
		})
	}
}

// kill ends the server's process with the given id, and waits for its end.
func (p *place) kill(pid uint32) error {
	if _, err := p.db.Exec(context.Background(), "SELECT pg_terminate_backend($1, 10000)", int32(pid)); err != nil {
		return fmt.Errorf("kill server process: %w", err)
	}
	return nil
}

func begin(t *testing.T, s *Sink, c *record.Capture, stored uint64) {
	t.Helper()
	got, err := s.Begin(context.Background(), c)
	if err != nil {
		t.Fatalf("Begin(%s): %v", c.Sensor, err)
	}
	if got != stored {
		t.Errorf("Begin(%s) stored = %d, want %d", c.Sensor, got, stored)
	}
}

func write(t *testing.T, s *Sink, b *record.Batch, added uint64) {
	t.Helper()
	got, err := s.Write(context.Background(), b)
	if err != nil {
		t.Fatalf("Write of batch %d: %v", b.Seq, err)
	}
	if got != added {
		t.Errorf("Write of batch %d added = %d, want %d", b.Seq, got, added)
	}
}

// TestAway has a server that is away until the context is done.
func TestAway(t *testing.T) {
	s := fresh(t).sink(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	waits := 0
	s.sleep = func(context.Context, time.Duration) {
		if waits++; waits == 7 {
			cancel()
		}
	}
	var longest time.Duration
	s.opt.Waiting = func(err error, wait time.Duration) {
		longest = max(longest, wait)
		if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "is the server running") {
			t.Errorf("waiting for %q", text)
		}
	}
	s.config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	s.drop()
	if _, err := s.Begin(ctx, newCapture("lab")); !errors.Is(err, context.Canceled) {
		t.Errorf("Begin error = %v, want context.Canceled", err)
	}
	if waits != 7 || longest != 6400*time.Millisecond {
		t.Errorf("waited %d times, at most %v, want 7 times, at most 6.4s", waits, longest)
	}
}

// TestTwoSinks writes the same capture from two sinks at once, with different borders: each record is stored by one of them.
func TestTwoSinks(t *testing.T) {
	p := fresh(t)
	sinks := []*Sink{p.sink(t), p.sink(t)}
	const batches, records = 20, 18
	var added [2]uint64
	var wg sync.WaitGroup
	for k, s := range sinks {
		wg.Go(func() {
			c := newCapture("lab")
			if _, err := s.Begin(context.Background(), c); err != nil {
				t.Error(err)
				return
			}
			for i := range batches / (k + 1) {
				b := newBatch(c, uint64(i), int64(i*(k+1))*100_000)
				if k == 1 { // two of the other's in one
					next := newBatch(c, 0, int64(2*i+1)*100_000)
					for j := range next.Invs {
						b.Inv(next.Invs[j].Meta, next.Vects[next.Invs[j].First:][:next.Invs[j].N])
						b.Ping(next.Pings[j])
					}
				}
				n, err := s.Write(context.Background(), b)
				if err != nil {
					t.Error(err)
					return
				}
				added[k] += n
			}
		})
	}
	wg.Wait()
	if added[0]+added[1] != batches*records {
		t.Errorf("added %d and %d records, want %d together", added[0], added[1], batches*records)
	}
	for query, want := range map[string]int64{
		"SELECT count(*) FROM inv": batches * 15, "SELECT count(*) FROM ping": batches * 3, "SELECT count(*) FROM connection": 3,
		"SELECT sum(records)::bigint FROM batch": batches * records, "SELECT count(*) FROM capture": 1,
	} {
		if got := one[int64](t, p.db, query); got != want {
			t.Errorf("%s = %d, want %d", query, got, want)
		}
	}
}

// TestTwoSensors has two sensors that see the same transactions at once: the dictionary has each once, with the first sightings of both.
func TestTwoSensors(t *testing.T) {
	p := fresh(t)
	const batches = 20
	var wg sync.WaitGroup
	for k, s := range []*Sink{p.sink(t), p.sink(t)} {
		wg.Go(func() {
			c := newCapture([]string{"near", "far"}[k])
			if _, err := s.Begin(context.Background(), c); err != nil {
				t.Error(err)
				return
			}
			for i := range batches {
				// The far sensor goes backwards in time, and is 50 microseconds later.
				at := int64(i)
				if k == 1 {
					at = batches - 1 - at
				}
				if _, err := s.Write(context.Background(), newBatch(c, uint64(i), at*100_000+int64(k)*50)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for query, want := range map[string]int64{
		"SELECT count(*) FROM item":       batches * 5,
		"SELECT count(*) FROM first_seen": batches * 5,
		"SELECT count(*) FROM first_seen WHERE sensor = 'near' AND lead_us = 1 AND peers = 6": batches * 5,
	} {
		if got := one[int64](t, p.db, query); got != want {
			t.Errorf("%s = %d, want %d", query, got, want)
		}
	}
}

// TestErrors wants one line that says what, where and what to do, without the password.
func TestErrors(t *testing.T) {
	const secret = "hunter2%zz"
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T) (url string)
		want    []string
	}{
		{"no URL", func(*testing.T) string { return "postgres://u:" + secret + "@192.0.2.1/x" }, []string{"no database URL", "want postgres://"}},
		{"bad port", func(*testing.T) string { return "postgres://u:hunter2@192.0.2.1:port/x" }, []string{"no database URL"}},
		{"bad keyword", func(*testing.T) string { return "host=192.0.2.1 password=hunter2 port=maybe" }, []string{"no database URL"}},
		{"no server", func(*testing.T) string { return "postgres://u:hunter2@/x?host=/nonexistent" },
			[]string{`database "x" on /nonexistent as user "u"`, "is the server running"}},
		{"no such database", func(t *testing.T) string { return with(fresh(t).url, "database", "btcsniff_none") },
			[]string{"does not exist", "createdb"}},
		{"no such schema", func(t *testing.T) string { return with(fresh(t).url, "search_path", "btcsniff_none") },
			[]string{"search_path", "create one"}},
		{"newer schema", func(t *testing.T) string {
			p := fresh(t)
			p.sink(t)
			exec(t, p.db, "INSERT INTO schema_version (version, name) VALUES (99, 'x')")
			return p.url
		}, []string{"version 99", "newer btcsniff", "use the newer one"}},
		{"no rights", func(t *testing.T) string {
			p := fresh(t)
			role := p.schema + "_role"
			exec(t, p.db, "CREATE ROLE "+role)
			t.Cleanup(func() { exec(t, p.db, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
			exec(t, p.db, "GRANT USAGE ON SCHEMA "+p.schema+" TO "+role)
			return with(p.url, "role", role)
		}, []string{"permission denied for schema", "grant the user CREATE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(context.Background(), tt.prepare(t), Options{})
			if err == nil {
				t.Fatal("Open succeeds")
			}
			for _, want := range append(tt.want, "postgres") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q shows the password or has many lines", err)
			}
		})
	}
}

// TestReader has a user who may only read: that is said when a capture begins, and nothing is stored.
func TestReader(t *testing.T) {
	p := fresh(t)
	p.sink(t)
	role := p.schema + "_role"
	exec(t, p.db, "CREATE ROLE "+role)
	t.Cleanup(func() { exec(t, p.db, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	exec(t, p.db, "GRANT USAGE ON SCHEMA "+p.schema+" TO "+role)
	exec(t, p.db, "GRANT SELECT ON ALL TABLES IN SCHEMA "+p.schema+" TO "+role)
	s, err := Open(context.Background(), with(p.url, "role", role), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Begin(context.Background(), newCapture("lab"))
	if err == nil || !strings.Contains(err.Error(), "permission denied for table sensor: have the owner") {
		t.Errorf("Begin error = %v", err)
	}
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		lost bool
		want fault
	}{
		{"password", &pgconn.PgError{Code: "28P01"}, true, permanent},
		{"disk full", &pgconn.PgError{Code: "53100"}, false, permanent},
		{"standby", &pgconn.PgError{Code: "25006"}, false, permanent},
		{"shut down", &pgconn.PgError{Code: "57P01"}, true, away},
		{"starting", &pgconn.PgError{Code: "57P03"}, true, away},
		{"too many", &pgconn.PgError{Code: "53300"}, true, away},
		{"deadlock", &pgconn.PgError{Code: "40P01"}, false, race},
		{"partition dropped", &pgconn.PgError{Code: "23514"}, false, race},
		{"lost", errors.New("unexpected EOF"), true, away},
		{"ours", pgx.ErrNoRows, false, permanent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := classify(fmt.Errorf("write: %w", tt.err), tt.lost); got != tt.want {
				t.Errorf("classify(%v) = %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}

// TestDroppedDay drops a day's partitions under a sink that has written to them. Its next batch makes them again; connections that
// were not closed stay.
func TestDroppedDay(t *testing.T) {
	p := fresh(t)
	s := p.sink(t)
	c := newCapture("lab")
	begin(t, s, c, 0)
	write(t, s, newBatch(c, 0, 0), 18)
	if got := one[int](t, p.db, "SELECT drop_before('2025-10-07')"); got != 1 {
		t.Errorf("dropped %d days, want 1", got)
	}
	write(t, s, newBatch(c, 1, 100_000), 18)
	if got := one[int](t, p.db, "SELECT count(*) FROM inv"); got != 15 {
		t.Errorf("%d announcements, want 15", got)
	}
	write(t, s, newBatch(c, 0, 0), 0)
}

// TestPatient has a database that takes nothing for reasons that somebody may repair, which a patient sink waits for, and one that
// refuses the records themselves.
func TestPatient(t *testing.T) {
	for _, tt := range []struct {
		name, breaks, repairs string
		refused               bool
	}{
		{"table away", "ALTER TABLE ping RENAME TO pingg", "ALTER TABLE pingg RENAME TO ping", false},
		{"read-only", "ALTER DATABASE %s SET default_transaction_read_only = on", "ALTER DATABASE %s RESET default_transaction_read_only", false},
		{"refused", "ALTER TABLE ping ALTER nonce TYPE numeric(5)", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := fresh(t)
			name := pgx.Identifier{one[string](t, p.db, "SELECT current_database()::text")}.Sanitize()
			change := func(sql string) {
				exec(t, p.db, "SET default_transaction_read_only = off")
				if strings.Contains(sql, "%s") {
					sql = fmt.Sprintf(sql, name)
				}
				exec(t, p.db, sql)
			}
			s := p.sink(t)
			s.opt.Patient = true
			waits := 0
			s.sleep = func(context.Context, time.Duration) {
				if waits++; waits == 3 {
					change(tt.repairs)
				}
			}
			c := newCapture("lab")
			begin(t, s, c, 0)
			write(t, s, newBatch(c, 0, 0), 18)
			change(tt.breaks)
			s.drop()
			if !tt.refused {
				write(t, s, newBatch(c, 1, 100_000), 18)
				if waits != 3 {
					t.Errorf("waited %d times, want 3", waits)
				}
				return
			}
			_, err := s.Write(t.Context(), newBatch(c, 1, 100_000))
			if !errors.Is(err, sink.ErrRefused) || waits > 0 {
				t.Errorf("Write error after %d waits = %v, want ErrRefused at once", waits, err)
			}
			write(t, s, newBatch(c, 2, 50_000), 18)
		})
	}
}

// TestDoubt gives a Write up between COMMIT and its answer. Written again, the records are still counted as added, as this run did that.
func TestDoubt(t *testing.T) {
	p := fresh(t)
	s := p.sink(t)
	c := newCapture("lab")
	begin(t, s, c, 0)
	write(t, s, newBatch(c, 0, 0), 18)
	ctx, cancel := context.WithCancel(t.Context())
	dial := s.config.DialFunc
	s.config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &cutter{Conn: conn, on: "COMMIT", answer: true, once: new(sync.Once)}, err
	}
	s.drop()
	s.sleep = func(context.Context, time.Duration) { cancel() }
	if _, err := s.Write(ctx, newBatch(c, 1, 100_000)); !errors.Is(err, context.Canceled) {
		t.Fatalf("Write error = %v, want context.Canceled", err)
	}
	s.config.DialFunc = dial
	write(t, s, newBatch(c, 1, 100_000), 18)
	write(t, s, newBatch(c, 1, 100_000), 0)
	if len(s.doubt) > 0 {
		t.Errorf("%d batches still in doubt", len(s.doubt))
	}
}

// TestReady makes a sink while the server is away: the tables are made once it is there.
func TestReady(t *testing.T) {
	p := fresh(t)
	s := p.unconnected(t)
	dial := s.config.DialFunc
	s.config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	if err := s.Ready(t.Context()); !Away(err) {
		t.Errorf("Ready error = %v, want one that waiting helps against", err)
	}
	s.sleep = func(context.Context, time.Duration) { s.config.DialFunc = dial }
	c := newCapture("lab")
	begin(t, s, c, 0)
	write(t, s, newBatch(c, 0, 0), 18)
	bad, err := New(with(p.url, "database", "btcsniff_none"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.Ready(t.Context()); err == nil || Away(err) {
		t.Errorf("Ready error = %v, want one that waiting doesn't help against", err)
	}
	if name := s.Database(); !strings.Contains(name, p.schema) || !strings.HasPrefix(name, "postgres database ") {
		t.Errorf("Database() = %q", name)
	}
}

// A brittle connection breaks at a write.
type brittle struct {
	net.Conn
	left int // writes before that
}

func (b *brittle) Write(p []byte) (int, error) {
	if b.left--; b.left < 0 {
		b.Conn.Close()
		return 0, syscall.EPIPE
	}
	return b.Conn.Write(p)
}

// TestReadyLost loses the first connection at each of its writes: Ready makes another one, unless it was not a connection yet.
func TestReadyLost(t *testing.T) {
	again := 0
	for left := range 12 {
		s := fresh(t).unconnected(t)
		dial := s.config.DialFunc
		var made atomic.Bool // the first; pgx makes more, to cancel a query of a lost one
		s.config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err == nil && !made.Swap(true) {
				c = &brittle{c, left}
			}
			return c, err
		}
		slept := 0
		s.sleep = func(context.Context, time.Duration) { slept++ }
		switch err := s.Ready(t.Context()); {
		case errors.As(err, new(*pgconn.ConnectError)):
		case err != nil:
			t.Errorf("cut at write %d: %v", left, err)
		default:
			again += slept
		}
	}
	if again == 0 {
		t.Error("no connection was lost after it was made")
	}
}
