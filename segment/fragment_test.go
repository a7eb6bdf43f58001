package segment

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const second = 1_000_000_000 // nanoseconds

// frag4 is an IPv4 fragment of the datagram body, captured up to snap bytes of its data (-1: all).
func frag4(body []byte, from, to, id, snap int) []byte {
	b := make([]byte, 20)
	b[0], b[8], b[9] = 0x45, 64, protoTCP
	binary.BigEndian.PutUint16(b[2:], uint16(20+to-from))
	binary.BigEndian.PutUint16(b[4:], uint16(id))
	place := uint16(from / 8)
	if to < len(body) {
		place |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], place)
	copy(b[12:], []byte{192, 0, 2, 1, 198, 51, 100, 2})
	return append(b, cut(body[from:to], snap)...)
}

// frag6 is the same for IPv6.
func frag6(body []byte, from, to, id, snap int) []byte {
	b := make([]byte, 48)
	b[0], b[6], b[7], b[40] = 0x60, protoFragment, 63, protoTCP
	binary.BigEndian.PutUint16(b[4:], uint16(8+to-from))
	copy(b[8:], []byte{0x20, 0x01, 0x0d, 0xb8, 23: 1})
	copy(b[24:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 2})
	b[23] = 1
	place := uint16(from)
	if to < len(body) {
		place |= 1
	}
	binary.BigEndian.PutUint16(b[42:], place)
	binary.BigEndian.PutUint32(b[44:], uint32(id))
	return append(b, cut(body[from:to], snap)...)
}

func cut(b []byte, n int) []byte {
	if n >= 0 && n < len(b) {
		return b[:n]
	}
	return b
}

// body is a TCP segment with n bytes of payload.
func body(t testing.TB, n int) []byte {
	b := unhex(t, tcp20)
	for i := range n {
		b = append(b, byte(i*7+i/256))
	}
	return b
}

