// Package live yields packets from network interfaces as they pass. It is the only package that needs libpcap, and with it
// cgo. What is in a packet it leaves to others, as it does keeping packets in files.
package live

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"btcsniff/capture"
)

// Config says what is captured. Zero fields mean the default that is named.
type Config struct {
	Interfaces []string // required: names, as Interfaces lists them; "any" is all of them at once
	Filter     string   // a pcap filter expression (pcap-filter(7)); what does not match it is never seen
	Buffer     int      // bytes of the kernel's buffer for each interface; 32 MiB
	SnapLen    int      // bytes kept of each packet; 262144, which cuts none

	// Timeout is how long the kernel may keep a packet back to hand it over together with others: what a record can be late by,
	// not what its time is wrong by. Default: 100 ms.
	Timeout time.Duration
	// Immediate hands over every packet at once. It costs a wake-up for each, and a kernel buffer that holds
	// fewer packets, as each takes as much room as the largest.
	Immediate bool
	// Hold is how long packets of one interface wait for earlier ones of another, so that they come in the order of their
	// times. What is later still comes late. One interface has nothing to wait for. Default: twice Timeout and 50 ms.
	Hold time.Duration
	// Heartbeat is how long Next waits at most. Default: 200 ms.
	Heartbeat time.Duration

	// Changed is called when an interface goes down, or comes back, by a goroutine of the interface's own. May be nil.
	Changed func(Change)
}

// Defaults of Config.
const (
	DefaultBuffer  = 32 << 20 // bytes
	DefaultSnapLen = 262144   // bytes; libpcap's MAXIMUM_SNAPLEN, and tcpdump's default
	DefaultTimeout = 100 * time.Millisecond
)

func (c *Config) defaults() {
	c.Buffer = cmp.Or(c.Buffer, DefaultBuffer)
	c.SnapLen = cmp.Or(c.SnapLen, DefaultSnapLen)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.Hold = cmp.Or(c.Hold, 2*c.Timeout+50*time.Millisecond)
	c.Heartbeat = cmp.Or(c.Heartbeat, 200*time.Millisecond)
	if c.Changed == nil {
		c.Changed = func(Change) {}
	}
}

// A Change says that an interface went down or came back. While it was away nothing could be captured on it.
type Change struct {
	Interface string
	Down      bool
	At        time.Time     // by the clock
	Away      time.Duration // when it came back: for how long it had been away
	Err       error         // when it went down: what the capture ended with; nil if it goes on by itself
	Lost      bool          // it went down and is not tried again: it can't be opened any more, for want of permission
}

// Live is a capture.Source of interfaces: each is a continuous capture of the interface's name, in the order of these
// names. Packets are merged by time. It ends with the context of Next: then what
// the kernel and the buffers still hold is returned first, up to the time when the context was done.
//
// A goroutine for each interface copies packets into blocks, 8 MiB of them at most. When these are full it waits, and the
// kernel's buffer fills, then drops and counts. Once the blocks are made, nothing is allocated for a packet.
//
// A heartbeat's Time is that of the latest packet, plus the time that went by since, less a second and Config.Hold; 0
// before the first packet. It never goes beyond a packet that is there already.
type Live struct {
	cfg   Config
	infos []capture.Info
	ports []*port
	wake  chan struct{} // a block was handed over, or a port ended; a token is enough for all
	wait  sync.WaitGroup
	timer *time.Timer

	packets  atomic.Uint64
	latest   int64     // capture time of the packet that was returned last
	fresh    bool      // it was returned since we last paused
	latestAt time.Time // when we first paused after it
	returned time.Time // when something was returned last, about
	stopping bool
}

// Open opens all interfaces, or none, and begins to capture. Its error names the interface and says what to do; it is
// a *FilterError if the filter expression is wrong.
func Open(cfg Config) (*Live, error) {
	cfg.defaults()
	if len(cfg.Interfaces) == 0 {
		return nil, errors.New("no interface to capture on")
	}
	names := slices.Clone(cfg.Interfaces)
	slices.Sort(names)
	var sources []opener
	for _, name := range slices.Compact(names) {
		sources = append(sources, &device{name: name, cfg: &cfg})
	}
	return start(cfg, sources)
}

