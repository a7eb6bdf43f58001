package reassembly

import (
	"encoding/binary"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/tcpassembly"

	"btcsniff/record"
	"btcsniff/segment"
)

// A direct gives segments to tcpassembly as its documentation says, without an Assembler of ours.
type direct struct {
	asm     *tcpassembly.Assembler
	streams []*directStream
}

// A directStream is one of tcpassembly's streams.
type directStream struct {
	flowLog
	closed bool
}

func (s *directStream) Reassembled(rs []tcpassembly.Reassembly) {
	for _, r := range rs {
		for range max(0, r.Skip) {
			s.bytes, s.times = append(s.bytes, 0), append(s.times, gapTime)
		}
		s.bytes = append(s.bytes, r.Bytes...)
		for range r.Bytes {
			s.times = append(s.times, record.Time(r.Seen.UnixMicro()))
		}
	}
}

func (s *directStream) ReassemblyComplete() { s.closed = true }

func newDirect() *direct {
	d := &direct{}
	d.asm = tcpassembly.NewAssembler(tcpassembly.NewStreamPool(d))
	return d
}

func (d *direct) New(_, _ gopacket.Flow) tcpassembly.Stream {
	s := &directStream{}
	d.streams = append(d.streams, s)
	return s
}

func (d *direct) give(st step) {
	s := &st.seg
	// The ports are in the network flow too: a layers.TCP tells them only if it was decoded.
	src := binary.BigEndian.AppendUint16(s.Src.Addr().AsSlice(), s.Src.Port())
	dst := binary.BigEndian.AppendUint16(s.Dst.Addr().AsSlice(), s.Dst.Port())
	tcp := layers.TCP{
		Seq: s.Seq,
		SYN: s.Flags&segment.SYN != 0, FIN: s.Flags&segment.FIN != 0, RST: s.Flags&segment.RST != 0,
		BaseLayer: layers.BaseLayer{Payload: s.Payload},
	}
	d.asm.AssembleWithTimestamp(gopacket.NewFlow(gopacket.EndpointInvalid, src, dst), &tcp, st.at.Std())
}

// String is each stream with a byte.
func (d *direct) String() string {
	var out []string
	for _, s := range d.streams {
		if len(s.bytes) > 0 {
			text := s.flowLog.String()
			if s.closed {
				text += " closed"
			}
			out = append(out, text)
		}
	}
	return strings.Join(out, "; ")
}

