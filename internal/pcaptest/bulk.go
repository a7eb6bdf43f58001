package pcaptest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"btcsniff/capture"
	"btcsniff/record"
)

// A BulkConfig describes the capture of a well-connected node's traffic, for benchmarks. Its zero fields mean what Bulk says.
type BulkConfig struct {
	Net      Net           // zero: Mainnet
	Seed     uint64        // captures of one seed are the same, byte for byte
	Peers    int           // 0: 3,000
	Rate     float64       // announcements a second; 0: 30 for each peer
	Duration time.Duration // of capture time; 0: 69 s, which makes 300 MB
}

const (
	perInv     = 17   // announcements in an inv message, on average
	announcers = 0.95 // share of the peers that announce a transaction
	bulkMSS    = 1448 // bytes of payload in a segment
	pingEvery  = 120  // seconds; Bitcoin Core's PING_INTERVAL
	millis     = int64(time.Millisecond)
	micros     = int64(time.Microsecond)
	warmUp     = 6 * int64(time.Second) // transactions begin that much before the capture, so that it begins in full swing
	opensShare = 50                     // one peer in so many connects during the capture
)

// Bulk writes a pcap file (Ethernet, microseconds) of one node's connections: each peer announces nearly every
// transaction, some seconds after the transaction was born, in inv messages of 17 entries on average, whose header and
// payload are segments of their own, as Bitcoin Core sends them. There are pings every two minutes, some tx messages with their getdata, some connections that open during
// the capture; all others were there before. No acknowledgements without data, no loss. truth, unless nil, is called for every record, in order of seen_at; the record is
// valid for the call.
func Bulk(w io.Writer, cfg BulkConfig, truth func(*Record)) error {
	b := newBulk(w, cfg, truth)
	for len(b.events) > 0 && b.err == nil {
		e := b.pop()
		if e.at >= b.end {
			break
		}
		b.handle(e)
	}
	b.flush()
	if b.err != nil {
		return fmt.Errorf("write capture: %w", b.err)
	}
	return nil
}

type eventKind uint8

const (
	evBirth   eventKind = iota // a transaction is born
	evInv                      // the peer sends the header of an inv message
	evPayload                  // the peer sends the next segment of it
	evPing                     // one side sends a ping, and the next is due
	evPong                     // the other answers
	evGetData                  // the node asks for a transaction
	evTx                       // the peer sends it
	evOpen                     // the next step of a handshake
)

type event struct {
	at   int64
	peer int32
	n    int32 // transaction, step or side
	kind eventKind
	// of a ping that is to be answered
	nonce uint64
	sent  int64
}

type bulkTx struct {
	born  int64
	vects [2]record.InvVect // by txid, by wtxid
	tx    *Tx               // if it is to be sent
}

type bulkPeer struct {
	ends   [2]netip.AddrPort // the peer, the node
	next   [2]uint32         // sequence numbers of the two
	wtxid  int               // 1 if it announces by wtxid (BIP 339)
	lag    int64             // how long after their birth it hears of transactions
	seen   int               // transactions up to here are announced, or never will be
	opener int               // 0 if the peer opened the connection
	open   bool

	message []byte // an inv message under way
	rest    []byte // of it: what is not sent yet
	vects   []record.InvVect
	begun   int64 // when its first byte was sent; 0: before the capture
}

type bulk struct {
	w       io.Writer
	err     error
	out     []byte
	frame   []byte
	rand    *rand.Rand
	net     Net
	network string
	truth   func(*Record)
	record  Record  // lent to truth
	events  []event // a heap by time
	peers   []bulkPeer
	txs     []bulkTx
	end     int64
	every   float64 // nanoseconds between a peer's inv messages, on average
	gap     int64   // nanoseconds between transactions
	id      uint16
}

func newBulk(w io.Writer, cfg BulkConfig, truth func(*Record)) *bulk {
	if cfg.Net == (Net{}) {
		cfg.Net = Mainnet
	}
	if cfg.Peers == 0 {
		cfg.Peers = 3000
	}
	if cfg.Rate == 0 {
		cfg.Rate = 30 * float64(cfg.Peers)
	}
	if cfg.Duration == 0 {
		cfg.Duration = 69 * time.Second
	}
	b := &bulk{
		w: w, rand: rand.New(rand.NewPCG(cfg.Seed, 0x62756c6b)), net: cfg.Net, network: networkName(cfg.Net), truth: truth,
		end:   Start + int64(cfg.Duration),
		every: 1e9 * perInv * float64(cfg.Peers) / cfg.Rate,
		gap:   int64(1e9 * announcers * float64(cfg.Peers) / cfg.Rate),
	}
	b.frame = make([]byte, 0, 1<<16)
	b.out = Format{}.AppendHeader(make([]byte, 0, 1<<20+1<<17), Ethernet.LinkType())
	b.push(event{at: Start - warmUp, kind: evBirth})
	b.peers = make([]bulkPeer, cfg.Peers)
	for i := range b.peers {
		b.addPeer(i)
	}
	return b
}

