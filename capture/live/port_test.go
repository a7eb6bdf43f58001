package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
)

// A wire is a made-up interface: what is sent on it can be captured.
type wire struct {
	name   string
	events chan event
	opens  chan error // what open returns; nil once it is closed

	mu      sync.Mutex
	kernel  uint32
	removed bool
	down    bool
}

// An event is a packet, or an error that ends the handle. The zero event is that nothing came.
type event struct {
	at   int64
	data string
	err  error
}

func newWire(name string) *wire {
	w := &wire{name: name, events: make(chan event, 100_000), opens: make(chan error, 10)}
	return w
}

func (w *wire) String() string { return w.name }

func (w *wire) open() (handle, error) {
	select {
	case err := <-w.opens:
		if err != nil {
			return nil, err
		}
	default:
	}
	return &wireHandle{wire: w}, nil
}

func (w *wire) up() (bool, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.down, !w.removed
}

func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

type wireHandle struct {
	wire *wire
	buf  []byte
}

func (h *wireHandle) read() ([]byte, int64, int, error) {
	var e event
	select {
	case e = <-h.wire.events:
	case <-time.After(5 * time.Millisecond):
		// Where this goroutine had to wait for a processor, both were ready. As with a kernel's buffer, only an empty one is silent.
		select {
		case e = <-h.wire.events:
		default:
			return nil, 0, 0, errTimeout
		}
	}
	if e.err != nil || e.at == 0 {
		return nil, 0, 0, errors.Join(e.err)
	}
	h.buf = append(h.buf[:0], e.data...)
	return h.buf, e.at, len(e.data) + 1, nil
}

func (h *wireHandle) format() (capture.LinkType, bool) { return 276, true }

func (h *wireHandle) drops() (uint32, uint32, bool) {
	h.wire.mu.Lock()
	defer h.wire.mu.Unlock()
	return h.wire.kernel, 1, true
}

func (h *wireHandle) close() {}

