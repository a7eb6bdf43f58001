package v2

import "crypto/cipher"

// A search finds packets in bytes of which it is not known where the next packet begins and what its number is. Two
// things make it cheap. The length field of a packet with fewer than 256 bytes of contents (pings, short
// inventories and the like) has two bytes that are zero, so at each offset only one in 65,536 numbers is possible,
// and a table finds it. And from one packet the ones before it can be told exactly: the length must lead
// to where that one begins. A packet counts as found only when its authentication tag is right.

const (
	smallContents = 255 // bytes, most, of the packets that are searched for
	// lookahead is how many bytes show all that is asked of a small packet: it, and the length field of the next.
	lookahead   = minPacket + smallContents + lengthSize
	tableEpochs = 256 // epochs whose packets are in one table; their numbers fit 16 bits
)

// A table finds the packet numbers that are possible at an offset.
type table struct {
	first   uint64            // epoch of keys[0]
	keys    []ratchet         // one for each epoch
	masks   []uint32          // one for each packet
	aeads   []cipher.AEAD     // one for each epoch; nil until needed
	ids     []uint16          // packets, counted from the first of the table, sorted by the upper 16 bits of their mask
	from    [1<<16 + 1]uint16 // ids[from[k]:from[k+1]] are those with upper bits k
	scratch []byte            // for what is decrypted
}

// newTable makes a table of that many epochs, at most tableEpochs, and returns the ratchet that comes after them.
func newTable(r ratchet, epochs int) (*table, ratchet) {
	t := &table{
		first: r.epoch, keys: make([]ratchet, epochs), masks: make([]uint32, epochs*epochPackets),
		aeads: make([]cipher.AEAD, epochs), ids: make([]uint16, epochs*epochPackets),
	}
	for i := range epochs {
		t.keys[i] = r
		r = r.next((*masks)(t.masks[i*epochPackets:]))
	}
	var count [1<<16 + 1]uint16
	for _, m := range t.masks {
		count[m>>8]++
	}
	sum := uint16(0)
	for k, n := range count {
		t.from[k], count[k] = sum, sum
		sum += n
	}
	for i, m := range t.masks {
		k := m >> 8
		t.ids[count[k]] = uint16(i)
		count[k]++
	}
	return t, r
}

// opens says whether the table's packet i, with that many bytes of contents, begins at w[at:], which has all of it.
func (t *table) opens(w []byte, at, i, contents int) bool {
	e := i / epochPackets
	if t.aeads[e] == nil {
		t.aeads[e] = t.keys[e].aead()
	}
	box := w[at+lengthSize : at+minPacket+contents]
	var ok bool
	t.scratch, ok = open(t.aeads[e], t.scratch[:0], t.first*epochPackets+uint64(i), box, nil)
	return ok
}

// find looks for a small packet of the table that begins in w[a:b] and is whole. wide says that the table is one
// of many: then a packet is passed over if another of 64 kB or more follows, which spares 255 of 256 decryptions.
func (t *table) find(w []byte, a, b int, wide bool) (at, i int, ok bool) {
	most := uint32(maxContents)
	if wide {
		most = 1<<16 - 1
	}
	b = min(b, len(w)-minPacket+1)
	for at := a; at < b; at++ {
		c := number(w[at:])
		for _, id := range t.ids[t.from[c>>8]:t.from[c>>8+1]] {
			i := int(id)
			contents := int(c ^ t.masks[i])
			next := at + minPacket + contents
			if next > len(w) {
				continue
			}
			if next+lengthSize <= len(w) && i+1 < len(t.masks) && number(w[next:])^t.masks[i+1] > most {
				continue
			}
			if t.opens(w, at, i, contents) {
				return at, i, true
			}
		}
	}
	return 0, 0, false
}

// findAny is find for packets of any size. It is for few packets and few bytes.
func (t *table) findAny(w []byte, a, b int) (at, i int, ok bool) {
	b = min(b, len(w)-minPacket+1)
	for at := a; at < b; at++ {
		c := number(w[at:])
		most := uint32(len(w) - at - minPacket)
		for i := range len(t.masks) {
			if contents := c ^ t.masks[i]; contents <= most && t.opens(w, at, i, int(contents)) {
				return at, i, true
			}
		}
	}
	return 0, 0, false
}

// back goes from the packet that begins at w[at:], the table's packet i, to the first whole packet of w that the table knows.
func (t *table) back(w []byte, at, i int) (int, int) {
before:
	for i > 0 {
		mask := t.masks[i-1]
		for o := at - minPacket; o >= 0 && at-minPacket-o <= maxContents; o-- {
			contents := at - minPacket - o
			if number(w[o:])^mask == uint32(contents) && t.opens(w, o, i-1, contents) {
				at, i = o, i-1
				continue before
			}
		}
		break
	}
	return at, i
}

// A place is where a packet begins, and the keys of its epoch.
type place struct {
	at     int // offset
	packet uint64
	keys   ratchet
}

// search looks for a packet that begins in w[a:b] and has a number of r's epoch or later; how many numbers there can be is
// said by numbers. It returns the first whole packet of w, if one was found. last says that no more bytes will come: then large
// packets are looked for, too, where there are few possibilities.
func search(w []byte, a, b int, r ratchet, numbers uint64, last bool) (place, bool) {
	const few = 1 << 22 // pairs of an offset and a number; some milliseconds
	if b <= a {
		return place{}, false
	}
	base := r
	epochs := numbers/epochPackets + 2 // the first number may be in the middle of an epoch
	wide := epochs > tableEpochs
	for epochs > 0 {
		n := min(epochs, tableEpochs)
		var t *table
		t, r = newTable(r, int(n))
		at, i, ok := t.find(w, a, b, wide)
		if !ok && last && !wide && len(w)*len(t.masks) <= few {
			at, i, ok = t.findAny(w, 0, len(w))
		}
		if ok {
			return t.start(w, at, i, base), true
		}
		epochs -= n
	}
	return place{}, false
}

// start goes back from a packet that was found, beyond the table if need be. base is the ratchet that the search began with.
func (t *table) start(w []byte, at, i int, base ratchet) place {
	at, i = t.back(w, at, i)
	if i == 0 && t.first > base.epoch && at >= minPacket {
		// A table that ends where this one begins, and has as many packets as the bytes before can be.
		epochs := min(t.first-base.epoch, uint64(at/minPacket/epochPackets+1), tableEpochs)
		for base.epoch < t.first-epochs {
			var m masks
			base = base.next(&m)
		}
		before, _ := newTable(base, int(epochs)+1) // and this one's first epoch
		return before.start(w, at, int(epochs)*epochPackets, base)
	}
	return place{at, t.first*epochPackets + uint64(i), t.keys[i/epochPackets]}
}
