package sinktest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"btcsniff/record"
)

// A fuse is a context that is cancelled when it has been asked a number of times.
type fuse struct {
	context.Context
	cancel context.CancelFunc

	mu   sync.Mutex
	left int
}

func newFuse(left int) *fuse {
	ctx, cancel := context.WithCancel(context.Background())
	return &fuse{Context: ctx, cancel: cancel, left: left}
}

func (f *fuse) burn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		f.cancel()
	}
}

// Done is context.Context's, and burns.
func (f *fuse) Done() <-chan struct{} {
	f.burn()
	return f.Context.Done()
}

// Err is context.Context's, and burns.
func (f *fuse) Err() error {
	f.burn()
	return f.Context.Err()
}

// cutOff cancels the writing of a batch at every moment when the sink looks at its context. After an error nothing of the batch is
// stored (or all of it, if it was cut off while committing), and writing it again stores each record once.
func cutOff(t *testing.T, e *env) {
	c := newCapture("lab")
	all := messages(c, 40)
	before, n := cut(c, all[:20], 20)
	e.open()
	e.begin(c, 0)
	e.write(before[0], n)
	b, records := cut(c, all[20:], 20)
	b[0].Seq = 1
	empty := tableCounts(e)
	var whole []string
	for left := 0; ; left++ {
		ctx := newFuse(left)
		_, err := e.sink.Write(ctx, b[0])
		ctx.cancel()
		got := tableCounts(e)
		if err == nil {
			whole = got
			break
		}
		if left > 10_000 {
			t.Fatal("Write looks at its context without end")
		}
		if !slices.Equal(got, empty) {
			t.Logf("cut off at look %d: stored nevertheless: %v", left, err)
			whole = got
			// It was this sink's, and nobody was told of it yet.
			if added, err := e.sink.Write(context.Background(), b[0]); err != nil || added != 0 && added != records {
				t.Errorf("Write of batch 1 again = %d, %v, want 0 or %d added", added, err, records)
			}
			break
		}
	}
	e.write(b[0], 0)
	e.want(countsQuery, whole...)
	e.close()
	both, total := cut(newCapture("lab"), all, 20)
	if total != n+records {
		t.Fatalf("%d records, want %d", total, n+records)
	}
	e.run(both, total, 0)
	e.want(countsQuery, whole...)
	e.want("SELECT count(*) FROM (SELECT DISTINCT conn, from_b, pos, index FROM inv) d", e.lines("SELECT count(*) FROM inv")...)
	var kinds [record.NumKinds]uint64
	for _, b := range both {
		for k, n := range b.Counts() {
			kinds[k] += n
		}
	}
	for _, k := range []record.Kind{record.KindInv, record.KindTx, record.KindPing, record.KindAddr} {
		e.want("SELECT count(*) FROM "+k.String(), text(kinds[k]))
	}
}
