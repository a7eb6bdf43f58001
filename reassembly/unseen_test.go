package reassembly

import (
	"testing"
	"time"

	"btcsniff/segment"
)

// at sends a segment without bytes whose sequence number is that of the offset: all before it was sent.
func (h *host) at(off int) *host { return h.send(segment.ACK, off, "") }

// TestUnseen checks the estimate of what the capture missed: bytes that were acknowledged, and that the sender's numbers are beyond.
func TestUnseen(t *testing.T) {
	const hostile = 1 << 25 // bytes ahead: less than a flow's position may be from another's
	for _, tt := range []struct {
		name string
		play func(s *script)
		want uint64 // bytes
	}{
		{"all captured", func(s *script) {
			s.handshake()
			s.a.data(0, "abc").data(3, "def")
			s.b.ack(6).data(0, "xyz")
			s.a.ack(3)
		}, 0},
		{"hole, acknowledged", func(s *script) {
			s.handshake()
			s.a.data(3, "def")
			s.b.ack(6)
			s.wait(1100*time.Millisecond).a.data(6, "g")
		}, 3},
		{"hole, acknowledged after it", func(s *script) {
			s.handshake()
			s.a.data(3, "def").data(6, "ghi")
			s.wait(20 * time.Second).b.ack(9)
		}, 3},
		{"hole, not acknowledged: the network lost it", func(s *script) {
			s.handshake()
			s.b.ack(0)
			s.a.data(3, "def")
			s.wait(31*time.Second).a.data(6, "g")
		}, 0},
		{"hole, no acknowledgment captured", func(s *script) {
			s.a.syn().data(3, "def")
			s.wait(31*time.Second).a.data(6, "g")
		}, 0},
		{"hole, acknowledged in part", func(s *script) {
			s.handshake()
			s.a.data(6, "ghi")
			s.b.ack(4)
			s.wait(31*time.Second).a.data(9, "j")
		}, 4},
		{"hole that fills after its acknowledgment", func(s *script) {
			s.handshake()
			s.a.data(3, "def")
			s.b.ack(6)
			s.wait(900*time.Millisecond).a.data(0, "abc")
		}, 0},
		{"two holes", func(s *script) {
			s.handshake()
			s.a.data(2, "c").data(5, "f")
			s.b.ack(6)
			s.wait(2*time.Second).a.data(6, "g")
		}, 4},
		{"both directions", func(s *script) {
			s.handshake()
			s.a.data(2, "c")
			s.b.ack(3).data(1, "y")
			s.a.ack(2)
			s.wait(2 * time.Second).a.at(3)
		}, 3},
		{"behind the last byte", func(s *script) {
			s.handshake()
			s.a.data(0, "abc")
			s.b.ack(10)
			s.a.at(10)
		}, 7},
		{"behind the last byte, acknowledged in part", func(s *script) {
			s.handshake()
			s.a.data(0, "abc").at(10)
			s.b.ack(8)
		}, 5},
		{"nothing but numbers after the handshake", func(s *script) {
			s.handshake()
			s.b.ack(1000)
			s.a.at(1000)
		}, 1000},
		{"numbers ahead of bytes that come: swapped by the capture", func(s *script) {
			s.handshake()
			s.a.at(6)
			s.b.ack(6)
			s.a.data(0, "abc").data(3, "def")
		}, 0},
		{"end of a stream that was captured", func(s *script) {
			s.handshake()
			s.a.data(0, "abc").fin(3)
			s.b.ack(4)
			s.a.at(4)
		}, 0},
		{"end of a stream that was not captured", func(s *script) {
			s.handshake()
			s.a.data(0, "abc")
			s.b.ack(4)
			s.a.at(4)
		}, 0},
		{"keep-alives", func(s *script) {
			s.handshake()
			s.a.data(0, "abc")
			s.b.ack(3)
			for range 3 {
				s.wait(time.Minute).a.at(2).data(2, "\x00") // RFC 9293, section 3.8.4: with one byte or none
				s.b.ack(3)
			}
		}, 0},
		{"hostile acknowledgment, nothing lost", func(s *script) {
			s.handshake()
			s.a.data(0, "abc")
			s.b.ack(hostile)
			s.a.at(3).data(3, "def").at(6)
		}, 0},
		{"hostile acknowledgments, each further", func(s *script) {
			s.handshake()
			for i := range 50 {
				s.b.ack((i + 1) << 20)
				s.a.at(0)
			}
		}, 0},
		{"hostile acknowledgment over a hole", func(s *script) {
			s.handshake()
			s.b.ack(hostile)
			s.a.data(3, "def")
			s.wait(2*time.Second).a.data(6, "g")
		}, 3},
		{"hostile numbers, not acknowledged", func(s *script) {
			s.handshake()
			s.a.data(0, "abc").at(hostile).data(hostile, "x")
			s.b.ack(3)
			s.wait(31*time.Second).a.data(hostile+1, "y")
		}, 0},
		{"numbers of another connection", func(s *script) {
			s.handshake()
			s.a.data(0, "abc").at(1 << 30)
			s.b.ack(1 << 30)
		}, 0},
		{"joined mid-stream: what was on its way before counts not", func(s *script) {
			s.b.ack(100)
			s.a.data(160, "abc")
			s.wait(31*time.Second).a.data(163, "d")
			s.b.ack(164)
		}, 0},
		{"joined mid-stream, then a hole", func(s *script) {
			s.a.data(100, "abc")
			s.b.ack(103)
			s.wait(2*time.Second).a.data(108, "def")
			s.b.ack(111)
			s.wait(2*time.Second).a.data(111, "g")
		}, 5},
		{"joined mid-stream, one direction is not captured", func(s *script) {
			s.b.ack(100)
			s.b.ack(100_000)
		}, 0},
		{"wrap within a hole", func(s *script) {
			s.a.isn = 0xffff_ffff - 5
			s.handshake()
			s.a.data(0, "abc").data(9, "jkl")
			s.b.ack(12)
			s.wait(2*time.Second).a.data(12, "m")
		}, 6},
		{"wrap behind the last byte", func(s *script) {
			s.a.isn = 0xffff_ffff - 5
			s.handshake()
			s.a.data(0, "abc").at(40)
			s.b.ack(40)
		}, 37},
		{"first number 0 behind the position", func(s *script) {
			s.a.isn = 0xffff_ffff - 20
			s.handshake()
			s.a.data(0, "abc")
			s.b.ack(40)
		}, 0},
		{"cut at the snap length", func(s *script) {
			s.handshake()
			s.a.cut(0, "ab", 5).cut(7, "cd", 5)
			s.b.ack(14)
			s.a.at(14)
		}, 0},
		{"hole, and bytes cut at the snap length", func(s *script) {
			s.handshake()
			s.a.cut(3, "de", 4).data(9, "x")
			s.b.ack(10)
			s.wait(2*time.Second).a.data(10, "y")
		}, 3},
		{"hole in front of a segment cut to its headers", func(s *script) {
			s.handshake()
			s.a.cut(0, "", 4).data(6, "x")
			s.b.ack(7)
			s.wait(2*time.Second).a.data(7, "y")
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []string{advanceNever, advanceOften, advanceAlways} {
				s := newScript()
				tt.play(s)
				_, a := run(t, s.cfg, s.steps, mode)
				if got := a.Stats().Unseen; got != tt.want {
					t.Errorf("%s: %d bytes unseen, want %d", mode, got, tt.want)
				}
				if st := a.Stats(); st.Unseen > st.Lost && tt.want < 5 {
					t.Errorf("%s: %d bytes unseen, %d lost", mode, st.Unseen, st.Lost)
				}
			}
		})
	}
}