func TestFragments(t *testing.T) {
	type step struct {
		from, to int
		snap     int // bytes captured of the data; 0: all
		id       int
		seconds  int64
		spoil    bool // with other bytes than the datagram's
	}
	const n = 100 // bytes of the datagram: 20 of header, 80 of payload
	tests := []struct {
		name    string
		steps   []step
		whole   bool // the last step gives the segment; no other does
		missing int
		only6   bool
		only4   bool
		stats   FragmentStats
	}{
		{name: "in order", steps: []step{{from: 0, to: 48}, {from: 48, to: 96}, {from: 96, to: n}}, whole: true},
		{name: "backwards", steps: []step{{from: 96, to: n}, {from: 48, to: 96}, {from: 0, to: 48}}, whole: true},
		{name: "the first is tiny", steps: []step{{from: 0, to: 8}, {from: 8, to: n}}, whole: true},
		{name: "hole", steps: []step{{from: 0, to: 48}, {from: 96, to: n}}},
		{name: "no end", steps: []step{{from: 0, to: 48}, {from: 48, to: 96}}},
		{name: "doubled", steps: []step{{from: 0, to: 48}, {from: 0, to: 48}, {from: 48, to: n}}, whole: true},
		{name: "overlap, the first wins", steps: []step{{from: 0, to: 48}, {from: 32, to: 64, spoil: true}, {from: 48, to: n}}, only4: true},
		{name: "overlap with the same bytes", steps: []step{{from: 0, to: 48}, {from: 32, to: 64}, {from: 48, to: n}}, only4: true, whole: true},
		{name: "ipv6 overlap drops the datagram", steps: []step{{from: 0, to: 48}, {from: 32, to: 64}, {from: 48, to: n}}, only6: true,
			stats: FragmentStats{Overlapped: 1}},
		{name: "ipv6 contained with other bytes", steps: []step{{from: 0, to: 48}, {from: 8, to: 16, spoil: true}, {from: 48, to: n}}, only6: true,
			stats: FragmentStats{Overlapped: 1}},
		{name: "another id", steps: []step{{from: 0, to: 48, id: 1}, {from: 48, to: n, id: 2}}},
		{name: "in time", steps: []step{{from: 0, to: 48}, {from: 48, to: n, seconds: 59}}, whole: true},
		{name: "late", steps: []step{{from: 0, to: 48}, {from: 48, to: n, seconds: 61}}, stats: FragmentStats{Expired: 1}},
		{name: "late, then whole", steps: []step{{from: 0, to: 48}, {from: 48, to: n, seconds: 61}, {from: 0, to: 48, seconds: 62}}, whole: true,
			stats: FragmentStats{Expired: 1}},
		{name: "snap length in the last", steps: []step{{from: 0, to: 48}, {from: 48, to: n, snap: 10}}, whole: true, missing: n - 58},
		{name: "snap length in the first", steps: []step{{from: 48, to: n}, {from: 0, to: 48, snap: 21}}, whole: true, missing: n - 21},
	}
	for _, tt := range tests {
		for name, frag := range map[string]func([]byte, int, int, int, int) []byte{"ipv4": frag4, "ipv6": frag6} {
			if tt.only6 && name == "ipv4" || tt.only4 && name == "ipv6" {
				continue
			}
			t.Run(tt.name+" "+name, func(t *testing.T) {
				datagram := body(t, n-20)
				var d Dissector
				var got Segment
				first := int64(0)
				for i, s := range tt.steps {
					bytes := bytes.Clone(datagram)
					if s.spoil {
						for i := 48; i < n; i++ {
							bytes[i] ^= 0xff
						}
						for i := range 48 {
							bytes[i] ^= 0x55
						}
					}
					snap := s.snap
					if snap == 0 {
						snap = -1
					}
					packet := frag(bytes, s.from, s.to, s.id, snap)
					reason := d.Packet(LinkRaw, packet, len(packet), (1000+s.seconds)*second+int64(i), &got)
					clear(packet) // it was only borrowed
					if want := i == len(tt.steps)-1 && (tt.whole || tt.only4); (reason == Found) != want {
						t.Fatalf("step %d: %v, want found: %v", i, reason, want)
					}
					if s.seconds <= 60 && i == 0 {
						first = 1000*second + int64(i)
					}
				}
				if diff := cmp.Diff(tt.stats, d.Fragments()); diff != "" {
					t.Errorf("Fragments (-want +got):\n%s", diff)
				}
				if !tt.whole {
					return
				}
				want := with(v4, func(s *Segment) { s.First = first })
				if name == "ipv6" {
					want = with(v6, func(s *Segment) { s.First = first })
				}
				if tt.stats.Expired > 0 {
					want.First = 1061*second + 1
				}
				want.Payload, want.Missing = datagram[20:n-tt.missing], tt.missing
				if diff := cmp.Diff(want, got, cmpSegment); diff != "" {
					t.Errorf("segment (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// The first bytes captured win for IPv4.
func TestFragmentsFirstWins(t *testing.T) {
	a, b := body(t, 80), body(t, 80)
	for i := range b {
		b[i] ^= 0xff
	}
	var d Dissector
	var s Segment
	for i, p := range [][]byte{frag4(a, 0, 48, 1, -1), frag4(b, 32, 64, 1, -1), frag4(a, 64, 100, 1, -1)} {
		if r := d.Packet(LinkRaw, p, len(p), int64(i), &s); (r == Found) != (i == 2) {
			t.Fatalf("fragment %d: %v", i, r)
		}
	}
	want := append(append(bytes.Clone(a[20:48]), b[48:64]...), a[64:]...)
	if diff := cmp.Diff(want, s.Payload); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
}

func TestFragmentsBad(t *testing.T) {
	long := make([]byte, 66_000)
	tests := []struct {
		name   string
		packet []byte
		want   Reason
	}{
		{"ipv4 beyond 65,535 bytes", frag4(long, 65_528, 65_592, 1, -1), BadIP},
		{"ipv6 beyond 65,535 bytes", frag6(long, 65_528, 65_592, 1, -1), BadIP},
		{"not the last, odd length", frag4(long, 0, 13, 1, -1), BadIP},
		{"empty", frag4(long, 8, 8, 1, -1), BadIP},
		{"ipv6 without fragment header", frag6(long, 0, 8, 1, -1)[:40], TruncatedIP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d Dissector
			var s Segment
			if got := d.Packet(LinkRaw, tt.packet, len(tt.packet), 1, &s); got != tt.want {
				t.Errorf("Packet = %v, want %v", got, tt.want)
			}
		})
	}
	var d Dissector
	var s Segment
	udp := frag6(long, 0, 8, 1, -1)
	udp[40] = 17
	if got := d.Packet(LinkRaw, udp, len(udp), 1, &s); got != NotTCP {
		t.Errorf("Packet(udp fragment) = %v, want %v", got, NotTCP)
	}
}

func TestFragmentsBounded(t *testing.T) {
	var d Dissector
	var s Segment
	long := make([]byte, 65_000)
	for i := range 2000 {
		p := frag4(long, 64_000, 64_008, i, -1)
		d.Packet(LinkRaw, p, len(p), int64(i), &s)
		if d.frags.held > maxHeld || len(d.frags.order) > maxDatagrams {
			t.Fatalf("after %d: %d bytes of %d datagrams held", i, d.frags.held, len(d.frags.order))
		}
	}
	for i := range 2000 {
		p := frag6(long, 0, 8, i, -1)
		d.Packet(LinkRaw, p, len(p), int64(i), &s)
	}
	if n := len(d.frags.order); n != maxDatagrams || len(d.frags.byKey) != n {
		t.Errorf("%d datagrams held, %d by key, want %d", n, len(d.frags.byKey), maxDatagrams)
	}
	if got := d.Fragments().Evicted; got != 4000-maxDatagrams {
		t.Errorf("Evicted = %d, want %d", got, 4000-maxDatagrams)
	}
	d.frags.expire(100 * second)
	if d.frags.held != 0 || len(d.frags.byKey) != 0 {
		t.Errorf("after expiry: %d bytes, %d datagrams held, want none", d.frags.held, len(d.frags.byKey))
	}
}

// However a datagram is cut up, shuffled and doubled, the segment is the same.
func TestFragmentsAnyCut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var d Dissector
	for round := range 300 {
		datagram := body(t, r.IntN(3000))
		var packets [][]byte
		for from := 0; from < len(datagram); {
			to := from + 8*(1+r.IntN(100))
			if to >= len(datagram) {
				to = len(datagram)
			}
			frag := frag4
			if round%2 == 1 {
				frag = frag6
			}
			packets = append(packets, frag(datagram, from, to, round, -1))
			from = to
		}
		if len(packets) < 2 {
			continue
		}
		r.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
		packets = append(packets[:1:1], packets...) // the first twice
		var s Segment
		for i, p := range packets {
			reason := d.Packet(LinkRaw, p, len(p), int64(round), &s)
			if (reason == Found) != (i == len(packets)-1) {
				t.Fatalf("round %d, fragment %d of %d: %v", round, i, len(packets), reason)
			}
		}
		if diff := cmp.Diff(datagram[20:], s.Payload, cmpSegment); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
	}
}
