package decode

import (
	"bytes"

	"btcsniff/record"
)

// A searchState is how far a search has come. What it looks at is in stream.kept.
type searchState struct {
	from   int          // place in kept before which no message begins
	need   int          // bytes that kept must have before it is worth looking again
	looked int          // bytes looked at while nothing of Bitcoin was recognised on the connection
	counts *[256]uint32 // of these, how often each value came
	hashed int          // bytes hashed for candidates
}

const (
	uniformAfter = 64 << 10        // bytes; the longest run of short ids in a compact block is shorter
	hopeless     = 2 * maxPayload  // bytes without a message: there is none
	hashAllowed  = 16 * maxPayload // bytes hashed for candidates, beyond hashPerByte a byte: so much a hostile stream may cost
	hashPerByte  = 8
)

// look takes bytes while the next message is searched for. A message is believed when its header is of the right form, its checksum is
// right and another message follows it, or nothing does: look-alikes in the payload of a transaction or
// block are followed by the rest of that payload.
func (s *stream) look(b []byte, seen record.Time) {
	s.keep(b, seen)
	if !s.c.known() {
		s.tally(b)
	}
	if s.kept.len() >= s.search.need {
		s.scan(false)
	}
	if s.mode == searching && !s.c.known() && s.giveUp() {
		s.passOver(s.kept.len())
		s.forget()
		s.search = searchState{}
		s.mode = watching
	}
}

// scan looks for a message in the bytes kept. In a final scan nothing follows them.
func (s *stream) scan(final bool) {
	st := &s.search
	for s.mode == searching {
		b := s.kept.bytes()
		i := s.findMagic(b[st.from:])
		st.from += i
		st.need = 0
		switch total, verdict := s.judge(b[st.from:], final); verdict {
		case yes:
			s.accept(total)
			return
		case no:
			st.from++
			continue
		case wait:
			st.need = st.from + total
		}
		break
	}
	if n := st.from; n > 0 {
		s.passOver(n)
		s.kept.discard(n)
		s.c.d.buffered -= n
		st.from, st.need = 0, st.need-n
	}
}

// settle looks for a message that nothing follows.
func (s *stream) settle() { s.scan(true) }

type verdict uint8

const (
	no   verdict = iota // no message begins here
	wait                // more bytes are needed to tell
	yes
)

// judge says whether b begins with a message: its length if so, or how many bytes are needed to tell.
func (s *stream) judge(b []byte, final bool) (total int, v verdict) {
	if len(b) < headerLen {
		return headerLen, wait
	}
	h, ok := parseHeader(b)
	if !ok {
		return 0, no
	}
	if total, is, short := h.old(b); is {
		return follows(b, total, &h, final)
	} else if short {
		return total + 1, wait
	}
	total = h.total()
	if len(b) < total {
		if !s.c.d.room(total) {
			s.stats().Evicted++
			return 0, no
		}
		return total, wait
	}
	if s.search.hashed += h.length; s.search.hashed > hashAllowed+hashPerByte*len(b) || !h.sumOK(b[headerLen:total]) {
		return 0, no
	}
	return follows(b, total, &h, final)
}

// follows says whether what comes after the first total bytes of b may be another message of h's network.
func follows(b []byte, total int, h *header, final bool) (int, verdict) {
	rest := b[total:]
	n := min(len(rest), len(h.magic))
	switch {
	case !bytes.Equal(rest[:n], h.magic[:n]):
		return 0, no
	case n < len(h.magic) && !final:
		return total + len(h.magic), wait
	}
	return total, yes
}

// accept takes the message of total bytes that was found, and goes on with messages in sequence.
func (s *stream) accept(total int) {
	from := s.search.from
	b := s.kept.bytes()[from:]
	h, _ := parseHeader(b)
	payload := b[oldHeaderLen:total]
	if _, old, _ := h.old(b); !old {
		payload = b[headerLen:total]
	}
	s.magic = h.magic
	s.start = s.pos - uint64(len(b))
	s.first, s.latest = s.kept.times(from, from+total)
	s.passOver(from)
	s.message(&h, payload, total)
	s.mode = framing
	s.search = searchState{}
	s.again(from + total)
}

// candidate says whether what is kept begins with a message that is not whole.
func (s *stream) candidate() bool {
	b := s.kept.bytes()
	if len(b) < headerLen {
		return false
	}
	_, ok := parseHeader(b)
	return ok && s.findMagic(b) == 0
}

// findMagic returns the place of the first magic in b, or of what may be the beginning of one at b's end, or len(b).
func (s *stream) findMagic(b []byte) int {
	networks := s.c.d.cfg.Networks
	if s.c.known() {
		networks = []record.Network{s.c.network}
	}
	best := len(b)
	for _, n := range networks {
		end := min(len(b), best+len(n.Magic)-1)
		if i := bytes.Index(b[:end], n.Magic[:]); i >= 0 {
			best = i
		}
	}
	for k := min(3, len(b)); k > 0 && best == len(b); k-- {
		for _, n := range networks {
			if bytes.HasSuffix(b, n.Magic[:k]) {
				best = len(b) - k
				break
			}
		}
	}
	return best
}

// tally counts the values of bytes on a connection on which nothing of Bitcoin was recognised yet.
func (s *stream) tally(b []byte) {
	st := &s.search
	st.looked += len(b)
	if st.looked > 4*uniformAfter {
		st.counts = nil
		return
	}
	if st.counts == nil {
		st.counts = new([256]uint32)
	}
	for _, c := range b {
		st.counts[c]++
	}
}

// giveUp says whether the stream is no v1 stream: it is as good as random (no v1 traffic is, for so long), or went on for longer than
// any message without another.
func (s *stream) giveUp() bool {
	st := &s.search
	if st.looked > hopeless {
		return true
	}
	return st.counts != nil && st.looked >= uniformAfter && uniform(st.counts)
}

// uniform is a chi-squared test: whether bytes that came so often may be random.
func uniform(counts *[256]uint32) bool {
	const (
		mean  = 255  // of chi-squared with 255 degrees of freedom
		sigma = 22.6 // its standard deviation
	)
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	want, chi := total/256, 0.0
	for _, n := range counts {
		d := float64(n) - want
		chi += d * d / want
	}
	return chi < mean+5*sigma
}

// watch takes bytes of a stream that was given up: it looks only whether they begin with a header.
func (s *stream) watch(b []byte) int {
	if !s.c.known() {
		var ok bool
		if len(b) >= headerLen {
			var h header
			if h, ok = parseHeader(b); ok {
				_, ok = s.c.d.network(h.magic[:])
			}
		}
		if !ok {
			s.pos += uint64(len(b))
			s.passOver(len(b))
			return len(b)
		}
	}
	s.mode = searching
	s.search = searchState{}
	return 0
}
