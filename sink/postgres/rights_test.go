package postgres

import (
	"context"
	"net/url"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"btcsniff/record"
)

// another is the URL of another database of the same server, used with a role's rights.
func another(t *testing.T, base, database, role string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("search_path")
	if role != "" {
		q.Set("role", role)
	}
	u.Path, u.RawQuery = "/"+database, q.Encode()
	return u.String()
}

// everything is a batch with a record of each kind, on one day, at the given place of its connection.
func everything(c *record.Capture, seq uint64, us int64) *record.Batch {
	b := newBatch(c, seq, us)
	m := record.Meta{Conn: newConn(c, byte(seq)), SeenAt: start + record.Time(us+5), FirstByteAt: start + record.Time(us+5), Pos: uint64(us) + 5000}
	b.Tx(record.Tx{Meta: m, TxID: hashOf(int(seq)), Inputs: []record.TxIn{{}}, Outputs: []record.TxOut{{ScriptType: "p2tr"}}})
	b.Block(record.Block{Meta: m, Via: "headers"})
	b.Pong(record.Pong{Meta: m})
	b.Version(record.Version{Meta: m, UserAgent: "/x/"})
	b.Addr(record.Addr{Meta: m, Address: "192.0.2.77"})
	b.Conn(record.ConnEnd{Conn: m.Conn, ClosedAt: m.SeenAt, HandshakeRTT: -1})
	return b
}

// TestRights sets a database up as deploy/ says, and stores every kind of record in it: as the owner of the tables, then with the
// least rights, then with those for --retain.
func TestRights(t *testing.T) {
	p := fresh(t)
	if _, err := osexec.LookPath("psql"); err != nil {
		t.Skip("needs psql")
	}
	if !one[bool](t, p.db, `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`) ||
		one[bool](t, p.db, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname LIKE 'btcsniff%')`) {
		t.Skip("needs a server of its own: this one has roles of these names, or its user is no superuser")
	}
	name := p.schema + "_rights"
	exec(t, p.db, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		exec(t, p.db, "DROP DATABASE "+name+" WITH (FORCE)")
		exec(t, p.db, "DROP ROLE IF EXISTS btcsniff, btcsniff_reader, btcsniff_owner")
	})
	psql := func(args ...string) {
		t.Helper()
		args = append([]string{"-X", "-q", "-d", another(t, p.url, name, "")}, args...)
		if out, err := osexec.Command("psql", args...).CombinedOutput(); err != nil {
			t.Fatalf("psql %v: %v\n%s", args[4:], err, out)
		}
	}
	said := make(chan string, 10)
	sensor := func() *Sink {
		t.Helper()
		s, err := Open(context.Background(), another(t, p.url, name, "btcsniff"), Options{Upkeep: &Upkeep{
			Retain: oneDay, Again: time.Hour,
			Dropped: func(_ int, kept string) { said <- kept }, Failed: func(err error) { said <- err.Error() },
		}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	store := func(s *Sink, c *record.Capture, seq uint64, day int) {
		t.Helper()
		b := everything(c, seq, daysAfter(day))
		write(t, s, b, uint64(b.Len()))
		if err := s.Blind(t.Context(), &record.Blind{Capture: c, Reason: record.KernelDrops, From: start, To: start + record.Time(seq)}); err != nil {
			t.Errorf("blind: %v", err)
		}
		if err := s.End(t.Context(), c, &record.Ledger{PacketsRead: seq}, []record.File{{Name: "x.pcap"}}); err != nil {
			t.Errorf("end: %v", err)
		}
	}
	heard := func(want string) {
		t.Helper()
		if got := <-said; !strings.Contains(got, want) {
			t.Errorf("upkeep said %q, want %q", got, want)
		}
	}
	c := newCapture("lab")

	psql("-f", "../../deploy/postgres.sql")
	s := sensor()
	begin(t, s, c, 0)
	store(s, c, 0, 0)
	store(s, c, 1, 3)
	heard("2025-10-08")
	s.Close()

	psql("-f", "../../deploy/postgres-narrow.sql")
	s = sensor()
	begin(t, s, c, 48)
	store(s, c, 2, 5)
	heard("permission denied for function drop_before")
	for _, sql := range []string{"DROP TABLE tx", "DELETE FROM tx", "TRUNCATE ping", "SELECT drop_before('2025-10-09')", "CREATE TABLE x ()", "DROP SCHEMA btcsniff CASCADE"} {
		if _, err := s.db.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v, want it to be denied", sql, err)
		}
	}
	s.Close()

	psql("-v", "retain=yes", "-f", "../../deploy/postgres-narrow.sql")
	s = sensor()
	begin(t, s, c, 72)
	store(s, c, 3, 6)
	heard("2025-10-11")
	if _, err := s.db.Exec(t.Context(), "DROP TABLE tx"); err == nil {
		t.Error("DROP TABLE was not denied")
	}
	s.Close()

	reader := open(t, another(t, p.url, name, "btcsniff_reader"))
	if n := one[int](t, reader, "SELECT count(*) FROM announcement"); n != 30 {
		t.Errorf("the reader sees %d announcements, want 30: those of the last two days", n)
	}
	for _, table := range []string{"first_seen", "inv", "tx", "ping", "pong", "version", "addr", "block", "blind", "place", "connection", "capture", "sensor"} {
		one[int](t, reader, "SELECT count(*) FROM "+table)
	}
	if _, err := reader.Exec(t.Context(), "INSERT INTO sensor (name) VALUES ('x')"); err == nil {
		t.Error("the reader may write")
	}
}
