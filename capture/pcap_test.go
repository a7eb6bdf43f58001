package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestPcap(t *testing.T) {
	const sec = 1_600_000_000
	two := []pcapPacket{{sec: sec, frac: 123_456, data: "one"}, {sec: sec + 1, frac: 7, data: "three", wire: 90}}
	tests := []struct {
		name string
		file pcapFile
		want []got
	}{
		{"no packets", pcapFile{}, nil},
		{"little-endian", pcapFile{packets: two},
			[]got{{"one", sec*1e9 + 123_456_000, 3, 1, 0}, {"three", (sec+1)*1e9 + 7_000, 90, 1, 0}}},
		{"big-endian", pcapFile{order: binary.BigEndian, packets: two},
			[]got{{"one", sec*1e9 + 123_456_000, 3, 1, 0}, {"three", (sec+1)*1e9 + 7_000, 90, 1, 0}}},
		{"nanoseconds", pcapFile{magic: pcapNano, packets: two},
			[]got{{"one", sec*1e9 + 123_456, 3, 1, 0}, {"three", (sec+1)*1e9 + 7, 90, 1, 0}}},
		{"nanoseconds, big-endian", pcapFile{order: binary.BigEndian, magic: pcapNano, packets: two},
			[]got{{"one", sec*1e9 + 123_456, 3, 1, 0}, {"three", (sec+1)*1e9 + 7, 90, 1, 0}}},
		{"modified", pcapFile{magic: pcapModified, packets: two},
			[]got{{"one", sec*1e9 + 123_456_000, 3, 1, 0}, {"three", (sec+1)*1e9 + 7_000, 90, 1, 0}}},
		{"cooked v2", pcapFile{link: 276, packets: two[:1]}, []got{{"one", sec*1e9 + 123_456_000, 3, 276, 0}}},
		{"frame check sequence", pcapFile{link: 0x54000001, packets: two[:1]}, []got{{"one", sec*1e9 + 123_456_000, 3, 1, 0}}},
		{"packet without bytes", pcapFile{packets: []pcapPacket{{sec: sec, wire: 60}}}, []got{{"", sec * 1e9, 60, 1, 0}}},
		{"wire length shorter than captured", pcapFile{packets: []pcapPacket{{sec: sec, data: "four", wire: 2}}},
			[]got{{"four", sec * 1e9, 4, 1, 0}}},
		{"larger than the snap length", pcapFile{snaplen: 96, packets: []pcapPacket{{sec: sec, data: strings.Repeat("x", 2000)}}},
			[]got{{strings.Repeat("x", 2000), sec * 1e9, 2000, 1, 0}}},
		{"larger than a block", pcapFile{snaplen: 4 << 20, packets: []pcapPacket{{sec: sec, data: strings.Repeat("x", 3<<20)}}},
			[]got{{strings.Repeat("x", 3<<20), sec * 1e9, 3 << 20, 1, 0}}},
		{"last time", pcapFile{packets: []pcapPacket{{sec: 1<<32 - 1, frac: 999_999, data: "z"}}},
			[]got{{"z", (1<<32-1)*1e9 + 999_999_000, 1, 1, 0}}},
		{"fraction of more than a second", pcapFile{packets: []pcapPacket{{sec: sec, frac: 1<<32 - 1, data: "z"}}},
			[]got{{"z", sec*1e9 + (1<<32-1)*1000, 1, 1, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, pack := range []struct {
				name string
				f    func(testing.TB, []byte) []byte
			}{
				{"plain", func(_ testing.TB, b []byte) []byte { return b }}, {"gzip", gzipped}, {"zstd", zstded},
			} {
				b := pack.f(t, tt.file.bytes())
				for _, r := range []io.Reader{bytes.NewReader(b), iotest.HalfReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b))} {
					src := NewReader(r, "f")
					if diff := cmp.Diff(tt.want, readAll(t, src)); diff != "" {
						t.Errorf("%s: packets (-want +got)\n%s", pack.name, diff)
					}
					st := src.Stats()
					if f := st.Files[0]; f.Warning != "" || f.Err != nil || f.Packets != uint64(len(tt.want)) || st.Packets != f.Packets || st.Bytes != int64(len(b)) {
						t.Errorf("%s: stats %+v, of %d bytes", pack.name, st, len(b))
					}
				}
			}
		})
	}
}

