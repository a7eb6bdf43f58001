package segment

import (
	"bytes"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// captured is one packet of a fixture.
type captured struct {
	link uint32
	data []byte
	wire int
}

// fixture reads a classic pcap file. gopacket's reader is given the link type of Ethernet, as it can't hold 276.
func fixture(t testing.TB, path string) []captured {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	link := uint32(r.LinkType())
	if link == 276&0xff {
		link = LinkLinuxSLL2
	}
	var packets []captured
	for {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			return packets
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		packets = append(packets, captured{link, data, info.Length})
	}
}

func fixtures(t testing.TB) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir("../testdata/pcaps", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".pcap") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skip("no fixtures in testdata/pcaps")
	}
	return paths
}

// byLayers is what gopacket's layers make of a packet, or nil if they find no TCP.
func byLayers(p captured) *Segment {
	var first gopacket.Decoder = layers.LinkType(p.link)
	data := p.data
	if p.link == LinkLinuxSLL2 { // gopacket knows no such link type
		first, data = layers.EthernetType(be16(data)), data[20:]
	}
	packet := gopacket.NewPacket(data, first, gopacket.NoCopy)
	tcp, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		return nil
	}
	s := &Segment{Seq: tcp.Seq, Ack: tcp.Ack, Flags: tcp.BaseLayer.Contents[13], Payload: tcp.Payload}
	size := 0
	switch ip := packet.NetworkLayer().(type) {
	case *layers.IPv4:
		s.TTL, size = ip.TTL, int(ip.Length)-int(ip.IHL)*4
	case *layers.IPv6:
		s.TTL, size = ip.HopLimit, int(ip.Length)
	}
	s.Missing = size - int(tcp.DataOffset)*4 - len(tcp.Payload)
	src, dst := packet.NetworkLayer().NetworkFlow().Endpoints()
	s.Src, s.Dst = addrPort(src, uint16(tcp.SrcPort)), addrPort(dst, uint16(tcp.DstPort))
	return s
}

func addrPort(e gopacket.Endpoint, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(e.Raw())
	return netip.AddrPortFrom(a, port)
}

// On every fixture, Packet finds what gopacket's layers find.
func TestPacketAgainstLayers(t *testing.T) {
	for _, path := range fixtures(t) {
		t.Run(strings.TrimPrefix(filepath.ToSlash(path), "../testdata/pcaps/"), func(t *testing.T) {
			var d Dissector
			segments := 0
			for i, p := range fixture(t, path) {
				var got Segment
				reason := d.Packet(p.link, p.data, p.wire, 1, &got)
				want := byLayers(p)
				if want == nil {
					if reason != NotTCP {
						t.Fatalf("packet %d: %v, want %v: layers find no TCP", i+1, reason, NotTCP)
					}
					continue
				}
				got.Sent, got.Received = false, false
				if reason != Found || !equal(*want, got) {
					t.Fatalf("packet %d: %v (-want +got):\n%s", i+1, reason, cmp.Diff(*want, got, cmpSegment))
				}
				segments++
			}
			t.Logf("%d segments", segments)
		})
	}
}

// equal is what cmp.Diff says, some thousand times faster.
func equal(a, b Segment) bool {
	return bytes.Equal(a.Payload, b.Payload) && a.Src == b.Src && a.Dst == b.Dst && a.Seq == b.Seq && a.Ack == b.Ack &&
		a.Flags == b.Flags && a.Missing == b.Missing && a.TTL == b.TTL && a.Sent == b.Sent && a.Received == b.Received &&
		a.First == b.First
}

func FuzzPacket(f *testing.F) {
	links := []uint32{
		LinkNull, LinkEthernet, LinkPPP, LinkRawBSD, LinkPPPoE, LinkRaw, LinkLoop, LinkLinuxSLL, LinkIPv4, LinkIPv6, LinkLinuxSLL2, 105,
	}
	for _, seed := range []string{
		ether4 + ip4 + tcp20 + hello, ether6 + ip6 + tcp20 + hello, ether4[:26] + "88a8 0064 8100 0065 86dd" + ip6 + tcp20 + hello,
		ether4[:26] + "8864 1100 0001 002f 0021" + ip4 + tcp20 + hello, ether4[:26] + "8847 00064040 00065140" + ip4 + tcp20 + hello,
		ether6 + "60000000 0039 00 3f" + ip6Addresses + "2b 00 010400000000" + "3c 01 0400000000000000000000000000" + "06 00 010400000000" + tcp20 + hello,
	} {
		f.Add(uint8(1), unhex(f, seed), uint16(0), false)
	}
	for i, seed := range []string{ip4 + tcp20 + hello, ip6 + tcp20 + hello} {
		f.Add(uint8(5), unhex(f, seed), uint16(i), true)
	}
	f.Add(uint8(5), append(frag4(body(f, 100), 0, 48, 1, -1), frag4(body(f, 100), 48, 120, 1, -1)...), uint16(68), true)
	f.Add(uint8(5), append(frag6(body(f, 100), 0, 48, 1, -1), frag6(body(f, 100), 48, 120, 1, -1)...), uint16(96), true)
	f.Fuzz(func(t *testing.T, link uint8, data []byte, at uint16, two bool) {
		packets := [][]byte{data}
		if two { // two packets, so that fragments meet
			n := min(int(at), len(data))
			packets = [][]byte{data[:n], data[n:]}
		}
		var d Dissector
		for i, p := range packets {
			var s Segment
			wire := len(p) + int(at)*i
			if d.Packet(links[int(link)%len(links)], p, wire, int64(at), &s) != Found {
				continue
			}
			if s.Missing < 0 || s.First == 0 && len(s.Payload)+s.Missing > max(wire, 0xffff) {
				t.Fatalf("payload of %d bytes, %d missing, in a packet of %d", len(s.Payload), s.Missing, wire)
			}
			if !s.Src.IsValid() || !s.Dst.IsValid() || s.Src.Addr().BitLen() != s.Dst.Addr().BitLen() {
				t.Fatalf("endpoints %v, %v", s.Src, s.Dst)
			}
		}
	})
}

// benchPackets is what a node's capture mostly is: acknowledgements, message headers, payloads.
func benchPackets(b *testing.B) [][]byte {
	var packets [][]byte
	for _, n := range []int{0, 24, 613, 0, 24, 1300} {
		eth := unhex(b, ether4+ip4)
		segment := body(b, n)
		eth[16], eth[17] = byte((20+len(segment))>>8), byte(20+len(segment))
		packets = append(packets, append(eth, segment...))
	}
	return packets
}

func BenchmarkPacket(b *testing.B) {
	packets := benchPackets(b)
	b.Run("segment", func(b *testing.B) {
		var d Dissector
		var s Segment
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			p := packets[i%len(packets)]
			if d.Packet(LinkEthernet, p, len(p), 1, &s) != Found {
				b.Fatal("no segment")
			}
		}
	})
	b.Run("gopacket layers", func(b *testing.B) {
		var eth layers.Ethernet
		var ip4 layers.IPv4
		var ip6 layers.IPv6
		var tcp layers.TCP
		var payload gopacket.Payload
		parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &ip6, &tcp, &payload)
		decoded := make([]gopacket.LayerType, 0, 8)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := parser.DecodeLayers(packets[i%len(packets)], &decoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}
