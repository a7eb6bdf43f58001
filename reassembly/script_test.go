package reassembly

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"btcsniff/record"
	"btcsniff/segment"
)

// A script is a sequence of segments between two hosts. Each is captured a millisecond after the one before, unless
// it says otherwise. Times in expectations are milliseconds since the script's start.
type script struct {
	a, b  *host
	now   int64 // milliseconds
	steps []step
	cfg   Config // limits
}

// A step is one segment and when it was captured.
type step struct {
	at  record.Time
	seg segment.Segment
}

// A host sends one of the two flows. Offsets count from the first byte after the SYN.
type host struct {
	s        *script
	src, dst netip.AddrPort
	isn      uint32
	peer     *host
	noAck    bool // its segments don't acknowledge
	acked    int  // offset that its segments acknowledge
}

const scriptStart = record.Time(1_700_000_000_000_000)

func newScript() *script {
	return newScriptOn(netip.MustParseAddrPort("192.0.2.1:8333"), netip.MustParseAddrPort("198.51.100.2:40001"))
}

func newScriptOn(a, b netip.AddrPort) *script {
	s := &script{}
	s.a = &host{s: s, src: a, dst: b, isn: 1_000_000, noAck: true}
	s.b = &host{s: s, src: b, dst: a, isn: 3_000_000_000, noAck: true}
	s.a.peer, s.b.peer = s.b, s.a
	return s
}

// wait lets capture time pass.
func (s *script) wait(d time.Duration) *script {
	s.now += d.Milliseconds()
	return s
}

// same has the next segment captured in the same microsecond as the one before.
func (s *script) same() *script {
	s.now--
	return s
}

// handshake opens the connection from a.
func (s *script) handshake() *script {
	s.a.syn().peer.synAck().peer.ack(0)
	return s
}

func (s *script) add(seg segment.Segment) {
	s.steps = append(s.steps, step{scriptStart + record.Time(s.now*1000), seg})
	s.now++
}

func (h *host) send(flags uint8, off int, p string) *host {
	g := segment.Segment{Src: h.src, Dst: h.dst, Seq: h.isn + 1 + uint32(off), Flags: flags, Payload: []byte(p)}
	if !h.noAck && flags&segment.RST == 0 {
		g.Flags |= segment.ACK
	}
	if g.Flags&segment.ACK != 0 {
		g.Ack = h.peer.isn + 1 + uint32(h.acked)
	}
	h.s.add(g)
	return h
}

func (h *host) syn() *host {
	h.noAck, h.peer.noAck, h.acked, h.peer.acked = true, true, 0, 0
	return h.send(segment.SYN, -1, "")
}
func (h *host) synAck() *host { return h.send(segment.SYN|segment.ACK, -1, "") }
func (h *host) data(off int, p string) *host {
	return h.send(0, off, p)
}

// ack acknowledges the other host's bytes before its offset off, also in later segments.
func (h *host) ack(off int) *host {
	h.noAck, h.acked = false, off
	return h.send(segment.ACK, 0, "")
}
func (h *host) fin(off int) *host { return h.send(segment.FIN, off, "") }
func (h *host) rst(off int) *host { return h.send(segment.RST, off, "") }

// cut sends p with n more bytes that the snap length cut off.
func (h *host) cut(off int, p string, n int) *host {
	h.data(off, p)
	h.last().Missing = n
	return h
}

// last is the latest segment of the script.
func (h *host) last() *segment.Segment { return &h.s.steps[len(h.s.steps)-1].seg }

// A flowLog is what an Assembler said about one flow.
type flowLog struct {
	bytes []byte
	times []record.Time // of each byte; a gap is a byte with time gapTime
}

const gapTime = -1

func (l *flowLog) String() string {
	var out []string
	for i := 0; i < len(l.bytes); {
		j := i
		for j < len(l.bytes) && l.times[j] == l.times[i] {
			j++
		}
		if l.times[i] == gapTime {
			out = append(out, fmt.Sprintf("-%d", j-i))
		} else {
			out = append(out, fmt.Sprintf("%s@%d", shorten(l.bytes[i:j]), (l.times[i]-scriptStart)/1000))
		}
		i = j
	}
	return strings.Join(out, " ")
}

func shorten(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%s...(%d)", b[:8], len(b))
	}
	return string(b)
}

// A connLog is what an Assembler said about one connection.
type connLog struct {
	t      testing.TB
	rec    *record.Conn
	flows  [2]flowLog
	end    record.ConnEnd
	closed int
}

func (c *connLog) Data(fromB bool, b []byte, seen record.Time) {
	if len(b) == 0 || c.closed > 0 {
		c.t.Errorf("Data(%v, %d bytes) on a connection closed %d times", fromB, len(b), c.closed)
	}
	f := &c.flows[side(fromB)]
	f.bytes = append(f.bytes, b...)
	for range b {
		f.times = append(f.times, seen)
	}
}

func (c *connLog) Gap(fromB bool, n int64) {
	if n <= 0 || c.closed > 0 {
		c.t.Errorf("Gap(%v, %d) on a connection closed %d times", fromB, n, c.closed)
	}
	f := &c.flows[side(fromB)]
	if n > 1<<16 { // long ones are shown, not kept byte by byte
		n = 1<<16 + n%10
	}
	for range n {
		f.bytes = append(f.bytes, 0)
		f.times = append(f.times, gapTime)
	}
}