// start opens the sources and begins to read them.
func start(cfg Config, sources []opener) (*Live, error) {
	l := &Live{cfg: cfg, wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour), returned: time.Now()}
	for _, s := range sources {
		h, err := s.open()
		if err != nil {
			for _, p := range l.ports {
				p.handle.close()
			}
			return nil, err
		}
		l.ports = append(l.ports, newPort(&l.cfg, s, h, l.wake))
		l.infos = append(l.infos, capture.Info{Name: s.String()})
	}
	for _, p := range l.ports {
		l.wait.Go(p.run)
	}
	return l, nil
}

// Next is capture.Source's. If no interface can be captured on any more, it returns why.
func (l *Live) Next(ctx context.Context, p *capture.Packet) error {
	for {
		if !l.stopping && ctx.Err() != nil {
			l.stop()
		}
		if i := l.pick(); i >= 0 {
			l.ports[i].take(p)
			p.Capture = i
			l.packets.Add(1)
			l.latest, l.fresh = p.Time, true
			return nil
		}
		switch done, err := l.ended(); {
		case done && l.stopping:
			return cmp.Or(ctx.Err(), os.ErrClosed)
		case done:
			return err
		}
		if l.pause(ctx) {
			*p = capture.Packet{Time: l.beat()}
			return nil
		}
	}
}

// pick returns the port whose packet is the next, or -1 if there is none yet.
func (l *Live) pick() int {
	best, silent := -1, false
	for i, p := range l.ports {
		switch {
		case !p.ready():
			silent = silent || !p.over
		case best < 0 || p.time() < l.ports[best].time():
			best = i
		}
	}
	if best >= 0 && silent && !l.ports[best].waited(l.cfg.Hold) {
		return -1
	}
	return best
}

// ended says whether all ports have ended, and returns the first one's error.
func (l *Live) ended() (bool, error) {
	var first error
	for _, p := range l.ports {
		if !p.over || p.ready() {
			return false, nil
		}
		if first == nil {
			first = p.err
		}
	}
	return true, first
}

// pause waits until there may be a packet. It says whether it is time for a heartbeat.
func (l *Live) pause(ctx context.Context) bool {
	now := time.Now()
	if l.fresh {
		l.fresh = false
		l.latestAt, l.returned = now, now
	}
	left := l.cfg.Heartbeat - now.Sub(l.returned)
	if left <= 0 {
		l.returned = now
		return true
	}
	for _, p := range l.ports {
		if p.ready() {
			left = min(left, max(l.cfg.Hold-now.Sub(p.block.handed), time.Millisecond))
		}
	}
	l.timer.Reset(left)
	done := ctx.Done()
	if l.stopping {
		done = nil
	}
	select {
	case <-l.wake:
	case <-l.timer.C:
	case <-done:
	}
	return false
}

// lag is how far heartbeats stay behind the clock, beside Config.Hold: a busy machine may read packets late.
const lag = time.Second

// beat is the time of a heartbeat.
func (l *Live) beat() int64 {
	if l.latest == 0 {
		return 0
	}
	t := l.latest + int64(max(l.returned.Sub(l.latestAt)-l.cfg.Hold-lag, 0))
	for _, p := range l.ports {
		if p.ready() {
			t = min(t, p.time())
		}
	}
	return t
}

// Captures is capture.Source's. It does not grow.
func (l *Live) Captures() []capture.Info { return slices.Clone(l.infos) }

// Interfaces says what was captured on each interface, and what was not. It may be called at any time by any goroutine.
func (l *Live) Interfaces() []InterfaceStats {
	out := make([]InterfaceStats, len(l.ports))
	for i, p := range l.ports {
		out[i] = p.snapshot()
	}
	return out
}

// Stats is capture.Source's. Drops are asked for about once a second, and when an interface is closed.
func (l *Live) Stats() capture.Stats {
	s := capture.Stats{Packets: l.packets.Load()}
	for _, i := range l.Interfaces() {
		s.Dropped += i.Dropped
		s.IfDropped += i.IfDropped
		s.Drops = append(s.Drops, capture.Drops{Kernel: i.Dropped, Interface: i.IfDropped})
	}
	return s
}

// stop lets the ports end once they have read what was captured up to now.
func (l *Live) stop() {
	l.stopping = true
	now := time.Now()
	for _, p := range l.ports {
		p.stop(now)
	}
}

// Close ends capturing at once: what Next has not returned is lost.
func (l *Live) Close() error {
	if !l.stopping {
		l.stop()
	}
	for _, p := range l.ports {
		p.quitOnce.Do(func() { close(p.quit) })
	}
	l.wait.Wait()
	return nil
}
