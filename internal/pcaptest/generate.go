package pcaptest

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"btcsniff/capture"
	"btcsniff/record"
)

// A Config describes a capture to be generated. Its zero fields mean the stated default. Shares and probabilities are
// from 0 to 1.
type Config struct {
	Net        Net           // Mainnet
	Seed       uint64        // captures of one seed and config are the same, byte for byte
	Layer      Layer         // Ethernet
	Conns      int           // connections; 10
	Duration   time.Duration // of capture time; 10 s
	Rate       float64       // messages a second, each way, on each connection; 10
	MSS        int           // bytes of payload in a segment; 1,448
	IPv6       float64       // share of connections
	Midstream  float64       // share of connections that were open when the capture began
	OneWay     float64       // share of connections of which only one direction was captured
	SplitHead  float64       // share of messages whose header is a segment of its own
	OneByte    float64       // share of connections that send short messages one byte a segment
	LookAlikes float64       // share of transactions with a whole message in their payload
	NoACKs     bool          // acknowledgements without data are not captured
	Snap       int           // bytes of a packet that are captured; all
	BlockSize  int           // bytes of the largest blocks, about; 20,000
	Impair     Impair
}

// Impair says what goes wrong, and how often: the probability for each segment with data, or the share of connections.
type Impair struct {
	Reorder    float64 // a segment is captured after the next ones of its flow, within 3 ms: in the same microsecond or later
	Retransmit float64 // a segment comes again
	Resegment  float64 // bytes come again, with other boundaries
	Conflict   float64 // a segment comes again with other bytes; those captured first count
	Late       float64 // a segment is lost before the capture, which has its retransmission only, 30 to 300 ms later
	Hole       float64 // a segment arrives but is not captured
	KeepAlive  float64 // after a segment: keep-alives, with the byte before the next one or with none
	ZeroWindow float64 // before a segment: a probe with its first byte, which a closed window turns away
	Stray      float64 // after a segment: RST or FIN far outside the window
	Fragment   float64 // a segment comes in IP fragments, in any order, in one microsecond
	Offload    float64 // the packet's IP length is 0, as before segmentation by the network card

	Jumbo        float64 // connections with segments of up to 64 KiB
	Wrap         float64 // connections whose sequence numbers wrap around
	Reuse        float64 // connections whose endpoints connect again after they closed, or fell silent
	HalfClose    float64 // connections of which one side sends FIN long before the other
	RST          float64 // connections that end by RST
	FIN          float64 // connections that end by FIN from both sides; the rest is open at the end
	Simultaneous float64 // connections with a simultaneous open
}

// fields names the probabilities, as ParseImpair has them.
func (im *Impair) fields() map[string]*float64 {
	return map[string]*float64{
		"reorder": &im.Reorder, "retransmit": &im.Retransmit, "resegment": &im.Resegment, "conflict": &im.Conflict, "late": &im.Late,
		"hole": &im.Hole, "keepalive": &im.KeepAlive, "zerowindow": &im.ZeroWindow, "stray": &im.Stray, "fragment": &im.Fragment,
		"offload": &im.Offload, "jumbo": &im.Jumbo, "wrap": &im.Wrap, "reuse": &im.Reuse, "halfclose": &im.HalfClose, "rst": &im.RST,
		"fin": &im.FIN, "simultaneous": &im.Simultaneous,
	}
}

// Impairments returns the names that ParseImpair knows, in order.
func Impairments() []string { return slices.Sorted(maps.Keys(new(Impair).fields())) }

// ParseImpair reads a list of names of impairments, "all" being one, each with its probability or share or without:
// "reorder=0.1,hole,wrap". The default is 0.02 for each segment, and 0.3 for connections.
func ParseImpair(list string) (Impair, error) {
	var im Impair
	fields := im.fields()
	for item := range strings.SplitSeq(list, ",") {
		name, number, given := strings.Cut(item, "=")
		names := []string{name}
		if name == "all" {
			names = Impairments()
		}
		for _, name := range names {
			f, ok := fields[name]
			if !ok {
				return Impair{}, fmt.Errorf("impairment %q: want all or any of %s", name, strings.Join(Impairments(), ", "))
			}
			*f = 0.02
			if slices.Contains([]string{"jumbo", "wrap", "reuse", "halfclose", "rst", "fin", "simultaneous"}, name) {
				*f = 0.3
			}
			if given {
				p, err := strconv.ParseFloat(number, 64)
				if err != nil || p < 0 || p > 1 {
					return Impair{}, fmt.Errorf("impairment %s: want a probability from 0 to 1, have %q", name, number)
				}
				*f = p
			}
		}
	}
	return im, nil
}

// A Traffic is a generated capture with the truth about it.
type Traffic struct {
	Packets []capture.Packet // in order of capture; times in nanoseconds, of which a format may keep microseconds
	Truth   []Record         // of every message whose bytes were all captured, in order of seen_at
}

