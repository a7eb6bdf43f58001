package sink

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"btcsniff/record"
)

// QueueOptions says how a Queue makes batches. Zero fields mean the default that is named.
type QueueOptions struct {
	Name   string        // of the sink, for errors
	Batch  int           // records in a full batch; 50,000
	Depth  int           // full batches that may wait; 4
	MaxAge time.Duration // of capture time: a batch is sent no later than this; 1 s
	// Mixed puts the records of all captures into one sequence of batches, in the order in which they were made. Otherwise
	// each capture has its own, the same in every run.
	Mixed bool
	Fail  context.CancelCauseFunc // called with the sink's first error; may be nil
}

// A Queue carries records from the decoding goroutine to the Sink's. It is bounded: when it is full, decoding waits,
// and behind a live source the kernel drops and counts.
type Queue struct {
	sink Sink
	opt  QueueOptions
	work chan item          // closed by Close; when it is full, decoding waits
	free chan *record.Batch // empty batches, to be used again; when it is full, they are dropped
	done chan struct{}      // closed when the sink's goroutine ends

	mixed *lot // with Mixed, what all lanes fill
	lanes []*Lane

	mu    sync.Mutex
	stats QueueStats
	err   error // the sink's first
}

// QueueStats counts records. Every record that was made is in Stored, Added or Lost, or still waits, in memory or (see Deferred.Own)
// on disk.
type QueueStats struct {
	Made    uint64 // taken from decoding
	Added   uint64 // new in the sink
	Stored  uint64 // found to be stored already, by an earlier run
	Lost    uint64 // made but not written, because the sink failed or a Deferrer had no room
	Batches uint64 // written
	Waiting uint64 // batches in the queue, with the one that is being written
	Bytes   uint64 // that the records in these take in memory, about
}

// An item is one thing for the sink to do.
type item struct {
	batch   *record.Batch   // to write; or nil
	capture *record.Capture // that the item is about; nil for a mixed batch
	ledger  *record.Ledger  // if not nil: the capture has ended
	files   []record.File
	blind   *record.Blind // if not nil: to store
	then    func()        // if not nil: called, once all items before it were done without an error
}

// NewQueue starts the Sink's goroutine. ctx bounds its writes; it should outlive the context that ends reading, so
// that what was read is still stored.
func NewQueue(ctx context.Context, s Sink, opt QueueOptions) *Queue {
	opt.Batch = cmp.Or(opt.Batch, 50_000)
	opt.Depth = cmp.Or(opt.Depth, 4)
	opt.MaxAge = cmp.Or(opt.MaxAge, time.Second)
	q := &Queue{
		sink: s, opt: opt,
		work: make(chan item, opt.Depth),
		free: make(chan *record.Batch, opt.Depth+1),
		done: make(chan struct{}),
	}
	if opt.Mixed {
		q.mixed = &lot{q: q}
	}
	go q.run(ctx)
	return q
}

// Lane returns the entrance for one capture's records.
func (q *Queue) Lane(c *record.Capture) *Lane {
	l := &Lane{lot: q.mixed, capture: c}
	if l.lot == nil {
		l.lot = &lot{q: q, capture: c}
	}
	l.Batch = l.lot.open()
	q.lanes = append(q.lanes, l)
	q.put(item{capture: c})
	return l
}

// Stats returns the counts so far; it may be called by any goroutine.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	s := q.stats
	q.mu.Unlock()
	if d, ok := q.Deferred(); ok {
		s.Added += d.Added
		s.Stored += d.Stored
		s.Lost += d.Lost
	}
	return s
}

// Deferred returns what the sink keeps on disk, if it is one that does; it may be called by any goroutine.
func (q *Queue) Deferred() (d Deferred, ok bool) {
	to, ok := q.sink.(Deferrer)
	if ok {
		d = to.Deferred()
	}
	return d, ok
}

// put hands an item to the sink's goroutine. It waits while the queue is full.
func (q *Queue) put(it item) {
	select {
	case q.work <- it:
		return
	default:
	}
	if d, ok := q.sink.(Deferrer); ok {
		d.Hurry()
	}
	q.work <- it
}

// Close sends what is left, waits until it is written, closes the sink and returns the first error.
func (q *Queue) Close() error {
	for _, l := range q.lanes {
		l.lot.send()
	}
	close(q.work)
	<-q.done
	if err := q.sink.Close(); err != nil {
		q.fail(err)
	}
	return q.err
}

