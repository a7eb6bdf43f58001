package decode

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// fuzzSteps cuts b as the fuzzer says: a byte of cuts is a segment of so many bytes and one more, or if it is 255, a gap of
// as many bytes as the next one says. Each segment is captured at a time of its own. In whole, what is between gaps is in one piece.
func fuzzSteps(b, cuts []byte, fromB bool) (steps, whole []step) {
	from := 0 // where the piece of whole at hand begins
	pos := 0
	end := func() {
		if pos > from {
			whole = append(whole, step{fromB: fromB, data: b[from:pos], at: record.Time(pos)})
		}
	}
	for len(cuts) > 0 && pos < len(b) {
		c := int(cuts[0])
		cuts = cuts[1:]
		if c == 255 && len(cuts) > 0 {
			n := min(int(cuts[0])+1, len(b)-pos)
			end()
			s := step{fromB: fromB, gap: int64(n)}
			steps, whole = append(steps, s), append(whole, s)
			pos += n
			from = pos
			cuts = cuts[1:]
			continue
		}
		n := min(c+1, len(b)-pos)
		pos += n
		steps = append(steps, step{fromB: fromB, data: b[pos-n : pos], at: record.Time(pos)})
	}
	if pos < len(b) {
		steps = append(steps, step{fromB: fromB, data: b[pos:], at: record.Time(len(b))})
		pos = len(b)
	}
	end()
	return steps, whole
}

// repair makes the checksums right of all that begins like a message and fits, which a fuzzer hardly could.
func repair(b []byte) {
	for i := len(b) - headerLen; i >= 0; i-- {
		if string(b[i:i+magicLen]) != string(main[:]) {
			continue
		}
		if h, ok := parseHeader(b[i:]); ok && i+h.total() <= len(b) {
			m := main.Message("", b[i+headerLen:i+h.total()])
			copy(b[i+oldHeaderLen:i+headerLen], m[oldHeaderLen:])
		}
	}
}

// FuzzStream checks that however a stream is cut, every byte is accounted for, that every record is of a
// message with the right checksum and has the times of that message's bytes, and that nothing but the times depends on the cuts.
func FuzzStream(f *testing.F) {
	for _, s := range scripts() {
		f.Add(s.bytes(), []byte{10, 20, 255, 7, 100}, byte(0))
		f.Add(s.bytes(), []byte{0, 255, 0, 0, 255, 40, 23, 19}, byte(1))
	}
	for _, m := range lookAlikes() {
		f.Add(slices.Concat(main.Ping(1), m, inv(2)), []byte{255, 40, 200}, byte(5))
	}
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x01\xcb\x00\x71\x09\x20\x8d"+string(main.Ping(1))), []byte{1, 1, 1}, byte(0))
	f.Add([]byte("\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"+string(main.Ping(1))), []byte{1, 1, 1}, byte(2))
	f.Add([]byte("CONNECT a:1 HTTP/1.1\r\n\r\n"+string(main.Ping(1))), []byte{1, 1, 1}, byte(0))
	f.Add(randomBytes(100), []byte{63}, byte(0))
	f.Fuzz(func(t *testing.T, b, cuts []byte, flags byte) {
		b = slices.Clone(b)
		if flags&4 != 0 {
			repair(b)
		}
		wantSameHoweverCut(t, b, cuts, flags)
	})
}

// blocks are what FuzzMessages builds streams of.
func blocks() [][]byte {
	bad := inv(2)
	bad[30]++
	long := main.Message("tx", make([]byte, 3000))
	return slices.Concat([][]byte{
		inv(1), main.Ping(1), main.Pong(1), main.Verack(), version("/x/"), main.Message("what", []byte("payload")), main.Message("block", make([]byte, 200)),
		main.Message("version", nil), main.Message("version", make([]byte, 3)), main.Message("ping", nil), inv(40),
		oldMessage("version", versionPayload("/old/")), oldMessage("verack", nil), oldMessage("version", versionPayload("/old/"))[:60],
		main[:], main[:2], []byte("x"), []byte("garbage"), make([]byte, 30), randomBytes(70), bad, pcaptest.Regtest.Ping(9), pcaptest.Regtest.Ping(8)[:29],
		long, long[:headerLen], long[:1000], inv(1)[:20], inv(1)[:24], inv(1)[:40], main.Message("verack", []byte{1}), main.Ping(5)[4:],
	}, sorted(lookAlikes()))
}

