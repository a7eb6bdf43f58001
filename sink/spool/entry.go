package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"btcsniff/record"
)

// A kind says what an entry holds. The numbers are in files.
type kind uint8

const (
	batchEntry kind = 1
	endEntry   kind = 2
	blindEntry kind = 3
)

// A header is what precedes each entry in a file.
type header struct {
	kind    kind
	size    uint32      // bytes of the entry behind the header, compressed
	raw     uint32      // bytes of it once decompressed
	records uint32      // in a batch
	first   record.Time // capture time of the first of them
	sum     uint32      // CRC-32C of the entry, compressed
}

const (
	headerLen  = 36         // bytes
	entryMagic = 0x31507342 // "BsP1"
	maxEntry   = 1 << 30    // bytes, compressed or not: no batch comes near
	fileMagic  = "btcspool" // followed by the version, the place's length and the place
	version    = 1          // of the files
	fileHead   = 8 + 1 + 2  // bytes before the place
	maxPlace   = 1<<16 - 1  // bytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// append appends the header: little-endian, its own CRC-32C last.
func (h *header) append(b []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, entryMagic)
	b = append(b, byte(h.kind), 0, 0, 0)
	for _, v := range []uint32{h.size, h.raw, h.records} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(h.first))
	b = binary.LittleEndian.AppendUint32(b, h.sum)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// parse reads a header; ok is false if these bytes are none.
func (h *header) parse(b []byte) (ok bool) {
	le := binary.LittleEndian
	if len(b) < headerLen || le.Uint32(b) != entryMagic || crc32.Checksum(b[:headerLen-4], castagnoli) != le.Uint32(b[headerLen-4:]) {
		return false
	}
	*h = header{
		kind: kind(b[4]), size: le.Uint32(b[8:]), raw: le.Uint32(b[12:]), records: le.Uint32(b[16:]),
		first: record.Time(le.Uint64(b[20:])), sum: le.Uint32(b[28:]),
	}
	return h.size <= maxEntry && h.raw <= maxEntry
}

// An entry is what is to be stored: one of the three.
type entry struct {
	batch *record.Batch
	blind *record.Blind
	end   *ending
}

// An ending is the end of a capture.
type ending struct {
	capture *record.Capture
	Ledger  *record.Ledger
	Files   []record.File
}

// of is the capture that the entry is about.
func (e *entry) of() *record.Capture {
	switch {
	case e.batch != nil:
		return e.batch.Capture
	case e.blind != nil:
		return e.blind.Capture
	}
	return e.end.capture
}

// encode appends the entry to to, not compressed.
func (e *entry) encode(to []byte) (header, []byte, error) {
	if b := e.batch; b != nil {
		first, _ := b.Span()
		to, err := encodeBatch(to, b)
		return header{kind: batchEntry, records: uint32(b.Len()), first: first}, to, err
	}
	c := coder{b: to}
	c.capture(e.of())
	if e.blind != nil {
		c.blind(e.blind)
		return header{kind: blindEntry, first: e.blind.From}, c.b, c.err
	}
	text, err := json.Marshal(e.end)
	return header{kind: endEntry}, append(c.b, text...), errors.Join(err, c.err)
}

// decode reads an entry. For capture see decodeBatch.
func decode(k kind, from []byte, capture func(record.Capture) *record.Capture) (e entry, err error) {
	if k == batchEntry {
		e.batch, err = decodeBatch(from, capture)
		return e, err
	}
	c := coder{b: from, read: true}
	var what record.Capture
	c.capture(&what)
	if c.err != nil {
		return e, fmt.Errorf("decode entry: %w", c.err)
	}
	switch k {
	case endEntry:
		e.end = &ending{capture: capture(what)}
		if err := json.Unmarshal(c.b, e.end); err != nil || e.end.Ledger == nil {
			return e, fmt.Errorf("decode end of capture: %w", errors.Join(err, errShort))
		}
	case blindEntry:
		e.blind = &record.Blind{Capture: capture(what)}
		if c.blind(e.blind); c.err != nil {
			return e, fmt.Errorf("decode blind time: %w", c.err)
		}
	default:
		return e, fmt.Errorf("decode entry: kind %d is not known", k)
	}
	return e, nil
}

func (c *coder) blind(v *record.Blind) {
	reason := string(v.Reason)
	c.string(&reason)
	v.Reason = record.Reason(reason)
	c.time(&v.From)
	c.time(&v.To)
	c.bool(&v.Open)
	unsigned(c, &v.Packets)
	unsigned(c, &v.Records)
	unsigned(c, &v.Bytes)
}
