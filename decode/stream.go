package decode

import (
	"crypto/sha256"
	"hash"

	"btcsniff/record"
)

// A mode says what a stream's next bytes are taken for.
type mode uint8

const (
	detecting mode = iota // the first bytes after the opening: detect.go
	proxying              // HTTP CONNECT, not complete yet
	framing               // messages, one after the other: this file
	skipping              // the rest of a message that is lost, of known length
	searching             // for the next message: search.go
	encrypted             // v2
	ignoring              // another protocol, known or not: nothing is looked for
	watching              // unknown: only whether a segment begins with a header
)

// A stream is one flow of a connection. It keeps bytes only of a message that is not complete, or while it
// searches or detects.
//
// There may be very many, and each of their segments finds them out of the processor's caches. So what messages in sequence
// need is together, and what they don't is behind pointers.
type stream struct {
	c       *Conn
	fromB   bool
	mode    mode
	treat   treatment      // framing a message that is not complete: what becomes of it
	began   bool           // past the first byte
	proxied bool           // past a proxy handshake
	tried   bool           // it is no v2 stream: nothing is decrypted
	magic   [magicLen]byte // framing: that the messages begin with

	kept buffer // the bytes that are kept; they end at pos
	pos  uint64 // place in the flow of the next byte to come, gaps included

	// Framing a message that is not complete:
	need   int         // bytes that kept must have before something can be decided; 0: at the beginning of a message
	left   int         // skipping, and framing a message that passes: bytes to come
	start  uint64      // place of the message's first byte
	first  record.Time // capture time of its first byte
	latest record.Time // latest capture time of its bytes
	pass   *passing    // nil if none passes

	given    uint64 // bytes of the flow so far
	messages uint64
	hunt     *hunt  // nil if the stream was not searched since messages were found
	box      *box   // of a v2 stream, or one that may be; nil without secrets
	unsure   uint64 // bytes passed over: what they are of is not known before the stream ends
	spent    uint64 // bytes that searches looked at, see stream.pay
	resyncs  uint64
}

// A passing is a message whose payload is hashed as it streams by.
type passing struct {
	head header
	sum  hash.Hash
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
			n = s.look(b, seen)
		case detecting, proxying:
			n = s.detect(b, seen)
		case watching:
			n = s.watch(b, seen)
		case encrypted:
			n = len(b)
			if s.box != nil {
				s.decrypt(b, seen)
				break
			}
			s.pos += uint64(n)
			s.stats().EncryptedV2 += uint64(n)
		case ignoring:
			n = len(b)
			s.pos += uint64(n)
			s.passOver(n)
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
	total := h.total()
	if len(b) < total || h.mayBeOld() {
		return s.retain(b, headerLen, seen)
	}
	s.pos += uint64(total)
	s.complete(&h, b[:total])
	return total
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
	if s.need > headerLen && s.c.d.tight(s.need) {
		s.stats().Evicted++
		s.treat = pass
		s.letPass()
		s.forget()
	}
	if s.need > 0 {
		return s.retain(b, s.need, seen)
	}
	n := min(s.left, len(b))
	s.pos += uint64(n)
	s.pass.sum.Write(b[:n])
	s.left -= n
	if s.left == 0 {
		s.passed()
	}
	return n
}

// letPass begins to hash a payload, the rest of which is not kept.
func (s *stream) letPass() {
	b := s.kept.bytes()
	s.pass = s.c.d.newPassing()
	s.pass.head, _ = parseHeader(b)
	s.pass.sum.Write(b[headerLen:])
	s.need, s.left = 0, s.pass.head.total()-len(b)
}

// decide is called when as many bytes are kept as were needed: a header, or more of the message.
func (s *stream) decide() {
	b := s.kept.bytes()
	h, ok := parseHeader(b)
	if !ok || h.magic != s.magic {
		s.badHeader()
		s.again(0)
		return
	}
	total, old, short := h.old(b)
	switch {
	case old:
		s.message(&h, b[oldHeaderLen:total], total, h.treat())
		s.again(total) // what was kept behind it
		return
	case short:
		s.need = total
		return
	}
	switch need := s.wanted(&h); {
	case need > len(b):
		s.need = need
	case len(b) == h.total():
		s.complete(&h, b)
		s.forget()
	default:
		s.letPass()
	}
}

// wanted chooses what to do with the message of which h is the header, and returns how many of its bytes must be kept.
func (s *stream) wanted(h *header) int {
	switch s.treat = h.treat(); {
	case s.treat == begin:
		return headerLen + min(h.length, blockHeaderSize)
	case s.treat != keep:
		return headerLen
	case s.c.d.tight(h.total()):
		s.stats().Evicted++
		s.treat = pass
		return headerLen
	}
	return h.total()
}

// passed takes a message whose payload was not kept, or only its beginning.
func (s *stream) passed() {
	var sum [sha256.Size]byte
	p := s.pass
	s.pass = nil
	p.sum.Sum(sum[:0])
	sum = sha256.Sum256(sum[:])
	if [4]byte(sum[:]) != p.head.checksum {
		s.badChecksum(&p.head)
	} else {
		b := s.kept.bytes()
		s.message(&p.head, b[min(headerLen, len(b)):], p.head.total(), s.treat)
	}
	s.forget()
	s.c.d.free = append(s.c.d.free, p)
}

