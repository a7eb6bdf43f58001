package decode

import (
	"hash"

	"btcsniff/record"
)

// A mode says what a stream's next bytes are taken for.
type mode uint8

const (
	detecting mode = iota // the first bytes after the opening: detect.go
	proxying              // SOCKS5 or HTTP CONNECT: proxy.go
	framing               // messages, one after the other: this file
	skipping              // the rest of a message that is lost, of known length
	searching             // for the next message: search.go
	encrypted             // v2
	ignoring              // another protocol, known or not: nothing is looked for
	watching              // unknown: only whether a segment begins with a header
)

// A stream is one flow of a connection. It keeps bytes only of a message that is not complete, or while it
// searches or detects.
type stream struct {
	c     *Conn
	fromB bool
	mode  mode
	magic [4]byte // framing: that the messages begin with

	pos  uint64 // place in the flow of the next byte to come, gaps included
	kept buffer // the bytes that are kept

	// Framing a message that is not complete:
	head   header
	treat  treatment
	need   int         // bytes that kept must have before something can be decided; 0: at the beginning of a message
	left   int         // skipping, and framing a message that passes: bytes to come
	sum    hash.Hash   // of the payload that passes; nil if none does
	start  uint64      // place of the message's first byte
	first  record.Time // capture time of its first byte
	latest record.Time // latest capture time of its bytes

	began    bool   // past the first byte
	proxied  bool   // past a proxy handshake
	unsure   uint64 // bytes passed over before anything of Bitcoin was recognised
	search   searchState
	resyncs  uint64
	messages uint64
}

func (s *stream) side() int { return sideOf(s.fromB) }

func (s *stream) stats() *Stats { return &s.c.d.stats }

// data takes the next bytes; every step takes at least one, or changes the mode.
func (s *stream) data(b []byte, seen record.Time) {
	if !s.began {
		s.begin()
	}
	for len(b) > 0 {
		var n int
		switch s.mode {
		case framing:
			n = s.frame(b, seen)
		case skipping:
			n = s.skip(b)
		case searching:
			s.look(b, seen)
			return
		case detecting, proxying:
			s.detect(b, seen)
			return
		case watching:
			n = s.watch(b)
		case encrypted:
			n = len(b)
			s.pos += uint64(n)
			s.stats().EncryptedV2 += uint64(n)
		case ignoring:
			n = len(b)
			s.pos += uint64(n)
			s.unsure += uint64(n)
		}
		b = b[n:]
	}
}

// skip takes bytes of a message that is lost.
func (s *stream) skip(b []byte) int {
	n := min(s.left, len(b))
	s.pos += uint64(n)
	s.left -= n
	s.stats().Skipped += uint64(n)
	if s.left == 0 {
		s.mode = framing
	}
	return n
}

// begin chooses the first mode: a flow whose opening was captured is classified by its first bytes, one that was
// joined mid-stream begins anywhere in a message.
func (s *stream) begin() {
	s.began = true
	s.mode = searching
	if s.c.rec.OpenerKnown {
		s.mode = detecting
	}
}

// frame takes bytes of messages in sequence and returns how many.
func (s *stream) frame(b []byte, seen record.Time) int {
	if s.need > 0 || s.left > 0 {
		return s.more(b, seen)
	}
	s.start, s.first, s.latest = s.pos, seen, seen
	if len(b) < headerLen {
		return s.retain(b, headerLen, seen)
	}
	h, ok := parseHeader(b)
	if !ok || h.magic != s.magic {
		s.badHeader()
		return 0
	}
	if len(b) >= h.total() && !h.is("version") && !h.is("verack") {
		s.pos += uint64(h.total())
		s.complete(&h, b[headerLen:h.total()], h.total())
		return h.total()
	}
	s.head = h
	return s.retain(b, s.wanted(b[:min(len(b), h.total())]), seen)
}

// retain keeps bytes of b until need are kept.
func (s *stream) retain(b []byte, need int, seen record.Time) int {
	s.need = need
	n := min(need-s.kept.len(), len(b))
	s.keep(b[:n], seen)
	if s.kept.len() == need {
		s.decide()
	}
	return n
}

// more takes bytes of a message that is under way.
func (s *stream) more(b []byte, seen record.Time) int {
	s.latest = max(s.latest, seen)
	if s.need > 0 {
		return s.retain(b, s.need, seen)
	}
	n := min(s.left, len(b))
	s.pos += uint64(n)
	s.sum.Write(b[:n])
	s.left -= n
	if s.left == 0 {
		s.passed()
	}
	return n
}