// addPeer makes a peer and what it will do first.
func (b *bulk) addPeer(i int) {
	r := b.rand
	// RFC 2544 sets 198.18.0.0/15 aside for benchmarks, RFC 3849 2001:db8::/32 for documentation.
	peer := netip.AddrFrom4([4]byte{198, 18 + byte(i>>16), byte(i >> 8), byte(i)})
	node := netip.MustParseAddr("192.0.2.10")
	if r.IntN(7) == 0 {
		peer = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 12: byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		node = netip.MustParseAddr("2001:db8::10")
	}
	p := &b.peers[i]
	p.lag = 50*millis + r.Int64N(4000*millis)
	p.next = [2]uint32{r.Uint32(), r.Uint32()}
	p.wtxid = min(1, r.IntN(10))
	p.ends = [2]netip.AddrPort{netip.AddrPortFrom(peer, 32768+uint16(r.IntN(28000))), netip.AddrPortFrom(node, 8333)}
	if r.IntN(10) == 0 { // the node opened it
		p.opener = 1
		p.ends = [2]netip.AddrPort{netip.AddrPortFrom(peer, 8333), netip.AddrPortFrom(node, 32768+uint16(r.IntN(28000)))}
	}
	if r.IntN(opensShare) == 0 {
		b.push(event{at: Start + r.Int64N(b.end-Start), peer: int32(i), kind: evOpen})
		return
	}
	b.begin(i, Start)
	if r.IntN(10) == 0 { // a message is under way when the capture begins
		p.rest = randomBytes(r, 1+r.IntN(600))
	}
}

// begin plans the traffic of a peer that is connected from a time on.
func (b *bulk) begin(i int, at int64) {
	r := b.rand
	p := &b.peers[i]
	p.open = true
	first := at + r.Int64N(int64(b.every)+1)
	// Of what was born before, it announces what it would not have had time for.
	p.seen = max(0, int((at-p.lag-100*millis-int64(b.every)/2-(Start-warmUp))/b.gap))
	kind := evInv
	if at == Start {
		kind = evPayload
	}
	b.push(event{at: first, peer: int32(i), kind: kind})
	for side := range int32(2) {
		b.push(event{at: at + r.Int64N(pingEvery*1e9), peer: int32(i), n: side, kind: evPing})
	}
}

func (b *bulk) handle(e event) {
	if e.kind == evBirth {
		b.birth(e)
		return
	}
	p := &b.peers[e.peer]
	fromPeer := e.kind == evTx || e.kind == evPing && e.n == 0 || e.kind == evPong && e.n == 0
	if fromPeer && len(p.rest) > 0 { // not in the middle of another message
		e.at += 300 * micros
		b.push(e)
		return
	}
	switch e.kind {
	case evInv:
		b.inv(e, p)
	case evPayload:
		b.payload(e, p)
	case evPing:
		e.nonce, e.sent = b.rand.Uint64(), e.at
		b.send(p, int(e.n), e.at, b.net.Ping(e.nonce))
		b.report(p, int(e.n), e.at, e.at, Record{Kind: record.KindPing, Nonce: e.nonce})
		b.push(event{at: e.at + 2*millis + b.rand.Int64N(300*millis), peer: e.peer, n: 1 - e.n, kind: evPong, nonce: e.nonce, sent: e.at})
		b.push(event{at: e.at + pingEvery*1e9, peer: e.peer, n: e.n, kind: evPing})
	case evPong:
		b.send(p, int(e.n), e.at, b.net.Pong(e.nonce))
		b.report(p, int(e.n), e.at, e.at, Record{Kind: record.KindPong, Nonce: e.nonce, RTT: e.at/1000 - e.sent/1000})
	case evGetData:
		v := b.txs[e.n].vects[p.wtxid]
		if v.Type == record.InvTx {
			v.Type |= record.InvWitness
		}
		b.send(p, 1, e.at, b.net.GetData(v))
		b.push(event{at: e.at + 2*millis + b.rand.Int64N(200*millis), peer: e.peer, n: e.n, kind: evTx})
	case evTx:
		tx := b.txs[e.n].tx
		b.txs[e.n].tx = nil
		b.send(p, 0, e.at, b.net.Tx(tx.MsgTx))
		b.report(p, 0, e.at, e.at, Record{Kind: record.KindTx, Tx: tx})
	case evOpen:
		b.open(e, p)
	}
}

// birth makes a transaction, and a peer that will be asked for it.
func (b *bulk) birth(e event) {
	b.push(event{at: e.at + b.gap, kind: evBirth})
	tx := randomTx(b.rand, nil)
	t := bulkTx{born: e.at, vects: [2]record.InvVect{{Type: record.InvTx, Hash: tx.TxID}, {Type: record.InvWTx, Hash: tx.WTxID}}}
	peer := b.rand.IntN(len(b.peers))
	asked := e.at + 300*millis + b.rand.Int64N(2000*millis)
	if asked >= Start && b.peers[peer].open {
		t.tx = tx
		b.push(event{at: asked, peer: int32(peer), n: int32(len(b.txs)), kind: evGetData})
	}
	b.txs = append(b.txs, t)
}

