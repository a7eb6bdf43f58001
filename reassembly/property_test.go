package reassembly

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
	"btcsniff/segment"
)

// An oracle knows, for each byte of a flow, what was captured first. It is as simple as can be.
type oracle struct {
	bytes map[int]byte
	times map[int]record.Time
}

func (o *oracle) take(off int, p []byte, at record.Time) {
	for i, b := range p {
		if _, ok := o.bytes[off+i]; !ok {
			o.bytes[off+i], o.times[off+i] = b, at
		}
	}
}

// flow is what a flow of n bytes must be told as, from its byte number from on. Missing bytes at its end are no gap, for nothing
// comes behind them.
func (o *oracle) flow(from, n int) *flowLog {
	l := &flowLog{}
	last := from
	for i := from; i < n; i++ {
		b, ok := o.bytes[i]
		at := record.Time(gapTime)
		if ok {
			at = o.times[i]
			last = i + 1
		}
		l.bytes = append(l.bytes, b)
		l.times = append(l.times, at)
	}
	l.bytes, l.times = l.bytes[:last-from], l.times[:last-from]
	return l
}

// A transfer is a random transmission of one flow: cut anywhere, swapped, repeated with other boundaries and other
// content, lost.
type transfer struct {
	rng  *rand.Rand
	n    int // bytes
	loss float64
}

// segments returns the transfer's steps, those within a window of the flow swapped and repeated.
func (x *transfer) segments(h *host, syn bool) []step {
	data := make([]byte, x.n)
	for i := range data {
		data[i] = byte('a' + x.rng.IntN(26))
	}
	var out []step
	at := scriptStart + 1000
	add := func(lo, hi int) {
		p := bytes.Clone(data[lo:hi])
		if x.rng.IntN(4) == 0 && lo > 0 { // sent again with other content
			for i := range p {
				p[i] = byte('A' + x.rng.IntN(26))
			}
		}
		out = append(out, step{at, segment.Segment{Src: h.src, Dst: h.dst, Seq: h.isn + 1 + uint32(lo), Payload: p}})
	}
	for lo := 0; lo < x.n; {
		hi := min(x.n, lo+1+x.rng.IntN(1+x.rng.IntN(60)))
		if x.rng.Float64() >= x.loss {
			add(lo, hi)
		}
		if x.rng.IntN(5) == 0 {
			from := max(0, lo-x.rng.IntN(100))
			add(from, min(x.n, from+1+x.rng.IntN(150)))
		}
		lo = hi
	}
	for i := range out { // swap
		if j := i + x.rng.IntN(12); x.rng.IntN(3) == 0 && j < len(out) {
			out[i], out[j] = out[j], out[i]
		}
	}
	for i := range out {
		if x.rng.IntN(3) > 0 { // else in the same microsecond
			at += record.Time(1 + x.rng.IntN(5000))
		}
		out[i].at = at
	}
	if syn {
		first := step{scriptStart, segment.Segment{Src: h.src, Dst: h.dst, Seq: h.isn, Flags: segment.SYN}}
		out = append([]step{first}, out...)
	}
	return out
}