// wanted is how many bytes of a message, of which b is the beginning and s.head the header, must be kept before the next decision.
func (s *stream) wanted(b []byte) int {
	h := &s.head
	if total, is, short := h.old(b); is || short {
		return max(total, headerLen)
	}
	s.treat = h.treat()
	switch {
	case s.treat == keep && s.c.d.room(h.length):
		return h.total()
	case s.treat == begin:
		return headerLen + min(h.length, blockHeaderSize)
	}
	if s.treat == keep {
		s.stats().Evicted++
		s.treat = pass
	}
	return headerLen
}

// decide is called when as many bytes are kept as were wanted.
func (s *stream) decide() {
	b := s.kept.bytes()
	h, ok := parseHeader(b)
	if !ok || h.magic != s.magic {
		s.rescan()
		return
	}
	s.head = h
	if total, is, _ := h.old(b); is {
		s.oldMessage(total)
		return
	}
	if need := s.wanted(b); need > len(b) {
		s.need = need
		return
	}
	if len(b) == h.total() {
		s.complete(&h, b[headerLen:], len(b))
		s.forget()
		return
	}
	s.sum = s.c.d.newHash()
	s.sum.Write(b[headerLen:])
	s.need, s.left = 0, h.total()-len(b)
}

// oldMessage takes a kept message without checksum, and what was kept behind it.
func (s *stream) oldMessage(total int) {
	b := s.kept.bytes()
	s.message(&s.head, b[oldHeaderLen:total], total)
	s.again(total)
}

// passed takes a message whose payload was not kept, or only its beginning.
func (s *stream) passed() {
	var first, second [32]byte
	s.sum.Sum(first[:0])
	s.c.d.free = append(s.c.d.free, s.sum)
	h := s.c.d.newHash()
	h.Write(first[:])
	h.Sum(second[:0])
	s.c.d.free = append(s.c.d.free, h)
	s.sum = nil
	switch {
	case [4]byte(second[:]) != s.head.checksum:
		s.badChecksum(&s.head, s.head.total())
	case s.treat == begin:
		s.message(&s.head, s.kept.bytes()[headerLen:], s.head.total())
	default:
		s.count(&s.head, s.head.total(), s.treat != oversize)
	}
	s.forget()
}

// complete takes a whole message of total bytes, whose checksum is still to be looked at.
func (s *stream) complete(h *header, payload []byte, total int) {
	if !h.sumOK(payload) {
		s.badChecksum(h, total)
		return
	}
	s.message(h, payload, total)
}

// badChecksum sets a message aside. Like Bitcoin Core it trusts the length: the next message follows.
func (s *stream) badChecksum(h *header, total int) {
	st := s.stats()
	name := string(h.cmd())
	if st.BadChecksums[name] == 0 && len(st.BadChecksums) >= maxCommands {
		name = otherCommands
	}
	st.BadChecksums[name]++
	st.Skipped += uint64(total)
}

// badHeader begins a search: a message should begin here, and none does.
func (s *stream) badHeader() {
	s.stats().BadHeaders++
	s.lose()
}

// lose begins a search.
func (s *stream) lose() {
	s.mode = searching
	s.search = searchState{}
	s.resyncs++
	s.stats().Resyncs++
}

// rescan searches in the bytes that are kept, from the second on.
func (s *stream) rescan() {
	s.badHeader()
	s.search.from = 1
	s.again(0)
}

// again gives the bytes that are kept to data once more, from the given one on; the others are done with.
func (s *stream) again(from int) {
	kept := s.kept
	s.kept = buffer{}
	s.c.d.buffered -= kept.len()
	s.need = 0
	s.pos -= uint64(kept.len() - from)
	for _, m := range kept.marks {
		if m.end > from {
			s.data(kept.b[from:m.end], m.at)
			from = m.end
		}
	}
}

// keep appends b, captured at the given time, to the bytes that are kept.
func (s *stream) keep(b []byte, at record.Time) {
	s.pos += uint64(len(b))
	s.kept.add(b, at)
	s.c.d.buffered += len(b)
}

// forget drops the bytes that are kept.
func (s *stream) forget() {
	s.c.d.buffered -= s.kept.len()
	s.kept.reset()
	s.need = 0
}

// room says whether n more bytes may be kept. Messages of ordinary size always may: their sum is bounded by that of connections.
func (d *Decoder) room(n int) bool {
	const small = 4096
	return n <= small || d.buffered+n <= d.cfg.MaxBuffer
}