func (c *connLog) Close(end record.ConnEnd) {
	c.end = end
	c.closed++
}

func side(fromB bool) int {
	if fromB {
		return 1
	}
	return 0
}

// String is, for example, "a>b syn rtt=2 | abc@3 -2 f@5 | xyz@4": the opener (a~b where it isn't known), how it
// started, what A sent, what B sent.
func (c *connLog) String() string {
	var b strings.Builder
	name := func(p netip.AddrPort) string {
		if p.Port() == 8333 {
			return "a"
		}
		return "b"
	}
	arrow := "~"
	if c.end.OpenerKnown {
		arrow = ">"
	}
	b.WriteString(name(c.rec.A) + arrow + name(c.rec.B))
	if c.end.SYN {
		b.WriteString(" syn")
	}
	if c.end.HandshakeRTT >= 0 {
		fmt.Fprintf(&b, " rtt=%d", c.end.HandshakeRTT/1000)
	}
	fmt.Fprintf(&b, " | %v | %v", &c.flows[0], &c.flows[1])
	return b.String()
}

// A recorder makes connLogs.
type recorder struct {
	t     testing.TB
	conns []*connLog
}

func (r *recorder) newConn(c *record.Conn) Conn {
	l := &connLog{t: r.t, rec: c}
	r.conns = append(r.conns, l)
	return l
}

// strings describes the connections in the order in which they began.
func (r *recorder) strings() []string {
	slices.SortStableFunc(r.conns, func(x, y *connLog) int { return cmp.Compare(x.rec.OpenedAt, y.rec.OpenedAt) })
	out := make([]string, len(r.conns))
	for i, c := range r.conns {
		out[i] = c.String()
	}
	return out
}

// How a script's run calls Advance.
const (
	advanceNever  = "Advance never called"
	advanceAlways = "Advance called before and after every packet"
	advanceOften  = "Advance called every 50 ms"
)

// run plays the script and checks the accounts.
func run(t testing.TB, cfg Config, steps []step, mode string) (*recorder, *Assembler) {
	t.Helper()
	r := &recorder{t: t}
	cfg.Capture = &record.Capture{Sensor: "test"}
	cfg.NewConn = r.newConn
	a := New(cfg)
	tick := record.Time(0)
	for i := range steps {
		st := &steps[i]
		if mode == advanceAlways {
			a.Advance(st.at)
		}
		for mode == advanceOften && tick < st.at {
			if tick == 0 {
				tick = st.at
			}
			a.Advance(tick)
			tick += 50_000
		}
		seg := st.seg
		seg.Payload = slices.Clone(seg.Payload)
		a.Segment(&seg, st.at, uint64(i+1))
		for j := range seg.Payload {
			seg.Payload[j] = '!' // borrowed for the call
		}
		if mode == advanceAlways {
			a.Advance(st.at)
		}
	}
	a.Close()
	checkAccounts(t, a, r)
	return r, a
}

// checkAccounts checks that everything taken is accounted for, and that nothing is held.
func checkAccounts(t testing.TB, a *Assembler, r *recorder) {
	t.Helper()
	s := a.Stats()
	if got := s.Delivered + s.Retransmitted + s.Late + s.Stray; got != s.Bytes {
		t.Errorf("delivered %d + retransmitted %d + late %d + stray %d = %d, want the %d bytes taken",
			s.Delivered, s.Retransmitted, s.Late, s.Stray, got, s.Bytes)
	}
	var bytes, retransmitted, lost, unseen, delivered uint64
	ids := map[uint64]bool{}
	for _, c := range r.conns {
		if c.closed != 1 {
			t.Errorf("%v closed %d times, want 1", c, c.closed)
		}
		if ids[c.rec.ID] && s.EvictedConns == 0 { // an evicted one may come again in its first microsecond
			t.Errorf("id %d used twice", c.rec.ID)
		}
		ids[c.rec.ID] = true
		bytes += c.end.A.Bytes + c.end.B.Bytes
		retransmitted += c.end.A.Retransmitted + c.end.B.Retransmitted
		lost += c.end.A.Lost + c.end.B.Lost
		unseen += c.end.A.Unseen + c.end.B.Unseen
		for i := range c.flows {
			for _, at := range c.flows[i].times {
				if at != gapTime {
					delivered++
				}
			}
		}
	}
	if bytes != s.Bytes || retransmitted != s.Retransmitted || lost != s.Lost || delivered != s.Delivered {
		t.Errorf("the connections have %d bytes, %d retransmitted, %d lost, %d delivered, want %d, %d, %d, %d",
			bytes, retransmitted, lost, delivered, s.Bytes, s.Retransmitted, s.Lost, s.Delivered)
	}
	if unseen != s.Unseen {
		t.Errorf("the connections have %d bytes unseen, want %d", unseen, s.Unseen)
	}
	if uint64(len(r.conns)) != s.Opened || a.Conns() != 0 {
		t.Errorf("%d connections told, %d left, want %d, 0", len(r.conns), a.Conns(), s.Opened)
	}
	if a.eng != nil && (a.eng.pages != 0 || a.eng.holds != 0) {
		t.Errorf("%d pages, %d holds left, want 0, 0", a.eng.pages, a.eng.holds)
	}
	if a.pages != 0 || a.openHolds != 0 {
		t.Errorf("%d pages counted, %d holds, want 0, 0", a.pages, a.openHolds)
	}
}
