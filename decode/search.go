package decode

import (
	"bytes"

	"btcsniff/record"
)

// A hunt is what a stream needs while the next message is searched for.
type hunt struct {
	search search
	noise  noise
}

// hunting returns the stream's hunt.
func (s *stream) hunting() *hunt {
	if s.hunt == nil {
		s.hunt = new(hunt)
	}
	return s.hunt
}

// restart lets a search begin again, if one is under way.
func (s *stream) restart() {
	if s.hunt != nil {
		s.hunt.search = search{}
	}
}

// A search is how far the search for the next message has come. What it looks at is in stream.kept.
type search struct {
	from  int // place in kept before which no message begins
	to    int // bytes after from that are whole messages, one after the other
	links int // of these, messages whose checksum is right
	paid  int // bytes of the message after these that are paid for
	need  int // bytes that kept must have before it is worth looking again
}

// dropped notes that the first n bytes of kept, in which no message begins, are not kept any more.
func (st *search) dropped(n int) { st.from, st.need = 0, st.need-n }

const (
	// enough messages in a row are believed without waiting for what follows. Look-alikes in the payload of a transaction or
	// block are followed by the rest of that payload; who puts as many as these in one, and is lucky enough that a
	// gap hides its header, can't be told from a stream by its bytes.
	enough = 4

	// What a search may hash and copy: so many bytes, and so many for each byte of the flow. A hostile stream of headers whose
	// payloads overlap costs no more. An honest one is hashed and copied once or twice.
	searchCredit  = 2 * maxPayload
	searchPerByte = 8

	small = 4096 // bytes: so many a stream may keep also when buffers are full, see Decoder.tight
)

// A verdict says whether bytes are what is looked for.
type verdict uint8

const (
	no   verdict = iota
	wait         // more bytes are needed to tell
	yes
)

// look takes bytes while the next message is searched for, and returns how many. A message is believed when its header is of the
// right form, its checksum is right, and others follow it until there are enough or a gap or the end of the stream comes.
func (s *stream) look(b []byte, seen record.Time) int {
	switch {
	case s.c.opened, s.c.v2 && !s.c.known():
		s.encrypt(false)
		return 0
	case s.c.known():
	case s.try(b, seen):
		return len(b)
	case s.hunting().noise.add(b):
		s.passOver(s.kept.len() + len(b))
		s.pos += uint64(len(b))
		s.forget()
		s.hunt = nil
		s.mode = watching
		return len(b)
	}
	if s.kept.len() > 0 {
		s.keep(b, seen)
		if s.kept.len() >= s.hunting().search.need || s.c.d.full() {
			s.find(false)
		}
		return len(b)
	}
	s.restart()
	at, v := s.scan(b, false)
	s.passOver(at)
	s.pos += uint64(at)
	switch v {
	case yes:
		s.found(b[at:])
		return at
	case wait:
		s.keep(b[at:], seen)
		s.hunt.search.dropped(at)
	case no:
		s.restart()
	}
	return len(b)
}

// find looks for a message in the bytes kept, and gives them to data if there is one. In a final search nothing follows them.
func (s *stream) find(final bool) bool {
	b := s.kept.bytes()
	at, v := s.scan(b, final)
	switch v {
	case yes:
		s.found(b[at:])
		s.passOver(at)
		s.again(at)
		return true
	case no:
		s.passOver(len(b))
		s.forget()
	case wait:
		if at >= small && at >= len(b)/2 || s.c.d.full() {
			s.passOver(at)
			s.discard(at)
			s.hunt.search.dropped(at)
		}
	}
	return false
}

// settle ends a search at a gap or at the end of the stream: messages that nothing follows are believed too.
func (s *stream) settle() {
	for s.mode == searching && s.find(true) {
	}
}

// found goes on with messages in sequence, of which b begins with the first.
func (s *stream) found(b []byte) {
	s.magic = [4]byte(b)
	s.mode = framing
	s.hunt = nil
	s.box = nil
}

