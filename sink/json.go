package sink

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"btcsniff/record"
)

const (
	jsonPiece = 128 << 10 // bytes; a write is begun once this much is buffered, so that the buffer stays in the processor's cache
	jsonKeep  = 1 << 20   // bytes; a buffer that one huge record has grown beyond this is not kept
)

// JSON writes records as JSON lines: one object a line, keys in a fixed order, in the order in which the records
// were made. What the keys mean, the README says; what is not known is absent or null.
//
// Text that a peer chose is written as [Text] has it, its control characters escaped.
type JSON struct {
	w       io.Writer
	buf     []byte
	prefix  []byte // of the lines of the inv message at hand: all that they share
	suffix  []byte
	clock   jsonClock
	written uint64 // bytes handed to w
}

// NewJSON returns a Sink that writes to w. It buffers, but all lines of a batch have been handed to w when Write returns. It
// doesn't know what was written by earlier runs, and does not close w.
func NewJSON(w io.Writer) *JSON {
	return &JSON{w: w, buf: make([]byte, 0, jsonPiece+jsonPiece/4)}
}

// Begin does nothing: JSON lines have no memory of earlier runs.
func (j *JSON) Begin(context.Context, *record.Capture) (stored uint64, err error) { return 0, nil }

// Write writes b's records. After an error part of them may have been written; the error is w's, wrapped.
func (j *JSON) Write(ctx context.Context, b *record.Batch) (added uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("write JSON lines: %w", err)
	}
	for _, ref := range b.Order {
		switch i := ref.Index; ref.Kind {
		case record.KindInv:
			err = j.inv(b, &b.Invs[i])
		case record.KindTx:
			j.tx(&b.Txs[i])
		case record.KindBlock:
			j.block(&b.Blocks[i])
		case record.KindPing:
			j.ping(&b.Pings[i])
		case record.KindPong:
			j.pong(&b.Pongs[i])
		case record.KindVersion:
			j.version(&b.Versions[i])
		case record.KindAddr:
			j.addr(&b.Addrs[i])
		case record.KindConn:
			j.conn(&b.Conns[i])
		}
		if err == nil && len(j.buf) >= jsonPiece {
			err = j.flush()
		}
		if err != nil {
			j.buf = j.buf[:0]
			return 0, err
		}
	}
	return uint64(b.Len()), j.flush()
}

// End does nothing: the ledger is not a record.
func (j *JSON) End(context.Context, *record.Capture, *record.Ledger, []record.File) error { return nil }

// Close does nothing: there is nothing left to write, and w belongs to the caller.
func (j *JSON) Close() error { return nil }

// Blind writes a line for the interval once it is over: lines can't be changed afterwards.
func (j *JSON) Blind(_ context.Context, r *record.Blind) error {
	if r.Open {
		return nil
	}
	b := append(j.buf, `{"record":"blind","from_at":"`...)
	b = r.From.Append(b)
	b = r.To.Append(append(b, `","to_at":"`...))
	b = appendString(append(b, `","sensor":`...), r.Capture.Sensor)
	b = appendString(append(b, `,"capture":`...), r.Capture.Name)
	b = appendString(append(b, `,"reason":`...), string(r.Reason))
	for _, f := range []struct {
		key string
		n   uint64
	}{{`,"packets":`, r.Packets}, {`,"records":`, r.Records}, {`,"bytes":`, r.Bytes}} {
		if f.n > 0 {
			b = appendUint(b, f.key, f.n)
		}
	}
	j.buf = append(b, '}', '\n')
	return j.flush()
}

func (j *JSON) flush() error {
	n, err := j.w.Write(j.buf)
	j.written += uint64(n)
	if j.buf = j.buf[:0]; cap(j.buf) > jsonKeep {
		j.buf = make([]byte, 0, jsonPiece+jsonPiece/4)
	}
	if err != nil {
		return fmt.Errorf("write JSON lines after %d bytes: %w", j.written, err)
	}
	return nil
}

// inv writes a line for each vector. All that a message's lines share is made once and then copied.
func (j *JSON) inv(b *record.Batch, r *record.Inv) error {
	vects := b.Vects[r.First : r.First+r.N]
	if len(vects) == 0 {
		return nil
	}
	start := len(j.buf)
	buf := j.open(j.buf, record.KindInv, &r.Meta)
	j.prefix = append(append(j.prefix[:0], buf[start:]...), `,"type":`...)
	j.suffix = append(strconv.AppendInt(append(j.suffix[:0], `,"count":`...), int64(len(vects)), 10), '}', '\n')
	buf = buf[:start]
	kind, shared := record.InvType(0), len(j.prefix)
	for i := range vects {
		v := &vects[i]
		if i == 0 || v.Type != kind {
			kind = v.Type
			j.prefix = append(strconv.AppendUint(j.prefix[:shared], uint64(kind), 10), `,"hash":"`...)
		}
		buf = v.Hash.AppendHex(append(buf, j.prefix...))
		buf = append(buf, `","index":`...)
		buf = strconv.AppendUint(buf, uint64(i), 10)
		buf = append(buf, j.suffix...)
		if len(buf) >= jsonPiece {
			j.buf = buf
			if err := j.flush(); err != nil {
				return err
			}
			buf = j.buf
		}
	}
	j.buf = buf
	return nil
}

