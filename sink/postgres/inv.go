package postgres

import (
	"cmp"
	"encoding/binary"
	"slices"

	"btcsniff/record"
)

const (
	maxEntries = 1 << 14 // announcements in a chunk: reading those of one item copies all of the chunk

	// maxItems is how many items make a chunk full, and how many announcements a message can have without being cut into pieces.
	// Reading all of a chunk takes time in proportion to the square of its items, of which ordinary traffic has a few hundred.
	maxItems  = 1 << 10
	minuteLen = dayLen / (24 * 60) // microseconds
)

// A chunk is a row of the table inv_chunk: inv messages that were seen in the same minute, or a piece of one long message.
type chunk struct {
	minute   record.Time
	from     int     // for a piece, index of its first announcement within its message
	piece    int     // how many announcements the piece has; 0 for whole messages
	messages []int32 // indexes into Batch.Invs
	items    []*item // announced, without duplicates
	counts   []int32 // of announcements, parallel to items
	places   []int32 // for each announcement, in the order of messages, the index of its item
}

// pack lays the part's inv messages out as chunks, and finds or makes their items.
func (s *Sink) pack(p *part) {
	s.chunks = s.chunks[:0]
	var c *chunk
	for _, i := range s.byMinute(p) {
		minute, n := minuteOf(p.batch, i), p.batch.Invs[i].N
		if n > maxItems {
			for from := 0; from < n; from += maxItems {
				long := s.newChunk(minute)
				long.from, long.piece = from, min(n-from, maxItems)
				s.announce(long, p.batch, i)
			}
			c = nil
			continue
		}
		if c == nil || c.minute != minute || len(c.items) >= maxItems || len(c.places)+n > maxEntries {
			c = s.newChunk(minute)
		}
		s.announce(c, p.batch, i)
	}
}

// byMinute returns the part's inv messages that are to be stored, those of a minute together, else in their order.
func (s *Sink) byMinute(p *part) []int32 {
	s.messages = s.messages[:0]
	sorted := true
	for i := range p.batch.Invs {
		if p.batch.Invs[i].N == 0 || p.stored(record.KindInv, i) {
			continue
		}
		if n := len(s.messages); n > 0 && minuteOf(p.batch, s.messages[n-1]) > minuteOf(p.batch, int32(i)) {
			sorted = false
		}
		s.messages = append(s.messages, int32(i))
	}
	if !sorted {
		slices.SortStableFunc(s.messages, func(a, b int32) int {
			return cmp.Compare(minuteOf(p.batch, a), minuteOf(p.batch, b))
		})
	}
	return s.messages
}

func minuteOf(b *record.Batch, i int32) record.Time { return floor(clamp(b.Invs[i].SeenAt), minuteLen) }

// newChunk appends an empty chunk. It is borrowed until the next call.
func (s *Sink) newChunk(minute record.Time) *chunk {
	s.chunkNo++
	if len(s.chunks) < cap(s.chunks) {
		s.chunks = s.chunks[:len(s.chunks)+1] // with the memory of one of an earlier batch
	} else {
		s.chunks = append(s.chunks, chunk{})
	}
	c := &s.chunks[len(s.chunks)-1]
	*c = chunk{minute: minute, messages: c.messages[:0], items: c.items[:0], counts: c.counts[:0], places: c.places[:0]}
	return c
}

// announce adds message i to the chunk that was made last, or that chunk's piece of it.
func (s *Sink) announce(c *chunk, b *record.Batch, i int32) {
	r := &b.Invs[i]
	c.messages = append(c.messages, i)
	day, seen, outbound := dayOf(c.minute), sighting{clamp(r.SeenAt), int64(r.Conn.ID)}, r.Outbound()
	vects := b.Vects[r.First : r.First+r.N]
	if c.piece > 0 {
		vects = vects[c.from : c.from+c.piece]
	}
	for k := range vects {
		v := &vects[k]
		it := s.items.item(itemKey{v.Hash, v.Type, day})
		if it.chunk != s.chunkNo {
			it.chunk, it.place = s.chunkNo, int32(len(c.items))
			c.items = append(c.items, it)
			c.counts = append(c.counts, 0)
		}
		if !outbound && it.saw(seen) {
			s.items.change(it)
		}
		c.counts[it.place]++
		c.places = append(c.places, it.place)
	}
}

// encode appends the chunk as a row to w. The items must have their ids.
func (c *chunk) encode(w *rows, capture int32, b *record.Batch) {
	w.row()
	w.int4(capture)
	w.time(c.minute)
	w.date(dayOf(c.minute))
	least, most, received := minuteLen, record.Time(0), 0
	for _, i := range c.messages {
		seen := clamp(b.Invs[i].SeenAt) - c.minute
		least, most = min(least, seen), max(most, seen)
		if !b.Invs[i].Outbound() {
			received += b.Invs[i].N
		}
	}
	if c.piece > 0 {
		received = min(received, c.piece)
	}
	w.int4(int32(least))
	w.int4(int32(most))
	w.int4(int32(received))
	w.int4(int32(c.from))
	if c.piece > 0 {
		w.int4(int32(b.Invs[c.messages[0]].N))
	} else {
		w.null()
	}
	c.encodeMessages(w, b)
	c.encodeItems(w)
}

// encodeMessages appends the columns conn to start.
func (c *chunk) encodeMessages(w *rows, b *record.Batch) {
	n := len(c.messages)
	each := func(oid uint32, size int, put func(to []byte, r *record.Inv)) {
		room := w.array(oid, n, size)
		for j, i := range c.messages {
			put(room[j*(4+size)+4:], &b.Invs[i])
		}
	}
	each(oidInt8, 8, func(to []byte, r *record.Inv) { binary.BigEndian.PutUint64(to, r.Conn.ID) })
	each(oidBool, 1, func(to []byte, r *record.Inv) { to[0] = bit(r.FromB) })
	each(oidBool, 1, func(to []byte, r *record.Inv) { to[0] = bit(r.Outbound()) })
	each(oidInt8, 8, func(to []byte, r *record.Inv) { binary.BigEndian.PutUint64(to, r.Pos) })
	each(oidInt4, 4, func(to []byte, r *record.Inv) {
		binary.BigEndian.PutUint32(to, uint32(clamp(r.SeenAt)-c.minute))
	})
	each(oidInt8, 8, func(to []byte, r *record.Inv) {
		binary.BigEndian.PutUint64(to, uint64(clamp(r.SeenAt)-clamp(r.FirstByteAt)))
	})
	start := 0
	each(oidInt2, 2, func(to []byte, r *record.Inv) {
		binary.BigEndian.PutUint16(to, uint16(start))
		start += r.N
	})
}

// encodeItems appends the columns items, till and entry: for each item, the numbers of its announcements.
func (c *chunk) encodeItems(w *rows) {
	room := w.array(oidInt8, len(c.items), 8)
	for i, it := range c.items {
		binary.BigEndian.PutUint64(room[i*12+4:], uint64(it.id))
	}
	room = w.array(oidInt2, len(c.items), 2)
	sum := int32(0)
	for i, n := range c.counts {
		c.counts[i] = sum // from here on, where the item's next number goes
		sum += n
		binary.BigEndian.PutUint16(room[i*6+4:], uint16(sum))
	}
	room = w.array(oidInt2, len(c.places), 2)
	for n, place := range c.places {
		binary.BigEndian.PutUint16(room[c.counts[place]*6+4:], uint16(n))
		c.counts[place]++
	}
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