// inv begins an inv message of what the peer has heard of since its last.
func (b *bulk) inv(e event, p *bulkPeer) {
	r := b.rand
	known := e.at - p.lag - r.Int64N(200*millis)
	p.vects = p.vects[:0]
	for ; p.seen < len(b.txs) && b.txs[p.seen].born <= known; p.seen++ {
		if r.Float64() < announcers {
			p.vects = append(p.vects, b.txs[p.seen].vects[p.wtxid])
		}
	}
	if len(p.vects) == 0 {
		b.nextInv(e)
		return
	}
	r.Shuffle(len(p.vects), func(i, j int) { p.vects[i], p.vects[j] = p.vects[j], p.vects[i] })
	p.message = b.net.AppendMessage(p.message[:0], "inv", appendVects(b.frame[:0], p.vects))
	p.begun = e.at
	b.send(p, 0, e.at, p.message[:HeaderLen])
	p.rest = p.message[HeaderLen:]
	b.push(event{at: e.at + 20*micros + r.Int64N(180*micros), peer: e.peer, kind: evPayload})
}

func (b *bulk) nextInv(e event) {
	b.push(event{at: e.at + int64(b.every*(0.5+b.rand.Float64())), peer: e.peer, kind: evInv})
}

// payload sends the next segment of a message under way.
func (b *bulk) payload(e event, p *bulkPeer) {
	n := min(len(p.rest), bulkMSS)
	if n > 0 {
		b.send(p, 0, e.at, p.rest[:n])
	}
	p.rest = p.rest[n:]
	if len(p.rest) > 0 {
		b.push(event{at: e.at + 10*micros, peer: e.peer, kind: evPayload})
		return
	}
	for i, v := range p.vects {
		b.report(p, 0, e.at, p.begun, Record{Kind: record.KindInv, Vect: v, Index: i, Count: len(p.vects)})
	}
	b.nextInv(e)
}

// open is one step of a handshake; e.n counts them.
func (b *bulk) open(e event, p *bulkPeer) {
	opener := p.opener
	from := opener
	switch e.n {
	case 0:
		b.segment(p, opener, e.at, SYN, nil)
		p.next[opener]++
	case 1:
		from = 1 - opener
		b.segment(p, from, e.at, SYN|ACK, nil)
		p.next[from]++
	case 2:
		b.segment(p, opener, e.at, ACK, nil)
	case 3, 4:
		if e.n == 4 {
			from = 1 - opener
		}
		v := &Version{
			Protocol: 70016, Services: 0x409, Timestamp: e.at / 1e9, Recv: p.ends[1-from], From: p.ends[from], Nonce: b.rand.Uint64(),
			UserAgent: "/Satoshi:28.1.0/", StartHeight: 900_000, Relay: true,
		}
		b.send(p, from, e.at, b.net.Version(*v))
		b.report(p, from, e.at, e.at, Record{Kind: record.KindVersion, Version: v})
	case 5, 6:
		if e.n == 6 {
			from = 1 - opener
		}
		b.send(p, from, e.at, b.net.Verack())
	default:
		b.begin(int(e.peer), e.at)
		return
	}
	e.n++
	e.at += millis + b.rand.Int64N(40*millis)
	b.push(e)
}

// send writes a segment with data.
func (b *bulk) send(p *bulkPeer, side int, at int64, data []byte) {
	for len(data) > bulkMSS {
		b.segment(p, side, at, ACK, data[:bulkMSS])
		data = data[bulkMSS:]
	}
	b.segment(p, side, at, PSH|ACK, data)
}

func (b *bulk) segment(p *bulkPeer, side int, at int64, flags uint8, data []byte) {
	b.id++
	s := Segment{
		Src: p.ends[side], Dst: p.ends[1-side], Seq: p.next[side], Flags: flags, Window: 0xffff, Payload: data, ID: b.id,
	}
	if flags&ACK != 0 {
		s.Ack = p.next[1-side]
	}
	p.next[side] += uint32(len(data))
	b.frame = Ethernet.AppendFrame(b.frame[:0], &s)
	b.out = Format{}.AppendPacket(b.out, &capture.Packet{Data: b.frame, Time: at, Len: len(b.frame)}, 0)
	if len(b.out) >= 1<<20 {
		b.flush()
	}
}

func (b *bulk) flush() {
	if b.err == nil {
		_, b.err = b.w.Write(b.out)
	}
	b.out = b.out[:0]
}

func (b *bulk) report(p *bulkPeer, side int, at, begun int64, r Record) {
	if b.truth == nil {
		return
	}
	b.record = r
	b.record.Network, b.record.From, b.record.To = b.network, p.ends[side], p.ends[1-side]
	b.record.SeenAt, b.record.FirstByteAt = record.FromNanos(at), record.FromNanos(begun)
	b.truth(&b.record)
}

func (b *bulk) push(e event) {
	h := append(b.events, e)
	i := len(h) - 1
	for i > 0 && h[i].at < h[(i-1)/2].at {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
	b.events = h
}

func (b *bulk) pop() event {
	h := b.events
	first := h[0]
	n := len(h) - 1
	h[0] = h[n]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < n; c++ {
			if h[c].at < h[least].at {
				least = c
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	b.events = h[:n]
	return first
}
