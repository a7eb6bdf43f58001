// Package spool keeps records on disk while their sink takes none, and stores them in order when it does again, also those that an
// earlier run left. While the sink keeps up it writes nothing. Which errors mean that the sink is away it leaves to the sink.
package spool

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"btcsniff/record"
	"btcsniff/sink"
)

// A Database is what records are kept for. Its methods wait while it is away, until their context is done; their error is
// sink.ErrRefused if it will never take what it was given.
type Database interface {
	sink.Sink
	sink.Blinder
}

// Options say where and how much is kept. Zero fields mean the default that is named.
type Options struct {
	Dir      string        // required: a folder in it is used, one for each Place
	Place    string        // required: names the database; what was kept for one is never stored in another
	Size     int64         // bytes that all files may take; 2 GiB
	Patience time.Duration // how long the database may take for a batch before that goes to disk; 2 s
	// Alarm is called when records are lost, Problem when they may be unless somebody does something, Notice with what is good
	// to know. Each is one line; they may be called by several goroutines, and be nil.
	Alarm, Problem func(error)
	Notice         func(string)
}

// DefaultSize is how much is kept if nothing else is said, in bytes.
const DefaultSize = 2 << 30

const (
	longestPatience = 16 * time.Minute
	retryEvery      = time.Second      // how often a folder that can't be written to is tried again
	tellEvery       = 10 * time.Second // of capture time: how far a blind time that goes on may be behind
	refusals        = 3                // how often the database may refuse a batch before that is set aside
	rereads         = 10               // how often what can't be read is tried again, once a second
	tellWaits       = 60               // waits with the same cause between two that are told
)

// A Sink is a sink.Deferrer in front of a Database. Write, Begin, End, Blind and Close are called by one goroutine. It uses the database
// itself while nothing is kept; otherwise a goroutine of its own does.
type Sink struct {
	to   Database
	opt  Options
	dir  string
	base context.Context // bounds the use of the database
	stop context.CancelFunc
	kick chan struct{} // to drain: there is something; a token is enough
	made chan struct{} // from drain: something was stored; likewise
	over chan struct{} // closed when drain ends

	// Used by the caller's goroutine.
	full  map[*record.Capture]*interval
	lost  map[*record.Capture]uint64 // records dropped
	spare time.Duration              // patience while nothing can be kept
	enc   *zstd.Encoder
	raw   []byte
	body  []byte

	// Used by whoever uses the database.
	begun   map[*record.Capture]bool
	refused int // times in a row
	unread  int // likewise, that an entry could not be read
	dec     *zstd.Decoder

	mu      sync.Mutex
	files   *files // nil: the folder can't be used
	problem error  // why nothing could be kept at last; nil: it could
	known   map[identity]*record.Capture
	cancel  context.CancelCauseFunc // of what the caller's goroutine waits for
	closing context.CancelFunc      // called when the database is found to be away; nil before Close
	away    error                   // why the database takes nothing; nil: it does
	waits   int                     // since that was told
	told    bool                    // that it takes nothing, or that something was left
	stats   sink.Deferred
}

// An interval is a time in which a capture's records are dropped.
type interval struct {
	record.Blind
	told record.Time // To, when that was last kept
}

// An identity is what makes two captures the same: see record.Capture.
type identity struct {
	sensor string
	first  record.Time
	digest [32]byte
}

var (
	errSlow  = errors.New("the database is too slow")
	errHurry = errors.New("the queue is full")
	errAway  = errors.New("the database is away")
)

// Open looks into the folder and begins to store what is left there. ctx bounds the use of the database, also after Close was
// called. A folder that can't be written to is a problem, but no error: records then wait in memory. A *UseError says that
// another process uses it, or that its files are not for this program or database.
func Open(ctx context.Context, to Database, opt Options) (*Sink, error) {
	opt.Size = cmp.Or(opt.Size, DefaultSize)
	opt.Patience = cmp.Or(opt.Patience, 2*time.Second)
	for _, f := range []*func(error){&opt.Alarm, &opt.Problem} {
		if *f == nil {
			*f = func(error) {}
		}
	}
	if opt.Notice == nil {
		opt.Notice = func(string) {}
	}
	if len(opt.Place) > maxPlace {
		return nil, fmt.Errorf("spool: the database's name has %d bytes, and %d is the most", len(opt.Place), maxPlace)
	}
	s := &Sink{
		to: to, opt: opt, dir: Dir(opt.Dir, opt.Place), spare: opt.Patience,
		kick: make(chan struct{}, 1), made: make(chan struct{}, 1), over: make(chan struct{}),
		full: map[*record.Capture]*interval{}, lost: map[*record.Capture]uint64{}, begun: map[*record.Capture]bool{}, known: map[identity]*record.Capture{},
	}
	var err error
	if s.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false)); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxEntry)); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := s.open(); errors.As(err, new(*UseError)) {
		return nil, err
	} else if err != nil {
		s.broken(err)
	}
	s.base = ctx
	draining, stop := context.WithCancel(ctx)
	s.stop = stop
	go func() {
		defer close(s.over)
		s.drain(draining)
	}()
	return s, nil
}