func sorted(m map[string][]byte) (b [][]byte) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = append(b, m[k])
	}
	return b
}

// FuzzMessages is FuzzStream for streams of messages, parts of messages and other things: a byte of script is one of blocks.
func FuzzMessages(f *testing.F) {
	parts := blocks()
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6}, []byte{10, 20, 255, 7, 100}, byte(0))
	f.Add([]byte{11, 12, 0, 11, 1}, []byte{10, 20, 255, 7, 100}, byte(1))
	f.Add([]byte{1, 1, 1, 1, 17, 1, 1, 24, 1, 1, 1, 1, 1}, []byte{100}, byte(1))
	for i := range parts {
		f.Add([]byte{byte(i), 0, 1, byte(i), 2, 1, 2}, []byte{10, 255, 40}, byte(i&1))
	}
	f.Fuzz(func(t *testing.T, script, cuts []byte, flags byte) {
		var b []byte
		for _, i := range script {
			b = append(b, parts[int(i)%len(parts)]...)
		}
		wantSameHoweverCut(t, b, cuts, flags)
	})
}

// wantSameHoweverCut plays b in the pieces that cuts say and in whole. Of flags, bit 0 means that the connection is joined mid-stream,
// bit 1 that B sends.
func wantSameHoweverCut(t *testing.T, b, cuts []byte, flags byte) {
	t.Helper()
	if len(b) > 16<<10 {
		return // beyond, the end of a search depends on where segments begin: see stream.watch
	}
	steps, whole := fuzzSteps(b, cuts, flags&2 != 0)
	got := play(t, New(Config{}), newConn(flags&1 == 0), steps...)
	want := play(t, New(Config{}), newConn(flags&1 == 0), whole...)
	if diff := gocmp.Diff(untimed(want.rows), untimed(got.rows)); diff != "" {
		t.Errorf("records depend on the cuts (-whole +cut):\n%s", diff)
	}
	if diff := gocmp.Diff(want.stats, got.stats); diff != "" {
		t.Errorf("counts depend on the cuts (-whole +cut):\n%s", diff)
	}
	if got.conn.PeerName() != want.conn.PeerName() {
		t.Errorf("peer %q, in whole %q", got.conn.PeerName(), want.conn.PeerName())
	}
	for _, r := range got.rows {
		wantMessage(t, b, steps, r)
	}
}

func untimed(rows []row) (out []row) {
	for _, r := range rows {
		r.First, r.Seen = 0, 0
		out = append(out, r)
	}
	return out
}

// wantMessage checks that r can be the record of a message at its place in b, of which steps are the segments.
func wantMessage(t *testing.T, b []byte, steps []step, r row) {
	t.Helper()
	b = b[r.Pos:]
	length := int(binary.LittleEndian.Uint32(b[16:]))
	total := headerLen + length
	if total > len(b) || !sumOK(b[:total]) {
		total = oldHeaderLen + length
		if string(bytes.TrimRight(b[4:16], "\x00")) != "version" || total > len(b) || !plausibleVersion(b[oldHeaderLen:total]) {
			t.Fatalf("%+v is of no message", r)
		}
	}
	if first, seen := segmentTime(steps, int(r.Pos)), segmentTime(steps, int(r.Pos)+total-1); r.First != first || r.Seen != seen {
		t.Errorf("%+v, want times %d and %d", r, first, seen)
	}
}

// segmentTime is the capture time of a byte.
func segmentTime(steps []step, at int) record.Time {
	pos := 0
	for _, s := range steps {
		pos += len(s.data) + int(s.gap)
		if at < pos {
			return s.at
		}
	}
	return 0
}
