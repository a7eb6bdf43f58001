package live

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"btcsniff/capture"
	"btcsniff/record"
)

// An opener opens an interface, again and again if need be.
type opener interface {
	open() (handle, error) // fs.ErrPermission: it can't be opened without more rights
	up() (up, same bool)   // whether the interface works; whether it is still the one that was opened last
	String() string        // its name
}

// A handle is an open interface, used by one goroutine.
type handle interface {
	// read returns the next packet, borrowed until the next call, its time in nanoseconds and its length on the
	// wire. errTimeout: there was none for a while.
	read() (data []byte, at int64, wire int, err error)
	format() (link capture.LinkType, nanos bool)
	// drops returns the counters of the kernel and the interface since the handle was opened. They wrap.
	drops() (kernel, iface uint32, ok bool)
	close()
}

var errTimeout = errors.New("no packet for a while")

// InterfaceStats says what was captured on one interface.
type InterfaceStats struct {
	Name      string
	Link      capture.LinkType
	Nanos     bool          // its times are nanoseconds; else microseconds
	Packets   uint64        // read from the kernel
	Dropped   uint64        // packets that the kernel dropped because its buffer was full
	IfDropped uint64        // packets that the interface or its driver dropped
	Reopened  uint64        // times it was opened again
	Downs     uint64        // times it was down, or gone
	Away      time.Duration // for how long, together; the last time only once it is over, or capturing
	Down      bool          // it is down now, or gone
	Err       error         // why it can't be captured on any more; nil unless that is so
}

// A port reads one interface in a goroutine of its own.
type port struct {
	cfg    *Config
	source opener
	handle handle      // used by run alone, once that has begun
	full   chan *block // to Next, in order; closed by run. It has room for all blocks
	free   chan *block // from Next, to be filled again; likewise
	made   int         // blocks so far
	fill   *block      // being filled by run
	wake   chan struct{}

	stopped  atomic.Pointer[time.Time] // since when nothing more is wanted
	stopping chan struct{}             // closed with it
	quit     chan struct{}             // closed when not even what is there is wanted
	quitOnce sync.Once

	// Used by run alone.
	link     capture.LinkType
	looked   time.Time // when the counters and the interface were last looked at
	packets  uint64    // not yet in stats
	kernel   uint32    // the handle's counters at that time
	iface    uint32
	downFrom time.Time // when the interface went down; zero if it is up
	seen     time.Time // when it was last found up

	mu    sync.Mutex
	stats InterfaceStats  // guarded by mu, with what follows
	blind []capture.Blind // that nobody has asked for yet
	drops [2]blindness    // by the kernel, by the interface
	gone  blindness

	// Used by Next alone; err once over is true.
	block *block // being returned
	next  int    // index of its next packet
	over  bool   // nothing more comes
	err   error  // why, unless it was stopped; set before full is closed
}

// A block is some packets, one after the other.
type block struct {
	data    []byte
	packets []span
	link    capture.LinkType
	handed  time.Time // when it was handed to Next
}

// A span is a packet in a block.
type span struct {
	at        int64
	end, size int // of its bytes
	wire      int
}

const (
	blockBytes   = 512 << 10
	blockPackets = 8192
	maxBlocks    = 16 // for each interface: 8 MiB
	lookEvery    = time.Second
	lookPackets  = 1024 // packets between two looks at the clock
)

func newPort(cfg *Config, s opener, h handle, wake chan struct{}) *port {
	p := &port{
		cfg: cfg, source: s, wake: wake,
		full: make(chan *block, maxBlocks), free: make(chan *block, maxBlocks),
		stopping: make(chan struct{}), quit: make(chan struct{}),
		looked: time.Now(), drops: [2]blindness{{reason: record.KernelDrops}, {reason: record.InterfaceDrops}},
		gone: blindness{reason: record.InterfaceDown},
	}
	p.seen = p.looked
	p.use(h)
	p.stats.Name = s.String()
	return p
}