func (j *JSON) tx(r *record.Tx) {
	b := j.open(j.buf, record.KindTx, &r.Meta)
	b = r.TxID.AppendHex(append(b, `,"txid":"`...))
	b = r.WTxID.AppendHex(append(b, `","wtxid":"`...))
	b = appendInt(b, `","version":`, int64(r.Version))
	b = appendUint(b, `,"lock_time":`, uint64(r.LockTime))
	b = appendInt(b, `,"size":`, int64(r.Size))
	b = appendInt(b, `,"weight":`, int64(r.Weight))
	b = append(b, `,"inputs":[`...)
	for i := range r.Inputs {
		in := &r.Inputs[i]
		b = in.TxID.AppendHex(append(b, `{"txid":"`...))
		b = appendUint(b, `","vout":`, uint64(in.Vout))
		b = appendUint(b, `,"sequence":`, uint64(in.Sequence))
		b = append(b, '}', ',')
	}
	b = append(dropComma(b), `],"outputs":[`...)
	for i := range r.Outputs {
		out := &r.Outputs[i]
		b = appendInt(b, `{"value":`, out.Value)
		b = appendString(append(b, `,"script_type":`...), out.ScriptType)
		if out.Address != "" {
			b = appendString(append(b, `,"address":`...), out.Address)
		}
		b = append(b, '}', ',')
	}
	j.buf = append(dropComma(b), ']', '}', '\n')
}

func (j *JSON) block(r *record.Block) {
	b := j.open(j.buf, record.KindBlock, &r.Meta)
	b = appendString(append(b, `,"via":`...), r.Via)
	b = r.Hash.AppendHex(append(b, `,"hash":"`...))
	b = r.Prev.AppendHex(append(b, `","prev":"`...))
	j.buf = append(b, '"', '}', '\n')
}

func (j *JSON) ping(r *record.Ping) {
	b := j.open(j.buf, record.KindPing, &r.Meta)
	b = appendUint(b, `,"nonce":"`, r.Nonce)
	j.buf = append(b, '"', '}', '\n')
}

func (j *JSON) pong(r *record.Pong) {
	b := j.open(j.buf, record.KindPong, &r.Meta)
	b = append(appendUint(b, `,"nonce":"`, r.Nonce), '"')
	if rtt, ok := r.RTT(); ok {
		b = appendInt(b, `,"rtt_us":`, rtt)
	}
	j.buf = append(b, '}', '\n')
}

func (j *JSON) version(r *record.Version) {
	b := j.open(j.buf, record.KindVersion, &r.Meta)
	b = appendInt(b, `,"protocol":`, int64(r.Protocol))
	b = appendUint(b, `,"services":`, r.Services)
	b = appendString(append(b, `,"user_agent":`...), r.UserAgent)
	b = appendInt(b, `,"start_height":`, int64(r.StartHeight))
	b = strconv.AppendBool(append(b, `,"relay":`...), r.Relay)
	b = appendEndpoint(append(b, `,"addr_recv":`...), r.AddrRecv)
	b = appendEndpoint(append(b, `,"addr_from":`...), r.AddrFrom)
	b = j.clock.appendSeconds(append(b, `,"timestamp":`...), r.Timestamp)
	j.buf = append(b, '}', '\n')
}

func (j *JSON) addr(r *record.Addr) {
	b := j.open(j.buf, record.KindAddr, &r.Meta)
	b = appendString(append(b, `,"address":`...), r.Address)
	b = appendUint(b, `,"port":`, uint64(r.Port))
	b = appendUint(b, `,"services":`, r.Services)
	b = j.clock.appendSeconds(append(b, `,"last_seen":`...), r.LastSeen)
	j.buf = append(b, '}', '\n')
}

// conn writes a connection's line. Its seen_at is when it closed, its sender the side that opened it.
func (j *JSON) conn(r *record.ConnEnd) {
	c := r.Conn
	b := j.open(j.buf, record.KindConn, &record.Meta{Conn: c, SeenAt: r.ClosedAt, FirstByteAt: c.OpenedAt})
	b = j.clock.appendTime(append(b, `,"opened_at":`...), c.OpenedAt)
	b = j.clock.appendTime(append(b, `,"closed_at":`...), r.ClosedAt)
	start := "midstream"
	if r.SYN {
		start = "syn"
	}
	b = appendString(append(b, `,"start":`...), start)
	b = appendString(append(b, `,"transport":`...), r.Transport.String())
	if name := c.PeerName(); name != "" {
		b = appendString(append(b, `,"socks_target":`...), name)
	}
	if r.HandshakeRTT >= 0 {
		b = appendInt(b, `,"handshake_rtt_us":`, r.HandshakeRTT)
	}
	if r.UserAgent != "" {
		b = appendString(append(b, `,"user_agent":`...), r.UserAgent)
	}
	b = appendFlow(append(b, `,"from_sent":`...), &r.A)
	b = appendFlow(append(b, `,"to_sent":`...), &r.B)
	j.buf = append(b, '}', '\n')
}

