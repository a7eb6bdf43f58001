package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"btcsniff/record"
	"btcsniff/sink"
)

const keepBuffer = 8 << 20 // bytes; a larger one is not kept for the next batch

// A rows collects rows of one table in the format of COPY ... (FORMAT binary): PostgreSQL documentation, COPY, Binary Format.
// Each value is its length and then what the type's send function makes.
type rows struct {
	table   string
	command string
	columns int
	buf     []byte
	n       int
}

// newRows returns a rows for the table's columns, which are separated by commas.
func newRows(table, columns string) rows {
	return rows{
		table: table, columns: 1 + strings.Count(columns, ","),
		command: "COPY " + table + " (" + columns + ") FROM STDIN (FORMAT binary)",
	}
}

func (r *rows) reset() {
	r.n = 0
	if cap(r.buf) > keepBuffer {
		r.buf = nil
	}
	r.buf = append(r.buf[:0], "PGCOPY\n\xff\r\n\x00"+"\x00\x00\x00\x00"+"\x00\x00\x00\x00"...) // no flags, no header extension
}

// row begins a row; its values follow.
func (r *rows) row() {
	r.n++
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(r.columns))
}

// send stores the rows, if there are any.
func (r *rows) send(ctx context.Context, db *pgx.Conn) error {
	if r.n == 0 {
		return nil
	}
	r.buf = append(r.buf, 0xff, 0xff)
	if _, err := db.PgConn().CopyFrom(ctx, bytes.NewReader(r.buf), r.command); err != nil {
		r.buf = nil // pgx v5.12 may read on for a moment after the connection was lost
		return fmt.Errorf("store rows of table %s: %w", r.table, err)
	}
	return nil
}

func (r *rows) null() { r.buf = binary.BigEndian.AppendUint32(r.buf, 0xffffffff) }

func (r *rows) bool(v bool) {
	r.buf = append(r.buf, 0, 0, 0, 1, 0)
	if v {
		r.buf[len(r.buf)-1] = 1
	}
}

func (r *rows) int4(v int32) {
	r.buf = binary.BigEndian.AppendUint32(append(r.buf, 0, 0, 0, 4), uint32(v))
}

func (r *rows) int8(v int64) {
	r.buf = binary.BigEndian.AppendUint64(append(r.buf, 0, 0, 0, 8), uint64(v))
}

func (r *rows) time(t record.Time) { r.int8(int64(clamp(t)) - epoch) }

// date takes days since 1970.
func (r *rows) date(day int32) { r.int4(day - epochDay) }

// seconds is for a peer's claim of a time, null where it can't be true.
func (r *rows) seconds(s int64) {
	if s < 0 || s > latest/1_000_000 {
		r.null()
		return
	}
	r.int8(s*1_000_000 - epoch)
}

func (r *rows) hash(h record.Hash) {
	h = h.Display()
	r.buf = append(append(r.buf, 0, 0, 0, 32), h[:]...)
}

func (r *rows) text(s string) {
	at := len(r.buf)
	r.buf = sink.AppendText(append(r.buf, 0, 0, 0, 0), s)
	binary.BigEndian.PutUint32(r.buf[at:], uint32(len(r.buf)-at-4))
}

// textOrNull is text, but null for an empty string.
func (r *rows) textOrNull(s string) {
	if s == "" {
		r.null()
		return
	}
	r.text(s)
}

// numeric is base 10,000, most significant digit first: PostgreSQL source, numeric_send.
func (r *rows) numeric(v uint64) {
	var digits [5]uint16
	n := 0
	for ; v > 0; v /= 10_000 {
		digits[n] = uint16(v % 10_000)
		n++
	}
	r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(8+2*n))
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(n))
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(max(n-1, 0))) // weight of the first digit
	r.buf = append(r.buf, 0, 0, 0, 0)                                 // positive, no decimals
	for n--; n >= 0; n-- {
		r.buf = binary.BigEndian.AppendUint16(r.buf, digits[n])
	}
}

// Types of array elements. Source: PostgreSQL, pg_type.dat.
const (
	oidBool = 16
	oidInt8 = 20
	oidInt2 = 21
	oidInt4 = 23
)

// array begins an array of n elements (at least one) of size bytes and returns the room for them, each behind its length, which is filled in.
func (r *rows) array(oid uint32, n, size int) []byte {
	b := binary.BigEndian.AppendUint32(r.buf, uint32(20+n*(4+size)))
	b = binary.BigEndian.AppendUint32(b, 1) // dimension
	b = binary.BigEndian.AppendUint32(b, 0) // no nulls
	b = binary.BigEndian.AppendUint32(b, oid)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = binary.BigEndian.AppendUint32(b, 1) // lower bound
	at := len(b)
	total := n * (4 + size)
	if cap(b)-at < total {
		b = append(make([]byte, 0, 2*cap(b)+total), b...)
	}
	r.buf = b[:at+total]
	room := r.buf[at:]
	for i := 3; i < len(room); i += 4 + size {
		room[i-3], room[i-2], room[i-1], room[i] = 0, 0, 0, byte(size)
	}
	return room
}

// Times. Postgres counts from the year 2000; what no calendar of people has is moved to the nearest time that one has.
const (
	epochDay = 10_957                                         // days from 1970 to 2000
	dayLen   = record.Time(24 * time.Hour / time.Microsecond) // microseconds
	epoch    = epochDay * int64(dayLen)
	earliest = -62_135_596_800_000_000 // 0001-01-01
	latest   = 253_402_300_799_999_999 // the end of 9999
)

func clamp(t record.Time) record.Time { return min(max(t, earliest), latest) }

// floor returns the greatest multiple of unit that is not above t.
func floor(t, unit record.Time) record.Time {
	r := t % unit
	if r < 0 {
		r += unit
	}
	return t - r
}

// dayOf returns t's UTC day, counted from 1970.
func dayOf(t record.Time) int32 { return int32(floor(clamp(t), dayLen) / dayLen) }
