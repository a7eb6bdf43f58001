package decode

import (
	"btcsniff/record"
	"btcsniff/v2"
)

// A box decrypts one stream of a v2 connection, as far as the secrets of its session are known.
type box struct {
	r      *v2.Receiver // nil while raw is collected
	raw    []byte       // the first bytes of a stream of which it is not known whether it is v2
	pieces []piece      // the bytes that were given and of which no packet has told yet
	given  int          // bytes, of which
	told   int          // were in packets or skipped
	fresh  int          // of given, those that the search has not been given yet
}

// A piece is some consecutive bytes of one segment.
type piece struct {
	n   int
	at  record.Time // when they were captured
	pos uint64      // place of the first one in its flow
}

// tryAfter is how many bytes of an unknown stream are looked at before it is tried to decrypt it.
const tryAfter = 2048

// unbox returns what the stream may be decrypted with, or nil if there are no secrets.
func (s *stream) unbox() *box {
	if s.c.d.cfg.Keys == nil {
		return nil
	}
	if s.c.keyed == nil {
		s.c.keyed = s.c.d.cfg.Keys.Conn(s.c.d.cfg.Networks)
	}
	return &box{}
}

// begin begins to decrypt; start says whether the first byte given was the first that was ever sent.
func (x *box) begin(c *v2.Conn, start bool) {
	x.r = c.Receiver(start)
	x.r.Data(x.raw)
	x.raw = nil
}

// add takes bytes at the given place of the flow.
func (x *box) add(b []byte, at record.Time, pos uint64) {
	x.given += len(b)
	x.pieces = append(x.pieces, piece{len(b), at, pos})
	if x.r == nil {
		x.raw = append(x.raw, b...)
	} else {
		x.r.Data(b)
	}
}

// take forgets the next n bytes. It returns the place and time of the first one, and the latest of their times.
func (x *box) take(n int) (pos uint64, first, latest record.Time) {
	x.told += n
	for i := 0; n > 0; i++ {
		p := &x.pieces[0]
		if i == 0 {
			pos, first, latest = p.pos, p.at, p.at
		}
		latest = max(latest, p.at)
		k := min(n, p.n)
		n -= k
		p.n -= k
		p.pos += uint64(k)
		if p.n == 0 {
			x.pieces = x.pieces[1:]
		}
	}
	if len(x.pieces) == 0 {
		x.pieces = nil
	}
	return pos, first, latest
}

// decrypt takes bytes of a v2 stream.
func (s *stream) decrypt(b []byte, seen record.Time) {
	s.box.add(b, seen, s.pos)
	s.pos += uint64(len(b))
	s.drain()
}

// drain takes what is decrypted.
func (s *stream) drain() {
	x := s.box
	for p, ok := x.r.Next(); ok; p, ok = x.r.Next() {
		if s.mode != encrypted && p.Size > 0 {
			s.reveal()
		}
		x.take(p.Skipped)
		if s.mode == encrypted {
			s.stats().EncryptedV2 += uint64(p.Skipped)
		}
		if p.Size > 0 {
			s.start, s.first, s.latest = x.take(p.Size)
			s.unpack(p)
		}
	}
}

// unpack takes a decrypted packet. Packets without a message (decoys, the version packet) stay encrypted bytes of the ledger.
func (s *stream) unpack(p v2.Packet) {
	s.c.opened = true
	command, payload, err := v2.Message(p.Contents)
	n, ok := s.c.d.named(s.c.keyed.Network())
	if p.Contents == nil || err != nil || !ok {
		if p.Contents != nil {
			s.stats().BadHeaders++
		}
		s.stats().EncryptedV2 += uint64(p.Size)
		return
	}
	h := header{magic: n.Magic, length: len(payload)}
	h.name = uint8(copy(h.command[:], command))
	s.message(&h, payload, p.Size, h.treat())
}

// encrypt goes on with a v2 stream, to which what is kept belongs too. start says whether that begins with the first
// byte that was ever sent.
func (s *stream) encrypt(start bool) {
	s.c.v2 = true
	s.c.classify()
	if s.box != nil { // it was tried already
		s.reveal()
		if s.box.r == nil {
			s.box.begin(s.c.keyed, false)
		}
		s.drain()
		return
	}
	s.mode = encrypted
	s.hunt = nil
	if s.box = s.unbox(); s.box == nil {
		s.stats().EncryptedV2 += uint64(s.kept.len())
		s.forget()
		return
	}
	s.box.begin(s.c.keyed, start)
	s.again(0)
}

// try takes bytes of a stream that was joined mid-stream and in which nothing of Bitcoin was found. It returns true once a packet of
// it was decrypted.
func (s *stream) try(b []byte, seen record.Time) bool {
	if s.tried {
		return false
	}
	if s.box == nil {
		if s.box = s.unbox(); s.box == nil {
			return false
		}
	}
	x := s.box
	x.add(b, seen, s.pos)
	x.fresh = len(b)
	if x.r != nil || s.tryRaw(tryAfter) {
		s.drain()
	}
	x.fresh = 0
	if s.mode != encrypted {
		return false
	}
	s.pos += uint64(len(b))
	return true
}

// tryRaw begins to decrypt a stream of which so many bytes were collected, if they are as good as random or the other side's
// could be decrypted.
func (s *stream) tryRaw(enough int) bool {
	x := s.box
	if len(x.raw) < enough && !s.c.opened {
		return false
	}
	if !isRandom(x.raw) && !s.c.opened {
		s.box, s.tried = nil, true
		return false
	}
	x.begin(s.c.keyed, false)
	return true
}

// reveal makes a stream that was searched for messages an encrypted one. What the search has passed over or keeps of the bytes
// that no packet has told of is accounted for by packets from now on.
func (s *stream) reveal() {
	x := s.box
	s.unsure += uint64(s.kept.len()) + uint64(x.told) - uint64(x.given-x.fresh)
	s.forget()
	s.c.v2 = true
	s.c.classify()
	s.mode = encrypted
	s.hunt = nil
}

// gapInBox passes a gap of n bytes.
func (s *stream) gapInBox(n int64) {
	x := s.box
	if x.r == nil {
		s.box = nil // the search has accounted for what was collected
		return
	}
	x.r.Gap(int(n))
	s.drain()
}

// closeBoxes ends the decryption of both sides. What one side's last bytes tell may help the other.
func (c *Conn) closeBoxes() {
	for _, side := range []int{0, 1, 0} {
		if s := &c.streams[side]; s.box != nil && (s.box.r != nil || s.tryRaw(tryAfter/4)) {
			s.box.r.Close()
			s.drain()
		}
	}
	for i := range c.streams {
		if s := &c.streams[i]; s.box != nil && s.mode == encrypted {
			s.stats().EncryptedV2 += uint64(s.box.given - s.box.told)
		}
	}
}

// isRandom says whether b may be encrypted.
func isRandom(b []byte) bool {
	var counts [256]uint32
	for _, c := range b {
		counts[c]++
	}
	return uniform(&counts)
}