// use takes a handle that was just opened.
func (p *port) use(h handle) {
	p.handle = h
	p.kernel, p.iface = 0, 0
	var nanos bool
	p.link, nanos = h.format()
	p.mu.Lock()
	p.stats.Link, p.stats.Nanos = p.link, nanos
	p.mu.Unlock()
}

// run reads until the port is stopped, or for good.
func (p *port) run() {
	defer p.end()
	for {
		err := p.read()
		p.count(time.Now())
		p.handle.close()
		if err == nil || !p.reopen(err) {
			return
		}
	}
}

func (p *port) end() {
	p.hand()
	if !p.downFrom.IsZero() {
		p.mu.Lock()
		now := time.Now()
		p.stats.Away += now.Sub(p.downFrom)
		p.stats.Err = p.err
		p.sees(&p.gone, true, 0, p.seen, now)
		p.sees(&p.gone, false, 0, p.seen, now)
		p.mu.Unlock()
	}
	p.mu.Lock()
	for i := range p.drops {
		p.sees(&p.drops[i], false, 0, p.looked, p.looked)
	}
	p.mu.Unlock()
	close(p.full)
	p.nudge()
}

// read copies packets until the port is stopped; then it returns nil.
func (p *port) read() error {
	for n := 1; ; n++ {
		data, at, wire, err := p.handle.read()
		stop := p.stopped.Load()
		switch {
		case err == nil:
			if stop != nil && at > stop.UnixNano() || !p.add(data, at, wire) {
				return nil
			}
		case err != errTimeout:
			return err
		default:
			p.hand()
		}
		if err == nil && n%lookPackets != 0 && stop == nil {
			continue
		}
		now := time.Now()
		// What came just before the stop may be held back by the kernel for Timeout.
		if stop != nil {
			if since := now.Sub(*stop); since > drainLimit || err == errTimeout && since > 2*p.cfg.Timeout {
				return nil
			}
		}
		if now.Sub(p.looked) >= lookEvery {
			p.count(now)
			if err := p.watch(now); err != nil {
				return err
			}
		}
	}
}

// drainLimit is how long reading may go on after a stop, whatever the packets' times say: clocks can be set.
const drainLimit = 3 * time.Second

// add copies a packet into a block. It returns false if nobody wants it any more.
func (p *port) add(data []byte, at int64, wire int) bool {
	b := p.fill
	if b != nil && (len(b.data)+len(data) > cap(b.data) || len(b.packets) == blockPackets) {
		p.hand()
		b = nil
	}
	if b == nil {
		if b = p.empty(); b == nil {
			return false
		}
		b.link = p.link
		p.fill = b
	}
	b.data = append(b.data, data...)
	b.packets = append(b.packets, span{at, len(b.data), len(data), wire})
	p.packets++
	if len(p.full) == 0 { // Next has nothing to do
		p.hand()
	}
	return true
}

// empty returns a block to be filled. If all are full it waits.
func (p *port) empty() *block {
	select {
	case b := <-p.free:
		return b
	default:
	}
	if p.made < maxBlocks {
		p.made++
		return &block{data: make([]byte, 0, max(blockBytes, p.cfg.SnapLen)), packets: make([]span, 0, blockPackets)}
	}
	select {
	case b := <-p.free:
		return b
	case <-p.quit:
		return nil
	}
}

// hand hands the block that is being filled to Next.
func (p *port) hand() {
	if p.fill == nil {
		return
	}
	p.fill.handed = time.Now()
	p.full <- p.fill
	p.fill = nil
	p.nudge()
}

func (p *port) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// count adds what the handle counted to the stats.
func (p *port) count(now time.Time) {
	before := p.looked
	p.looked = now
	kernel, iface, ok := p.handle.drops()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Packets += p.packets
	p.packets = 0
	if ok {
		for i, n := range []uint64{uint64(kernel - p.kernel), uint64(iface - p.iface)} {
			p.sees(&p.drops[i], n > 0, n, before, now)
		}
		p.stats.Dropped += uint64(kernel - p.kernel)
		p.stats.IfDropped += uint64(iface - p.iface)
		p.kernel, p.iface = kernel, iface
	}
}