// problems returns what was wrong with the first file.
func problems(src *Files) (warning, err string) {
	f := src.Stats().Files[0]
	if f.Err != nil {
		err = f.Err.Error()
	}
	return f.Warning, err
}

func TestBroken(t *testing.T) {
	one := pcapFile{packets: []pcapPacket{{sec: 1, data: "one"}}}.bytes()
	with := func(b []byte, more ...byte) []byte { return append(append([]byte(nil), b...), more...) }
	le := func() *ng { return &ng{o: binary.LittleEndian} }
	tests := []struct {
		name    string
		file    []byte
		packets int
		warning string // part of it
		err     string // part of it
	}{
		{"empty", nil, 0, "", "f: empty (0 bytes)"},
		{"empty, compressed", gzipped(t, nil), 0, "", "f: empty (0 bytes)"},
		{"text", []byte("hello, world\n"), 0, "", "f: no packet capture but text; give pcap or pcapng"},
		{"text, compressed", zstded(t, []byte("hello, world\n")), 0, "", "but text"},
		{"one letter", []byte("x"), 0, "", "but text"},
		{"xz", []byte("\xfd7zXZ\x00......"), 0, "", "xz -d"},
		{"binary", []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08"), 0, "", "begins with 00 01 02 03 04 05 06 07"},
		{"version 3", pcapFile{major: 3}.bytes(), 0, "", "version 3.4"},
		{"header cut off", one[:23], 0, "", "f: cut off within its header at offset 0; there is nothing to read"},
		{"magic cut off", one[:3], 0, "", "within its header"},
		{"packet too long", with(one, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0), 1, "",
			"f: damaged at offset 43: a packet of 4294967295 bytes"},
		{"zeros at the end", with(one, make([]byte, 100)...), 1, "f: nothing but zeros from offset 43 on", ""},
		{"gzip cut off", gzipped(t, one)[:20], 0, "", "cut off within its header"},
		{"gzip header cut off", gzipped(t, one)[:8], 0, "", "cut off within its gzip header"},
		{"pcapng: header cut off", le().section().b[:20], 0, "", "cut off within a block at offset 0; there is nothing to read"},
		{"gzip damaged", with(with(gzipped(t, one)[:12], 0xff, 0xff, 0xff, 0xff), gzipped(t, one)[16:]...), 0, "", "f: unpack at offset 0: "},
		{"pcapng: byte order", with([]byte{0x0a, 0x0d, 0x0d, 0x0a}, make([]byte, 24)...), 0, "", "goes on otherwise"},
		{"pcapng: zeros at the end", with(le().section().b, make([]byte, 100)...), 0, "zeros from offset 28 on", ""},
		{"pcapng: interface unknown", le().section().packet(0, 1, "x").b, 0, "", "interface 0, which was not described"},
		{"pcapng: interface of the section before", le().section().iface(1, 0).section().packet(0, 1, "x").b, 0, "", "not described"},
		{"pcapng: length at the end differs", with(le().section().iface(1, 0).b[:48], 1, 0, 0, 0), 0, "", "damaged at offset 28: a block of 24 bytes whose end says 1"},
		{"pcapng: block too short", with(le().section().b, 6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0), 0, "", "a block of 8 bytes"},
		{"pcapng: block too long", with(le().section().b, 6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0), 0, "", "a block of 4294967292 bytes"},
		{"pcapng: unknown block cut off", with(le().section().b, 99, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0), 0, "cut off within a block at offset 40", ""},
		{"pcapng: packet longer than its block", le().section().iface(1, 0).block(blockEnhanced,
			[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0}).b, 0, "", "a packet of 4294967295 bytes in a block with room for 0"},
		{"pcapng: version 2", le().block(blockSection, []byte{0x4d, 0x3c, 0x2b, 0x1a, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}).b, 0, "", "version 2.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := NewReader(bytes.NewReader(tt.file), "f")
			if n := len(readAll(t, src)); n != tt.packets {
				t.Errorf("%d packets, want %d", n, tt.packets)
			}
			warning, err := problems(src)
			if (warning == "") != (tt.warning == "") || !strings.Contains(warning, tt.warning) {
				t.Errorf("warning %q, want %q", warning, tt.warning)
			}
			if (err == "") != (tt.err == "") || !strings.Contains(err, tt.err) {
				t.Errorf("error %q, want %q", err, tt.err)
			}
		})
	}
}