// Dir is the folder in dir where records for a place are kept.
func Dir(dir, place string) string {
	sum := sha256.Sum256([]byte(place))
	return filepath.Join(dir, hex.EncodeToString(sum[:4]))
}

// open opens the folder, if it isn't yet.
func (s *Sink) open() error {
	if s.get() != nil {
		return nil
	}
	f, err := openFiles(s.dir, s.opt.Place, s.opt.Size)
	if err != nil {
		return err
	}
	w := f.waiting()
	if f.cut > 0 {
		s.opt.Notice(fmt.Sprintf("spool %s: %d bytes cut off, of what was being written when an earlier run ended", s.dir, f.cut))
	}
	if w.entries > 0 {
		s.opt.Notice(fmt.Sprintf("spool %s: %d records of an earlier run wait there, the oldest of %v", s.dir, w.records, w.oldest))
	}
	s.mu.Lock()
	s.files, s.told = f, s.told || w.entries > 0
	s.mu.Unlock()
	nudge(s.kick)
	return nil
}

func (s *Sink) get() *files {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// idle says whether nothing waits on disk, so that the caller's goroutine may use the database.
func (s *Sink) idle() bool {
	f := s.get()
	return f == nil || f.waiting().entries == 0
}

// Begin is sink.Sink's. A database that is away learns of the capture with its first records.
func (s *Sink) Begin(_ context.Context, c *record.Capture) (stored uint64, err error) {
	s.canonical(*c, c)
	if !s.idle() || s.isAway() {
		return 0, nil
	}
	err = s.direct(s.opt.Patience, func(ctx context.Context) error {
		stored, err = s.begin(ctx, c)
		return err
	})
	if err != nil {
		return 0, nil // it is tried again with the first records
	}
	return stored, nil
}

// Write is sink.Sink's: b is stored when it returns, or safe on disk, or counted as lost. Only if nothing can be written to disk it
// waits for the database, as long as ctx allows.
func (s *Sink) Write(ctx context.Context, b *record.Batch) (added uint64, err error) {
	if b.Len() == 0 {
		return 0, nil
	}
	if b.Capture == nil {
		return 0, errors.New("spool: a batch of several captures can't be kept")
	}
	return 0, s.take(ctx, &entry{batch: b})
}

// End is sink.Sink's; see Write. What was dropped of the capture's records is noted in the ledger.
func (s *Sink) End(ctx context.Context, c *record.Capture, l *record.Ledger, files []record.File) error {
	s.resume(c)
	noted := *l
	noted.RecordsDropped = s.lost[c]
	return s.take(ctx, &entry{end: &ending{capture: c, Ledger: &noted, Files: files}})
}

// Blind is sink.Blinder's; see Write.
func (s *Sink) Blind(ctx context.Context, b *record.Blind) error {
	return s.take(ctx, &entry{blind: b})
}

// take stores an entry, or keeps it.
func (s *Sink) take(ctx context.Context, e *entry) error {
	s.canonical(*e.of(), e.of())
	if s.idle() && !s.isAway() && s.store(s.opt.Patience, e) == nil {
		s.resume(e.of())
		return nil
	}
	h, body, err := s.pack(e)
	if err != nil {
		return fmt.Errorf("spool: encode: %w", err)
	}
	for {
		err := s.keep(h, body, e.batch == nil)
		switch {
		case err == nil:
			s.resume(e.of())
			return nil
		case errors.Is(err, errFull):
			s.lose(e.batch, len(body))
			return nil
		case errors.As(err, new(*UseError)):
			return err
		}
		s.broken(err)
		if s.idle() {
			direct := s.store(s.spare, e)
			if direct == nil {
				s.spare = s.opt.Patience
				s.resume(e.of())
				s.emptied()
				return nil
			}
			if errors.Is(direct, errSlow) {
				s.spare = min(2*s.spare, longestPatience)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), errors.Join(err, s.why()))
		case <-s.made:
		case <-time.After(retryEvery):
		}
	}
}

// keep writes an entry to disk.
func (s *Sink) keep(h header, body []byte, over bool) error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.get().append(h, body, over); err != nil {
		return err
	}
	s.mu.Lock()
	was := s.problem
	s.problem = nil
	s.mu.Unlock()
	if was != nil {
		s.opt.Notice(fmt.Sprintf("spool %s can be written to again", s.dir))
	}
	nudge(s.kick)
	return nil
}