// gap takes n missing bytes.
func (s *stream) gap(n int64) {
	if !s.began {
		s.begin()
	}
	if s.mode == searching {
		s.settle()
	}
	switch s.mode {
	case framing:
		s.gapInFrame(n)
	case skipping:
		if s.left -= int(min(n, int64(s.left)+1)); s.left == 0 {
			s.mode = framing
		} else if s.left < 0 {
			s.left = 0
			s.lose()
		}
	case searching:
		s.passOver(s.kept.len())
		s.forget()
		s.search = searchState{}
	case detecting, proxying:
		s.giveUpDetecting()
		s.lose()
	}
	s.pos += uint64(n)
}

// gapInFrame loses the message under way. If its length is known and the gap does not reach beyond it, the next one's place
// is known too; that spares a search, which could be misled by a payload that looks like messages.
func (s *stream) gapInFrame(n int64) {
	have := int(s.pos - s.start)
	rest := -1 // bytes of the message that were to come; -1: not known
	if s.left > 0 {
		rest = s.left
	} else if s.need > 0 && have >= headerLen {
		rest = s.head.total() - have
	}
	if s.need == 0 && s.left == 0 {
		have = 0
	}
	if have == oldHeaderLen && s.oldVerack() {
		have, rest = 0, -1
	}
	s.abandon()
	s.stats().Skipped += uint64(have)
	if int64(rest) < n {
		s.lose()
		return
	}
	s.resyncs++
	s.stats().Resyncs++
	if s.left = rest - int(n); s.left > 0 {
		s.mode = skipping
	}
}

// oldVerack takes a verack without checksum that the stream ends with.
func (s *stream) oldVerack() bool {
	var h header
	if s.need == 0 || s.kept.len() != oldHeaderLen || !h.parseOld(s.kept.bytes()) || h.magic != s.magic || !h.is("verack") || h.length != 0 {
		return false
	}
	s.message(&h, nil, oldHeaderLen)
	return true
}

// abandon forgets the message under way.
func (s *stream) abandon() {
	if s.sum != nil {
		s.c.d.free = append(s.c.d.free, s.sum)
		s.sum = nil
	}
	s.left = 0
	s.forget()
}

// close ends the stream.
func (s *stream) close() {
	if s.mode == searching {
		s.settle()
	}
	switch s.mode {
	case framing:
		if (s.need > 0 || s.left > 0) && !s.oldVerack() {
			s.stats().Incomplete += s.pos - s.start
		}
		s.abandon()
	case searching:
		if s.candidate() {
			s.stats().Incomplete += uint64(s.kept.len())
		} else {
			s.passOver(s.kept.len())
		}
		s.forget()
	case detecting, proxying:
		s.giveUpDetecting()
	}
	if s.c.known() {
		s.stats().Skipped += s.unsure
	} else {
		s.stats().NotBitcoin += s.unsure
	}
	s.unsure = 0
}

// passOver accounts for bytes that are set aside. What they are of is not known before the stream ends.
func (s *stream) passOver(n int) { s.unsure += uint64(n) }

// A buffer is bytes with their capture times.
type buffer struct {
	b     []byte
	marks []mark // in order; the last one's end is len(b)
}

// A mark says that the bytes up to end were captured at the given time.
type mark struct {
	end int
	at  record.Time
}

const keepCap = 16 << 10 // bytes; an empty buffer keeps no more memory than this

func (k *buffer) len() int      { return len(k.b) }
func (k *buffer) bytes() []byte { return k.b }

func (k *buffer) add(b []byte, at record.Time) {
	k.b = append(k.b, b...)
	if n := len(k.marks); n > 0 && k.marks[n-1].at == at {
		k.marks[n-1].end = len(k.b)
	} else {
		k.marks = append(k.marks, mark{len(k.b), at})
	}
}

func (k *buffer) reset() {
	if cap(k.b) > keepCap {
		*k = buffer{}
		return
	}
	k.b, k.marks = k.b[:0], k.marks[:0]
}

// times returns the capture time of byte lo and the latest one of the bytes from lo to hi.
func (k *buffer) times(lo, hi int) (first, latest record.Time) {
	begin := 0
	found := false
	for _, m := range k.marks {
		if m.end > lo && begin < hi {
			if !found {
				first, latest, found = m.at, m.at, true
			}
			latest = max(latest, m.at)
		}
		begin = m.end
	}
	return first, latest
}

// discard drops the first n bytes.
func (k *buffer) discard(n int) {
	k.b = append(k.b[:0], k.b[n:]...)
	marks := k.marks[:0]
	for _, m := range k.marks {
		if m.end > n {
			marks = append(marks, mark{m.end - n, m.at})
		}
	}
	k.marks = marks
}