// complete takes a whole message, whose checksum is still to be looked at.
func (s *stream) complete(h *header, b []byte) {
	if !sumOK(b) {
		s.badChecksum(h)
		return
	}
	s.message(h, b[headerLen:], len(b), h.treat())
}

// badChecksum sets a message aside. Like Bitcoin Core it trusts the length: the next message follows.
func (s *stream) badChecksum(h *header) {
	st := s.stats()
	name := string(h.cmd())
	if st.BadChecksums[name] == 0 && len(st.BadChecksums) >= maxCommands {
		name = otherCommands
	}
	st.BadChecksums[name]++
	st.Skipped += uint64(h.total())
}

// badHeader begins a search: a message should begin here, and none does.
func (s *stream) badHeader() {
	s.stats().BadHeaders++
	s.lose()
}

// lose begins a search.
func (s *stream) lose() {
	s.mode = searching
	s.restart()
	s.resyncs++
	s.stats().Resyncs++
}

// again gives the bytes that are kept to data once more, from the given one on; the others are done with.
func (s *stream) again(from int) {
	kept := s.kept
	s.kept = buffer{}
	s.c.d.buffered -= kept.size()
	s.need = 0
	s.restart()
	s.pos -= uint64(kept.len() - from)
	for _, m := range kept.marks {
		if m.end > from {
			s.data(kept.b[from:m.end], m.at)
			from = m.end
		}
	}
	s.c.d.recycle(kept)
}

// keep appends b, captured at the given time, to the bytes that are kept.
func (s *stream) keep(b []byte, at record.Time) {
	if s.kept.b == nil {
		s.kept = s.c.d.newBuffer()
	}
	before := s.kept.size()
	s.kept.add(b, at)
	s.c.d.buffered += s.kept.size() - before
	s.pos += uint64(len(b))
}

// discard drops the first n bytes that are kept.
func (s *stream) discard(n int) {
	before := s.kept.size()
	s.kept.discard(n)
	s.c.d.buffered += s.kept.size() - before
}

// forget drops the bytes that are kept.
func (s *stream) forget() {
	s.c.d.buffered -= s.kept.size()
	s.c.d.recycle(s.kept)
	s.kept = buffer{}
	s.need = 0
	s.restart()
}

// gap takes n missing bytes.
func (s *stream) gap(n int64) {
	if !s.began {
		s.begin()
	}
	if s.box != nil {
		s.gapInBox(n)
	}
	if s.mode == searching {
		s.settle()
	}
	switch s.mode {
	case framing:
		s.gapInFrame(n)
	case skipping:
		s.skipGap(s.left, n)
	case detecting, proxying:
		s.giveUpDetecting()
		s.lose()
	}
	s.pos += uint64(n)
}

// gapInFrame loses the message under way. If its length is known and the gap does not reach beyond it, the next one's place
// is known too; that spares a search, which could be misled by a payload that looks like messages.
func (s *stream) gapInFrame(n int64) {
	rest := -1 // bytes of the message that were to come; -1: not known
	if s.left > 0 {
		rest = s.left
	} else if s.kept.len() >= headerLen {
		if h, _ := parseHeader(s.kept.bytes()); !h.mayBeOld() {
			rest = h.total() - s.kept.len()
		}
	}
	s.abandon(&s.stats().Skipped)
	s.skipGap(rest, n)
}

// skipGap passes a gap of n bytes of a lost message of which rest were to come.
func (s *stream) skipGap(rest int, n int64) {
	if int64(rest) < n {
		s.left = 0
		s.lose()
		return
	}
	s.mode = framing
	if s.left = rest - int(n); s.left > 0 {
		s.mode = skipping
	}
}

// reached is the capture time up to which the stream's messages are decoded, when seen is that of its last bytes.
func (s *stream) reached(seen record.Time) record.Time {
	if len(s.kept.marks) > 0 {
		return min(seen, s.kept.marks[0].at)
	}
	return seen
}

// abandon ends the message under way, if there is one, and adds its bytes to a count. A verack without checksum may be
// whole, although it was not known before that nothing follows it.
func (s *stream) abandon(count *uint64) {
	var h header
	switch {
	case s.need == 0 && s.left == 0:
		return
	case s.need > 0 && s.kept.len() == oldHeaderLen && h.parseOld(s.kept.bytes()) && h.magic == s.magic && h.is("verack") && h.length == 0:
		s.message(&h, nil, oldHeaderLen, pass)
	default:
		*count += s.pos - s.start
	}
	if s.pass != nil {
		s.c.d.free = append(s.c.d.free, s.pass)
		s.pass = nil
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
		s.abandon(&s.stats().Incomplete)
	case detecting, proxying:
		s.giveUpDetecting()
	}
	switch {
	case s.mode == encrypted:
		s.stats().EncryptedV2 += s.unsure
	case s.c.known():
		s.stats().Skipped += s.unsure
	default:
		s.stats().NotBitcoin += s.unsure
	}
	s.unsure = 0
}

// passOver accounts for bytes that are set aside.
func (s *stream) passOver(n int) { s.unsure += uint64(n) }