// TestPrefixes cuts files at each byte: their whole packets come out, and the offset of what was cut off is said.
func TestPrefixes(t *testing.T) {
	pcap := pcapFile{packets: []pcapPacket{{sec: 1, data: "one"}, {sec: 2}, {sec: 3, data: "three"}}}.bytes()
	n := &ng{o: binary.BigEndian}
	ends := map[int]int{} // packets by offset
	n.section().iface(1, 0).packet(0, 1, "one")
	ends[len(n.b)] = 1
	n.block(0x99, []byte("unknown")).packet(0, 2, "two")
	ends[len(n.b)] = 2
	tests := []struct {
		name  string
		file  []byte
		first int         // bytes of the header
		ends  map[int]int // packets that are whole at an offset
		clean []int       // offsets where nothing is cut off
	}{
		{"pcap", pcap, 24, map[int]int{43: 1, 59: 2, 80: 3}, []int{24, 43, 59, 80}},
		{"pcapng", n.b, 28, ends, []int{28, 52, 88, 108, 144}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for cut := 1; cut <= len(tt.file); cut++ {
				want, at := 0, 0
				for end, n := range tt.ends {
					if end <= cut {
						want = max(want, n)
					}
				}
				whole := false
				for _, c := range tt.clean {
					whole = whole || c == cut
					if c <= cut {
						at = c
					}
				}
				src := NewReader(bytes.NewReader(tt.file[:cut]), "f")
				if n := len(readAll(t, src)); n != want {
					t.Errorf("[:%d]: %d packets, want %d", cut, n, want)
				}
				warning, err := problems(src)
				if header := src.Stats().Files[0].Header; header != (cut >= tt.first) {
					t.Errorf("[:%d]: header read: %v", cut, header)
				}
				if cut < tt.first { // there is nothing in it
					warning, err = err, warning
				}
				if err != "" {
					t.Errorf("[:%d]: error %s", cut, err)
				}
				if whole != (warning == "") {
					t.Errorf("[:%d]: warning %q", cut, warning)
				}
				// Of a block that is skipped, the place where it breaks off is said.
				if says := fmt.Sprintf("offset %d;", at); !whole && at != 88 && !strings.Contains(warning, says) {
					t.Errorf("[:%d]: warning %q, want %q", cut, warning, says)
				}
			}
		})
	}
}

func TestReadError(t *testing.T) {
	b := pcapFile{packets: []pcapPacket{{sec: 1, data: "one"}, {sec: 2, data: "two"}}}.bytes()
	src := NewReader(io.MultiReader(bytes.NewReader(b[:45]), iotest.ErrReader(io.ErrClosedPipe)), "f")
	if n := len(readAll(t, src)); n != 1 {
		t.Errorf("%d packets, want 1", n)
	}
	if _, err := problems(src); err != "f: io: read/write on closed pipe; the packets before were read" {
		t.Errorf("error %q", err)
	}
}
