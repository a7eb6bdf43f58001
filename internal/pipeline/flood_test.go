package pipeline_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/capture"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
	"btcsniff/record"
	"btcsniff/sink"
)

// A flood is a source with a SYN from a new address before and after every packet of another source.
type flood struct {
	capture.Source
	each int // SYNs before each packet
	left int // before the next packet, which is in held
	held capture.Packet
	data []byte // of held

	syn  pcaptest.Segment
	n    uint32
	buf  []byte
	heap uint64 // the largest seen
}

func (f *flood) Next(ctx context.Context, p *capture.Packet) error {
	if f.left > 0 {
		f.left--
		f.n++
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 198<<24|18<<16|f.n/50_000) // RFC 2544
		f.syn.Src = netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+f.n%50_000))
		f.buf = pcaptest.Ethernet.AppendFrame(f.buf[:0], &f.syn)
		*p = capture.Packet{Data: f.buf, Time: f.held.Time, Len: len(f.buf), Link: f.held.Link}
		if f.n%50_000 == 0 {
			f.look()
		}
		return nil
	}
	if f.held.Data != nil {
		*p = f.held
		f.held.Data = nil
		return nil
	}
	if err := f.Source.Next(ctx, &f.held); err != nil {
		return err
	}
	f.data = append(f.data[:0], f.held.Data...)
	f.held.Data = f.data
	f.left = f.each
	return f.Next(ctx, p)
}

// look notes how much of the heap is in use; what is garbage does not count.
func (f *flood) look() {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	f.heap = max(f.heap, m.HeapAlloc)
}

// TestFlood has a million half-open connections beside honest ones: these are complete, and the memory ceiling holds.
func TestFlood(t *testing.T) {
	const (
		syns   = 1_000_000
		memory = 128 << 20
	)
	var file bytes.Buffer
	want := map[string]uint64{}
	cfg := pcaptest.BulkConfig{Seed: 3, Peers: 200, Rate: 6000, Duration: 10 * time.Second}
	if err := pcaptest.Bulk(&file, cfg, func(r *pcaptest.Record) { want[r.Kind.String()]++ }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "honest.pcap")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, alone := replay(t, open(t, path), pipeline.Config{})
	src := &flood{
		Source: open(t, path),
		each:   syns/int(alone.Total().PacketsRead) + 1,
		syn:    pcaptest.Segment{Dst: netip.MustParseAddrPort("192.0.2.10:8333"), Seq: 1, Flags: pcaptest.SYN},
	}
	q := sink.NewQueue(t.Context(), sink.NewNull(), sink.QueueOptions{Mixed: true})
	res, err := pipeline.Run(t.Context(), src, pipeline.Config{Sensor: "test", Memory: memory, Outputs: []*sink.Queue{q}})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	l := res.Total()
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	made := maps.Clone(l.Made)
	delete(made, record.KindConn.String())
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("records of the honest connections (-want +got):\n%s", diff)
	}
	if n := l.Made[record.KindConn.String()]; n < syns || l.EvictedConns == 0 {
		t.Errorf("%d connections, %d evicted, want more than %d, and some", n, l.EvictedConns, syns)
	}
	if src.heap > memory {
		t.Errorf("the heap had %d MiB, want at most %d", src.heap>>20, memory>>20)
	}
	t.Logf("%d SYNs, %d connections evicted, heap of up to %d MiB", src.n, l.EvictedConns, src.heap>>20)
}