// Generate generates a capture. The truth follows from what was captured of each stream and when, byte by byte, and not from any
// decoding. It makes all of it in memory.
//
// What no reader could know is left out: messages inside messages are only embedded where the outer one's header
// is captured, and a flow joined mid-stream has no bytes that come, later than by reordering, before the first captured one.
func Generate(cfg Config) Traffic {
	defaults(&cfg)
	r := rand.New(rand.NewPCG(cfg.Seed, 0x67656e))
	t := &traffic{r: r, net: cfg.Net, longest: cfg.BlockSize}
	var all Traffic
	end := Start + int64(cfg.Duration)
	for i := range cfg.Conns {
		c := newConn(&cfg, r, i)
		c.open(end)
		for {
			c.converse(t)
			c.capture(&all)
			if c.end+maxDelay+1e9 > end-1e9 || r.Float64() >= cfg.Impair.Reuse {
				break
			}
			c = c.reuse(end)
		}
	}
	slices.SortStableFunc(all.Packets, func(a, b capture.Packet) int { return cmp.Compare(a.Time, b.Time) })
	slices.SortStableFunc(all.Truth, func(a, b Record) int { return cmp.Compare(a.SeenAt, b.SeenAt) })
	return all
}

func defaults(cfg *Config) {
	if cfg.Net == (Net{}) {
		cfg.Net = Mainnet
	}
	cfg.Conns = cmp.Or(cfg.Conns, 10)
	cfg.Duration = cmp.Or(cfg.Duration, 10*time.Second)
	cfg.Rate = cmp.Or(cfg.Rate, 10)
	cfg.MSS = cmp.Or(cfg.MSS, 1448)
	cfg.BlockSize = cmp.Or(cfg.BlockSize, 20_000)
}

// An ending is how a connection ends.
type ending uint8

const (
	endSilent ending = iota
	endFIN
	endRST
)

// A conn is one connection in the making. Its sides are numbered; side 0 opened it.
type conn struct {
	cfg   *Config
	r     *rand.Rand
	ends  [2]netip.AddrPort
	isn   [2]uint32
	local int // the side that is the observed node

	begin, end int64 // nanoseconds; when it opens, when the last side falls silent
	silent     [2]int64
	how        ending
	midstream  bool
	mss        int
	oneByte    bool
	deaf       int // the side whose packets are not captured; -1: none

	messages []message
	stream   [2][]byte
	packets  []packet
	order    int
}

// newConn returns a connection between the node and its i-th peer.
func newConn(cfg *Config, r *rand.Rand, i int) *conn {
	node, peer := netip.MustParseAddr("192.0.2.10"), netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
	if i%2 == 1 {
		peer = netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
	}
	if r.Float64() < cfg.IPv6 {
		node = netip.MustParseAddr("2001:db8::10")
		peer = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 5: 1, 14: byte(i >> 8), 15: byte(i)})
	}
	port := uint16(20_000 + i)
	c := &conn{cfg: cfg, r: r, deaf: -1, mss: cfg.MSS}
	c.ends = [2]netip.AddrPort{netip.AddrPortFrom(peer, port), netip.AddrPortFrom(node, 8333)}
	c.local = 1
	if r.IntN(2) == 0 {
		c.ends = [2]netip.AddrPort{netip.AddrPortFrom(node, port), netip.AddrPortFrom(peer, 8333)}
		c.local = 0
	}
	if r.Float64() < cfg.OneWay {
		c.deaf = r.IntN(2)
	}
	return c
}

// open decides when the connection begins and ends, and how.
func (c *conn) open(end int64) {
	r, span := c.r, end-Start
	c.begin = Start + r.Int64N(span/3+1)
	if c.midstream = r.Float64() < c.cfg.Midstream; c.midstream {
		c.begin = Start - 1e9 - r.Int64N(4e9)
	}
	c.fate(end)
}

// reuse returns a new connection between the same endpoints.
func (c *conn) reuse(end int64) *conn {
	next := &conn{cfg: c.cfg, r: c.r, ends: c.ends, local: c.local, deaf: c.deaf, mss: c.mss}
	next.begin = c.end + maxDelay + 1e8 + c.r.Int64N(9e8)
	next.fate(end)
	return next
}

func (c *conn) fate(end int64) {
	r, im := c.r, &c.cfg.Impair
	c.end = end
	switch u := r.Float64(); {
	case u < im.RST:
		c.how = endRST
	case u < im.RST+im.FIN:
		c.how = endFIN
	}
	if c.how != endSilent || r.Float64() < im.Reuse {
		begin := max(c.begin, Start)
		c.end = begin + 1e9 + r.Int64N(max(end-begin-1e9, 1))
	}
	c.silent = [2]int64{c.end, c.end}
	if r.Float64() < im.HalfClose {
		c.silent[r.IntN(2)] = c.begin + (c.end-c.begin)/4
	}
	if r.Float64() < im.Jumbo {
		c.mss = 65_000
	}
	c.oneByte = r.Float64() < c.cfg.OneByte
}

