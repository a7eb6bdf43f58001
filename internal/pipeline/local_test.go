package pipeline_test

import (
	"fmt"
	"net/netip"
	"testing"

	"btcsniff/capture"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
)

// A star is a node with its peers: from its first packet on, each packet comes from the next peer.
type star struct {
	node  string
	first int // packet in the capture
	peers int
}

// acks returns n packets, which the stars send in turn.
func acks(n int, stars []star) []capture.Packet {
	packets := make([]capture.Packet, n)
	sent := make([]int, len(stars))
	for i := range packets {
		on := i % len(stars)
		if i < stars[on].first {
			on = 0
		}
		peer := sent[on] % stars[on].peers
		sent[on]++
		frame := pcaptest.Ethernet.AppendFrame(nil, &pcaptest.Segment{
			Src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(on), byte(peer)}), 8333), // RFC 2544
			Dst: netip.AddrPortFrom(netip.MustParseAddr(stars[on].node), 40000),
		})
		packets[i] = capture.Packet{Data: frame, Len: len(frame), Link: 1, Time: pcaptest.Start + int64(i)*1000}
	}
	return packets
}

// TestLocalSoon checks when the first packets of a busy node are enough to tell its addresses, and that they are not while new connections
// come that have no end there. A second node whose packets come later was seen if they were waited for.
func TestLocalSoon(t *testing.T) {
	const a, b = "192.0.2.10", "192.0.2.20"
	both := fmt.Sprintf("[{%s/32 has connections with 150 other addresses} {%s/32 has connections with 50 other addresses}]", a, b)
	one := fmt.Sprintf("[{%s/32 has connections with 150 other addresses}]", a)
	for _, tt := range []struct {
		name  string
		stars []star
		want  string
	}{
		{"settled after 8,192", []star{{a, 0, 150}, {b, 8_192, 50}}, one},
		{"another node before", []star{{a, 0, 150}, {b, 8_000, 50}}, both},
		{"another node just after the first look", []star{{a, 0, 150}, {b, 4_097, 50}}, both},
		{"few addresses prove nothing", []star{{a, 0, 60}, {b, 32_000, 50}},
			fmt.Sprintf("[{%s/32 has connections with 60 other addresses} {%s/32 has connections with 50 other addresses}]", a, b)},
		{"never more than 32,768", []star{{a, 0, 60}, {b, 32_768, 50}}, fmt.Sprintf("[{%s/32 has connections with 60 other addresses}]", a)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &paced{packets: acks(40_000, tt.stars), info: []capture.Info{{Name: "x"}}, left: 1, quiet: func() {}}
			res, err := pipeline.Run(t.Context(), src, pipeline.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(res.Local); got != tt.want {
				t.Errorf("local addresses %s, want %s", got, tt.want)
			}
		})
	}
}
