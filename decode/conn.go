package decode

import (
	"slices"
	"time"

	"btcsniff/record"
	"btcsniff/v2"
)

// A Conn decodes one connection. Its methods are those of a reassembly.Conn.
type Conn struct {
	d       *Decoder
	rec     *record.Conn
	network record.Network    // the zero Network until a message was decoded
	pongs   *[2][]record.Pong // that A, that B sent, waiting for their ping: see pong; nil if there are none
	keyed   *v2.Conn          // what may decrypt the connection; nil before it is tried
	proxy   proxyKind         // what the first bytes asked a proxy with
	v2      bool              // a v2 handshake was seen, or a packet decrypted
	opened  bool              // a packet was decrypted
	class   record.Transport  // that it is counted with among the open ones

	streams [2]stream // what A sent, what B sent

	pings    [2][]ping // that A, that B sent and that have no pong yet
	versions *[2]heard // from A, from B; nil until there is one
}

// A ping was sent and not answered yet.
type ping struct {
	nonce uint64
	at    record.Time
}

// What was heard in a version message.
type heard struct {
	agent string
	at    record.Time // 0: there was none
}

const (
	maxPings = 32 // unanswered ones remembered for each side; a node has one at a time
	maxPongs = 32 // that wait for their ping

	// A pong waits for its ping until the other stream is so far beyond it: that stream's bytes may have been held for a
	// segment that was captured later than they were.
	pongWait = 2 * time.Second
)

// Conn returns the decoder of a new connection.
func (d *Decoder) Conn(c *record.Conn) *Conn {
	conn := &Conn{d: d, rec: c}
	d.open[conn.class]++
	for i := range conn.streams {
		conn.streams[i] = stream{c: conn, fromB: i == 1}
	}
	return conn
}

// Data takes the next bytes that A, or B, sent. b is borrowed; seen is the capture time of the segment that first carried it.
func (c *Conn) Data(fromB bool, b []byte, seen record.Time) {
	s := c.stream(fromB)
	s.given += uint64(len(b))
	s.data(b, seen)
	if c.pongs != nil {
		c.givePongs(1-s.side(), s.reached(seen))
	}
}

// Gap says that n bytes are missing before the flow's next Data.
func (c *Conn) Gap(fromB bool, n int64) {
	s := c.stream(fromB)
	s.gap(n)
	// A pong may be missing. Of pings with the same nonce, as some nodes send, the next pong more likely answers the last one.
	pings := c.pings[1-s.side()]
	slices.Reverse(pings)
	kept := pings[:0]
	for _, p := range pings {
		if !slices.ContainsFunc(kept, func(k ping) bool { return k.nonce == p.nonce }) {
			kept = append(kept, p)
		}
	}
	slices.Reverse(kept)
	c.pings[1-s.side()] = kept
}

// Close ends both streams and records the connection.
func (c *Conn) Close(end record.ConnEnd) {
	c.closeBoxes()
	for i := range c.streams {
		c.streams[i].close()
	}
	for i := 0; i < len(c.streams) && c.pongs != nil; i++ {
		c.givePongs(i, never)
	}
	c.classify()
	c.d.open[c.class]--
	end.Transport = c.class
	var a, b heard
	if c.versions != nil {
		a, b = c.versions[0], c.versions[1]
	}
	end.UserAgent = b.agent
	if c.rec.LocalB && !c.rec.LocalA {
		end.UserAgent = a.agent
	}
	// Who opened a connection speaks first: Bitcoin Core, net_processing.cpp, InitializeNode.
	end.OpenerKnown = end.OpenerKnown || a.at != 0 && a.at < b.at
	for i, f := range []*record.FlowCount{&end.A, &end.B} {
		f.Resyncs, f.Messages = c.streams[i].resyncs, c.streams[i].messages
	}
	class := c.d.stats.Conns[end.Transport.String()]
	class.Conns++
	class.Bytes += end.A.Bytes + end.B.Bytes
	c.d.stats.Conns[end.Transport.String()] = class
	c.d.cfg.Out.Conn(end)
}

func (c *Conn) stream(fromB bool) *stream {
	if fromB {
		return &c.streams[1]
	}
	return &c.streams[0]
}

func (c *Conn) transport() record.Transport {
	switch {
	case c.v2: // also if the other side answered with plain messages: such an attempt fails
		return record.TransportV2
	case c.known():
		return record.TransportV1
	}
	return record.TransportUnknown
}

// classify counts the connection with its transport, after that may have changed.
func (c *Conn) classify() {
	if t := c.transport(); t != c.class {
		c.d.open[c.class]--
		c.d.open[t]++
		c.class = t
	}
}

// known says whether a message was decoded, so that the network is known.
func (c *Conn) known() bool { return c.network.Name != "" }

// recognise notes the network of the first message, by its magic. It returns false if magic is of another one.
func (c *Conn) recognise(magic [magicLen]byte) bool {
	if !c.known() {
		c.network, _ = c.d.network(magic[:])
		c.rec.SetNetwork(c.network.Name)
		c.classify()
	}
	return magic == c.network.Magic
}

// ping takes a decoded ping, and records the pong that was captured before it, if there is one. Before BIP 31 a ping has no
// nonce, and is not answered.
func (c *Conn) ping(r record.Ping, answered bool) {
	side := sideOf(r.FromB)
	c.d.cfg.Out.Ping(r)
	if !answered {
		return
	}
	if c.pongs != nil {
		waiting := c.pongs[1-side]
		for i, p := range waiting {
			if p.Nonce == r.Nonce && p.SeenAt >= r.SeenAt {
				p.Ping = r.SeenAt
				c.pongs[1-side] = slices.Delete(waiting, i, i+1)
				c.d.cfg.Out.Pong(p)
				return
			}
		}
	}
	if len(c.pings[side]) == maxPings {
		c.pings[side] = slices.Delete(c.pings[side], 0, 1)
	}
	c.pings[side] = append(c.pings[side], ping{r.Nonce, r.SeenAt})
}

// pong takes a decoded pong, which answers the first ping that has its nonce and no answer. If there is none, the other stream
// may be behind, waiting for a segment; then the pong waits until that stream has come as far.
func (c *Conn) pong(r record.Pong) {
	side := sideOf(r.FromB)
	pings := c.pings[1-side]
	for i, p := range pings {
		if p.nonce == r.Nonce && p.at <= r.SeenAt {
			r.Ping = p.at
			c.pings[1-side] = slices.Delete(pings, i, i+1)
			c.d.cfg.Out.Pong(r)
			return
		}
	}
	if c.pongs == nil {
		c.pongs = new([2][]record.Pong)
	}
	if len(c.pongs[side]) == maxPongs {
		c.d.cfg.Out.Pong(c.pongs[side][0])
		c.pongs[side] = slices.Delete(c.pongs[side], 0, 1)
	}
	c.pongs[side] = append(c.pongs[side], r)
}

const never = record.Time(1<<63 - 1)

// givePongs records the pongs of a side that the other side's stream, which has come to reached, is well beyond: their
// pings were not captured.
func (c *Conn) givePongs(side int, reached record.Time) {
	waiting := c.pongs[side][:0]
	for _, p := range c.pongs[side] {
		if p.SeenAt.Add(pongWait) < reached {
			c.d.cfg.Out.Pong(p)
		} else {
			waiting = append(waiting, p)
		}
	}
	c.pongs[side] = waiting
	if len(c.pongs[0])+len(c.pongs[1]) == 0 {
		c.pongs = nil // so that it is not looked at again with every segment
	}
}

func sideOf(fromB bool) int {
	if fromB {
		return 1
	}
	return 0
}
