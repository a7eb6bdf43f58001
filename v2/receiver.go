package v2

import (
	"bytes"
	"crypto/cipher"
)

// Limits of searches.
const (
	maxNumbers  = 1 << 22 // packet numbers that are tried for one candidate: a week at 7 messages a second
	maxTries    = 1 << 25 // packet numbers that are tried for all candidates together in one go; about half a second
	youngest    = 1 << 16 // packet numbers that are tried first, for each candidate
	manyNumbers = 1 << 17 // numbers from which on a search is large:
	firstWindow = 1 << 11 // bytes before the first large search; the next ones wait for eight times as many each,
	maxSearch   = 1 << 24 // up to this (a block may be under way),
	maxLarge    = 5       // and there are no more large searches than this;
	maxWindow   = 1 << 18 // of the bytes before no more are kept,
	largeWindow = 1 << 16 // and that many of the last ones are searched
)

// A state says what a Receiver expects next.
type state uint8

const (
	atKey     state = iota // the public key
	atGarbage              // garbage and its terminator
	inStep                 // the packet that r.packet counts
	searching              // any packet of any candidate
	lost                   // nothing: the connection is none of the sessions, or its thread is lost for good
)

// A Receiver decrypts one direction of a Conn. After each call of Data, Gap and Close, Next must be called until it
// returns false.
type Receiver struct {
	conn    *Conn
	state   state
	buf     []byte // bytes of the stream that are in no returned Packet yet, from off on
	off     int
	skipped int    // bytes before off that no Packet has told of yet
	plain   []byte // what was decrypted last

	// In step.
	packet  uint64  // number of the next packet
	keys    ratchet // of its epoch, with masks and aead
	masks   masks
	aead    cipher.AEAD
	aad     []byte // of packet 0: the garbage
	discard int    // bytes of the stream before the next packet: the rest of one that is broken
	version bool   // the version packet is still to come

	// While searching.
	base    ratchet // of the epoch of the first packet that may come
	based   bool    // base is known; otherwise each candidate's first epoch is taken
	missing int     // most bytes between that packet's start and the window; -1: not known
	scanned int     // offsets of the window before this have been searched; in garbage: bytes
	dropped int     // bytes that were in the window and are not kept
	scanAt  int     // bytes, dropped ones included, at which the next search is due
	large   int     // searches through many numbers

	hopeless bool // lost, though the session is known

	gap    int  // bytes; -1: not known how many
	gapped bool // it is still to be applied
	closed bool // the last search is still to be made
}

// Receiver returns what decrypts one direction of c. A connection has two. start says whether the first byte of Data
// will be the first that was ever sent in this direction.
func (c *Conn) Receiver(start bool) *Receiver {
	r := &Receiver{conn: c, version: true}
	if !start {
		r.search(false, -1)
	}
	return r
}

// A Packet is some of a stream's bytes. Every byte that was given to Data is in Skipped or Size of one Packet, in order, or
// still in Buffered.
type Packet struct {
	Skipped int // bytes that are in no packet, or in a broken one: key, garbage, what is passed over in a search
	Size    int // bytes of the packet that follows these; 0 if there is none yet
	// Contents is the message that the packet carries, see Message: nil for decoys and the version packet. It is
	// borrowed until the next call of any of the Receiver's methods.
	Contents []byte
}

// Data takes the next bytes of the stream. b is borrowed: Data copies it.
func (r *Receiver) Data(b []byte) {
	if r.off > 0 && (r.off == len(r.buf) || r.off >= len(r.buf)/2) {
		r.buf = r.buf[:copy(r.buf, r.buf[r.off:])]
		r.off = 0
	}
	if r.state == lost && !r.hopeless && r.conn.session != nil {
		r.search(false, -1) // it was lost for want of what the other direction has found out by now
	}
	r.buf = append(r.buf, b...)
}

// Gap says that n bytes are missing before the next Data; -1 means that it is not known how many.
func (r *Receiver) Gap(n int) { r.gap, r.gapped = n, true }

// Close says that there is no more. What is not whole stays Buffered.
func (r *Receiver) Close() { r.closed = true }

// Buffered is the number of bytes that are in no Packet yet.
func (r *Receiver) Buffered() int { return len(r.buf) - r.off + r.skipped }

// Lost says that nothing is expected of this direction: the connection is none of the sessions, or its thread is lost for
// good. All its bytes will be skipped, unless the other direction finds out which session it is.
func (r *Receiver) Lost() bool { return r.state == lost }

