package decode

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// A step is what a flow's reader is given: bytes with their capture time or, with no bytes, a gap.
type step struct {
	fromB bool
	data  []byte
	at    record.Time
	gap   int64
}

func data(b []byte, at record.Time) step  { return step{data: b, at: at} }
func gap(n int) step                      { return step{gap: int64(n)} }
func dataB(b []byte, at record.Time) step { return step{fromB: true, data: b, at: at} }
func gapB(n int) step                     { return step{fromB: true, gap: int64(n)} }

// A row is a record in a form that can be compared.
type row struct {
	FromB       bool
	Pos         uint64
	First, Seen record.Time
	What        string
}

// An outcome is what became of the bytes of a connection.
type outcome struct {
	rows  []row // by direction and position
	stats *Stats
	end   record.ConnEnd
	conn  *record.Conn
	d     *Decoder
}

func newConn(openerKnown bool) *record.Conn {
	return &record.Conn{
		ID: 7, Capture: &record.Capture{Sensor: "s"}, OpenerKnown: openerKnown,
		A: netip.MustParseAddrPort("192.0.2.1:51234"), B: netip.MustParseAddrPort("198.51.100.7:8333"),
	}
}

// play decodes a connection with the given decoder, and checks that every byte is accounted for and no memory is kept.
func play(t testing.TB, d *Decoder, conn *record.Conn, steps ...step) outcome {
	t.Helper()
	var batch record.Batch
	d.cfg.Out = &batch
	before := accounted(&d.stats)
	c := d.Conn(conn)
	var given uint64
	for _, s := range steps {
		if s.data == nil {
			c.Gap(s.fromB, s.gap)
			continue
		}
		given += uint64(len(s.data))
		c.Data(s.fromB, s.data, s.at)
	}
	if n := d.Open(c.transport()); n != 1 || d.Open(record.TransportUnknown)+d.Open(record.TransportV1)+d.Open(record.TransportV2) != 1 {
		t.Errorf("before the end, open connections are %v, want one of %v", d.open, c.transport())
	}
	c.Close(record.ConnEnd{Conn: conn})
	if d.open != [3]uint64{} {
		t.Errorf("at the end, open connections are %v", d.open)
	}
	if got := accounted(&d.stats) - before; got != given {
		t.Errorf("%d bytes given, %d accounted for: %+v", given, got, d.stats)
	}
	if d.buffered != 0 {
		t.Errorf("%d bytes are still counted as kept", d.buffered)
	}
	return outcome{rowsOf(&batch), &d.stats, batch.Conns[0], conn, d}
}

// accounted is the right side of the equation that Stats promises.
func accounted(st *Stats) uint64 {
	n := st.EncryptedV2 + st.Proxy + st.NotBitcoin + st.Skipped + st.Incomplete
	for _, c := range st.Commands {
		n += c.Bytes
	}
	return n
}

// listen plays the steps on a connection whose opening was captured, join on one that was joined mid-stream.
func listen(t testing.TB, steps ...step) outcome {
	t.Helper()
	return play(t, New(Config{}), newConn(true), steps...)
}

func join(t testing.TB, steps ...step) outcome {
	t.Helper()
	return play(t, New(Config{}), newConn(false), steps...)
}

func rowsOf(b *record.Batch) (rows []row) {
	add := func(m record.Meta, format string, args ...any) {
		rows = append(rows, row{m.FromB, m.Pos, m.FirstByteAt, m.SeenAt, fmt.Sprintf(format, args...)})
	}
	for _, r := range b.Invs {
		add(r.Meta, "inv %v", b.Vects[r.First:r.First+r.N])
	}
	for _, r := range b.Txs {
		add(r.Meta, "tx %v", r.TxID)
	}
	for _, r := range b.Blocks {
		add(r.Meta, "%s %d %v", r.Via, r.Index, r.Hash)
	}
	for _, r := range b.Pings {
		add(r.Meta, "ping %d", r.Nonce)
	}
	for _, r := range b.Pongs {
		add(r.Meta, "pong %d", r.Nonce)
	}
	for _, r := range b.Versions {
		add(r.Meta, "version %s", r.UserAgent)
	}
	for _, r := range b.Addrs {
		add(r.Meta, "addr %d %s", r.Index, r.Address)
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if a.FromB != b.FromB {
			return sideOf(a.FromB) - sideOf(b.FromB)
		}
		return cmp.Compare(a.Pos, b.Pos)
	})
	return rows
}

