package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"btcsniff/internal/metrics"
	"btcsniff/record"
	"btcsniff/sink"
	"btcsniff/sink/duckdb"
	"btcsniff/sink/postgres"
)

// A targetKind is a kind of sink.
type targetKind int

const (
	toNull targetKind = iota
	toJSON
	toDuckDB
	toPostgres
)

// A Target is one --sink: where records go.
type Target struct {
	Name string // for people: without a password
	kind targetKind
	arg  string // the file or URL

	meter *metrics.Meter                 // measures commits; nil: nobody asks
	order *order                         // of a database during a long run; nil: it is left alone
	spool *spooling                      // of a database's records while it is away; nil: they are not kept
	where func(host string) record.Place // looks up where peers are; nil: the sink goes by what addresses tell
}

// ParseTarget reads the value of --sink. It opens nothing.
func ParseTarget(s string) (Target, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	switch {
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		if _, err := url.Parse(s); err != nil || !strings.HasPrefix(rest, "//") {
			return Target{kind: toPostgres}, errors.New("this is no Postgres URL: want one as in postgres://user@host:5432/database, special characters in it as %XX")
		}
		return Target{Name: redact(s), kind: toPostgres, arg: s}, nil
	case ok && scheme == "jsonl" && rest != "":
		return Target{Name: s, kind: toJSON, arg: rest}, nil
	case s == "null:":
		return Target{Name: s, kind: toNull}, nil
	case ok && scheme == "duckdb" && rest != "":
		return Target{Name: s, kind: toDuckDB, arg: rest}, nil
	case strings.HasSuffix(s, ".duckdb"):
		return Target{Name: s, kind: toDuckDB, arg: s}, nil
	}
	return Target{}, errors.New("want postgres://..., duckdb:FILE, a file that ends in .duckdb, jsonl:FILE, jsonl:- (standard output) or null: (count only)")
}

// Stored says whether it is a database, in which records are stored once whatever happens.
func (t Target) Stored() bool { return t.kind == toPostgres || t.kind == toDuckDB }

// Open opens the sink. A database is created or upgraded, a file of JSON lines
// replaced, but no other file.
func (t Target) Open(ctx context.Context, stdout io.Writer, log *slog.Logger) (sink.Sink, error) {
	s, err := t.open(ctx, stdout, log)
	if err != nil {
		return nil, err
	}
	if l, ok := s.(interface {
		Locate(where func(host string) record.Place)
	}); ok && t.where != nil {
		l.Locate(t.where)
	}
	return t.metered(s), nil
}

func (t Target) open(ctx context.Context, stdout io.Writer, log *slog.Logger) (sink.Sink, error) {
	switch t.kind {
	case toPostgres:
		return postgres.Open(ctx, t.arg, postgres.Options{Upkeep: t.upkeep(log), Waiting: func(err error, wait time.Duration) {
			log.Warn(fmt.Sprintf("%v; trying again in %v", RedactErr(err), wait))
		}})
	case toDuckDB:
		return duckdb.Open(t.arg)
	case toJSON:
		if t.arg == "-" {
			return sink.NewJSON(stdout), nil
		}
		f, err := createLines(t.arg)
		if err != nil {
			return nil, err
		}
		return jsonFile{sink.NewJSON(f), f}, nil
	}
	return sink.NewNull(), nil
}

// createLines makes the file, or empties it if it is one of JSON lines. Any other is left alone: somebody mistook a capture, say,
// for the place where its records go.
func createLines(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		old, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer old.Close()
		var first [1]byte
		if _, err := io.ReadFull(old, first[:]); err == nil && first[0] != '{' {
			return nil, fmt.Errorf("open %s: there is a file of this name that has no JSON lines, and it would be replaced: choose another name, or delete it", path)
		}
	}
	return os.Create(path)
}

// QueueOptions are for the queue in front of the sink. Databases get each capture's records by themselves, in batches that span
// age of capture time at most; lines come in the order in which the records were made. fail is called with the sink's first error.
func (t Target) QueueOptions(age time.Duration, fail context.CancelCauseFunc) sink.QueueOptions {
	if t.kind == toJSON || t.kind == toNull {
		return sink.QueueOptions{Name: t.Name, Mixed: true, Fail: fail}
	}
	return sink.QueueOptions{MaxAge: age, Fail: fail} // databases name themselves in errors
}

// jsonFile is JSON lines into a file that is closed with the sink.
type jsonFile struct {
	*sink.JSON
	f *os.File
}

func (j jsonFile) Close() error { return errors.Join(j.JSON.Close(), j.f.Close()) }

// redact returns a sink's URL without its password, which may be in the user part or among the parameters.
func redact(s string) string {
	s = keyword.ReplaceAllString(s, "${1}xxxxx")
	scheme, _, ok := strings.Cut(s, ":")
	if !ok {
		return s
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" && scheme != "jsonl" && scheme != "duckdb" {
		return scheme + ":..."
	}
	q := u.Query()
	for k := range q {
		if strings.Contains(strings.ToLower(k), "password") {
			q.Set(k, "xxxxx")
			u.RawQuery = q.Encode()
		}
	}
	return u.Redacted()
}

var (
	postgresURL = regexp.MustCompile(`postgres(ql)?://[^\s"]*`)
	keyword     = regexp.MustCompile(`(?i)(password\s*=\s*)('[^']*'|[^\s&"']*[^\s&"':])`) // of libpq's other form: host=... password=...
)

// RedactErr returns err, its text without the passwords of the Postgres URLs and keyword strings that it quotes.
func RedactErr(err error) error {
	text := err.Error()
	clean := keyword.ReplaceAllString(postgresURL.ReplaceAllStringFunc(text, redact), "${1}xxxxx")
	if clean == text {
		return err
	}
	return fmt.Errorf("%s", clean)
}
