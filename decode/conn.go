package decode

import "btcsniff/record"

// A Conn decodes one connection. Its methods are those of a reassembly.Conn.
type Conn struct {
	d       *Decoder
	rec     *record.Conn
	streams [2]stream // what A sent, what B sent

	network record.Network // the zero Network until a message was decoded
	proxy   proxyKind      // what the first bytes asked a proxy with
	v2      bool           // a v2 handshake was seen

	pings  [2][]ping        // that A, that B sent and that have no pong yet
	pongs  [2][]record.Pong // that A, that B sent, waiting for their ping: see pong
	agents [2]string        // user agents of A and B
}

// A ping was sent and not answered yet.
type ping struct {
	nonce uint64
	at    record.Time
}

const (
	maxPings = 32 // unanswered ones remembered for each side; a node has one at a time
	maxPongs = 32 // that wait for their ping
)

// Conn returns the decoder of a new connection.
func (d *Decoder) Conn(c *record.Conn) *Conn {
	conn := &Conn{d: d, rec: c}
	for i := range conn.streams {
		conn.streams[i] = stream{c: conn, fromB: i == 1}
	}
	return conn
}

// Data takes the next bytes that A, or B, sent. b is borrowed; seen is the capture time of the segment that first carried it.
func (c *Conn) Data(fromB bool, b []byte, seen record.Time) {
	s := c.stream(fromB)
	s.data(b, seen)
	if len(c.pongs[1-s.side()]) > 0 {
		c.givePongs(1-s.side(), seen)
	}
}

// Gap says that n bytes are missing before the flow's next Data.
func (c *Conn) Gap(fromB bool, n int64) { c.stream(fromB).gap(n) }

// Close ends both streams and records the connection.
func (c *Conn) Close(end record.ConnEnd) {
	for i := range c.streams {
		c.streams[i].close()
	}
	for i := range c.pongs {
		c.givePongs(i, never)
	}
	end.Transport = c.transport()
	end.UserAgent = c.agents[1]
	if c.rec.LocalB && !c.rec.LocalA {
		end.UserAgent = c.agents[0]
	}
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
	case c.v2:
		return record.TransportV2
	case c.known():
		return record.TransportV1
	}
	return record.TransportUnknown
}

// known says whether a message was decoded, so that the network is known.
func (c *Conn) known() bool { return c.network.Name != "" }

// recognise notes the network of the first message.
func (c *Conn) recognise(n record.Network) {
	if !c.known() {
		c.network = n
		c.rec.SetNetwork(n.Name)
	}
}

// ping takes a decoded ping, and records the pong that was captured before it, if there is one.
func (c *Conn) ping(r record.Ping) {
	side := sideOf(r.FromB)
	c.d.cfg.Out.Ping(r)
	waiting := c.pongs[1-side]
	for i, p := range waiting {
		if p.Nonce == r.Nonce && p.SeenAt >= r.SeenAt {
			p.Ping = r.SeenAt
			c.d.cfg.Out.Pong(p)
			c.pongs[1-side] = append(waiting[:i], waiting[i+1:]...)
			return
		}
	}
	if len(c.pings[side]) == maxPings {
		c.pings[side] = append(c.pings[side][:0], c.pings[side][1:]...)
	}
	c.pings[side] = append(c.pings[side], ping{r.Nonce, r.SeenAt})
}

// pong takes a decoded pong. If its ping is not known, the other stream may be behind, waiting for a segment; then the pong waits
// until that stream has come as far.
func (c *Conn) pong(r record.Pong) {
	side := sideOf(r.FromB)
	pings := c.pings[1-side]
	for i := len(pings) - 1; i >= 0; i-- {
		if pings[i].nonce == r.Nonce && pings[i].at <= r.SeenAt {
			r.Ping = pings[i].at
			c.pings[1-side] = append(pings[:i], pings[i+1:]...)
			c.d.cfg.Out.Pong(r)
			return
		}
	}
	if len(c.pongs[side]) == maxPongs {
		c.d.cfg.Out.Pong(c.pongs[side][0])
		c.pongs[side] = append(c.pongs[side][:0], c.pongs[side][1:]...)
	}
	c.pongs[side] = append(c.pongs[side], r)
}

const never = record.Time(1<<63 - 1)

// givePongs records the pongs that a side sent before the other side's stream reached seen: their pings were not captured.
func (c *Conn) givePongs(side int, seen record.Time) {
	waiting := c.pongs[side][:0]
	for _, p := range c.pongs[side] {
		if p.SeenAt < seen {
			c.d.cfg.Out.Pong(p)
		} else {
			waiting = append(waiting, p)
		}
	}
	c.pongs[side] = waiting
}

func sideOf(fromB bool) int {
	if fromB {
		return 1
	}
	return 0
}
