package reassembly

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"btcsniff/segment"
)

// A scriptCase is a script and what an Assembler must make of it.
type scriptCase struct {
	name  string
	play  func(s *script)
	want  []string // connections
	stats Stats    // that the script is about: only fields that aren't zero are compared
}

var scripts = []scriptCase{
	{name: "in order", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").data(3, "de")
		s.b.ack(5).data(0, "xyz")
	}, want: []string{"a>b syn rtt=2 | abc@3 de@4 | xyz@6"}},
	{name: "one byte a segment", play: func(s *script) {
		s.handshake()
		for i, c := range "abcdef" {
			s.a.data(i, string(c))
		}
	}, want: []string{"a>b syn rtt=2 | a@3 b@4 c@5 d@6 e@7 f@8 | "}},
	{name: "swapped", play: func(s *script) {
		s.handshake()
		s.a.data(3, "def").data(0, "abc").data(6, "g")
	}, want: []string{"a>b syn rtt=2 | abc@4 def@3 g@5 | "}},
	{name: "doubled", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").data(0, "abc").data(3, "def").data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@5 | "}, stats: Stats{Retransmitted: 6}},
	{name: "every packet captured twice", play: func(s *script) {
		s.a.syn()
		s.same()
		s.a.syn()
		s.b.synAck()
		s.same()
		s.b.synAck()
		s.a.ack(0)
		s.same()
		s.a.ack(0).data(0, "abc")
		s.same()
		s.a.data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@3 | "}, stats: Stats{Retransmitted: 3}},
	{name: "overlap with other boundaries", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abcd").data(2, "cdef").data(1, "bcdefgh").data(0, "ab")
	}, want: []string{"a>b syn rtt=2 | abcd@3 ef@4 gh@5 | "}, stats: Stats{Retransmitted: 2 + 5 + 2}},
	{name: "first captured wins", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abcd").data(2, "XXef")
	}, want: []string{"a>b syn rtt=2 | abcd@3 ef@4 | "}},
	{name: "first captured wins among held bytes", play: func(s *script) {
		s.handshake()
		s.a.data(4, "efgh").data(2, "CDXXXXIJ").data(6, "YYYYY").data(0, "abZZZZZZZZZZ")
	}, want: []string{"a>b syn rtt=2 | ab@6 CD@4 efgh@3 IJ@4 Y@5 Z@6 | "}},
	{name: "segment around held ones", play: func(s *script) {
		s.handshake()
		s.a.data(2, "c").data(4, "e").data(6, "g").data(0, "ABCDEFGH")
	}, want: []string{"a>b syn rtt=2 | AB@6 c@3 D@6 e@4 F@6 g@5 H@6 | "}},
	{name: "hole that fills after 20 s", play: func(s *script) {
		s.handshake()
		s.a.data(3, "def")
		s.wait(20 * time.Second).b.ack(0)
		s.a.data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@20005 def@3 | "}},
	{name: "hole that never fills, not acknowledged", play: func(s *script) {
		s.handshake()
		s.b.ack(0)
		s.a.data(3, "def")
		s.wait(29*time.Second).a.data(6, "g")
		s.wait(2*time.Second).a.data(0, "abc")
		s.a.data(7, "h")
	}, want: []string{"a>b syn rtt=2 | -3 def@4 g@29005 h@31007 | "}, stats: Stats{Late: 3, Lost: 3, Holes: 1}},
	{name: "hole that never fills, acknowledged", play: func(s *script) {
		s.handshake()
		s.a.data(3, "def")
		s.b.ack(6)
		s.wait(1100*time.Millisecond).a.data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | -3 def@3 | "}, stats: Stats{Late: 3, Lost: 3, Holes: 1}},
	{name: "hole that fills after its acknowledgment", play: func(s *script) {
		s.handshake()
		s.a.data(3, "def")
		s.b.ack(6)
		s.wait(900*time.Millisecond).a.data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@905 def@3 | "}},
	{name: "hole acknowledged late, filled right after", play: func(s *script) {
		s.handshake()
		s.a.data(3, "def")
		s.wait(10 * time.Second).b.ack(6)
		s.wait(40*time.Millisecond).a.data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@10045 def@3 | "}},
	{name: "acknowledged hole on a busy connection is not waited for longer", play: func(s *script) {
		s.handshake()
		s.a.data(3, "def")
		for i := range 120 {
			s.b.ack(6 + i)
			s.wait(10*time.Millisecond).a.data(6+i, "x")
		}
		s.a.data(0, "abc")
	}, stats: Stats{Late: 3, Lost: 3, Holes: 1}},
	{name: "several holes", play: func(s *script) {
		s.handshake()
		s.a.data(2, "c").data(4, "e").data(6, "g").data(1, "b").data(3, "d")
		s.wait(31*time.Second).a.data(7, "h")
	}, want: []string{"a>b syn rtt=2 | -1 b@6 c@3 d@7 e@4 -1 g@5 h@31008 | "}, stats: Stats{Holes: 2, Lost: 2}},
	{name: "hole at the end", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").data(5, "fg").fin(7)
	}, want: []string{"a>b syn rtt=2 | abc@3 -2 fg@4 | "}, stats: Stats{Holes: 1}},

	{name: "joined mid-stream", play: func(s *script) {
		s.a.data(100, "abc").data(103, "def")
		s.wait(2*time.Second).a.data(106, "g")
	}, want: []string{"a~b | abc@0 def@1 g@2002 | "}},
	{name: "joined mid-stream, swapped", play: func(s *script) {
		s.a.data(103, "def").data(100, "abc").data(106, "g")
	}, want: []string{"a~b | abc@1 def@0 g@2 | "}},
	{name: "joined mid-stream, swapped in one microsecond", play: func(s *script) {
		s.a.data(106, "g")
		s.same()
		s.a.data(103, "def")
		s.same()
		s.a.data(100, "abc")
	}, want: []string{"a~b | abcdefg@0 | "}},
	{name: "joined mid-stream, acknowledged below: the rest is waited for", play: func(s *script) {
		s.b.ack(100)
		s.a.data(103, "def")
		s.wait(10*time.Second).a.data(100, "abc")
	}, want: []string{"b~a |  | abc@10002 def@1"}},
	{name: "joined mid-stream, acknowledged exactly", play: func(s *script) {
		s.b.ack(103)
		s.a.data(103, "def")
		s.wait(100*time.Millisecond).a.data(100, "abc")
	}, want: []string{"b~a |  | def@1"}, stats: Stats{Retransmitted: 3}},
	{name: "joined mid-stream, acknowledged above", play: func(s *script) {
		s.a.data(103, "def")
		s.b.ack(106)
		s.wait(40*time.Millisecond).a.data(100, "abc")
		s.wait(100*time.Millisecond).a.data(97, "xxx")
	}, want: []string{"a~b | abc@42 def@0 | "}, stats: Stats{Retransmitted: 3}},
	{name: "joined mid-stream with a hole", play: func(s *script) {
		s.a.data(100, "abc").data(106, "ghi")
		s.wait(5*time.Second).a.data(103, "def")
	}, want: []string{"a~b | abc@0 def@5002 ghi@1 | "}},
	{name: "busy connection joined mid-stream starts within a second", play: func(s *script) {
		for i := range 100 {
			s.wait(10*time.Millisecond).a.data(100+i, "x")
			s.b.ack(100 + i)
		}
		s.a.data(99, "w")
	}, stats: Stats{Retransmitted: 1}},
	{name: "SYN captured after data", play: func(s *script) {
		s.a.data(0, "abc").syn().peer.synAck().peer.ack(0)
	}, want: []string{"a>b syn rtt=2 | abc@0 | "}},
	{name: "SYN captured after SYN-ACK and data", play: func(s *script) {
		s.b.synAck()
		s.a.data(3, "def").data(0, "abc").syn()
	}, want: []string{"a>b syn | abc@2 def@1 | "}},
	{name: "SYN captured after the other side's data", play: func(s *script) {
		s.b.data(0, "xyz")
		s.a.data(0, "abc").syn()
		s.b.synAck()
	}, want: []string{"a>b syn | abc@1 | xyz@0"}},
	{name: "only the SYN-ACK of the opening captured", play: func(s *script) {
		s.b.synAck()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
	}, want: []string{"a>b syn | abc@1 | xyz@2"}},
	{name: "lost first segment", play: func(s *script) {
		s.handshake()
		s.a.data(3, "def")
		s.b.ack(6)
		s.wait(2*time.Second).b.data(0, "x")
	}, want: []string{"a>b syn rtt=2 | -3 def@3 | x@2005"}},

	{name: "wrap, in order", play: func(s *script) {
		s.a.isn = 0xffff_ffff - 5
		s.handshake()
		s.a.data(0, "abc").data(3, "def").data(6, "ghi")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@4 ghi@5 | "}},
	{name: "wrap within a segment", play: func(s *script) {
		s.a.isn = 0xffff_ffff - 5
		s.handshake()
		s.a.data(0, "abcdefgh").data(2, "cdefghij")
	}, want: []string{"a>b syn rtt=2 | abcdefgh@3 ij@4 | "}},
	{name: "wrap, out of order", play: func(s *script) {
		s.a.isn = 0xffff_ffff - 5
		s.handshake()
		s.a.data(6, "ghi").data(3, "def").data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@5 def@4 ghi@3 | "}},
	{name: "wrap, held bytes overlap", play: func(s *script) {
		s.a.isn = 0xffff_ffff - 5
		s.handshake()
		s.a.data(2, "cdefgh").data(4, "XXXXXX").data(0, "YYYYYYYYYYYY")
	}, want: []string{"a>b syn rtt=2 | YY@5 cdefgh@3 XX@4 YY@5 | "}},
	{name: "wrap in a hole", play: func(s *script) {
		s.a.isn = 0xffff_ffff - 5
		s.handshake()
		s.a.data(0, "abc").data(9, "jkl").fin(12)
		s.wait(31*time.Second).a.data(12, "m")
	}, want: []string{"a>b syn rtt=2 | abc@3 -6 jkl@4 m@31006 | "}},
	{name: "wrap, joined mid-stream", play: func(s *script) {
		s.a.isn = 0xffff_ffff - 5
		s.a.data(6, "ghi").data(3, "def")
	}, want: []string{"a~b | def@1 ghi@0 | "}},
	{name: "sequence number 0 begins a held segment", play: func(s *script) {
		s.a.isn = 0xffff_ffff - 3
		s.handshake()
		s.a.data(3, "def").data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@4 def@3 | "}},

	{name: "port reused, SYN-ACK", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
		s.a.isn, s.b.isn = 5_000_000, 77
		s.handshake()
		s.a.data(0, "ABC")
		s.b.data(0, "XYZ")
	}, want: []string{"a>b syn rtt=2 | abc@3 | xyz@4", "a>b syn rtt=2 | ABC@8 | XYZ@9"}},
	{name: "port reused by the other side", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.isn, s.b.isn = 5_000_000, 77
		s.b.syn()
		s.a.synAck()
		s.b.ack(0).data(0, "XYZ")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "b>a syn rtt=2 | XYZ@7 | "}},
	{name: "port reused, SYN sent twice", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.isn, s.b.isn = 5_000_000, 77
		s.a.noAck = true
		s.a.syn()
		s.wait(time.Second)
		s.handshake()
		s.a.data(0, "ABC")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a>b syn | ABC@1008 | "}},
	{name: "port reused, SYN-ACK not captured, data tells", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.isn, s.b.isn = 5_000_000, 77
		s.a.noAck = true
		s.a.syn().data(0, "ABC")
		s.b.data(0, "XYZ")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a>b syn | ABC@5 | XYZ@6"}},
	{name: "port reused, SYN-ACK not captured, the other side's data tells", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
		s.a.isn, s.b.isn = 5_000_000, 77
		s.a.noAck = true
		s.a.syn()
		s.b.ack(0).data(0, "XYZ")
		s.a.data(0, "ABC")
	}, want: []string{"a>b syn rtt=2 | abc@3 | xyz@4", "a>b syn | ABC@8 | XYZ@7"}},
	{name: "port reused, the new numbers begin a little above the old", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.isn += 1000
		s.b.isn += 2000
		s.a.noAck = true
		s.a.syn().data(0, "ABC")
		s.b.ack(3).data(0, "XYZ")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a>b syn | ABC@5 | XYZ@7"}},
	{name: "port reused after a mid-stream start, the new numbers lie within what was captured", play: func(s *script) {
		s.a.data(0, strings.Repeat("a", 1000))
		s.b.data(0, "xyz")
		s.wait(2*time.Second).a.data(1000, "b")
		s.a.isn += 500
		s.b.isn = 77
		s.handshake()
		s.a.data(0, "ABC")
		s.b.data(0, "XYZ")
	}, want: []string{"a~b | aaaaaaaa...(1000)@0 b@2002 | xyz@1", "a>b syn rtt=2 | ABC@2006 | XYZ@2007"}},
	{name: "challenged SYN opens nothing", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		isn := s.a.isn
		s.a.isn = 5_000_000
		s.a.syn()
		s.a.isn = isn
		s.b.ack(3)
		s.a.data(3, "def").data(9, "jkl").data(6, "ghi")
		s.b.data(0, "xyz")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@6 ghi@8 jkl@7 | xyz@9"}},
	{name: "challenged SYN right at the flow's position opens nothing", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.noAck = true
		s.a.send(segment.SYN, 2, "").data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@5 | "}},
	{name: "challenged SYN, then reset and SYN again", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		old := s.a.isn
		s.a.isn = 5_000_000
		s.a.noAck = true
		s.a.syn()
		s.a.isn = old
		s.b.ack(3)
		s.a.rst(3)
		s.wait(time.Second)
		s.a.isn, s.b.isn = 5_000_000, 77
		s.handshake()
		s.a.data(0, "ABC")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a>b syn rtt=2 | ABC@1010 | "}},
	{name: "port reused after FINs", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").fin(3)
		s.b.ack(4).fin(0)
		s.a.ack(1)
		s.a.isn += 100
		s.b.isn += 100
		s.b.noAck = true
		s.a.noAck = true
		s.a.syn().data(0, "ABC")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a>b syn | ABC@9 | "}},
	{name: "port reused after RST", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.rst(0)
		s.a.isn += 10
		s.a.noAck = true
		s.a.syn().data(0, "ABC")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a>b syn | ABC@6 | "}},
	{name: "port reused after RST without a captured SYN", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.rst(0)
		s.a.isn += 1 << 30
		s.b.isn += 1 << 30
		s.a.data(0, "ABC")
		s.b.data(0, "XYZ")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a~b | ABC@5 | XYZ@6"}},
	{name: "port reused without a captured SYN", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
		s.a.isn += 1 << 30
		s.b.isn += 1 << 30
		s.a.data(0, "ABC").data(3, "DEF")
		s.b.data(0, "XYZ")
	}, want: []string{"a>b syn rtt=2 | abc@3 | xyz@4", "a~b | ABC@5 DEF@6 | XYZ@7"}},
	{name: "port reused without a captured SYN, swapped", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.isn += 1 << 30
		s.a.data(3, "DEF").data(0, "ABC")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a~b | ABC@5 DEF@4 | "}},
	{name: "port reused without a captured SYN, both sides speak", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
		s.a.isn += 1 << 30
		s.b.isn += 1 << 30
		s.a.noAck, s.b.noAck = true, true
		s.a.data(0, "ABC")
		s.b.data(0, "XYZ")
		s.a.data(3, "DEF")
		s.b.data(3, "UVW")
	}, want: []string{"a>b syn rtt=2 | abc@3 | xyz@4", "a~b | ABC@5 DEF@7 | XYZ@6 UVW@8"}},
	{name: "port reused without a captured SYN, one segment and its answer", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
		s.a.isn += 1 << 30
		s.b.isn += 1 << 30
		s.a.data(0, "ABC")
		s.b.acked = 3
		s.b.noAck = false
		s.b.data(0, "XYZ")
	}, want: []string{"a>b syn rtt=2 | abc@3 | xyz@4", "a~b | ABC@5 | XYZ@6"}},
	{name: "SYN retried with another number", play: func(s *script) {
		s.a.syn()
		s.wait(time.Second)
		s.a.isn += 12345
		s.handshake()
		s.a.data(0, "abc")
	}, want: []string{"a>b syn |  | ", "a>b syn rtt=2 | abc@1004 | "}},
	{name: "SYN refused, then retried", play: func(s *script) {
		s.a.syn()
		s.b.send(segment.RST|segment.ACK, -1, "")
		s.a.isn += 12345
		s.handshake()
		s.a.data(0, "abc")
	}, want: []string{"a>b syn |  | ", "a>b syn rtt=2 | abc@5 | "}},
	{name: "last ACK of the old connection, then a new one", play: func(s *script) {
		s.a.ack(0)
		s.a.isn, s.b.isn, s.a.noAck = 5_000_000, 77, true
		s.handshake()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
	}, want: []string{"a>b syn rtt=2 | abc@4 | xyz@5"}},
	{name: "last ACK of the old connection, then a new one from the other side", play: func(s *script) {
		s.a.ack(0)
		s.a.isn, s.b.isn, s.a.noAck = 5_000_000, 77, true
		s.b.syn()
		s.a.synAck()
		s.b.ack(0).data(0, "xyz")
		s.a.data(0, "abc")
	}, want: []string{"a~b |  | ", "b>a syn rtt=2 | xyz@4 | abc@5"}},
	{name: "SYN-ACK of nobody", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.b.acked = 3
		s.b.isn, s.b.noAck = s.b.isn+99999999, false
		s.b.send(segment.SYN|segment.ACK, -1, "payload")
		s.a.data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@5 | "}, stats: Stats{Stray: 7}},

	{name: "half-close", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").fin(3)
		s.b.ack(4)
		s.wait(10*time.Minute).b.data(0, "xyz")
		s.a.ack(3)
		s.b.fin(3)
	}, want: []string{"a>b syn rtt=2 | abc@3 | xyz@600006"}},
	{name: "FIN out of order", play: func(s *script) {
		s.handshake()
		s.a.fin(6).data(3, "def").data(0, "abc")
		s.b.fin(0)
	}, want: []string{"a>b syn rtt=2 | abc@5 def@4 | "}},
	{name: "FIN with data, out of order", play: func(s *script) {
		s.handshake()
		s.a.send(segment.FIN, 3, "def").data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@4 def@3 | "}},
	{name: "RST out of order", play: func(s *script) {
		s.handshake()
		s.a.rst(6).data(3, "def").data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@5 def@4 | "}},
	{name: "RST with data", play: func(s *script) {
		s.handshake()
		s.a.send(segment.RST, 0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@3 | "}},
	{name: "RST and FIN outside the window", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").rst(1 << 30).fin(1 << 30).rst(-1 << 20).fin(0)
		s.b.fin(1 << 30)
		s.wait(5*time.Minute).a.data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@300009 | "}},
	{name: "forged RST, and the connection goes on", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").rst(3).data(3, "def")
		s.wait(3*time.Minute).a.data(6, "ghi")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@5 ghi@180006 | "}},
	{name: "forged FINs, and the connection goes on", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").fin(3)
		s.b.fin(0)
		s.a.data(3, "def")
		s.wait(3*time.Minute).a.data(6, "ghi")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@6 ghi@180007 | "}},
	{name: "data of the other side after RST", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").rst(3)
		s.b.data(0, "xyz")
	}, want: []string{"a>b syn rtt=2 | abc@3 | xyz@5"}},
	{name: "stray RST begins nothing", play: func(s *script) {
		s.b.rst(0)
	}, want: []string{}},

	{name: "keep-alives", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").data(3, "").data(2, "").data(2, "?").data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@7 | "}, stats: Stats{Retransmitted: 1}},
	{name: "keep-alives before data of a flow joined mid-stream", play: func(s *script) {
		s.b.ack(100)
		s.a.data(99, "")
		s.wait(2*time.Second).a.data(100, "abc")
	}, want: []string{"b~a |  | abc@2002"}},
	{name: "zero-window probes", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").data(3, "d").data(3, "d").data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 d@4 ef@6 | "}, stats: Stats{Retransmitted: 2}},
	{name: "simultaneous open", play: func(s *script) {
		s.a.syn()
		s.b.syn()
		s.a.synAck()
		s.b.synAck()
		s.a.data(0, "abc")
		s.b.data(0, "xyz")
	}, want: []string{"a>b syn | abc@4 | xyz@5"}},
	{name: "TCP Fast Open", play: func(s *script) {
		s.a.send(segment.SYN, -1, "abc")
		s.b.acked = 3
		s.b.synAck()
		s.a.ack(0).data(3, "def")
		s.b.data(0, "xyz")
	}, want: []string{"a>b syn rtt=2 | abc@0 def@3 | xyz@4"}},
	{name: "TCP Fast Open, data refused and sent again", play: func(s *script) {
		s.a.send(segment.SYN, -1, "abc")
		s.b.synAck()
		s.a.ack(0).data(0, "abcdef")
	}, want: []string{"a>b syn rtt=2 | abc@0 def@3 | "}, stats: Stats{Retransmitted: 3}},
	{name: "TCP Fast Open on a live connection's ports", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.isn, s.b.isn, s.a.noAck = 5_000_000, 77, true
		s.a.send(segment.SYN, -1, "ABC").data(3, "DEF")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a>b syn | ABC@4 DEF@5 | "}},
	{name: "64 KiB segments", play: func(s *script) {
		big := strings.Repeat("0123456789abcdef", 4096)
		s.handshake()
		s.a.data(0, big).data(2*65536, big).data(65536, big)
	}, want: []string{"a>b syn rtt=2 | 01234567...(65536)@3 01234567...(65536)@5 01234567...(65536)@4 | "}},

	{name: "cut in order", play: func(s *script) {
		s.handshake()
		s.a.cut(0, "abc", 3).cut(6, "ghi", 3).data(12, "m")
	}, want: []string{"a>b syn rtt=2 | abc@3 -3 ghi@4 -3 m@5 | "}, stats: Stats{Lost: 6, Holes: 2}},
	{name: "cut out of order", play: func(s *script) {
		s.handshake()
		s.a.cut(6, "ghi", 3).data(12, "m").cut(0, "abc", 3)
	}, want: []string{"a>b syn rtt=2 | abc@5 -3 ghi@3 -3 m@4 | "}, stats: Stats{Lost: 6, Holes: 2}},
	{name: "cut, joined mid-stream", play: func(s *script) {
		s.a.cut(0, "abc", 3).cut(6, "ghi", 3)
		s.wait(2*time.Second).a.data(12, "m")
	}, want: []string{"a~b | abc@0 -3 ghi@1 -3 m@2002 | "}, stats: Stats{Lost: 6, Holes: 2}},
	{name: "cut, joined mid-stream, swapped", play: func(s *script) {
		s.a.cut(6, "ghi", 3).cut(0, "abc", 3)
	}, want: []string{"a~b | abc@1 -3 ghi@0 -3 | "}, stats: Stats{Lost: 6, Holes: 2}},
	{name: "cut, then sent again and cut", play: func(s *script) {
		s.handshake()
		s.a.cut(0, "abc", 3).cut(0, "abc", 3).data(6, "g")
	}, want: []string{"a>b syn rtt=2 | abc@3 -3 g@5 | "}, stats: Stats{Lost: 3, Retransmitted: 3}},
	{name: "cut, then the rest sent again whole", play: func(s *script) {
		s.handshake()
		s.a.cut(0, "abc", 3).data(3, "def").data(2, "cdefg")
	}, want: []string{"a>b syn rtt=2 | abc@3 -3 g@5 | "}, stats: Stats{Lost: 3, Late: 6, Retransmitted: 1}},
	{name: "cut behind a hole, then sent again whole before the hole fills", play: func(s *script) {
		s.handshake()
		s.a.cut(3, "d", 2).data(4, "ef").data(0, "abc")
	}, want: []string{"a>b syn rtt=2 | abc@5 d@3 ef@4 | "}},
	{name: "cut behind a hole, a hole behind the cut", play: func(s *script) {
		s.handshake()
		s.a.cut(3, "d", 2).data(8, "i").data(0, "abc").data(6, "gh")
	}, want: []string{"a>b syn rtt=2 | abc@5 d@3 -2 gh@6 i@4 | "}, stats: Stats{Lost: 2, Holes: 1}},
	{name: "cut to the headers", play: func(s *script) {
		s.handshake()
		s.a.cut(0, "", 10).cut(10, "", 10).data(20, "u")
	}, want: []string{"a>b syn rtt=2 | -20 u@5 | "}},
	{name: "cut to the headers, out of order", play: func(s *script) {
		s.handshake()
		s.a.cut(10, "", 10).cut(0, "", 10).data(20, "u")
		s.b.ack(20)
		s.wait(2 * time.Second).b.ack(20)
	}, want: []string{"a>b syn rtt=2 | -20 u@5 | "}},
	{name: "cut to the headers, joined mid-stream", play: func(s *script) {
		s.a.cut(0, "", 10).cut(10, "", 10)
		s.wait(2 * time.Second).b.ack(20)
	}, want: []string{"a~b | -20 | "}},
	{name: "cut strays of a reused port", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.a.isn += 1 << 30
		s.a.cut(0, "ABC", 3).cut(6, "GHI", 3).data(12, "M")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a~b | ABC@4 -3 GHI@5 -3 M@6 | "}},

	{name: "stray segment far outside", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").data(1<<30, "stray").data(3, "def").data(-1<<30, "stray").data(6, "ghi")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@5 ghi@7 | "}, stats: Stats{Stray: 10}},
	{name: "the same stray segment twice", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc").data(1<<30, "stray").data(1<<30, "stray").data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@6 | "}, stats: Stats{Stray: 10}},

	{name: "silent connection closed, next segment begins another", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.wait(2*time.Hour+time.Second).a.data(3, "def")
	}, want: []string{"a>b syn rtt=2 | abc@3 | ", "a~b | def@7201004 | "}},
	{name: "half-open connection closed", play: func(s *script) {
		s.a.syn()
		s.wait(5*time.Minute + time.Second).a.syn()
	}, want: []string{"a>b syn |  | ", "a>b syn |  | "}, stats: Stats{Opened: 2}},
	{name: "capture clock stepped back", play: func(s *script) {
		s.handshake()
		s.a.data(0, "abc")
		s.wait(-30*time.Minute).a.data(6, "ghi").data(3, "def")
		s.b.data(0, "xyz")
	}, want: []string{"a>b syn rtt=2 | abc@3 def@-1799995 ghi@-1799996 | xyz@-1799994"}},
	{name: "handshake RTT not known after a second SYN", play: func(s *script) {
		s.a.syn()
		s.wait(time.Second)
		s.handshake()
		s.a.data(0, "abc")
	}, want: []string{"a>b syn | abc@1004 | "}},
	{name: "handshake RTT over a slow path", play: func(s *script) {
		s.a.syn()
		s.wait(300 * time.Millisecond).b.synAck()
		s.a.ack(0)
	}, want: []string{"a>b syn rtt=302 |  | "}},
}

// TestScripts plays every script over both IP versions, and with Advance called never, often and always: what is
// told must be the same.
func TestScripts(t *testing.T) {
	endpoints := map[string][2]netip.AddrPort{
		"IPv4": {netip.MustParseAddrPort("192.0.2.1:8333"), netip.MustParseAddrPort("198.51.100.2:40001")},
		"IPv6": {netip.MustParseAddrPort("[2001:db8::1]:8333"), netip.MustParseAddrPort("[2001:db8:ffff::2]:40001")},
		"IPv6, other order": {netip.MustParseAddrPort("[2001:db8:ffff::1]:8333"),
			netip.MustParseAddrPort("[2001:db8::2]:40001")},
	}
	for _, tc := range scripts {
		for version, e := range endpoints {
			for _, mode := range []string{advanceNever, advanceOften, advanceAlways} {
				t.Run(tc.name+"/"+version+"/"+mode, func(t *testing.T) {
					if mode == advanceOften && strings.Contains(tc.name, "silent") && testing.Short() {
						t.Skip("two hours in steps of 50 ms")
					}
					s := newScriptOn(e[0], e[1])
					tc.play(s)
					r, a := run(t, s.cfg, s.steps, mode)
					if diff := cmp.Diff(tc.want, r.strings()); tc.want != nil && diff != "" {
						t.Errorf("connections (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(tc.stats, onlyNamed(a.Stats(), tc.stats)); diff != "" {
						t.Errorf("stats (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// onlyNamed returns s with the fields zeroed that are zero in named.
func onlyNamed(s, named Stats) Stats {
	for _, f := range []struct{ s, named *uint64 }{
		{&s.Segments, &named.Segments}, {&s.Bytes, &named.Bytes}, {&s.Delivered, &named.Delivered},
		{&s.Retransmitted, &named.Retransmitted}, {&s.Late, &named.Late}, {&s.Stray, &named.Stray},
		{&s.Lost, &named.Lost}, {&s.Unseen, &named.Unseen}, {&s.Holes, &named.Holes}, {&s.Opened, &named.Opened},
		{&s.EvictedConns, &named.EvictedConns}, {&s.EvictedHolds, &named.EvictedHolds},
	} {
		if *f.named == 0 {
			*f.s = 0
		}
	}
	return s
}