// scan returns the first place in b at which a message begins, or may begin, or b's length. In a final scan nothing follows b, so
// a single message is believed. But if what follows it, or the first of all, is the header of a message that is not whole, it may
// be a false one, and b hold the messages that come after; these are believed if there are enough in a row.
func (s *stream) scan(b []byte, final bool) (int, verdict) {
	st := &s.hunting().search
	believed, least := len(b), 1
	for {
		if i := s.findMagic(b[st.from:]); i > 0 {
			*st = search{from: st.from + i}
		}
		if st.from == len(b) {
			if believed < len(b) {
				return believed, yes
			}
			return len(b), no
		}
		v := s.judge(b[st.from:])
		if v == yes || v == wait && !final {
			return st.from, v
		}
		next := st.from + 1
		if v == wait {
			if st.links >= least && believed == len(b) {
				believed = st.from
			}
			if next = min(next+st.to, len(b)); len(b)-next >= headerLen {
				least = enough
			}
		}
		*st = search{from: next}
	}
}

// judge says whether b begins with a message. While it is not sure, search.links says how many right ones there are in
// a row, and search.need how many bytes are needed.
func (s *stream) judge(b []byte) verdict {
	st := &s.hunt.search
	for st.links < enough {
		total, old, v := measure(b[st.to:], b)
		switch {
		case v == no:
			return no
		case v == wait && st.links > 0 && s.c.d.full():
			return yes // what streams keep while they wait for more would have no bound
		case !s.pay(total), v == wait && s.c.d.tight(total):
			s.stats().Evicted++
			if st.links > 0 {
				return yes
			}
			return no
		case v == wait:
			st.need = st.from + st.to + total
			return wait
		}
		if old || sumOK(b[st.to:st.to+total]) {
			st.links++
		} else if st.links == 0 {
			return no
		}
		st.to += total
		st.paid = 0
	}
	return yes
}

// pay says whether a search may look at a message of total bytes.
func (s *stream) pay(total int) bool {
	st := &s.hunt.search
	due := uint64(max(0, total-st.paid))
	if s.spent+due > searchCredit+searchPerByte*s.given {
		return false
	}
	s.spent += due
	st.paid += int(due)
	return true
}

// measure says how many bytes the message takes that b begins with, and whether it is one without a checksum. Its
// magic must be that of like. While the message is not whole, total is how many bytes are needed to tell more.
func measure(b, like []byte) (total int, old bool, v verdict) {
	n := min(len(b), len(like), magicLen)
	if !bytes.Equal(b[:n], like[:n]) {
		return 0, false, no
	}
	if len(b) < headerLen {
		return headerLen, false, wait
	}
	h, ok := parseHeader(b)
	if !ok {
		return 0, false, no
	}
	total, old, short := h.old(b)
	if !old && !short {
		total = h.total()
	}
	if len(b) < total || short {
		return total, false, wait
	}
	return total, old, yes
}

// findMagic returns the place of the first magic in b, or of what may be the beginning of one at b's end, or len(b).
func (s *stream) findMagic(b []byte) int {
	// Looked for in pieces, so that a magic that is rare does not cost a pass over all of b for each one that is frequent.
	const piece = 1024
	networks := s.c.d.cfg.Networks
	if s.c.known() {
		networks = []record.Network{s.c.network}
	}
	for base := 0; base < len(b); base += piece {
		w := b[base:min(len(b), base+piece+magicLen-1)]
		best := len(w)
		for i := range networks {
			end := min(len(w), best+magicLen-1)
			if j := bytes.Index(w[:end], networks[i].Magic[:]); j >= 0 {
				best = j
			}
		}
		if best < len(w) {
			return base + best
		}
	}
	for k := min(magicLen-1, len(b)); k > 0; k-- {
		for i := range networks {
			if bytes.HasSuffix(b, networks[i].Magic[:k]) {
				return len(b) - k
			}
		}
	}
	return len(b)
}

// watch takes bytes of a stream that was given up: it looks only whether they begin with a header.
func (s *stream) watch(b []byte, seen record.Time) int {
	if !s.c.known() && !s.c.v2 {
		begins := false
		if len(b) >= headerLen {
			var h header
			if h, begins = parseHeader(b); begins {
				_, begins = s.c.d.network(h.magic[:])
			}
		}
		if !begins && s.box != nil && s.try(b, seen) {
			return len(b)
		}
		if !begins {
			s.pos += uint64(len(b))
			s.passOver(len(b))
			return len(b)
		}
	}
	s.mode = searching
	return 0
}