// broken says why nothing can be kept, once.
func (s *Sink) broken(err error) {
	s.mu.Lock()
	was := s.problem
	s.problem = err
	s.mu.Unlock()
	if was == nil || cause(was) != cause(err) {
		s.opt.Problem(fmt.Errorf("spool %s: %w: nothing can be kept there; while the database is away, records wait in memory, then packets are dropped: "+
			"make room or make it writable, or give another folder with --spool", s.dir, err))
	}
}

// cause is an error without the file that it is about.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}

// pack encodes and compresses an entry. The bytes are lent until the next call.
func (s *Sink) pack(e *entry) (header, []byte, error) {
	h, raw, err := e.encode(s.raw[:0])
	if err != nil {
		return h, nil, err
	}
	if len(raw) > maxEntry {
		return h, nil, fmt.Errorf("a batch of %d bytes", len(raw))
	}
	h.raw = uint32(len(raw))
	s.raw, s.body = raw, s.enc.EncodeAll(raw, s.body[:0])
	return h, s.body, nil
}

// lose drops a batch, because the spool is full.
func (s *Sink) lose(b *record.Batch, size int) {
	n := uint64(b.Len())
	s.mu.Lock()
	s.stats.Lost += n
	s.stats.Dropped += n
	s.mu.Unlock()
	s.lost[b.Capture] += n
	first, last := b.Span()
	i := s.full[b.Capture]
	if i == nil {
		i = &interval{Blind: record.Blind{Capture: b.Capture, Reason: record.SpoolFull, From: first, Open: true}}
		s.full[b.Capture] = i
		s.opt.Alarm(fmt.Errorf("spool %s: RECORDS ARE LOST from %v on: the spool has reached its --spool-size of %.1f MB, and the database takes nothing%s",
			s.dir, first, float64(s.opt.Size)/1e6, because(s.why())))
	}
	i.To = max(i.To, last)
	i.Records += n
	i.Bytes += uint64(size) + headerLen
	if i.told == 0 || i.To.Sub(i.told) >= tellEvery {
		s.tell(i)
	}
}

// tell keeps what is known of an interval, beyond the limit.
func (s *Sink) tell(i *interval) bool {
	h, body, err := s.pack(&entry{blind: &i.Blind})
	if err == nil {
		err = s.keep(h, body, true)
	}
	if err != nil {
		s.broken(err)
		return false
	}
	i.told = i.To
	return true
}

// resume ends the time in which a capture's records were dropped, if there is one.
func (s *Sink) resume(c *record.Capture) {
	i := s.full[c]
	if i == nil {
		return
	}
	i.Open = false
	if s.tell(i) {
		delete(s.full, c)
		s.opt.Alarm(fmt.Errorf("spool %s: %d records were lost, from %v to %v", s.dir, i.Records, i.From, i.To))
	}
}

func because(err error) string {
	if err == nil {
		return " fast enough"
	}
	return ": " + err.Error()
}

// Waiting is to be called by the database before each wait, with what is wrong.
func (s *Sink) Waiting(err error, _ time.Duration) {
	s.mu.Lock()
	tell := s.away == nil || s.away.Error() != err.Error() || s.waits >= tellWaits
	s.away = err
	s.waits++
	if tell {
		s.waits, s.told = 0, true
	}
	if s.closing != nil {
		s.closing()
	}
	if s.cancel != nil {
		s.cancel(errAway)
	}
	s.mu.Unlock()
	if tell {
		s.opt.Problem(fmt.Errorf("%w; records are kept in %s until it takes them again", err, s.dir))
	}
}

// Hurry is sink.Deferrer's.
func (s *Sink) Hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil && s.problem == nil {
		s.cancel(errHurry)
	}
}

// Deferred is sink.Deferrer's.
func (s *Sink) Deferred() sink.Deferred {
	s.mu.Lock()
	d, f := s.stats, s.files
	d.Away = s.away != nil
	if s.problem != nil {
		d.Problem = s.problem.Error()
	}
	s.mu.Unlock()
	d.Limit = uint64(s.opt.Size)
	if f != nil {
		w := f.waiting()
		d.Batches, d.Records, d.Own, d.Bytes, d.Oldest = w.entries, w.records, w.own, uint64(w.bytes), w.oldest
	}
	return d
}

func (s *Sink) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

func (s *Sink) isAway() bool { return s.why() != nil }

// canonical returns the capture that stands for all that equal c; if there is none yet, that is made it.
func (s *Sink) canonical(c record.Capture, made *record.Capture) *record.Capture {
	id := identity{strings.Clone(c.Sensor), c.First, c.Digest}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[id]; known != nil {
		return known
	}
	s.known[id] = made
	return made
}
