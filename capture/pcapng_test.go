package capture

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestPcapng(t *testing.T) {
	const us = 1_600_000_000_123_456
	resolution := func(v byte) opt { return opt{9, []byte{v}} }
	tests := []struct {
		name  string
		build func(n *ng)
		want  []got
	}{
		{"no packets", func(n *ng) { n.section().iface(1, 0) }, nil},
		{"enhanced packets", func(n *ng) { n.section().iface(1, 65535).packet(0, us, "one").packet(0, us+1, "three") },
			[]got{{"one", us * 1000, 3, 1, 0}, {"three", us*1000 + 1000, 5, 1, 0}}},
		{"interfaces with their own link type and resolution", func(n *ng) {
			n.section().iface(1, 0).iface(276, 0, opt{2, []byte("any")}, resolution(9)).packet(1, us*1000+7, "two").packet(0, us, "one")
		}, []got{{"two", us*1000 + 7, 3, 276, 0}, {"one", us * 1000, 3, 1, 0}}},
		{"milliseconds", func(n *ng) { n.section().iface(1, 0, resolution(3)).packet(0, 1_600_000_000_123, "x") },
			[]got{{"x", 1_600_000_000_123_000_000, 1, 1, 0}}},
		{"seconds", func(n *ng) { n.section().iface(1, 0, resolution(0)).packet(0, 1_600_000_000, "x") },
			[]got{{"x", 1_600_000_000_000_000_000, 1, 1, 0}}},
		{"picoseconds", func(n *ng) { n.section().iface(1, 0, resolution(12)).packet(0, 12_345_678_901_234_567, "x") },
			[]got{{"x", 12_345_678_901_234, 1, 1, 0}}},
		{"power of two", func(n *ng) { n.section().iface(1, 0, resolution(0x80|20)).packet(0, 1_600_000_000<<20|1<<19, "x") },
			[]got{{"x", 1_600_000_000_500_000_000, 1, 1, 0}}},
		{"power of two, fine", func(n *ng) { n.section().iface(1, 0, resolution(0x80|64)).packet(0, 1<<63, "x") },
			[]got{{"x", 500_000_000, 1, 1, 0}}},
		{"time offset", func(n *ng) { n.section().iface(1, 0, opt{14, n.u64(1_600_000_000)}).packet(0, 1_000_001, "x") },
			[]got{{"x", 1_600_000_001_000_001_000, 1, 1, 0}}},
		{"negative time offset", func(n *ng) { n.section().iface(1, 0, opt{14, n.u64(1<<64 - 100)}).packet(0, us, "x") },
			[]got{{"x", us*1000 - 100e9, 1, 1, 0}}},
		{"sections", func(n *ng) {
			n.section().iface(1, 0).packet(0, us, "x").section().iface(101, 0).packet(0, us, "y")
		}, []got{{"x", us * 1000, 1, 1, 0}, {"y", us * 1000, 1, 101, 0}}},
		{"sections of both byte orders", func(n *ng) {
			n.section().iface(1, 0).packet(0, us, "x")
			other := &ng{o: binary.LittleEndian}
			if n.o == binary.AppendByteOrder(binary.LittleEndian) {
				other.o = binary.BigEndian
			}
			n.b = append(n.b, other.section().iface(101, 0).packet(0, us, "y").b...)
		}, []got{{"x", us * 1000, 1, 1, 0}, {"y", us * 1000, 1, 101, 0}}},
		{"unknown blocks", func(n *ng) {
			n.section().block(4, make([]byte, 3000)).iface(1, 0).block(0x80000001, []byte("local")).packet(0, us, "x").block(10, nil)
		}, []got{{"x", us * 1000, 1, 1, 0}}},
		{"obsolete packets", func(n *ng) { n.section().iface(1, 0).iface(113, 0).obsolete(1, 3, us, "x") },
			[]got{{"x", us * 1000, 1, 113, 0}}},
		{"simple packets have the time before", func(n *ng) {
			n.section().iface(1, 4).packet(0, us, "x").simple(60, "four").simple(2, "two")
		}, []got{{"x", us * 1000, 1, 1, 0}, {"four", us * 1000, 60, 1, 0}, {"tw", us * 1000, 2, 1, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				n := &ng{o: order}
				tt.build(n)
				for _, r := range []io.Reader{bytes.NewReader(n.b), iotest.OneByteReader(bytes.NewReader(n.b))} {
					src := NewReader(r, "f")
					if diff := cmp.Diff(tt.want, readAll(t, src)); diff != "" {
						t.Errorf("%v: packets (-want +got)\n%s", order, diff)
					}
					if _, err := problems(src); err != "" {
						t.Errorf("%v: error %s", order, err)
					}
				}
			}
		})
	}
}