// TestWeaknesses shows what tcpassembly v1.1.19 does with what real captures have, and that an Assembler is right
// about the same segments. If a case begins to fail at want of tcpassembly, its weakness is gone.
func TestWeaknesses(t *testing.T) {
	cases := []struct {
		name  string
		play  func(s *script)
		flush time.Duration // FlushWithOptions is called with this age before each segment; 0: never
		close bool          // and it is FlushOlderThan
		limit int           // MaxBufferedPagesTotal
		want  string        // what tcpassembly makes of it
		ours  []string
	}{
		{name: "time and content of held bytes are those of the segment that sorts first", play: func(s *script) {
			s.a.syn().data(4, "efgh").data(2, "CDXX").data(0, "ab")
		}, want: "ab@3 CDXX@2 gh@1", ours: []string{"a>b syn | ab@3 CD@2 efgh@1 | "}},
		{name: "a flow without SYN is never handed over", play: func(s *script) {
			s.a.data(0, "abc").data(3, "def")
			s.wait(time.Hour).a.data(6, "ghi")
		}, want: "", ours: []string{"a~b | abc@0 def@1 ghi@3600002 | "}},
		{name: "flushed at once, it loses what came swapped", flush: time.Microsecond, play: func(s *script) {
			s.a.data(3, "def").data(0, "abc").data(6, "ghi")
			s.wait(time.Second).a.data(9, "j")
		}, want: "def@0 ghi@2 j@1003", ours: []string{"a~b | abc@1 def@0 ghi@2 j@1003 | "}},
		{name: "flushed with a closing age, a silent flow is held again", flush: time.Second, close: true, play: func(s *script) {
			s.a.syn().data(0, "abc")
			s.wait(2*time.Minute).a.data(3, "def")
		}, want: "abc@1 closed", ours: []string{"a>b syn | abc@1 def@120002 | "}},
		{name: "a reused port with lower numbers is lost", play: func(s *script) {
			s.a.syn().data(0, "abc").isn -= 500_000
			s.b.isn = 5
			s.handshake()
			s.a.data(0, "ABC")
		}, want: "abc@1", ours: []string{"a>b syn | abc@1 | ", "a>b syn rtt=2 | ABC@5 | "}},
		{name: "a reused port with higher numbers is held", play: func(s *script) {
			s.a.syn().data(0, "abc").isn += 500_000
			s.b.isn = 5
			s.handshake()
			s.a.data(0, "ABC")
		}, want: "abc@1", ours: []string{"a>b syn | abc@1 | ", "a>b syn rtt=2 | ABC@5 | "}},
		{name: "an old RST closes", play: func(s *script) {
			s.a.syn().data(0, "abc").rst(-1000).data(3, "def")
		}, want: "abc@1 closed", ours: []string{"a>b syn | abc@1 def@3 | "}},
		{name: "a FIN sent again with old numbers closes before what is held", play: func(s *script) {
			s.a.syn().data(0, "abc").data(6, "ghi").fin(1).data(3, "def")
		}, want: "abc@1 closed", ours: []string{"a>b syn | abc@1 def@4 ghi@2 | "}},
		{name: "at the limit of pages, whoever comes next loses", limit: 10, play: func(s *script) {
			x := newScriptOn(addr(7), s.b.src)
			x.a.syn()
			for i := range 20 {
				x.a.data(1901*i+1, "x")
			}
			s.steps = x.steps[:10]
			s.now = 100
			s.a.syn().data(3, "def").data(0, "abc")
		}, want: "-3 def@101", ours: []string{"b>b syn | -1 x@1 -1900 x@2 -1900 x@3 -1900 x@4 -1900 x@5 -1900 x@6 -1900 x@7 -1900 x@8 -1900 x@9 | ",
			"a>b syn | abc@102 def@101 | "}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript()
			tc.play(s)
			d := newDirect()
			d.asm.MaxBufferedPagesTotal = tc.limit
			for _, st := range s.steps {
				if tc.flush > 0 {
					d.asm.FlushWithOptions(tcpassembly.FlushOptions{T: st.at.Std().Add(-tc.flush), CloseAll: tc.close})
				}
				d.give(st)
			}
			if got := d.String(); got != tc.want {
				t.Errorf("tcpassembly: %s, want %s", got, tc.want)
			}
			r, _ := run(t, Config{MaxPages: tc.limit}, s.steps, advanceAlways)
			if diff := cmp.Diff(tc.ours, r.strings()); diff != "" {
				t.Errorf("ours (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWeaknessPages shows that tcpassembly takes a page for each byte that comes alone, and keeps all pages.
func TestWeaknessPages(t *testing.T) {
	s := newScript()
	s.a.syn()
	for i := range 12_000 {
		s.a.data(2*i+1, "x")
	}
	s.a.data(0, "x")
	d := newDirect()
	theirs := heapGrowth(func() {
		for _, st := range s.steps {
			d.give(st)
		}
		d.asm.FlushAll()
		d.streams = nil
	})
	a := newDiscard()
	a.cfg.MaxPagesPerFlow = 1 << 20
	ours := heapGrowth(func() {
		for i, st := range s.steps {
			a.Segment(&st.seg, st.at, uint64(i))
		}
		a.Advance(s.steps[len(s.steps)-1].at.Add(time.Minute))
	})
	t.Logf("after 12,000 bytes that came alone: tcpassembly keeps %d KiB, we keep %d KiB", theirs>>10, ours>>10)
	if theirs < 20<<20 {
		t.Errorf("tcpassembly keeps %d bytes, want 20 MiB: the weakness is gone", theirs)
	}
	if ours > 1<<20 {
		t.Errorf("we keep %d bytes, want at most 1 MiB", ours)
	}
	d.asm.FlushAll()
	a.Close()
}

// TestWeaknessPanic shows the panic that can be reached, by a factory that returns nil; ours doesn't. It also shows that
// importing tcpassembly registers two global flags, which is why commands have flag sets of their own.
func TestWeaknessPanic(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); got != "why?" {
			t.Errorf("panic = %q, want why?", got)
		}
	}()
	for _, name := range []string{"assembly_memuse_log", "assembly_debug_log"} {
		if flag.Lookup(name) == nil {
			t.Errorf("flag %s is not registered", name)
		}
	}
	s := newScript()
	s.a.syn().data(0, "abc")
	d := &direct{asm: tcpassembly.NewAssembler(tcpassembly.NewStreamPool(nilFactory{}))}
	for _, st := range s.steps {
		d.give(st)
	}
}

type nilFactory struct{}

func (nilFactory) New(_, _ gopacket.Flow) tcpassembly.Stream { return nil }

// TestStrengthWrap shows that tcpassembly is right where sequence numbers wrap, also while it waits.
func TestStrengthWrap(t *testing.T) {
	for back := range uint32(14) {
		s := newScript()
		s.a.isn = -back
		s.a.syn().data(9, "jkl").data(3, "def").data(6, "ghi").data(0, "abc").data(12, "mno")
		d := newDirect()
		for _, st := range s.steps {
			d.give(st)
		}
		if got, want := d.String(), "abc@4 def@2 ghi@3 jkl@1 mno@5"; got != want {
			t.Errorf("first number %d below the wrap: %s, want %s", back, got, want)
		}
	}
}