// TestAgainstOracle gives random transfers to an Assembler, and compares every byte and its time with an oracle's. All of
// a transfer takes less time than holes are waited for.
func TestAgainstOracle(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	for round := range rounds {
		rng := rand.New(rand.NewPCG(1, uint64(round)))
		syn := round%3 > 0
		loss := float64(round%4) * 0.03
		s := newScript()
		s.a.isn, s.b.isn = rng.Uint32(), -rng.Uint32N(400) // b's wraps, nearly always
		steps := make([][]step, 2)
		want := make([]*flowLog, 2)
		for i, h := range []*host{s.a, s.b} {
			x := transfer{rng: rng, n: 1 + rng.IntN(800), loss: loss}
			steps[i] = x.segments(h, syn)
			o := oracle{map[int]byte{}, map[int]record.Time{}}
			from := 1 << 30
			for j := range steps[i] {
				st := &steps[i][j]
				if st.seg.Flags&segment.SYN == 0 {
					off := int(st.seg.Seq - h.isn - 1)
					o.take(off, st.seg.Payload, st.at)
					// Without a SYN, a flow starts at its first byte captured in the first second.
					if st.at <= steps[i][0].at.Add(startWait) {
						from = min(from, off)
					}
				}
			}
			if syn {
				from = 0
			}
			if !syn && len(steps[i]) > 0 && slices.ContainsFunc(steps[i], func(st step) bool {
				return int(st.seg.Seq-h.isn-1) < from
			}) {
				from = -1 // begins out of order for longer than a start is waited for
			}
			if from >= 0 && from < 1<<30 {
				want[i] = o.flow(from, 2000)
			}
		}
		all := slices.Concat(steps[0], steps[1])
		slices.SortStableFunc(all, func(x, y step) int { return int(x.at - y.at) })
		var first *recorder
		for _, mode := range []string{advanceNever, advanceOften, advanceAlways} {
			r, a := run(t, Config{}, all, mode)
			compare(t, s, r, want)
			if a.Stats().Stray+a.Stats().Late+a.Stats().EvictedHolds > 0 {
				t.Errorf("stats = %+v, want no stray, no late bytes, nothing evicted", a.Stats())
			}
			if first == nil {
				first = r
			} else if diff := cmp.Diff(first.strings(), r.strings()); diff != "" {
				t.Errorf("%s (-%s +%s):\n%s", mode, advanceNever, mode, diff)
			}
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

// compare checks the flows of a script's one connection. A nil flow is not compared.
func compare(t *testing.T, s *script, r *recorder, want []*flowLog) {
	t.Helper()
	if len(r.conns) == 0 {
		return
	}
	if len(r.conns) != 1 {
		t.Fatalf("connections = %q, want one", r.strings())
	}
	c := r.conns[0]
	for i, h := range []*host{s.a, s.b} {
		got := &c.flows[i]
		if c.rec.A != s.a.src {
			got = &c.flows[1-i]
		}
		if want[i] != nil && !(bytes.Equal(got.bytes, want[i].bytes) && slices.Equal(got.times, want[i].times)) {
			t.Errorf("flow of %v\n got %v\nwant %v", h.src, got, want[i])
		}
	}
}

// TestPageLimits checks that what is held stays within its limits: what has to go is handed on in order and counted.
func TestPageLimits(t *testing.T) {
	t.Run("one flow", func(t *testing.T) {
		s := newScript()
		s.handshake()
		for i := range 40 {
			s.a.data(2*i+1, string(rune('A'+i%26)))
		}
		s.wait(time.Second).a.data(0, "late")
		for _, mode := range []string{advanceNever, advanceAlways} {
			r, a := run(t, Config{MaxPagesPerFlow: 16}, s.steps, mode)
			st := a.Stats()
			if st.EvictedHolds != 40-16 || st.Holes != 40 || st.Lost != 40 {
				t.Errorf("%s: stats = %+v, want 24 holes evicted of 40", mode, st)
			}
			if got := len(r.conns[0].flows[0].bytes); got != 80 {
				t.Errorf("%s: %d bytes with gaps, want 80: %v", mode, got, r.strings())
			}
		}
	})
	t.Run("one flow whose start is not known", func(t *testing.T) {
		for _, tt := range []struct {
			name  string
			piece string
			swap  int // 1: every second segment comes before the one before it
		}{
			{"in order", strings.Repeat("x", pageBytes-spanBytes), 0},
			{"in order, one byte each", "x", 0},
			{"out of order", "x", 1},
		} {
			s := newScript()
			pieces := max(20, 20*pageBytes/(len(tt.piece)+spanBytes))
			if tt.swap == 1 {
				pieces = 20
			}
			for i := range pieces {
				s.a.data((i^tt.swap)*len(tt.piece), tt.piece)
			}
			_, a := run(t, Config{MaxPagesPerFlow: 16}, s.steps, advanceNever)
			if st := a.Stats(); st.EvictedHolds != 1 || st.Delivered != uint64(pieces*len(tt.piece)) || st.Lost != 0 {
				t.Errorf("%s: stats = %+v, want one hold evicted, all delivered", tt.name, st)
			}
		}
	})
	t.Run("all flows", func(t *testing.T) {
		const limit = 256
		steps, honest := manyHolds(200)
		var first []string
		for _, mode := range []string{advanceNever, advanceOften, advanceAlways} {
			r, a := run(t, Config{MaxPages: limit}, steps, mode)
			if st := a.Stats(); st.EvictedHolds == 0 {
				t.Errorf("%s: stats = %+v, want evicted holds", mode, st)
			}
			if a.eng != nil && a.eng.most > limit+spare {
				t.Errorf("%s: %d pages in use, want at most %d", mode, a.eng.most, limit+spare)
			}
			for _, c := range r.conns {
				if c.rec.A == honest && fmt.Sprint(&c.flows[0]) != "abc@3002 def@3001" {
					t.Errorf("%s: the honest flow is %v", mode, c)
				}
			}
			if first == nil {
				first = r.strings()
			} else if diff := cmp.Diff(first, r.strings()); diff != "" {
				t.Errorf("%s (-%s +%s):\n%s", mode, advanceNever, mode, diff)
			}
		}
	})
}

// manyHolds is n flows with ten holes each, and an honest one with one that fills after them.
func manyHolds(n int) (steps []step, honest netAddr) {
	for i := range n {
		s := newScriptOn(addr(i), remote)
		s.now = int64(i)
		s.handshake()
		for j := range 10 {
			s.a.data(2*j+1, "x")
		}
		steps = append(steps, s.steps...)
	}
	s := newScriptOn(addr(n), remote)
	s.now = 3000 - 2
	s.handshake()
	s.a.data(3, "def").data(0, "abc")
	for i := range 2 * n {
		x := newScriptOn(addr(i%n), remote)
		x.now = 3001
		x.a.data(100+2*i, "x")
		steps = append(steps, x.steps...)
	}
	steps = append(steps, s.steps...)
	slices.SortStableFunc(steps, func(x, y step) int { return int(x.at - y.at) })
	return steps, s.a.src
}

// TestTableLimit floods the table with half-open connections while honest ones go on.
func TestTableLimit(t *testing.T) {
	const limit = 1000 // connections
	s := newScript()
	s.handshake()
	for i := range 10 {
		s.a.data(3*i, "abc")
		for j := range 500 {
			x := newScriptOn(addr(i*500+j), remote)
			x.now = s.now
			x.a.syn()
			s.steps = append(s.steps, x.steps...)
		}
	}
	for _, mode := range []string{advanceNever, advanceAlways} {
		r, a := run(t, Config{MaxTable: limit * halfOpenSize}, s.steps, mode)
		st := a.Stats()
		if st.Opened != 5001 || st.EvictedConns < 5001-limit || st.EvictedConns > 5001-limit+limit/4+1 {
			t.Errorf("%s: stats = %+v, want about %d evicted", mode, st, 5001-limit)
		}
		if got := len(r.conns) - 5001; got != 0 {
			t.Errorf("%s: %d connections too many", mode, got)
		}
		want := "a>b syn rtt=2 | abc@3 abc@4 abc@5 abc@6 abc@7 abc@8 abc@9 abc@10 abc@11 abc@12 | "
		if got := r.strings()[0]; got != want {
			t.Errorf("%s: honest connection = %s, want %s", mode, got, want)
		}
	}
}

// TestSmallSegments holds a flow cut into segments of one byte each behind a hole: they take little more than their own size, so that all are
// still there when the hole is filled.
func TestSmallSegments(t *testing.T) {
	const n, limit = 20_000, 4096
	a := New(Config{Capture: &record.Capture{}, NewConn: func(*record.Conn) Conn { return discard{} }, MaxPagesPerFlow: limit})
	s := newScript()
	s.handshake()
	for i := range n {
		s.a.data(1+i, "x")
	}
	s.a.data(0, "x")
	most := 0
	for i, st := range s.steps {
		a.Segment(&st.seg, st.at, uint64(i))
		most = max(most, a.pages)
	}
	if st := a.Stats(); st.Delivered != n+1 || st.EvictedHolds != 0 || a.pages != 0 {
		t.Errorf("stats = %+v with %d pages left, want all delivered", st, a.pages)
	}
	if want := pagesFor(n*(spanBytes+1)) + 2*pagesFor(maxTail); most > want {
		t.Errorf("%d pages, want at most %d", most, want)
	}
}

// TestPagesGivenBack checks that tcpassembly's pages don't stay after a burst.
func TestPagesGivenBack(t *testing.T) {
	a := New(Config{Capture: &record.Capture{}, NewConn: func(*record.Conn) Conn { return discard{} }})
	s := newScript()
	s.handshake()
	big := string(make([]byte, 60000))
	for i := range 100 {
		s.a.data(1+60000*i, big)
	}
	for i, st := range s.steps {
		a.Segment(&st.seg, st.at, uint64(i))
	}
	if a.eng == nil || a.eng.pages < pagesToKeep {
		t.Fatalf("engine = %+v, want more than %d pages in use", a.eng, pagesToKeep)
	}
	a.Advance(s.steps[len(s.steps)-1].at.Add(holeWait + time.Second))
	if a.eng != nil || len(a.holds) > 0 || a.Stats().Delivered != 6_000_000 {
		t.Errorf("engine = %+v, %d holds, %d bytes delivered, want none, none, all", a.eng, len(a.holds), a.Stats().Delivered)
	}
}

// TestWholeLots checks that the pages which tcpassembly allocates stay within the limit.
func TestWholeLots(t *testing.T) {
	for n, want := range map[int]int{1: 1, 1000: 1000, 1024: 960, 3071: 960, 3072: 3008, 32768: 31680, 65536: 64448} {
		if got := wholeLots(n); got != want {
			t.Errorf("wholeLots(%d) = %d, want %d", n, got, want)
		}
	}
}

// TestHoldsForgotten checks that closed holds don't pile up between calls of Advance.
func TestHoldsForgotten(t *testing.T) {
	a := New(Config{Capture: &record.Capture{}, NewConn: func(*record.Conn) Conn { return discard{} }})
	s := newScript()
	s.handshake()
	for i := range 5000 {
		s.a.data(2*i+1, "y").data(2*i, "x")
	}
	most := 0
	for i, st := range s.steps {
		a.Segment(&st.seg, st.at, uint64(i))
		most = max(most, len(a.holds))
	}
	if most > 200 {
		t.Errorf("%d holds remembered, want at most 200", most)
	}
}

// TestStrayLimit checks that copies of strays stay within their limit, and that a connection on reused ports is
// found also when there is no room for them.
func TestStrayLimit(t *testing.T) {
	var steps []step
	big := string(make([]byte, 60000))
	add := func(i int, f func(s *script)) {
		s := newScriptOn(addr(i), remote)
		s.now = int64(i)
		f(s)
		steps = append(steps, s.steps...)
	}
	for i := range 100 {
		add(i, func(s *script) {
			s.handshake()
			s.a.data(0, "abc").data(1<<30, big)
		})
	}
	for i := range 100 {
		add(i, func(s *script) {
			s.now += 1000
			s.a.data(1<<30+60000, "next")
		})
	}
	r, a := run(t, Config{}, steps, advanceNever)
	kept := maxStrays / 60000
	st := a.Stats()
	if want := uint64((100 - kept) * 60000); st.Stray != want || st.Opened != 200 || a.strays != 0 {
		t.Errorf("stats = %+v, strays = %d, want %d bytes stray, 200 opened, 0", st, a.strays, want)
	}
	for _, c := range r.strings() {
		if len(c) > 200 {
			t.Errorf("connection = %s", c)
		}
	}
}