func TestNanos(t *testing.T) {
	tests := []struct {
		name  string
		iface iface
		ticks uint64
		want  int64
		ok    bool
	}{
		{"zero", iface{exp: 6}, 0, 0, true},
		{"last microsecond", iface{exp: 6}, math.MaxInt64/1000 - 1_000_000, (math.MaxInt64/1000 - 1_000_000) * 1000, true},
		{"after 2262", iface{exp: 6}, math.MaxInt64, 0, false},
		{"all bits", iface{exp: 6}, math.MaxUint64, 0, false},
		{"all bits, nanoseconds", iface{exp: 9}, math.MaxUint64, 0, false},
		{"all bits, seconds", iface{exp: 0}, math.MaxUint64, 0, false},
		{"all bits, powers of two", iface{binary: true, exp: 0}, math.MaxUint64, 0, false},
		{"all bits, 2^-63", iface{binary: true, exp: 63}, math.MaxUint64, 1_999_999_999, true},
		{"all bits, 2^-127", iface{binary: true, exp: 127}, math.MaxUint64, 0, true},
		{"10^-28", iface{exp: 28}, math.MaxUint64, 1, true},
		{"10^-29", iface{exp: 29}, math.MaxUint64, 0, false},
		{"before 1970", iface{exp: 6, offset: -2}, 1_000_000, 0, false},
		{"offset of all time", iface{exp: 6, offset: math.MaxInt64}, 1, 0, false},
		{"offset before all time", iface{exp: 6, offset: math.MinInt64}, 1, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if ns, ok := tt.iface.nanos(tt.ticks); ns != tt.want || ok != tt.ok {
				t.Errorf("nanos(%d) = %d, %t, want %d, %t", tt.ticks, ns, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestBadTimes(t *testing.T) {
	n := &ng{o: binary.LittleEndian}
	n.section().iface(1, 0).packet(0, math.MaxUint64, "a").packet(0, 5, "b").packet(0, math.MaxUint64, "c")
	src := NewReader(bytes.NewReader(n.b), "f")
	want := []got{{"a", 0, 1, 1, 0}, {"b", 5000, 1, 1, 0}, {"c", 5000, 1, 1, 0}}
	if diff := cmp.Diff(want, readAll(t, src)); diff != "" {
		t.Errorf("packets (-want +got)\n%s", diff)
	}
	if w, _ := problems(src); w != "f: 2 packets have no time from 1970 to 2262; each got that of the packet before" {
		t.Errorf("warning %q", w)
	}
}

func TestDrops(t *testing.T) {
	n := &ng{o: binary.LittleEndian}
	count := func(code uint16, v uint64) opt { return opt{code, n.u64(v)} }
	start := opt{2, []byte{0, 0, 0, 0, 9, 0, 0, 0}}
	n.section().iface(1, 0).iface(1, 0).
		statistics(0, start, count(4, 100), count(5, 1), count(7, 10)).
		statistics(0, start, count(5, 2), count(7, 30)). // the same counters later
		statistics(1, count(7, 5)).
		statistics(1, count(7, math.MaxUint64)). // not known
		obsolete(0, 4, 1, "x").obsolete(0, math.MaxUint16, 1, "x").
		section().iface(1, 0).statistics(0, count(7, 1000))
	src := NewReader(bytes.NewReader(n.b), "f")
	readAll(t, src)
	if st := src.Stats(); st.Dropped != 30+5+4+1000 || st.IfDropped != 2 {
		t.Errorf("dropped %d, %d by the interface, want 1039, 2", st.Dropped, st.IfDropped)
	}
}