func startWires(t *testing.T, cfg Config, wires ...*wire) *Live {
	t.Helper()
	cfg.defaults()
	var sources []opener
	for _, w := range wires {
		sources = append(sources, w)
	}
	l, err := start(cfg, sources)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// next returns the next packet that is no heartbeat, as text.
func next(t *testing.T, l *Live) string {
	t.Helper()
	var p capture.Packet
	for p.Data == nil {
		if err := l.Next(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%s %s@%d", l.infos[p.Capture].Name, p.Data, p.Time)
}

// Packets of several interfaces come in the order of their times, also when those of one are handed over later.
func TestMerge(t *testing.T) {
	a, b := newWire("a"), newWire("b")
	l := startWires(t, Config{Hold: time.Minute}, a, b)
	a.events <- event{at: 10, data: "1"}
	a.events <- event{at: 30, data: "3"}
	a.events <- event{at: 30, data: "4"}
	b.events <- event{at: 20, data: "2"}
	b.events <- event{at: 30, data: "5"}
	b.events <- event{at: 60, data: "x"} // else the last of a waited for b
	a.events <- event{at: 50, data: "6"}
	var got []string
	for range 6 {
		got = append(got, next(t, l))
	}
	if diff := cmp.Diff([]string{"a 1@10", "b 2@20", "a 3@30", "a 4@30", "b 5@30", "a 6@50"}, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if s := l.Stats(); s.Packets != 6 {
		t.Errorf("Stats().Packets = %d, want 6", s.Packets)
	}
}

// A silent interface does not hold up the others for longer than Hold.
func TestHold(t *testing.T) {
	a, b := newWire("a"), newWire("b")
	l := startWires(t, Config{Hold: 10 * time.Millisecond}, a, b)
	a.events <- event{at: 10, data: "1"}
	if got := next(t, l); got != "a 1@10" {
		t.Errorf("packet %s, want a's", got)
	}
}

// When Next's context is done, what was captured before that still comes, and then the context's error.
func TestDrain(t *testing.T) {
	a := newWire("a")
	l := startWires(t, Config{Timeout: time.Millisecond}, a)
	for i := range 20_000 { // more than one block
		a.events <- event{at: int64(i + 1), data: "packet"}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	var p capture.Packet
	var err error
	for err == nil {
		if err = l.Next(ctx, &p); err == nil && p.Data != nil {
			n++
		}
	}
	if n != 20_000 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d packets, then %v, want 20000, then %v", n, err, context.Canceled)
	}
	if err := l.Next(ctx, &p); !errors.Is(err, context.Canceled) {
		t.Errorf("Next after that = %v, want %v", err, context.Canceled)
	}
	if s := l.Interfaces()[0]; s.Packets != 20_000 || s.Nanos != true || s.Link != 276 || s.IfDropped != 1 {
		t.Errorf("Interfaces() = %+v", s)
	}
}

// A busy interface, where there is always one more packet, ends too.
func TestStopOnBusyInterface(t *testing.T) {
	cfg := Config{Changed: func(Change) {}}
	cfg.defaults()
	l, err := start(cfg, []opener{&flooded{at: time.Now().Add(time.Hour).UnixNano()}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var p capture.Packet
	for err == nil {
		err = l.Next(ctx, &p)
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Heartbeats come when nothing else does, and follow the latest packet's time.
func TestHeartbeat(t *testing.T) {
	a := newWire("a")
	l := startWires(t, Config{Heartbeat: time.Millisecond, Hold: time.Nanosecond}, a)
	var p capture.Packet
	if err := l.Next(t.Context(), &p); err != nil || p.Data != nil || p.Time != 0 {
		t.Errorf("Next before the first packet: %+v, %v, want a heartbeat at 0", p, err)
	}
	a.events <- event{at: 1000, data: "1"}
	next(t, l)
	before := int64(1000)
	for p.Time < 1000+int64(20*time.Millisecond) {
		if err := l.Next(t.Context(), &p); err != nil || p.Data != nil || p.Time < before {
			t.Fatalf("Next: %+v, %v, want a heartbeat not before %d", p, err, before)
		}
		before = p.Time
	}
}

// changes collects what Config.Changed is called with.
func changes() (func(Change), chan Change) {
	ch := make(chan Change, 100)
	return func(c Change) { ch <- c }, ch
}

// An interface that fails is opened again, and said to have been away; its counters begin again.
func TestReopen(t *testing.T) {
	a := newWire("a")
	changed, log := changes()
	l := startWires(t, Config{Changed: changed}, a)
	a.events <- event{at: 1, data: "1"}
	next(t, l)
	a.set(func() { a.kernel = 7 })
	a.opens <- errors.New("not yet")
	a.opens <- nil
	broken := errors.New("broken")
	a.events <- event{err: broken}
	if c := <-log; !c.Down || !errors.Is(c.Err, broken) || c.Interface != "a" {
		t.Errorf("change %+v, want that a broke", c)
	}
	a.events <- event{at: 2, data: "2"}
	if c := <-log; c.Down || c.Away <= 0 {
		t.Errorf("change %+v, want that a is back", c)
	}
	if got := next(t, l); got != "a 2@2" {
		t.Errorf("packet %s, want the one after", got)
	}
	l.Close()
	// 7 before and 7 after: the counter of a new handle begins at 0.
	if s := l.Interfaces()[0]; s.Reopened != 1 || s.Downs != 1 || s.Away <= 0 || s.Down || s.Dropped != 14 || s.Err != nil {
		t.Errorf("Interfaces() = %+v", s)
	}
	if d := l.Stats().Drops; d[0].Kernel != 14 {
		t.Errorf("Stats().Drops = %v, want 14 by the kernel", d)
	}
}

// What may not be opened again ends. The others go on; when none is left, Next says why.
func TestReopenDenied(t *testing.T) {
	a, b := newWire("a"), newWire("b")
	changed, log := changes()
	l := startWires(t, Config{Changed: changed, Hold: time.Minute}, a, b)
	denied := fmt.Errorf("interface: %w", fs.ErrPermission)
	a.opens <- denied
	a.events <- event{err: errors.New("broken")}
	for c := range log {
		if c.Lost {
			break
		}
	}
	b.events <- event{at: 5, data: "5"}
	if got := next(t, l); got != "b 5@5" {
		t.Errorf("packet %s, want b's, without waiting for a", got)
	}
	b.opens <- denied
	b.events <- event{err: errors.New("broken")}
	var p capture.Packet
	var err error
	for err == nil {
		err = l.Next(t.Context(), &p)
	}
	if !errors.Is(err, fs.ErrPermission) || l.Interfaces()[0].Err == nil {
		t.Errorf("Next = %v, Interfaces() = %+v, want the error of opening", err, l.Interfaces())
	}
}

// An interface that is down is said to be; one that another has taken the name of is opened again.
func TestWatch(t *testing.T) {
	a := newWire("a")
	changed, log := changes()
	p := newPort(&Config{Changed: changed, SnapLen: 100}, a, &wireHandle{wire: a}, make(chan struct{}, 1))
	now := time.Unix(1000, 0)
	step := func(after time.Duration) error { return p.watch(now.Add(after)) }
	if err := step(0); err != nil || len(log) != 0 {
		t.Errorf("watch = %v, %d changes, want none", err, len(log))
	}
	a.down = true
	if err := errors.Join(step(1), step(2)); err != nil || len(log) != 1 {
		t.Fatalf("watch = %v, %d changes, want one that it is down", err, len(log))
	}
	a.down = false
	if err := step(4); err != nil || len(log) != 2 {
		t.Fatalf("watch = %v, %d changes, want one more", err, len(log))
	}
	want := []Change{{Interface: "a", Down: true, At: now.Add(1)}, {Interface: "a", At: now.Add(4), Away: 3}}
	if diff := cmp.Diff(want, []Change{<-log, <-log}); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	a.removed = true
	if err := step(5); !errors.Is(err, errGone) {
		t.Errorf("watch = %v, want %v", err, errGone)
	}
}

// When nobody calls Next, blocks fill up to their limit and no further.
func TestBounded(t *testing.T) {
	a := newWire("a")
	data := string(make([]byte, 100_000))
	for i := range 1000 { // 100 MB
		a.events <- event{at: int64(i + 1), data: data}
	}
	l := startWires(t, Config{SnapLen: 1000}, a)
	p := l.ports[0]
	for len(p.full) < maxBlocks {
		<-time.After(time.Millisecond)
	}
	for i := range 1000 {
		var got capture.Packet
		for got.Data == nil {
			if err := l.Next(t.Context(), &got); err != nil {
				t.Fatal(err)
			}
		}
		if got.Time != int64(i+1) || len(got.Data) != 100_000 || got.Len != 100_001 {
			t.Fatalf("packet %d: time %d, %d bytes, length %d", i, got.Time, len(got.Data), got.Len)
		}
	}
	if p.made > maxBlocks {
		t.Errorf("%d blocks were made, want at most %d", p.made, maxBlocks)
	}
}

// A flood is a handle that always has a packet.
type flood struct {
	wireHandle
	at int64
}

func (f *flood) read() ([]byte, int64, int, error) {
	f.at++
	return f.buf, f.at, len(f.buf), nil
}

type flooded struct {
	wire
	at int64 // of the first packet
}

func (f *flooded) open() (handle, error) {
	return &flood{wireHandle{wire: &f.wire, buf: make([]byte, 700)}, f.at}, nil
}

func TestNoAllocation(t *testing.T) {
	cfg := Config{Changed: func(Change) {}}
	cfg.defaults()
	l, err := start(cfg, []opener{&flooded{}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := context.Background()
	var p capture.Packet
	next := func() {
		for range 1000 {
			if err := l.Next(ctx, &p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 200 { // all blocks are made
		next()
	}
	if n := testing.AllocsPerRun(200, next); n > 0 {
		t.Errorf("%v allocations for 1000 packets, want 0", n)
	}
}

func BenchmarkNext(b *testing.B) {
	cfg := Config{Changed: func(Change) {}}
	cfg.defaults()
	l, err := start(cfg, []opener{&flooded{}})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	b.SetBytes(700)
	var p capture.Packet
	for b.Loop() {
		if err := l.Next(context.Background(), &p); err != nil {
			b.Fatal(err)
		}
	}
}