// Next returns the next of the packets that are whole. ok is false if there is none until more bytes come.
func (r *Receiver) Next() (p Packet, ok bool) {
	for {
		if p, ok = r.step(); ok {
			p.Skipped = r.skipped
			r.skipped = 0
			return p, true
		}
		if r.state == searching && r.look() {
			continue
		}
		r.closed = false
		if !r.gapped {
			break
		}
		r.gapped = false
		r.jump(r.gap)
	}
	if r.skipped > 0 {
		p.Skipped = r.skipped
		r.skipped = 0
		return p, true
	}
	r.shrink()
	return Packet{}, false
}

// shrink gives back the memory of a large packet.
func (r *Receiver) shrink() {
	const enough = 1 << 16
	if cap(r.plain) > enough {
		r.plain = nil
	}
	if r.off == len(r.buf) && cap(r.buf) > enough {
		r.buf, r.off = nil, 0
	}
}

// window is the bytes that were given and are not used.
func (r *Receiver) window() []byte { return r.buf[r.off:] }

// skip passes over the next n bytes.
func (r *Receiver) skip(n int) {
	r.off += n
	r.skipped += n
}

// giveUp skips what there is.
func (r *Receiver) giveUp() {
	r.state, r.hopeless = lost, r.hopeless || r.conn.session != nil
	r.skip(len(r.window()))
}

// step does what is possible without searching. It returns a packet if it comes to one.
func (r *Receiver) step() (Packet, bool) {
	if r.state == atKey && len(r.window()) >= keySize {
		r.readKey()
	}
	if r.state == atGarbage {
		r.readGarbage()
	}
	if r.state == inStep {
		return r.readPacket()
	}
	if r.state == lost {
		r.giveUp()
	}
	return Packet{}, false
}

// readKey looks up the public key that the stream begins with.
func (r *Receiver) readKey() {
	if !r.conn.lookup(r, [keySize]byte(r.window())) {
		r.giveUp()
		return
	}
	r.skip(keySize)
	r.state, r.scanned = atGarbage, 0
}

// readGarbage looks for the terminator, which also tells the network. The first packet authenticates the garbage.
func (r *Receiver) readGarbage() {
	w := r.window()
	from := max(0, r.scanned-terminatorSize+1)
	for _, c := range r.conn.candidates(r) {
		t := c.session.terminator[c.direction]
		i := bytes.Index(w[from:min(len(w), maxGarbage+terminatorSize)], t[:])
		if i < 0 {
			continue
		}
		i += from
		r.aad = bytes.Clone(w[:i])
		r.skip(i + terminatorSize)
		r.settle(c)
		r.enter(c.session.keys[c.direction], 0)
		return
	}
	r.scanned = min(len(w), maxGarbage+terminatorSize)
	if len(w) >= maxGarbage+terminatorSize {
		r.giveUp() // a network that we don't know, or a node that breaks the rules
	}
}

// settle notes what the connection is.
func (r *Receiver) settle(c candidate) {
	r.conn.session = c.session
	r.conn.identify(r, c.direction)
}

// enter makes packet the next one, at the start of the window. keys are of its epoch.
func (r *Receiver) enter(keys ratchet, packet uint64) {
	r.state, r.discard, r.packet = inStep, 0, packet
	r.load(keys)
}

// load makes keys those of the next packet.
func (r *Receiver) load(keys ratchet) {
	r.keys = keys
	keys.next(&r.masks)
	r.aead = keys.aead()
}

// advance goes on to the next packet, after one that is used or broken.
func (r *Receiver) advance() {
	r.aad = nil // BIP 324: of the first packet alone
	r.packet++
	if r.packet%epochPackets == 0 {
		r.load(r.keys.next(&r.masks))
	}
}

// contents is the length of the next packet's contents; ok is false if its length field is not there yet.
func (r *Receiver) contents() (n int, ok bool) {
	w := r.window()
	if len(w) < lengthSize {
		return 0, false
	}
	return int(number(w) ^ r.masks[r.packet%epochPackets]), true
}

// readPacket decrypts the next packet once it is whole.
func (r *Receiver) readPacket() (Packet, bool) {
	if n := min(r.discard, len(r.window())); n > 0 {
		r.skip(n)
		r.discard -= n
	}
	if r.discard > 0 {
		return Packet{}, false
	}
	n, ok := r.contents()
	if !ok {
		return Packet{}, false
	}
	w := r.window()
	if n > maxContents {
		r.search(true, -1)
		return Packet{}, false
	}
	size := minPacket + n
	if len(w) < size {
		return Packet{}, false
	}
	if r.plain, ok = open(r.aead, r.plain[:0], r.packet, w[lengthSize:size], r.aad); !ok {
		r.search(true, -1)
		return Packet{}, false
	}
	r.off += size
	r.advance()
	p := Packet{Size: size}
	switch {
	case r.plain[0]&ignoreBit != 0:
	case r.version || n == 0:
		r.version = false // BIP 324: the first packet that is no decoy, now empty. There are no empty messages
	default:
		p.Contents = r.plain[headerSize:]
	}
	return p, true
}

