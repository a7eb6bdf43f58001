package postgres

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

func TestSaw(t *testing.T) {
	for _, tt := range []struct {
		name string
		saw  []sighting
		want []sighting
	}{
		{"none", nil, []sighting{}},
		{"one twice", []sighting{{10, 1}, {20, 1}}, []sighting{{10, 1}}},
		{"one earlier", []sighting{{20, 1}, {10, 1}}, []sighting{{10, 1}}},
		{"second", []sighting{{10, 1}, {20, 2}}, []sighting{{10, 1}, {20, 2}}},
		{"second before", []sighting{{20, 2}, {10, 1}}, []sighting{{10, 1}, {20, 2}}},
		{"third between", []sighting{{10, 1}, {30, 2}, {20, 3}}, []sighting{{10, 1}, {20, 3}}},
		{"third before", []sighting{{10, 1}, {30, 2}, {5, 3}}, []sighting{{5, 3}, {10, 1}}},
		{"second overtakes", []sighting{{10, 1}, {30, 2}, {5, 2}}, []sighting{{5, 2}, {10, 1}}},
		{"second earlier", []sighting{{10, 1}, {30, 2}, {20, 2}}, []sighting{{10, 1}, {20, 2}}},
		{"first earlier", []sighting{{10, 1}, {30, 2}, {9, 1}}, []sighting{{9, 1}, {30, 2}}},
		{"tie", []sighting{{10, 7}, {10, 3}, {10, 5}}, []sighting{{10, 3}, {10, 5}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var it item
			for _, s := range tt.saw {
				before := it
				if changed := it.saw(s); changed != (it.n != before.n || it.first != before.first) {
					t.Errorf("saw(%v) = %v", s, changed)
				}
			}
			if diff := cmp.Diff(tt.want, it.first[:it.n], cmp.AllowUnexported(sighting{})); diff != "" {
				t.Errorf("first sightings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPack stores announcements at random, in messages of all sizes and in several minutes, and compares what the view has of them.
func TestPack(t *testing.T) {
	p := fresh(t)
	s := p.sink(t)
	c := newCapture("lab")
	begin(t, s, c, 0)
	rnd := rand.New(rand.NewPCG(3, 4))
	b := &record.Batch{Capture: c}
	want := map[string]int{}
	for i := range 400 {
		n := rnd.IntN(60)
		switch {
		case i%100 == 7:
			n = 2*maxItems + 500
		case i%100 == 8:
			n = maxItems + 1
		case i > 200 && i < 240:
			n = maxItems
		}
		vects := make([]record.InvVect, n)
		for k := range vects {
			vects[k] = record.InvVect{Type: record.InvType(1 + rnd.IntN(2)), Hash: hashOf(rnd.IntN(3000))}
		}
		m := record.Meta{Conn: newConn(c, byte(rnd.IntN(20))), SeenAt: start + record.Time(rnd.IntN(150_000_000)), Pos: uint64(i), FromB: rnd.IntN(5) == 0}
		m.FirstByteAt = m.SeenAt - record.Time(rnd.IntN(100_000_000_000))
		b.Inv(m, vects)
		for k, v := range vects {
			want[fmt.Sprintln(m.SeenAt, m.FirstByteAt, m.Conn.ID, m.FromB, m.Outbound(), m.Pos, k, n, v.Type, v.Hash)]++
		}
	}
	write(t, s, b, uint64(b.Len()))
	got := map[string]int{}
	for _, r := range p.query(t, `SELECT (extract(epoch FROM seen_at) * 1000000)::bigint, (extract(epoch FROM first_byte_at) * 1000000)::bigint,
		conn, from_b, outbound, pos, index, count, type, encode(hash, 'hex') FROM inv`) {
		got[fmt.Sprintln(record.Time(r[0].(int64)), record.Time(r[1].(int64)), r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9])]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("announcements (-want +got):\n%s", diff)
	}
	if got, want := p.query(t, "SELECT sum(received), sum(cardinality(entry)) FROM inv_chunk"),
		p.query(t, "SELECT count(*) FILTER (WHERE NOT outbound), count(*) FROM inv"); !cmp.Equal(got, want) {
		t.Errorf("chunks count %v announcements received and in all, the view has %v", got, want)
	}
}

func TestNumeric(t *testing.T) {
	for _, tt := range []struct {
		v    uint64
		want string
	}{
		{0, "\x00\x00\x00\x08" + "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{1, "\x00\x00\x00\x0a" + "\x00\x01\x00\x00\x00\x00\x00\x00" + "\x00\x01"},
		{10_000, "\x00\x00\x00\x0c" + "\x00\x02\x00\x01\x00\x00\x00\x00" + "\x00\x01\x00\x00"},
		{math.MaxUint64, "\x00\x00\x00\x12" + "\x00\x05\x00\x04\x00\x00\x00\x00" + "\x07\x34\x1a\x58\x02\xe1\x03\xbb\x06\x4f"},
	} {
		t.Run(fmt.Sprint(tt.v), func(t *testing.T) {
			var r rows
			if r.numeric(tt.v); string(r.buf) != tt.want {
				t.Errorf("numeric(%d) = %x, want %x", tt.v, r.buf, tt.want)
			}
		})
	}
}

func TestFloor(t *testing.T) {
	for _, tt := range []struct {
		name string
		t    record.Time
		day  int32
	}{
		{"epoch", 0, 0},
		{"before", -1, -1},
		{"a day before", -dayLen, -1},
		{"start", start, 20367},
		{"earliest", math.MinInt64, -719162},
		{"latest", math.MaxInt64, 2932896},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := dayOf(tt.t); got != tt.day {
				t.Errorf("dayOf(%d) = %d, want %d", tt.t, got, tt.day)
			}
		})
	}
}

func TestRecent(t *testing.T) {
	var r recent[int, string]
	r.reset(4)
	for i := range 3 {
		r.put(i, fmt.Sprint(i))
	}
	r.age()
	r.get(1)
	for i := range 2 {
		r.put(10+i, "")
	}
	r.age()
	for k, want := range map[int]bool{0: false, 1: true, 2: false, 10: true, 11: true} {
		if _, ok := r.get(k); ok != want {
			t.Errorf("get(%d) found = %v, want %v", k, ok, want)
		}
	}
}