// converse fills the streams and cuts them into segments.
func (c *conn) converse(t *traffic) {
	c.isn = [2]uint32{c.r.Uint32(), c.r.Uint32()}
	c.handshake()
	c.messages = t.conversation(c.cfg, c.ends, c.begin+100*millis, c.silent)
	var last [2]int64
	for i := 0; i < len(c.messages); {
		m := &c.messages[i]
		batch := i
		for ; batch < len(c.messages) && c.messages[batch].side == m.side && c.messages[batch].at == m.at; batch++ {
			n := &c.messages[batch]
			n.from = len(c.stream[m.side])
			c.stream[m.side] = append(c.stream[m.side], n.bytes...)
			n.to = len(c.stream[m.side])
			n.bytes = nil
		}
		last[m.side] = c.send(c.messages[i:batch], max(m.at, last[m.side]+1))
		i = batch
	}
	for side := range 2 {
		if n := len(c.stream[side]); c.r.Float64() < c.cfg.Impair.Wrap {
			c.isn[side] = -uint32(1 + c.r.IntN(n))
		}
	}
	c.close(last)
}

// send cuts messages that are sent at once into segments, from a time on. It returns the last one's time.
func (c *conn) send(batch []message, at int64) int64 {
	r, side := c.r, batch[0].side
	from, to := batch[0].from, batch[len(batch)-1].to
	cuts := []int{}
	switch {
	case c.oneByte && to-from < 300:
		for i := from + 1; i < to; i++ {
			cuts = append(cuts, i)
		}
	case r.Float64() < c.cfg.SplitHead:
		for _, m := range batch {
			cuts = append(cuts, m.from, m.from+HeaderLen)
		}
	case r.IntN(4) == 0:
		for i := from + 1 + r.IntN(c.mss); i < to; i += 1 + r.IntN(c.mss) {
			cuts = append(cuts, i)
		}
	}
	cuts = append(cuts, to)
	for _, cut := range cuts {
		for from < cut {
			end := min(cut, from+c.mss)
			embedded := slices.ContainsFunc(batch, func(m message) bool { return m.embedded && m.from < end && from < m.to })
			c.packets = append(c.packets, packet{
				at: at, side: side, from: from, to: end, flags: PSH | ACK, arrives: true, captured: true, precious: embedded,
			})
			from = end
			if from < to && r.IntN(10) > 0 {
				at += r.Int64N(200 * micros)
			}
		}
	}
	return at
}

// handshake sends the packets that open the connection.
func (c *conn) handshake() {
	at := c.begin
	syn := func(side int, flags uint8) {
		c.packets = append(c.packets, packet{at: at, side: side, from: -1, to: -1, flags: flags, captured: true})
		at += millis + c.r.Int64N(20*millis)
	}
	if c.r.Float64() < c.cfg.Impair.Simultaneous {
		syn(0, SYN)
		syn(1, SYN)
		syn(0, SYN|ACK)
		syn(1, SYN|ACK)
		return
	}
	syn(0, SYN)
	syn(1, SYN|ACK)
	syn(0, ACK)
	c.packets[len(c.packets)-1].from, c.packets[len(c.packets)-1].to = 0, 0
}

// close sends the packets that end the connection, and for a half-close the first of them early. last is when
// each side sent its last data.
func (c *conn) close(last [2]int64) {
	halfClosed := [2]bool{c.silent[0] < c.end, c.silent[1] < c.end}
	c.end = max(c.end, last[0], last[1])
	for side := range 2 {
		n := len(c.stream[side])
		p := packet{at: max(c.silent[side], last[side]) + c.r.Int64N(millis), side: side, from: n, to: n, captured: true}
		switch {
		case c.how == endFIN || halfClosed[side]:
			p.flags = FIN | ACK
			p.arrives = true
		case c.how == endRST && (side == 0 || halfClosed[0]):
			p.at = max(p.at, last[0], last[1]) + c.r.Int64N(millis)
			p.flags = RST | ACK
		default:
			continue
		}
		c.end = max(c.end, p.at)
		c.packets = append(c.packets, p)
	}
}

// report adds the truth about a connection, of which seen says what was captured.
func (c *conn) report(all *Traffic, seen *[2]coverage) {
	name := networkName(c.cfg.Net)
	pings := map[uint64]record.Time{}
	for i := range c.messages {
		m := &c.messages[i]
		first, last, ok := seen[m.side].times(m.from, m.to)
		if !ok {
			continue
		}
		for _, r := range m.records {
			r.Network, r.From, r.To = name, c.ends[m.side], c.ends[1-m.side]
			r.FirstByteAt, r.SeenAt = record.FromNanos(first), record.FromNanos(last)
			switch r.Kind {
			case record.KindPing:
				pings[r.Nonce] = r.SeenAt
			case record.KindPong:
				r.RTT = -1
				if ping, ok := pings[r.Nonce]; ok {
					r.RTT = int64(r.SeenAt - ping)
				}
			}
			all.Truth = append(all.Truth, r)
		}
	}
}
