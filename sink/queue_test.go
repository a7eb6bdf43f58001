package sink_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
	"btcsniff/sink"
)

// A journal is a sink that notes what it is asked to do.
type journal struct {
	mu    sync.Mutex
	lines []string
	fail  error // of the next Write
}

func (l *journal) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *journal) Begin(_ context.Context, c *record.Capture) (uint64, error) {
	l.add("begin %s", c.Name)
	return 0, nil
}

func (l *journal) Write(_ context.Context, b *record.Batch) (uint64, error) {
	if l.fail != nil {
		return 0, l.fail
	}
	name := "mixed"
	if b.Capture != nil {
		name = b.Capture.Name
	}
	nonces := ""
	for _, p := range b.Pings {
		nonces += fmt.Sprint(" ", p.Nonce)
	}
	l.add("%s %d:%s", name, b.Seq, nonces)
	return uint64(b.Len()), nil
}

func (l *journal) End(_ context.Context, c *record.Capture, _ *record.Ledger, _ []record.File) error {
	l.add("end %s", c.Name)
	return nil
}

func (l *journal) Close() error {
	l.add("close")
	return nil
}

func second(n float64) record.Time { return record.Time(n * 1e6) }

func TestQueueBatches(t *testing.T) {
	a, b := &record.Capture{Name: "a"}, &record.Capture{Name: "b"}
	for _, tt := range []struct {
		name  string
		mixed bool
		want  []string
	}{
		{"each capture has its own batches", false, []string{
			"begin a", "begin b", "a 0: 1 3", "a 1: 4 5 6", "a 2: 7", "end a", "b 0: 2", "end b", "close",
		}},
		{"mixed batches keep the order", true, []string{
			"begin a", "begin b", "mixed 0: 1 2 3", "mixed 1: 4 5 6", "mixed 2: 7", "end a", "end b", "close",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l journal
			q := sink.NewQueue(t.Context(), &l, sink.QueueOptions{Batch: 3, MaxAge: time.Second, Mixed: tt.mixed})
			la, lb := q.Lane(a), q.Lane(b)
			at := func(lane *sink.Lane, s float64, nonces ...uint64) {
				lane.Advance(second(s))
				for _, n := range nonces {
					lane.Ping(record.Ping{Nonce: n})
				}
			}
			at(la, 10, 1)
			at(lb, 10.1, 2)
			at(la, 10.9, 3)    // less than a second old
			at(la, 11)         // old enough
			at(la, 11.1, 4, 5) // the next batch begins here
			at(la, 12, 6)      // full, but the packet at hand stays together
			at(la, 12.05, 7)
			la.End(&record.Ledger{}, nil)
			lb.End(&record.Ledger{}, nil)
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, l.lines); diff != "" {
				t.Errorf("sink (-want +got):\n%s", diff)
			}
			if st := q.Stats(); st.Made != 7 || st.Added != 7 || st.Stored != 0 || st.Lost != 0 {
				t.Errorf("Stats() = %+v, want 7 made and added", st)
			}
		})
	}
}