// whats are the records without times and places.
func whats(rows []row) (w []string) {
	for _, r := range rows {
		w = append(w, r.What)
	}
	return w
}

func wantRows(t testing.TB, want, got []row) {
	t.Helper()
	if slices.Equal(want, got) {
		return // Diff takes its time
	}
	t.Errorf("records (-want +got):\n%s", gocmp.Diff(want, got))
}

func wantWhats(t testing.TB, o outcome, want ...string) {
	t.Helper()
	if diff := gocmp.Diff(want, whats(o.rows)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A message is one whole message, with the records that it gives.
type message struct {
	b     []byte
	whats []string
}

// A script is messages, one after the other.
type script []message

func newScript(messages ...[]byte) (s script) {
	for _, b := range messages {
		var batch record.Batch
		c := New(Config{Out: &batch}).Conn(newConn(true))
		c.Data(false, b, 1)
		c.Data(false, main.Verack(), 1) // a verack without checksum is known by the magic that follows
		c.Close(record.ConnEnd{})
		s = append(s, message{b, whats(rowsOf(&batch))})
	}
	return s
}

func (s script) bytes() (b []byte) {
	for _, m := range s {
		b = append(b, m.b...)
	}
	return b
}

// rows are the records that the script has if the byte at a place was captured at the time that at says; those
// of messages that lost says true of are missing.
func (s script) rows(at func(int) record.Time, lost func(lo, hi int) bool) (rows []row) {
	pos := 0
	for _, m := range s {
		lo, hi := pos, pos+len(m.b)
		pos = hi
		if lost != nil && lost(lo, hi) {
			continue
		}
		seen := at(lo)
		for i := lo; i < hi; i++ {
			seen = max(seen, at(i))
		}
		for _, w := range m.whats {
			rows = append(rows, row{false, uint64(lo), at(lo), seen, w})
		}
	}
	return rows
}

var main = pcaptest.Mainnet

// oldMessage builds a message without checksum, as version and verack were before 2012.
func oldMessage(command string, payload []byte) []byte {
	m := main.Message(command, payload)
	return append(m[:oldHeaderLen:oldHeaderLen], payload...)
}

func versionPayload(agent string) []byte {
	return main.Version(pcaptest.Version{
		Protocol: 70016, Services: 9, Timestamp: 1_700_000_000, UserAgent: agent, Nonce: 5, Relay: true,
		Recv: netip.MustParseAddrPort("198.51.100.7:8333"), From: netip.MustParseAddrPort("192.0.2.1:8333"),
	})[headerLen:]
}

func version(agent string) []byte { return main.Message("version", versionPayload(agent)) }

func inv(n int) []byte { return main.Message("inv", invPayload(n)) }

// modern is a script of messages as they are today, old one of before 2012.
func modern() script {
	return newScript(
		version("/modern/"), main.Verack(), main.Message("sendcmpct", make([]byte, 9)), inv(1), main.Ping(11), main.Message("unheard-of", []byte("payload")),
		inv(3), main.Message("mempool", nil), main.Pong(12), main.Message("block", make([]byte, 100)), inv(2), main.Ping(13),
	)
}

func old() script {
	return newScript(
		oldMessage("version", versionPayload("/old/")), oldMessage("verack", nil), inv(1), main.Message("ping", nil), inv(2),
		oldMessage("version", versionPayload("/again/")), inv(3),
	)
}

// mixed has both kinds of headers.
func mixed() script {
	return newScript(oldMessage("version", versionPayload("/o/")), main.Verack(), version("/m/"), oldMessage("verack", nil), inv(1), main.Ping(3))
}

func scripts() map[string]script {
	return map[string]script{"modern": modern(), "old": old(), "mixed": mixed()}
}

// jitter is a capture time for each piece that does not grow with the place.
func jitter(piece int) record.Time { return record.Time(1_000_000 + piece*7919%1000) }

// pieces cuts b into pieces of n bytes.
func pieces(b []byte, n int) (steps []step) {
	for i := 0; i < len(b); i += n {
		steps = append(steps, data(b[i:min(len(b), i+n)], jitter(i/n)))
	}
	return steps
}

func TestPieces(t *testing.T) {
	for name, s := range scripts() {
		t.Run(name, func(t *testing.T) {
			b := s.bytes()
			for n := 1; n <= len(b); n++ {
				want := s.rows(func(i int) record.Time { return jitter(i / n) }, nil)
				wantRows(t, want, listen(t, pieces(b, n)...).rows)
				wantRows(t, want, join(t, pieces(b, n)...).rows)
				if t.Failed() {
					t.Fatalf("in pieces of %d bytes", n)
				}
			}
		})
	}
}

func TestCutAnywhere(t *testing.T) {
	for name, s := range scripts() {
		t.Run(name, func(t *testing.T) {
			b := s.bytes()
			for cut := 1; cut < len(b); cut++ {
				at := func(i int) record.Time {
					if i < cut {
						return 2000
					}
					return 1000 // captured before what it follows
				}
				want := s.rows(at, nil)
				steps := []step{data(b[:cut], 2000), data(b[cut:], 1000)}
				wantRows(t, want, listen(t, steps...).rows)
				wantRows(t, want, join(t, steps...).rows)
				if t.Failed() {
					t.Fatalf("cut at %d", cut)
				}
			}
		})
	}
}

// gapLengths are all short ones, and some longer.
func gapLengths(most int) (n []int) {
	for i := 1; i <= most; i += 1 + i/8 {
		n = append(n, i)
	}
	return n
}

func TestGapAnywhere(t *testing.T) {
	for name, s := range scripts() {
		t.Run(name, func(t *testing.T) {
			b := s.bytes()
			for lo := range b {
				for _, n := range gapLengths(len(b) - lo) {
					hi := lo + n
					at := func(i int) record.Time { return jitter(sideOf(i >= hi)) }
					want := s.rows(at, func(l, h int) bool { return l < hi && h > lo })
					steps := []step{data(b[:lo:lo], at(0)), gap(n), data(b[hi:], at(hi))}
					wantRows(t, want, listen(t, steps...).rows)
					wantRows(t, want, join(t, steps...).rows)
					if n == 1 || n == 30 {
						steps = slices.Concat(ofTime(pieces(b[:lo], 1), at(0)), []step{gap(n)}, ofTime(pieces(b[hi:], 1), at(hi)))
						wantRows(t, want, listen(t, steps...).rows)
					}
					if t.Failed() {
						t.Fatalf("gap of %d bytes at %d", n, lo)
					}
				}
			}
		})
	}
}

func ofTime(steps []step, at record.Time) []step {
	for i := range steps {
		steps[i].at = at
	}
	return steps
}

func TestTwoGaps(t *testing.T) {
	s := modern()
	b := s.bytes()
	at := func(int) record.Time { return 5 }
	for lo := 0; lo < len(b); lo += 5 {
		for lo2 := lo + 2; lo2 < len(b); lo2 += 11 {
			for _, n := range []int{1, 24, 61} {
				hi, hi2 := min(lo+1, len(b)), min(lo2+n, len(b))
				want := s.rows(at, func(l, h int) bool { return l < hi && h > lo || l < hi2 && h > lo2 })
				wantRows(t, want, join(t, data(b[:lo:lo], 5), gap(hi-lo), data(b[hi:lo2], 5), gap(hi2-lo2), data(b[hi2:], 5)).rows)
				if t.Failed() {
					t.Fatalf("gaps of %d bytes at %d and of %d at %d", hi-lo, lo, hi2-lo2, lo2)
				}
			}
		}
	}
}

func TestJoinAnywhere(t *testing.T) {
	for name, s := range scripts() {
		t.Run(name, func(t *testing.T) {
			b := s.bytes()
			for start := range b {
				want := s.rows(func(int) record.Time { return 5 }, func(l, _ int) bool { return l < start })
				for i := range want {
					want[i].Pos -= uint64(start)
				}
				wantRows(t, want, join(t, data(b[start:], 5)).rows)
				wantRows(t, want, join(t, ofTime(pieces(b[start:], 1), 5)...).rows)
				for i := range want {
					want[i].FromB = true
				}
				wantRows(t, want, join(t, dataB(b[start:], 5)).rows)
				if t.Failed() {
					t.Fatalf("joined at %d", start)
				}
			}
		})
	}
}

// TestTimesBesideGaps has messages that begin or end exactly at a gap.
func TestTimesBesideGaps(t *testing.T) {
	one, two := inv(1), inv(2)
	o := join(t, data(one, 1), gap(100), data(two[:30], 5), data(two[30:], 4), gap(7), data(one, 9))
	wantRows(t, []row{
		{Pos: 0, First: 1, Seen: 1, What: "inv [{0 " + invHash(0) + "}]"},
		{Pos: uint64(len(one) + 100), First: 5, Seen: 5, What: "inv [{0 " + invHash(0) + "} {1 " + invHash(1) + "}]"},
		{Pos: uint64(len(one) + 107 + len(two)), First: 9, Seen: 9, What: "inv [{0 " + invHash(0) + "}]"},
	}, o.rows)
}

func invHash(i int) string { return record.Hash{byte(i), byte(i >> 8), 31: 0xee}.String() }

func pingOf(nonce uint64) string { return fmt.Sprintf("ping %d", nonce) }

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// lines is a stream of n pings that begins with the nonce from.
func lines(from, n int) (b []byte, want []string) {
	for i := range n {
		b = append(b, main.Ping(uint64(from+i))...)
		want = append(want, pingOf(uint64(from+i)))
	}
	return b, want
}

func TestBadMessages(t *testing.T) {
	change := func(m []byte, at int, b ...byte) []byte {
		m = slices.Clone(m)
		copy(m[at:], b)
		return m
	}
	tests := []struct {
		name  string
		bad   []byte
		check func(st *Stats) bool
	}{
		{"checksum", change(inv(2), 40, 1), func(st *Stats) bool { return st.BadChecksums["inv"] == 1 && st.BadHeaders == 0 }},
		{"checksum of an unknown command", change(main.Message("what", []byte{1}), 24, 9), func(st *Stats) bool { return st.BadChecksums["what"] == 1 }},
		{"checksum of no payload", change(main.Message("mempool", nil), 20, 9), func(st *Stats) bool { return st.BadChecksums["mempool"] == 1 }},
		{"length beyond the limit", change(inv(2), 16, le32(maxPayload+1)...), func(st *Stats) bool { return st.BadHeaders == 1 && st.Resyncs == 1 }},
		{"length of 4 GB", change(inv(2), 16, 0xff, 0xff, 0xff, 0xff), func(st *Stats) bool { return st.BadHeaders == 1 }},
		{"command that is not printable", change(inv(2), 5, 7), func(st *Stats) bool { return st.BadHeaders == 1 }},
		{"command with bytes after its padding", change(inv(2), 15, 'x'), func(st *Stats) bool { return st.BadHeaders == 1 }},
		{"no command", change(inv(2), 4, make([]byte, 12)...), func(st *Stats) bool { return st.BadHeaders == 1 }},
		{"garbage", []byte("garbage"), func(st *Stats) bool { return st.BadHeaders == 1 && st.Skipped == 7 }},
		{"long garbage", []byte(strings.Repeat("garbage", 10000)), func(st *Stats) bool { return st.BadHeaders == 1 && st.Skipped == 70000 }},
		{"another network's message", pcaptest.Testnet3.Ping(1), func(st *Stats) bool { return st.BadHeaders == 1 }},
		{"malformed inv", main.Message("inv", []byte{2, 1}), func(st *Stats) bool {
			return *st.Commands["inv"] == record.Command{Messages: 1, Bytes: 26, Malformed: 1}
		}},
		{"malformed tx", main.Message("tx", []byte{2, 1}), func(st *Stats) bool { return st.Commands["tx"].Malformed == 1 }},
		{"short ping", main.Message("ping", []byte{2, 1}), func(st *Stats) bool { return st.Commands["ping"].Malformed == 1 }},
		{"empty pong", main.Message("pong", nil), func(st *Stats) bool { return st.Commands["pong"].Malformed == 1 }},
		{"ping that is too long", main.Message("ping", make([]byte, 1025)), func(st *Stats) bool { return st.Commands["ping"].Malformed == 1 }},
		{"version that is too long", main.Message("version", make([]byte, maxVersion+1)), func(st *Stats) bool { return st.Commands["version"].Malformed == 1 }},
		{"short version", main.Message("version", make([]byte, 3)), func(st *Stats) bool { return st.Commands["version"].Malformed == 1 }},
		{"empty version", main.Message("version", nil), func(st *Stats) bool { return st.Commands["version"].Malformed == 1 }},
		{"short block", main.Message("block", make([]byte, 79)), func(st *Stats) bool { return st.Commands["block"].Malformed == 1 }},
		{"unknown command", main.Message("what", []byte{1, 2}), func(st *Stats) bool { return *st.Commands["what"] == record.Command{Messages: 1, Bytes: 26} }},
		{"longest command", main.Message("twelve-bytes", nil), func(st *Stats) bool { return st.Commands["twelve-bytes"].Messages == 1 }},
		{"verack with a payload", main.Message("verack", []byte{1}), func(st *Stats) bool { return st.Commands["verack"].Bytes == 25 }},
		{"empty inv", main.Message("inv", []byte{0}), func(st *Stats) bool { return *st.Commands["inv"] == record.Command{Messages: 1, Bytes: 25} }},
		{"longest payload", main.Message("what", make([]byte, maxPayload)), func(st *Stats) bool { return st.Commands["what"].Bytes == headerLen+maxPayload }},
		{"longest tx", main.Message("tx", bytes.Repeat([]byte{0xff}, maxPayload)), func(st *Stats) bool { return st.Commands["tx"].Malformed == 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, want := lines(1, enough) // fewer would be taken for a payload that looks like messages
			after, want2 := lines(100, 3)
			b := slices.Concat(before, tt.bad, after)
			sizes := []int{1, 7, 23, 24, 25, 1448, len(b)}
			if len(tt.bad) > 100_000 {
				sizes = []int{1448, 65536, len(b)}
			}
			for _, n := range sizes {
				for _, o := range []outcome{listen(t, pieces(b, n)...), join(t, pieces(b, n)...)} {
					wantWhats(t, o, append(slices.Clone(want), want2...)...)
					if !tt.check(o.stats) {
						t.Errorf("pieces of %d bytes: %+v", n, o.stats)
					}
				}
			}
		})
	}
}

func TestManyCommands(t *testing.T) {
	var b []byte
	for i := range 1000 {
		b = append(b, main.Message(fmt.Sprintf("c%d", i), nil)...)
		bad := main.Message(fmt.Sprintf("d%d", i), nil)
		bad[20]++
		b = append(b, bad...)
	}
	o := listen(t, pieces(b, 1000)...)
	if len(o.stats.Commands) != maxCommands+1 || o.stats.Commands[otherCommands].Messages != 1000-maxCommands {
		t.Errorf("%d commands, %+v of others", len(o.stats.Commands), o.stats.Commands[otherCommands])
	}
	if len(o.stats.BadChecksums) != maxCommands+1 || o.stats.BadChecksums[otherCommands] != 1000-maxCommands {
		t.Errorf("%d commands with bad checksums, %d others", len(o.stats.BadChecksums), o.stats.BadChecksums[otherCommands])
	}
}

func TestIncomplete(t *testing.T) {
	m := inv(2)
	for n := 1; n < len(m); n++ {
		o := listen(t, data(main.Ping(1), 1), data(m[:n], 2))
		if o.stats.Incomplete != uint64(n) {
			t.Errorf("%d bytes of a message at the end: %d incomplete", n, o.stats.Incomplete)
		}
	}
	o := listen(t, data(main.Ping(1), 1), data(m[:30], 2), gap(3), data(m[33:40], 3))
	if o.stats.Incomplete != 0 || o.stats.Skipped != 37 || o.stats.Resyncs != 0 {
		t.Errorf("after a gap: %+v", o.stats)
	}
}

func TestOldVerackAtTheEnd(t *testing.T) {
	ver := oldMessage("version", versionPayload("/old/"))
	for name, o := range map[string]outcome{
		"end": listen(t, data(ver, 1), data(oldMessage("verack", nil), 2)),
		"gap": listen(t, data(ver, 1), data(oldMessage("verack", nil), 2), gap(10), data(inv(1), 3)),
	} {
		if c := o.stats.Commands["verack"]; c == nil || c.Bytes != oldHeaderLen {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
