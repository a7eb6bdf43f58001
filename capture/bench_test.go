package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// TestAllocs is the promise that reading a packet allocates nothing.
func TestAllocs(t *testing.T) {
	var f pcapFile
	n := &ng{o: binary.LittleEndian}
	n.section().iface(1, 0)
	for i := range uint32(20_000) {
		f.packets = append(f.packets, pcapPacket{sec: i, data: "0123456789012345678901234567890123456789012345678901234567890123"})
		n.packet(0, uint64(i), "0123456789")
	}
	for name, b := range map[string][]byte{"pcap": f.bytes(), "pcapng": n.b} {
		src := NewReader(bytes.NewReader(b), name)
		var p Packet
		next := func() {
			if err := src.Next(context.Background(), &p); err != nil {
				t.Fatal(err)
			}
		}
		next()
		if got := testing.AllocsPerRun(15_000, next); got != 0 {
			t.Errorf("%s: %v allocations a packet", name, got)
		}
	}
}

// bench makes a pcap file of 300 MB: 717,000 packets, a quarter of them large, half of them acknowledgements.
func bench(b *testing.B) (path string, packets int) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "bench.pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	out := pcapFile{}.bytes()
	data := make([]byte, 1514)
	for packets = range 717_000 {
		n := 66
		switch {
		case packets%4 == 0:
			n = 1260
		case packets%4 == 1:
			n = 210
		}
		out = binary.LittleEndian.AppendUint32(out, 1_600_000_000+uint32(packets/10_000))
		out = binary.LittleEndian.AppendUint32(out, uint32(packets%10_000)*100)
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
		out = append(out, data[:n]...)
		if len(out) > 1<<20 {
			if _, err := f.Write(out); err != nil {
				b.Fatal(err)
			}
			out = out[:0]
		}
	}
	if _, err := f.Write(out); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path, packets + 1
}

func readOurs(b *testing.B, paths ...string) (packets int) {
	src, err := Open(paths, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	var p Packet
	for {
		err := src.Next(context.Background(), &p)
		if err == io.EOF {
			return packets
		}
		if err != nil {
			b.Fatal(err)
		}
		packets++
	}
}

func readPcapgo(b *testing.B, path string) (packets int) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	for {
		_, _, err := r.ZeroCopyReadPacketData()
		if err == io.EOF {
			return packets
		}
		if err != nil {
			b.Fatal(err)
		}
		packets++
	}
}

// BenchmarkFile reads a file of 300 MB with this package and with pcapgo's ZeroCopyReadPacketData, by turns. pcapgo/ours is the
// ratio of their times.
func BenchmarkFile(b *testing.B) {
	path, packets := bench(b)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	readOurs(b, path) // into the page cache
	var theirs time.Duration
	b.ReportAllocs()
	b.SetBytes(info.Size())
	b.ResetTimer()
	for range b.N {
		if n := readOurs(b, path); n != packets {
			b.Fatalf("%d packets, want %d", n, packets)
		}
		b.StopTimer()
		start := time.Now() //nolint:forbidigo // a benchmark of two things needs a clock
		if n := readPcapgo(b, path); n != packets {
			b.Fatalf("pcapgo: %d packets, want %d", n, packets)
		}
		theirs += time.Since(start)
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(theirs)/float64(b.Elapsed()), "pcapgo/ours")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*packets), "ns/packet")
}

// BenchmarkMerge reads the same packets as eight captures at the same time.
func BenchmarkMerge(b *testing.B) {
	path, packets := bench(b)
	whole, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	out := [8][]byte{}
	for at, i := 24, 0; at < len(whole); i++ {
		size := 16 + int(binary.LittleEndian.Uint32(whole[at+8:]))
		out[i%8] = append(out[i%8], whole[at:at+size]...)
		at += size
	}
	for i, o := range out {
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".pcap"), append(whole[:24:24], o...), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(whole)))
	b.ReportAllocs()
	for b.Loop() {
		if n := readOurs(b, dir); n != packets {
			b.Fatalf("%d packets, want %d", n, packets)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*packets), "ns/packet")
}