// A lot is a sequence of batches.
type lot struct {
	q       *Queue
	capture *record.Capture
	batch   *record.Batch // being filled
	seq     uint64
	since   record.Time // capture time when its first record was made
}

// open returns the batch that is being filled.
func (l *lot) open() *record.Batch {
	if l.batch == nil {
		select {
		case l.batch = <-l.q.free:
		default:
			l.batch = new(record.Batch)
		}
		l.batch.Capture, l.batch.Seq = l.capture, l.seq
		l.seq++
	}
	return l.batch
}

// send hands the batch over, unless it is empty.
func (l *lot) send() {
	if l.batch == nil || l.batch.Len() == 0 {
		return
	}
	q := l.q
	q.mu.Lock()
	q.stats.Made += uint64(l.batch.Len())
	q.stats.Waiting++
	q.stats.Bytes += uint64(l.batch.Size())
	q.mu.Unlock()
	q.put(item{batch: l.batch, capture: l.capture})
	l.batch = nil
	b := l.open()
	for _, lane := range q.lanes {
		if lane.lot == l {
			lane.Batch = b
		}
	}
}

// A Lane takes the records of one capture: it is a decode.Recorder.
type Lane struct {
	*record.Batch // the one that is being filled
	lot           *lot
	capture       *record.Capture
}

// Advance says that the capture's time has reached now. It is called before the records that are made then. Where batches
// end depends on the capture alone, so packets without records may be left out.
func (l *Lane) Advance(now record.Time) {
	t := l.lot
	n := l.Len()
	if n > 0 && (n >= t.q.opt.Batch || now.Sub(t.since) >= t.q.opt.MaxAge) {
		t.send()
		n = 0
	}
	if n == 0 {
		t.since = now
	}
}

// End says that the capture's records are complete.
func (l *Lane) End(ledger *record.Ledger, files []record.File) {
	l.lot.send()
	l.lot.q.put(item{capture: l.capture, ledger: ledger, files: files})
}

// Blind says that the capture could not see for some time; see record.Blind. b's Capture is set here.
func (l *Lane) Blind(b record.Blind) {
	b.Capture = l.capture
	l.lot.q.put(item{blind: &b})
}

// Then calls f, in the sink's goroutine, once all records that were made so far are stored. It is not called if the sink fails.
func (l *Lane) Then(f func()) {
	l.lot.send()
	l.lot.q.put(item{then: f})
}

// run is the sink's goroutine. After the first error it only empties the queue.
func (q *Queue) run(ctx context.Context) {
	defer close(q.done)
	for it := range q.work {
		if q.err == nil {
			q.do(ctx, it)
		} else if it.batch != nil {
			q.count(func(s *QueueStats) { s.Lost += uint64(it.batch.Len()) })
		}
		if it.batch != nil {
			size := uint64(it.batch.Size())
			q.count(func(s *QueueStats) {
				s.Waiting--
				s.Bytes -= size
			})
			it.batch.Reset()
			select {
			case q.free <- it.batch:
			default:
			}
		}
	}
}

func (q *Queue) do(ctx context.Context, it item) {
	switch {
	case it.batch != nil:
		n := uint64(it.batch.Len())
		added, err := q.sink.Write(ctx, it.batch)
		if err != nil {
			q.count(func(s *QueueStats) { s.Lost += n })
			q.fail(err)
			return
		}
		_, deferred := q.sink.(Deferrer)
		q.count(func(s *QueueStats) {
			s.Batches++
			if !deferred {
				s.Added += added
				s.Stored += n - added
			}
		})
	case it.ledger != nil:
		if err := q.sink.End(ctx, it.capture, it.ledger, it.files); err != nil {
			q.fail(err)
		}
	case it.blind != nil:
		if b, ok := q.sink.(Blinder); ok {
			if err := b.Blind(ctx, it.blind); err != nil {
				q.fail(err)
			}
		}
	case it.then != nil:
		it.then()
	default:
		if _, err := q.sink.Begin(ctx, it.capture); err != nil {
			q.fail(err)
		}
	}
}

func (q *Queue) count(f func(*QueueStats)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f(&q.stats)
}

// fail notes the sink's first error. It is called by the sink's goroutine, and by Close after that has ended.
func (q *Queue) fail(err error) {
	if q.err != nil {
		return
	}
	if q.opt.Name != "" {
		err = fmt.Errorf("%s: %w", q.opt.Name, err)
	}
	q.err = err
	if q.opt.Fail != nil {
		q.opt.Fail(err)
	}
}