// jump goes on behind a gap of n bytes, or -1. What is buffered is the start of a packet that is broken now.
func (r *Receiver) jump(n int) {
	have := len(r.window())
	switch r.state {
	case atKey, atGarbage:
		r.search(false, sum(have, n))
	case searching:
		r.missing = sum(r.missing, sum(have, n))
		r.scanned = 0
		r.dropped += have
	case inStep:
		r.jumpInStep(have, n)
	}
	r.skip(have)
}

func (r *Receiver) jumpInStep(have, n int) {
	if r.discard == 0 {
		contents, ok := r.contents()
		if !ok {
			r.search(true, sum(have, n))
			return
		}
		r.advance()
		r.version = false // it may have been this one
		r.discard = minPacket + contents - have
	}
	switch {
	case n < 0:
		r.search(true, -1)
	case n <= r.discard:
		r.discard -= n
	default:
		r.search(true, n-r.discard)
	}
}

// sum adds two numbers of bytes, of which -1 is one that is not known.
func sum(a, b int) int {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// search starts to look for a packet. based says that it can't be one before r.packet, of r.keys; missing is how
// many bytes there are at most between that one's start and the window, or -1.
func (r *Receiver) search(based bool, missing int) {
	r.state, r.based, r.base, r.missing = searching, based, r.keys, missing
	r.scanned, r.scanAt, r.dropped, r.large = 0, 0, 0, 0
	r.version = r.version && r.packet == 0 && !based // a packet that is lost may have been it
	if missing < 0 {
		r.scanAt = firstWindow
	}
}

// numbers is how many packet numbers are possible in the window.
func (r *Receiver) numbers() uint64 {
	most := r.conn.keys.numbers
	if r.missing < 0 {
		return most
	}
	return min(most, uint64((r.missing+len(r.window()))/minPacket)+1)
}

// look searches the window, if it is time to. It says whether r is in step again.
func (r *Receiver) look() bool {
	w := r.window()
	last := r.gapped || r.closed
	if len(w) < minPacket || r.dropped+len(w) < r.scanAt && !last {
		r.trim()
		return false
	}
	candidates := r.conn.candidates(r)
	if r.based {
		candidates = candidates[:1]
	}
	if len(candidates) == 0 {
		r.giveUp()
		return false
	}
	numbers := min(r.numbers(), uint64(maxTries/len(candidates)))
	many := numbers*uint64(len(candidates)) > manyNumbers
	from := r.scanned
	if many {
		if len(w) < lookahead {
			return false
		}
		r.large++
		from = max(from, len(w)-largeWindow)
	}
	if r.try(candidates, w, from, min(numbers, youngest), last) || numbers > youngest && r.try(candidates, w, from, numbers, last) {
		return true
	}
	r.scanned = max(r.scanned, len(w)-lookahead)
	r.wait(many)
	return false
}

// try searches w[from:] for packets of the candidates.
func (r *Receiver) try(candidates []candidate, w []byte, from int, numbers uint64, last bool) bool {
	for _, c := range candidates {
		keys := c.session.keys[c.direction]
		if r.based {
			keys = r.base
		}
		if p, ok := search(w, from, len(w), keys, numbers, last); ok {
			r.found(c, p)
			return true
		}
	}
	return false
}

// found goes on with packet p of c.
func (r *Receiver) found(c candidate, p place) {
	r.settle(c)
	r.skip(p.at)
	r.enter(p.keys, p.packet)
	r.aad = nil
	r.version = r.version && p.packet == 0
}

// wait says when the next search is due, after one without success, or gives up.
func (r *Receiver) wait(many bool) {
	have := r.dropped + len(r.window())
	switch {
	case many && (r.large == maxLarge || 8*have > maxSearch):
		r.giveUp()
	case many:
		r.scanAt = max(firstWindow, 8*have)
	default:
		r.scanAt = have + have/4 + minPacket
	}
	r.trim()
}

// trim lets go of what is too much to be kept while a search goes on.
func (r *Receiver) trim() {
	if n := len(r.window()) - maxWindow; n > 0 && r.large > 0 { // else the few numbers that are possible are the bound
		n += maxWindow / 2
		r.skip(n)
		r.dropped += n
		r.missing = sum(r.missing, n)
		r.scanned = max(0, r.scanned-n)
	}
}
