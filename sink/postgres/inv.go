package postgres

import (
	"cmp"
	"encoding/binary"
	"slices"

	"btcsniff/record"
)

const (
	// maxEntries is how many announcements a chunk can number. One message has at most 50,000 (Bitcoin Core's MAX_INV_SZ).
	maxEntries = 1 << 16
	minuteLen  = dayLen / (24 * 60) // microseconds
)

// A chunk is a row of the table inv_chunk: inv messages that were seen in the same minute.
type chunk struct {
	minute   record.Time
	messages []int32 // indexes into Batch.Invs
	items    []*item // announced, without duplicates
	counts   []int32 // of announcements, parallel to items
	places   []int32 // for each announcement, in the order of messages, the index of its item
}

// pack lays the part's inv messages out as chunks, and finds or makes their items.
func (s *Sink) pack(p *part) {
	s.chunks = s.chunks[:0]
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
	for from := 0; from < len(s.messages); {
		till, entries := from, 0
		minute := minuteOf(p.batch, s.messages[from])
		for till < len(s.messages) && minuteOf(p.batch, s.messages[till]) == minute {
			n := p.batch.Invs[s.messages[till]].N
			if till > from && entries+n > maxEntries {
				break
			}
			entries += n
			till++
		}
		s.fill(p, minute, s.messages[from:till], entries)
		from = till
	}
}

func minuteOf(b *record.Batch, i int32) record.Time { return floor(clamp(b.Invs[i].SeenAt), minuteLen) }

// fill appends a chunk of the given messages.
func (s *Sink) fill(p *part, minute record.Time, messages []int32, entries int) {
	s.chunkNo++
	if len(s.chunks) < cap(s.chunks) {
		s.chunks = s.chunks[:len(s.chunks)+1] // with the memory of one of an earlier batch
	} else {
		s.chunks = append(s.chunks, chunk{})
	}
	c := &s.chunks[len(s.chunks)-1]
	*c = chunk{minute, messages, c.items[:0], c.counts[:0], slices.Grow(c.places[:0], entries)}
	day := dayOf(minute)
	for _, i := range messages {
		r := &p.batch.Invs[i]
		seen, outbound := sighting{clamp(r.SeenAt), int64(r.Conn.ID)}, r.Outbound()
		for _, v := range p.batch.Vects[r.First : r.First+r.N] {
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
}

// encode appends the chunk as a row to w. The items must have their ids.
func (c *chunk) encode(w *rows, capture int32, b *record.Batch) {
	w.row()
	w.int4(capture)
	w.time(c.minute)
	w.date(dayOf(c.minute))
	least, most := minuteLen, record.Time(0)
	for _, i := range c.messages {
		seen := clamp(b.Invs[i].SeenAt) - c.minute
		least, most = min(least, seen), max(most, seen)
	}
	w.int4(int32(least))
	w.int4(int32(most))

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
	each(oidInt4, 4, func(to []byte, r *record.Inv) {
		binary.BigEndian.PutUint32(to, uint32(start))
		start += r.N
	})
	c.encodeItems(w)
}

// encodeItems appends the columns items, till and entry: for each item, the numbers of its announcements.
func (c *chunk) encodeItems(w *rows) {
	room := w.array(oidInt8, len(c.items), 8)
	for i, it := range c.items {
		binary.BigEndian.PutUint64(room[i*12+4:], uint64(it.id))
	}
	room = w.array(oidInt4, len(c.items), 4)
	sum := int32(0)
	for i, n := range c.counts {
		c.counts[i] = sum // from here on, where the item's next number goes
		sum += n
		binary.BigEndian.PutUint32(room[i*8+4:], uint32(sum))
	}
	room = w.array(oidInt2, len(c.places), 2)
	for n, place := range c.places {
		binary.BigEndian.PutUint16(room[c.counts[place]*6+4:], uint16(n-maxEntries/2))
		c.counts[place]++
	}
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
