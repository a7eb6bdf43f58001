// Package postgres stores batches of records in Postgres: each batch in one transaction, with a row of its own that makes
// storing it again add nothing. It packs announcements as package schema lays them out; which tables there are, and what
// people see of them, it leaves to the SQL there.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"btcsniff/record"
	"btcsniff/sink"
)

// Options tune a Sink. The zero value is good.
type Options struct {
	// Items bounds how many announced items are remembered with their ids in the database; 0 means 65,536, about 20 MB. One
	// that is forgotten costs a look-up in the database, nothing else.
	Items int
	// Waiting, if not nil, is called before each wait for a database that is away, with what is wrong, in one line.
	Waiting func(err error, wait time.Duration)
	// Patient waits also for what somebody must repair: a full disk, a password that changed, a table that is missing. Only what the
	// database will never take is an error then, sink.ErrRefused. For a sink that has something better to do meanwhile than to fail.
	Patient bool
	// Upkeep, if not nil, has the database kept in order while the sink is open.
	Upkeep *Upkeep
}

// A Sink stores records in a Postgres database. It implements sink.Sink, is used by one goroutine, and has one connection to the
// server, which it makes anew when it is lost.
type Sink struct {
	opt    Options
	config *pgx.ConnConfig
	target string // the database in words, without the password
	writer int64  // random number of this run, in its batch rows
	db     *pgx.Conn
	ready  bool                                 // the tables are up to date
	keeper *keeper                              // nil: there is no upkeep
	sleep  func(context.Context, time.Duration) // between tries; a test's doesn't

	captures map[*record.Capture]*capture
	days     map[int32]bool // UTC days since 1970 that have their partitions
	conns    recent[uint64, struct{}]
	where    func(host string) record.Place // see Locate; nil: record.PlaceOf
	items    dictionary
	tables   tables
	chunks   []chunk // scratch of pack, with messages
	chunkNo  uint64
	messages []int32
	doubt    map[[32]byte]struct{} // digests of parts whose Write failed between COMMIT and its answer
}

// A capture is what the sink knows of one that was begun.
type capture struct {
	id     int32
	last   int64 // greatest batch.id of it that is known
	filter bool  // others have stored records of it: look at each record
}

var _ sink.Sink = (*Sink)(nil)

// Open connects to the database that url names, a libpq URL or keyword string, and brings its tables up to date, in the first
// schema of the connection's search path. An error is one line that says what, where and what to do; it never holds the password.
func Open(ctx context.Context, url string, opt Options) (*Sink, error) {
	s, err := New(url, opt)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// parse reads a database's URL and fills in what it leaves out.
func parse(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// Not wrapped: the parser's errors quote the URL, and with some mistakes in it the password.
		return nil, fmt.Errorf("postgres: this is no database URL: want postgres://user:password@host:port/database, " +
			"with %%-escapes for special characters in the password, and files that it names must exist")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "btcsniff"
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return config, nil
}

// New is Open without connecting: that is left to Ready, or to the first use.
func New(url string, opt Options) (*Sink, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		opt: opt, config: config, target: target(config), writer: rand.Int64(), sleep: sleep,
		captures: map[*record.Capture]*capture{}, days: map[int32]bool{}, tables: newTables(), doubt: map[[32]byte]struct{}{},
	}
	s.forget()
	if opt.Upkeep != nil {
		s.keeper = newKeeper(*opt.Upkeep, config)
	}
	return s, nil
}

// Ready connects, and brings the tables up to date, now. A connection that is lost meanwhile is made again, but not one that can't be
// made at all. Its error is Open's; Away says whether waiting may help.
func (s *Sink) Ready(ctx context.Context) error {
	wait := firstWait
	for try := 1; ; try++ {
		err := s.connect(ctx)
		if err == nil {
			return nil
		}
		ours := errors.As(err, new(*mistakeError)) || errors.As(err, new(*pgconn.ConnectError))
		if ours || try == readyTries || classify(err, true) == permanent || ctx.Err() != nil {
			return s.explain(err)
		}
		s.sleep(ctx, wait)
		wait *= 2
	}
}

// readyTries is how often Ready connects: with the waits between, for some three seconds.
const readyTries = 6

// Database names what the sink writes to, for people and to tell it from others: the database and the schema, but not the user.
func (s *Sink) Database() string {
	name := s.config.Database
	if name == "" {
		name = s.config.User
	}
	text := fmt.Sprintf("postgres database %q on %s", name, host(s.config))
	if path := s.config.RuntimeParams["search_path"]; path != "" {
		text += fmt.Sprintf(", search_path %q", path)
	}
	return text
}

// Close has the server gather statistics of what was written, see lookOver, and ends the connection. Everything written is stored by then.
func (s *Sink) Close() error {
	s.keeper.close()
	s.lookOver()
	s.drop()
	return nil
}

// host is the server's name and port, or its socket's folder.
func host(c *pgx.ConnConfig) string {
	if len(c.Host) > 0 && (c.Host[0] == '/' || c.Host[0] == '@') {
		return c.Host
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// target names the database for error messages.
func target(c *pgx.ConnConfig) string {
	name := c.Database
	if name == "" {
		name = c.User // the server's default
	}
	return fmt.Sprintf("postgres database %q on %s as user %q", name, host(c), c.User)
}

// forget drops what was remembered of the database, part of which may have been rolled back.
func (s *Sink) forget() {
	items := s.opt.Items
	if items <= 0 {
		items = defaultItems
	}
	s.items.reset(items)
	s.conns.reset(items)
	clear(s.days)
}