var errGone = errors.New("the interface is gone")

// watch looks whether the interface is up. One that is just down goes on by itself when it is up again; if it is gone the handle
// is of no use any more, even if another one takes its name.
func (p *port) watch(now time.Time) error {
	up, same := p.source.up()
	switch {
	case !same:
		return errGone
	case up:
		p.back(now)
	default:
		p.down(now, nil)
	}
	return nil
}

func (p *port) down(now time.Time, err error) {
	p.mu.Lock()
	p.sees(&p.gone, true, 0, p.seen, now)
	p.mu.Unlock()
	if !p.downFrom.IsZero() {
		return
	}
	p.downFrom = now
	p.mu.Lock()
	p.stats.Downs++
	p.stats.Down = true
	p.mu.Unlock()
	p.cfg.Changed(Change{Interface: p.source.String(), Down: true, At: now, Err: err})
}

func (p *port) back(now time.Time) {
	p.seen = now
	if p.downFrom.IsZero() {
		return
	}
	away := now.Sub(p.downFrom)
	p.downFrom = time.Time{}
	p.mu.Lock()
	p.stats.Away += away
	p.stats.Down = false
	p.sees(&p.gone, true, 0, now, now)
	p.sees(&p.gone, false, 0, now, now)
	p.mu.Unlock()
	p.cfg.Changed(Change{Interface: p.source.String(), At: now, Away: away})
}

// How long to wait before an interface is tried again.
const (
	firstWait = 100 * time.Millisecond // then twice as long each time
	lastWait  = 5 * time.Second
)

// reopen opens the interface again after err. It returns false if the port was stopped, or can't go on.
func (p *port) reopen(err error) bool {
	p.hand()
	p.down(time.Now(), err)
	timer := time.NewTimer(firstWait)
	defer timer.Stop()
	for wait := firstWait; ; timer.Reset(wait) {
		select {
		case <-timer.C:
		case <-p.stopping:
			return false
		case <-p.quit:
			return false
		}
		h, err := p.source.open()
		switch {
		case err == nil:
			p.use(h)
			p.mu.Lock()
			p.stats.Reopened++
			p.mu.Unlock()
			p.back(time.Now())
			return true
		case errors.Is(err, fs.ErrPermission):
			p.err = err
			p.cfg.Changed(Change{Interface: p.source.String(), Down: true, At: time.Now(), Err: err, Lost: true})
			return false
		}
		p.down(time.Now(), nil)
		wait = min(2*wait, lastWait)
	}
}

// stop makes run end after what was captured before now.
func (p *port) stop(now time.Time) {
	p.stopped.Store(&now)
	close(p.stopping)
}

func (p *port) snapshot() InterfaceStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// ready says whether there is a packet. With waited, time and take it is for Next alone.
func (p *port) ready() bool {
	for p.block == nil || p.next == len(p.block.packets) {
		if b := p.block; b != nil {
			b.data, b.packets = b.data[:0], b.packets[:0]
			p.block = nil
			p.free <- b
		}
		select {
		case b, ok := <-p.full:
			if !ok {
				p.over = true
				return false
			}
			p.block, p.next = b, 0
		default:
			return false
		}
	}
	return true
}

// time is the next packet's.
func (p *port) time() int64 { return p.block.packets[p.next].at }

// waited says whether the next packet has waited for others long enough, or so much is there that it has to go.
func (p *port) waited(hold time.Duration) bool {
	return len(p.full) >= maxBlocks/2 || time.Since(p.block.handed) >= hold
}

// take fills in out with the next packet.
func (p *port) take(out *capture.Packet) {
	s := &p.block.packets[p.next]
	p.next++
	*out = capture.Packet{
		Data: p.block.data[s.end-s.size : s.end : s.end], Time: s.at, Len: s.wire, Link: p.block.link,
	}
}
