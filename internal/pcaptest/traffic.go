package pcaptest

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"btcsniff/record"
)

// A message is one message of a stream, with the records that it is worth.
type message struct {
	at       int64 // nanoseconds since the Unix epoch: when it is sent, if nothing else is under way
	side     int
	bytes    []byte
	records  []Record
	embedded bool // it has another message in its payload, which is none
	from, to int  // its place in the stream
}

// maxDelay is how much later than it was sent a byte may be captured first: a retransmission after a loss.
const maxDelay = 300 * millis

// traffic makes messages at random.
type traffic struct {
	r       *rand.Rand
	net     Net
	known   []record.InvVect // what was announced before: peers announce the same things
	longest int              // bytes of a block's payload, about
}

// conversation returns the messages of a connection in order of time: the handshake unless it was long ago, then what
// a rate gives, with bursts; a ping is answered. ends[side] is when a side falls silent.
func (t *traffic) conversation(cfg *Config, endpoints [2]netip.AddrPort, begin int64, ends [2]int64) []message {
	var all []message
	for side := range 2 {
		v := &Version{
			Protocol: 70016, Services: 0x409, Timestamp: begin / 1e9, Recv: endpoints[1-side], From: endpoints[side], Nonce: t.r.Uint64(),
			UserAgent: "/Test:1.0/", StartHeight: 900_000 + int32(t.r.IntN(100)), Relay: t.r.IntN(4) > 0,
		}
		at := begin + int64(side)*40*millis
		all = append(all,
			message{at: at, side: side, bytes: t.net.Version(*v), records: []Record{{Kind: record.KindVersion, Version: v}}},
			message{at: at + 50*millis, side: side, bytes: t.net.Message("wtxidrelay", nil)},
			message{at: at + 50*millis, side: side, bytes: t.net.Verack()})
	}
	for side := range 2 {
		at := begin + 200*millis
		for {
			at += int64(t.r.ExpFloat64() / cfg.Rate * 1e9)
			if at >= ends[side] {
				break
			}
			burst := 1
			if t.r.IntN(5) == 0 {
				burst += t.r.IntN(4)
			}
			for range burst {
				m := t.message(cfg, at)
				m.at, m.side = at, side
				all = append(all, m)
				if len(m.records) > 0 && m.records[0].Kind == record.KindPing {
					all = t.answer(all, &m, ends[1-side])
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b message) int { return cmp.Compare(a.at, b.at) })
	return all
}

// answer adds the pong, later than the ping can possibly arrive.
func (t *traffic) answer(all []message, ping *message, end int64) []message {
	at := ping.at + maxDelay + 50*millis + t.r.Int64N(500*millis)
	if at >= end {
		return all
	}
	nonce := ping.records[0].Nonce
	return append(all, message{
		at: at, side: 1 - ping.side, bytes: t.net.Pong(nonce), records: []Record{{Kind: record.KindPong, Nonce: nonce}},
	})
}

// message returns a message of any kind.
func (t *traffic) message(cfg *Config, at int64) message {
	r := t.r
	switch n := r.IntN(100); {
	case n < 45:
		return t.inv()
	case n < 65:
		tx := randomTx(r, t.lookAlike(cfg, at))
		return message{bytes: t.net.Tx(tx.MsgTx), records: []Record{{Kind: record.KindTx, Tx: tx}}, embedded: tx.embeds()}
	case n < 73:
		nonce := r.Uint64()
		return message{bytes: t.net.Ping(nonce), records: []Record{{Kind: record.KindPing, Nonce: nonce}}}
	case n < 81:
		return message{bytes: t.net.GetData(t.vects(1 + r.IntN(5))...)}
	case n < 84:
		return t.headers()
	case n < 86:
		return t.block(cfg, at)
	case n < 88:
		h := t.header()
		ids := make([][6]byte, r.IntN(300))
		for i := range ids {
			copy(ids[i][:], randomBytes(r, 6))
		}
		return message{bytes: t.net.CmpctBlock(h, r.Uint64(), ids, randomTx(r, nil).MsgTx), records: []Record{blockRecord("cmpctblock", h)}}
	case n < 91:
		return message{bytes: t.net.Addr(t.addrs(1+r.IntN(20), false)...)}
	case n < 94:
		return message{bytes: t.net.AddrV2(t.addrs(1+r.IntN(20), true)...)}
	case n < 97:
		return message{bytes: t.net.Message("feefilter", randomBytes(r, 8))}
	}
	return message{bytes: t.net.Message("futuristic", randomBytes(r, r.IntN(500)))} // a command that nobody knows
}

func (t *traffic) vects(n int) []record.InvVect {
	r := t.r
	vects := make([]record.InvVect, n)
	for i := range vects {
		if len(t.known) > 100 && r.IntN(4) > 0 {
			vects[i] = t.known[r.IntN(len(t.known))]
			continue
		}
		vects[i].Type = []record.InvType{record.InvTx, record.InvBlock, record.InvWTx, record.InvWTx, record.InvWTx}[r.IntN(5)]
		copy(vects[i].Hash[:], randomBytes(r, 32))
		t.known = append(t.known, vects[i])
	}
	return vects
}

func (t *traffic) inv() message {
	vects := t.vects(1 + int(t.r.ExpFloat64()*12))
	m := message{bytes: t.net.Inv(vects...)}
	for i, v := range vects {
		m.records = append(m.records, Record{Kind: record.KindInv, Vect: v, Index: i, Count: len(vects)})
	}
	return m
}

// lookAlike returns, sometimes, a whole message for the inside of another, which a search for magics must not take for one.
func (t *traffic) lookAlike(cfg *Config, at int64) []byte {
	// A capture that begins or was cut inside such a message can't be told from one with the message for real.
	if cfg.Snap > 0 || at < Start+100*millis || t.r.Float64() >= cfg.LookAlikes {
		return nil
	}
	return slices.Concat(randomBytes(t.r, t.r.IntN(40)), t.inv().bytes, randomBytes(t.r, t.r.IntN(40)))
}

// embeds says whether tx has a message in its first output.
func (t *Tx) embeds() bool { return len(t.TxOut[0].PkScript) > 100 }

func (t *traffic) header() *wire.BlockHeader {
	h := &wire.BlockHeader{Version: 0x20000000, Timestamp: time.Unix(Start/1e9, 0), Bits: 0x207fffff, Nonce: t.r.Uint32()}
	copy(h.PrevBlock[:], randomBytes(t.r, 32))
	copy(h.MerkleRoot[:], randomBytes(t.r, 32))
	return h
}

func blockRecord(via string, h *wire.BlockHeader) Record {
	return Record{Kind: record.KindBlock, Via: via, Hash: record.Hash(h.BlockHash()), Prev: record.Hash(h.PrevBlock)}
}

func (t *traffic) headers() message {
	var headers []wire.BlockHeader
	var m message
	for range 1 + t.r.IntN(3) {
		h := t.header()
		if len(headers) > 0 {
			h.PrevBlock = headers[len(headers)-1].BlockHash()
		}
		headers = append(headers, *h)
		m.records = append(m.records, blockRecord("headers", h))
	}
	m.bytes = t.net.Headers(headers...)
	return m
}

func (t *traffic) block(cfg *Config, at int64) message {
	h := t.header()
	var txs []*wire.MsgTx
	embedded := false
	for size, most := 0, t.r.IntN(t.longest); size <= most; {
		tx := randomTx(t.r, t.lookAlike(cfg, at))
		embedded = embedded || tx.embeds()
		txs = append(txs, tx.MsgTx)
		size += tx.Size
	}
	return message{bytes: t.net.Block(h, txs...), records: []Record{blockRecord("block", h)}, embedded: embedded}
}

func (t *traffic) addrs(n int, v2 bool) []Addr {
	addrs := make([]Addr, n)
	for i := range addrs {
		a := Addr{LastSeen: uint32(Start/1e9) - t.r.Uint32N(1e6), Services: 0x409, Network: 1, Port: 8333}
		a.Address = append([]byte{203, 0, 113}, randomBytes(t.r, 1)...)
		if v2 && t.r.IntN(2) == 0 {
			a.Network, a.Address = 4, randomBytes(t.r, 32)
		}
		addrs[i] = a
	}
	return addrs
}
