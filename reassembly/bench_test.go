package reassembly

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/tcpassembly"

	"btcsniff/record"
	"btcsniff/segment"
)

type netAddr = netip.AddrPort

// addr is the i-th of many endpoints.
func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 16), byte(i >> 8)}), uint16(1024+i&0xff)) // RFC 2544
}

// discard is a Conn that does nothing.
type discard struct{}

func (discard) Data(bool, []byte, record.Time) {}
func (discard) Gap(bool, int64)                {}
func (discard) Close(record.ConnEnd)           {}

func newDiscard() *Assembler {
	return New(Config{
		Capture:  &record.Capture{Sensor: "test"},
		NewConn:  func(*record.Conn) Conn { return discard{} },
		MaxTable: 1 << 30,
	})
}

var (
	remote  = netip.MustParseAddrPort("198.51.100.2:40001")
	node    = netip.MustParseAddrPort("192.0.2.1:8333")
	payload = make([]byte, 512)
)

// open gives an Assembler n connections with a byte each.
func open(a *Assembler, n int) {
	for i := range n {
		a.Segment(&segment.Segment{Src: addr(i), Dst: node, Seq: 999, Flags: segment.SYN}, scriptStart, uint64(i))
		a.Segment(&segment.Segment{Src: addr(i), Dst: node, Seq: 1000, Payload: payload[:1]}, scriptStart, uint64(i))
	}
}

// TestInOrderAllocatesNothing is a promise: a segment that continues its flow costs no allocation.
func TestInOrderAllocatesNothing(t *testing.T) {
	a := newDiscard()
	open(a, 10)
	s := segment.Segment{Src: addr(3), Dst: node, Seq: 1001, Flags: segment.ACK, Payload: payload}
	ack := segment.Segment{Src: node, Dst: addr(3), Flags: segment.ACK}
	at := scriptStart
	n := testing.AllocsPerRun(1000, func() {
		at++
		a.Segment(&s, at, 0)
		s.Seq += uint32(len(payload))
		ack.Ack = s.Seq
		a.Segment(&ack, at, 0)
		a.Advance(at)
	})
	if n != 0 {
		t.Errorf("%v allocations for a segment and its acknowledgment, want 0", n)
	}
}

// TestHalfOpenMemory measures what a flow of a SYN flood costs.
func TestHalfOpenMemory(t *testing.T) {
	const n = 100_000
	a := newDiscard()
	bytes := heapGrowth(func() {
		for i := range n {
			a.Segment(&segment.Segment{Src: addr(i), Dst: node, Seq: 999, Flags: segment.SYN}, scriptStart, uint64(i))
		}
	})
	if a.Conns() != n {
		t.Fatalf("%d connections, want %d", a.Conns(), n)
	}
	perFlow := bytes / n
	t.Logf("%d bytes for each half-open connection", perFlow)
	if perFlow > 600 {
		t.Errorf("%d bytes for each half-open connection, want at most 600", perFlow)
	}
	runtime.KeepAlive(a)
}

func heapGrowth(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

var connCounts = []int{100, 3_000, 100_000}

// BenchmarkInOrder measures segments of 512 bytes that continue their flows, on connections in random order.
func BenchmarkInOrder(b *testing.B) {
	for _, n := range connCounts {
		b.Run(fmt.Sprintf("conns=%d", n), func(b *testing.B) {
			a := newDiscard()
			open(a, n)
			seqs := make([]uint32, n)
			addrs := make([]netip.AddrPort, n)
			for i := range n {
				seqs[i], addrs[i] = 1001, addr(i)
			}
			s := segment.Segment{Dst: node, Flags: segment.ACK, Payload: payload}
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			x := uint64(1)
			for b.Loop() {
				x = x*6364136223846793005 + 1442695040888963407
				i := int((x >> 33) % uint64(n))
				s.Src, s.Seq = addrs[i], seqs[i]
				seqs[i] += uint32(len(payload))
				a.Segment(&s, scriptStart, 0)
			}
			if st := a.Stats(); st.Lost+st.Stray+st.Retransmitted > 0 {
				b.Errorf("stats = %+v, want all delivered", st)
			}
		})
	}
}

// BenchmarkTCPAssembly is BenchmarkInOrder with every segment given to tcpassembly, which has seen all SYNs.
func BenchmarkTCPAssembly(b *testing.B) {
	for _, n := range connCounts {
		b.Run(fmt.Sprintf("conns=%d", n), func(b *testing.B) {
			asm := tcpassembly.NewAssembler(tcpassembly.NewStreamPool(factory{}))
			seqs := make([]uint32, n)
			addrs := make([]netip.AddrPort, n)
			when := scriptStart.Std()
			dst := node.Addr().As4()
			give := func(i int, syn bool, p []byte) {
				// The ports are in net too: a layers.TCP tells them only if it was decoded.
				ip := addrs[i].Addr().As4()
				src := [6]byte{ip[0], ip[1], ip[2], ip[3], byte(addrs[i].Port() >> 8), byte(addrs[i].Port())}
				net := gopacket.NewFlow(gopacket.EndpointInvalid, src[:], dst[:])
				tcp := layers.TCP{Seq: seqs[i], SYN: syn, BaseLayer: layers.BaseLayer{Payload: p}}
				asm.AssembleWithTimestamp(net, &tcp, when)
			}
			for i := range n {
				seqs[i], addrs[i] = 999, addr(i)
				give(i, true, nil)
				seqs[i]++
			}
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			x := uint64(1)
			for b.Loop() {
				x = x*6364136223846793005 + 1442695040888963407
				i := int((x >> 33) % uint64(n))
				give(i, false, payload)
				seqs[i] += uint32(len(payload))
			}
		})
	}
}

type factory struct{}

func (factory) New(_, _ gopacket.Flow) tcpassembly.Stream { return noStream{} }

type noStream struct{}

func (noStream) Reassembled([]tcpassembly.Reassembly) {}
func (noStream) ReassemblyComplete()                  {}

// BenchmarkSwapped measures pairs of segments that come swapped, so that the first of them is held.
func BenchmarkSwapped(b *testing.B) {
	a := newDiscard()
	open(a, 100)
	s := segment.Segment{Src: addr(3), Dst: node, Payload: payload}
	b.SetBytes(2 * int64(len(payload)))
	b.ReportAllocs()
	seq, at := uint32(1001), scriptStart
	for b.Loop() {
		at = at.Add(time.Microsecond)
		s.Seq = seq + uint32(len(payload))
		a.Segment(&s, at, 0)
		s.Seq = seq
		a.Segment(&s, at, 0)
		seq += 2 * uint32(len(payload))
	}
}