// TestQueueQuietPackets leaves out the packets without records: batches are the same.
func TestQueueQuietPackets(t *testing.T) {
	var logs [2]journal
	for i := range logs {
		q := sink.NewQueue(t.Context(), &logs[i], sink.QueueOptions{MaxAge: time.Second})
		lane := q.Lane(&record.Capture{Name: "a"})
		for n := range 100 {
			s := 10 + 0.1*float64(n)
			if n%7 == 0 {
				lane.Advance(second(s))
				lane.Ping(record.Ping{Nonce: uint64(n)})
			} else if i == 0 {
				lane.Advance(second(s))
			}
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(logs[0].lines, logs[1].lines); diff != "" {
		t.Errorf("batches with and without quiet packets differ:\n%s", diff)
	}
}

func TestQueueFailure(t *testing.T) {
	l := journal{fail: errors.New("disk full")}
	var cause error
	q := sink.NewQueue(t.Context(), &l, sink.QueueOptions{Name: "x", Batch: 1, Fail: func(err error) { cause = err }})
	lane := q.Lane(&record.Capture{Name: "a"})
	for n := range 50 {
		lane.Advance(second(float64(n)))
		lane.Ping(record.Ping{})
	}
	lane.Then(func() { t.Error("Then is called although the sink failed") })
	err := q.Close()
	if err == nil || err.Error() != "x: disk full" || !errors.Is(cause, l.fail) {
		t.Errorf("Close() = %v, Fail(%v), want x: disk full", err, cause)
	}
	if st := q.Stats(); st.Made != 50 || st.Lost != 50 {
		t.Errorf("Stats() = %+v, want 50 made and lost", st)
	}
}

// A keeper is a sink that keeps what it is given until it is released, and is told to hurry meanwhile.
type keeper struct {
	journal
	hurried, release chan struct{}
}

func (k *keeper) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	<-k.release
	return k.journal.Write(ctx, b)
}

func (k *keeper) Blind(_ context.Context, b *record.Blind) error {
	k.add("%s is blind: %s", b.Capture.Name, b.Reason)
	return nil
}

func (k *keeper) Hurry() {
	select {
	case k.hurried <- struct{}{}:
	default:
	}
}

func (k *keeper) Deferred() sink.Deferred { return sink.Deferred{Added: 2, Stored: 1, Lost: 1, Own: 3} }

// TestQueueHurries fills the queue of a sink that waits: the sink is told, and its own counts are the queue's.
func TestQueueHurries(t *testing.T) {
	k := &keeper{hurried: make(chan struct{}, 1), release: make(chan struct{})}
	go func() {
		<-k.hurried
		close(k.release)
	}()
	q := sink.NewQueue(t.Context(), k, sink.QueueOptions{Batch: 1, Depth: 1})
	lane := q.Lane(&record.Capture{Name: "a"})
	for n := range uint64(7) {
		lane.Advance(second(float64(n)))
		lane.Ping(record.Ping{Nonce: n})
	}
	lane.Blind(record.Blind{Reason: record.KernelDrops})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"begin a", "a 0: 0", "a 1: 1", "a 2: 2", "a 3: 3", "a 4: 4", "a 5: 5", "a is blind: kernel drops", "a 6: 6", "close"}
	if diff := cmp.Diff(want, k.lines); diff != "" {
		t.Errorf("sink (-want +got):\n%s", diff)
	}
	if st := q.Stats(); st.Made != 7 || st.Added != 2 || st.Stored != 1 || st.Lost != 1 || st.Batches != 7 {
		t.Errorf("Stats() = %+v, want 7 made, and the sink's own 2 added, 1 stored, 1 lost", st)
	}
}

// A slow sink writes when it is let.
type slow struct {
	journal
	begun, let chan struct{}
}

func (s *slow) Write(ctx context.Context, b *record.Batch) (uint64, error) {
	s.begun <- struct{}{}
	<-s.let
	return s.journal.Write(ctx, b)
}

// TestQueueDepth looks how much waits in a queue, with what is being written.
func TestQueueDepth(t *testing.T) {
	s := &slow{begun: make(chan struct{}), let: make(chan struct{})}
	q := sink.NewQueue(t.Context(), s, sink.QueueOptions{Batch: 1, Depth: 4})
	c := &record.Capture{Name: "a"}
	l := q.Lane(c)
	for i := range 3 {
		l.Advance(second(float64(i)))
		l.Ping(record.Ping{Meta: record.Meta{Conn: &record.Conn{Capture: c}}})
	}
	l.Advance(second(9))
	<-s.begun
	if st := q.Stats(); st.Waiting != 3 || st.Bytes < 3*50 || st.Bytes > 3*1000 {
		t.Errorf("%d batches of %d bytes wait, want 3", st.Waiting, st.Bytes)
	}
	s.let <- struct{}{}
	<-s.begun
	if st := q.Stats(); st.Waiting != 2 {
		t.Errorf("%d batches wait, want 2", st.Waiting)
	}
	close(s.let)
	<-s.begun
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if st := q.Stats(); st.Waiting != 0 || st.Bytes != 0 {
		t.Errorf("%d batches of %d bytes wait at the end", st.Waiting, st.Bytes)
	}
}
