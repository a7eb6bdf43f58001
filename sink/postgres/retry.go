package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"btcsniff/sink"
)

const (
	connectTimeout = 10 * time.Second // where the URL has none
	closeTimeout   = 2 * time.Second
	firstWait      = 100 * time.Millisecond
	longestWait    = 10 * time.Second
	maxRaces       = 5 // times that a transaction which met another's is tried again at once

	// How long a patient sink waits for a transaction before it tries another connection, then twice as long each time.
	firstLimit   = time.Minute
	longestLimit = 16 * time.Minute
)

// session are settings with which the server notices a client that vanished, so that it gives up its locks within two minutes.
// They are set by a statement, because connection poolers refuse unknown parameters at start.
const session = `SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
SET idle_in_transaction_session_timeout = '2min'`

// connect makes a connection if there is none. On the first it brings the tables up to date.
func (s *Sink) connect(ctx context.Context) error {
	if s.db != nil && !s.db.IsClosed() {
		return nil
	}
	db, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return err
	}
	if _, err := db.PgConn().Exec(ctx, session).ReadAll(); err != nil {
		s.db = db
		s.drop()
		return err
	}
	s.db = db
	if s.ready {
		return nil
	}
	if err := Migrate(ctx, db); err != nil {
		s.drop()
		return err
	}
	s.ready = true
	return nil
}

// drop closes the connection, which also undoes what was not committed.
func (s *Sink) drop() {
	if s.db == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.db.Close(ctx) // nothing depends on a farewell
	s.db = nil
}

// persist calls do with a connection until it succeeds, its error is one that waiting doesn't help, or ctx is done. do is a whole
// transaction that may be begun again. Its last error is returned, explained.
func (s *Sink) persist(ctx context.Context, do func(ctx context.Context, db *pgx.Conn) error) error {
	wait, races, limit := firstWait, 0, firstLimit
	for {
		err := s.try(ctx, limit, do)
		if err == nil {
			return nil
		}
		connected := s.db != nil
		kind := classify(err, !connected || s.db.IsClosed())
		if s.opt.Patient && kind == permanent && !(connected && refusal(err)) {
			kind = away
		}
		if connected && errors.Is(err, context.DeadlineExceeded) {
			limit = min(2*limit, longestLimit)
		}
		s.drop()
		s.forget()
		switch {
		case ctx.Err() != nil:
			return s.explain(fmt.Errorf("%w: %w", context.Cause(ctx), err))
		case kind == permanent && s.opt.Patient:
			return s.refuse(err)
		case kind == permanent, kind == race && races == maxRaces && !s.opt.Patient:
			return s.explain(err)
		case kind == race && races < maxRaces:
			races++
			continue
		}
		if s.opt.Waiting != nil {
			s.opt.Waiting(s.explain(err), wait)
		}
		if s.sleep(ctx, wait); ctx.Err() != nil {
			return s.explain(fmt.Errorf("%w: %w", context.Cause(ctx), err))
		}
		wait = min(2*wait, longestWait)
	}
}

// try calls do once, with a connection. A patient sink doesn't wait for it any longer than limit: a server that went away
// without a word may be back long before the connection to it is given up.
func (s *Sink) try(ctx context.Context, limit time.Duration, do func(ctx context.Context, db *pgx.Conn) error) error {
	if s.opt.Patient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	return do(ctx, s.db)
}

// sleep returns after d or when ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// A fault says what helps against an error.
type fault int

const (
	permanent fault = iota // somebody must do something
	away                   // waiting: the connection is lost or the server is starting, stopping or full of connections
	race                   // trying again at once: another transaction was in the way
)

// classify tells faults apart. lost says that there is no connection any more. Source: PostgreSQL documentation, appendix A, error
// codes.
func classify(err error, lost bool) fault {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		if lost {
			return away
		}
		return permanent
	}
	switch refused.Code {
	case "40001", "40P01", // serialization failure, deadlock
		"23514": // no partition for the row: it was dropped after we looked
		return race
	case "53300", // too many connections
		"57P01", "57P02", "57P03", // the server is shut down, has crashed, is starting
		"25P03": // idle in transaction for too long: this machine was asleep
		return away
	}
	if strings.HasPrefix(refused.Code, "08") { // connection exception
		return away
	}
	return permanent
}

// refusal says whether err is about the records themselves, which no repair of the database changes: data that it can't hold, or
// that are at odds with what is stored. Source: as classify's.
func refusal(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return true
	}
	switch refused.Code {
	case "22021", "22P05": // the database has another encoding than UTF8
		return false
	}
	return slices.Contains([]string{"22", "23", "54"}, refused.Code[:min(2, len(refused.Code))])
}

// refuse is explain for what the database will never take.
func (s *Sink) refuse(err error) error {
	return s.explain(fmt.Errorf("%w: %w", sink.ErrRefused, err))
}

// Away says whether err, of Ready, is one that waiting may help against: the server can't be reached, is starting, or is full.
func Away(err error) bool {
	var p *problem
	return errors.As(err, &p) && classify(p.err, true) == away
}

// A mistakeError is an error of ours that trying again would repeat.
type mistakeError struct{ text string }

func (e *mistakeError) Error() string { return e.text }

// explain says in one line what is wrong with which database and what to do.
func (s *Sink) explain(err error) error {
	return &problem{text: s.target + ": " + advise(err), err: err}
}

// A problem shows its own text instead of that of the error it wraps, which may have many lines.
type problem struct {
	text string
	err  error
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.err }

func advise(err error) string {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		var connect *pgconn.ConnectError
		text := oneLine(err.Error())
		if errors.As(err, &connect) && !errors.Is(err, context.Canceled) {
			text = "can't connect: " + attempts(connect.Unwrap().Error()) + ": is the server running, and are host and port right?"
		}
		return text
	}
	text := oneLine(refused.Message)
	if i := slices.IndexFunc(advice, func(a hint) bool { return strings.HasPrefix(refused.Code, a.code) }); i >= 0 {
		return text + ": " + advice[i].todo
	}
	return text + " (SQLSTATE " + refused.Code + ")"
}

// A hint says what to do about errors whose code begins with code.
type hint struct{ code, todo string }

// advice is searched from the top. Source of the codes: PostgreSQL documentation, appendix A.
var advice = []hint{
	{"28", "check user and password in the URL, or PGPASSWORD, and the server's pg_hba.conf"},
	{"3D000", "create it with createdb, or correct its name in the URL"},
	{"3F000", "create the schema, or correct search_path in the URL"},
	{"42501", "have the owner of the database grant the user CREATE and USAGE on the schema, and INSERT, SELECT and UPDATE on its tables"},
	{"53100", "the server's disk is full: make room, for example with SELECT drop_before(date)"},
	{"53300", "raise max_connections, or close other connections"},
	{"25006", "the server is a standby, or the database is read-only: connect to the primary"},
	{"42P01", "a table of the schema is missing: restore it, or use a database of its own"},
	{"42703", "a table of the schema was changed: restore it, or use a database of its own"},
	{"22021", "the database must have encoding UTF8: create it with createdb -E UTF8 -T template0"},
	{"22P05", "the database must have encoding UTF8: create it with createdb -E UTF8 -T template0"},
}

// attempts puts the lines of a failed connection into one, each once: pgx has one for each address, with encryption and without.
func attempts(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = oneLine(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