// open appends the keys that every record has, without the closing brace.
func (j *JSON) open(b []byte, k record.Kind, m *record.Meta) []byte {
	c := m.Conn
	b = append(append(append(b, `{"record":"`...), k.String()...), `","seen_at":`...)
	b = j.clock.appendTime(b, m.SeenAt)
	b = j.clock.appendTime(append(b, `,"first_byte_at":`...), m.FirstByteAt)
	b = appendEndpoint(append(b, `,"from":`...), m.From())
	b = appendEndpoint(append(b, `,"to":`...), m.To())
	b = appendUint(b, `,"conn":"`, c.ID)
	b = appendString(append(b, `","sensor":`...), c.Capture.Sensor)
	b = appendString(append(b, `,"network":`...), c.Network())
	return strconv.AppendBool(append(b, `,"outbound":`...), m.Outbound())
}

func appendFlow(b []byte, f *record.FlowCount) []byte {
	b = appendUint(b, `{"segments":`, f.Segments)
	b = appendUint(b, `,"bytes":`, f.Bytes)
	b = appendUint(b, `,"retransmitted":`, f.Retransmitted)
	b = appendUint(b, `,"lost":`, f.Lost)
	if f.Unseen > 0 {
		b = appendUint(b, `,"unseen":`, f.Unseen)
	}
	b = appendUint(b, `,"resyncs":`, f.Resyncs)
	b = appendUint(b, `,"messages":`, f.Messages)
	return append(b, '}')
}

func appendInt(b []byte, key string, v int64) []byte {
	return strconv.AppendInt(append(b, key...), v, 10)
}

func appendUint(b []byte, key string, v uint64) []byte {
	return strconv.AppendUint(append(b, key...), v, 10)
}

// appendEndpoint appends "ip:port" or "[v6]:port", or null if there is none: an old version message lacks addr_from.
func appendEndpoint(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, "null"...)
	}
	return append(a.AppendTo(append(b, '"')), '"')
}

func dropComma(b []byte) []byte {
	if n := len(b) - 1; b[n] == ',' {
		return b[:n]
	}
	return b
}

// A jsonClock writes times. Most are of the same second as the one before, so it keeps that second's text.
type jsonClock struct {
	second int64
	text   []byte // `"2006-01-02T15:04:05.` of second; empty before the first
}

// Seconds since the Unix epoch between which a time has an RFC 3339 text: years 1 to 9999.
const (
	minSecond = -62135596800 // 0001-01-01T00:00:00Z
	maxSecond = 253402300799 // 9999-12-31T23:59:59Z
)

// appendTime appends t in record.Layout, or null if no RFC 3339 text can say it.
func (c *jsonClock) appendTime(b []byte, t record.Time) []byte {
	sec, us := int64(t)/1e6, int64(t)%1e6
	if us < 0 {
		sec, us = sec-1, us+1e6
	}
	if sec != c.second || len(c.text) == 0 {
		if sec < minSecond || sec > maxSecond {
			return append(b, "null"...)
		}
		c.second = sec
		c.text = record.Time(sec * 1e6).Append(append(c.text[:0], '"'))
		c.text = c.text[:len(c.text)-len("000000Z")]
	}
	b = append(b, c.text...)
	return append(b, '0'+byte(us/1e5), '0'+byte(us/1e4%10), '0'+byte(us/1e3%10),
		'0'+byte(us/100%10), '0'+byte(us/10%10), '0'+byte(us%10), 'Z', '"')
}

// appendSeconds appends the time s, in seconds since the Unix epoch, as a sender claimed it: it may be absurd.
func (c *jsonClock) appendSeconds(b []byte, s int64) []byte {
	if s < minSecond || s > maxSecond {
		return append(b, "null"...)
	}
	return c.appendTime(b, record.Time(s*1e6))
}

// appendString appends s in quotation marks, its text as Text has it. Beside what JSON demands, what could move a terminal's
// cursor or end a line is escaped: all control characters, U+2028 and U+2029.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if plain(s) {
		return append(append(b, s...), '"')
	}
	for _, r := range Text(s) {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029:
			b = append(b, '\\', 'u', digits[r>>12], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// plain says whether s is printable ASCII that JSON needs no escape for.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
