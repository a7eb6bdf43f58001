package pcaptest

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"btcsniff/capture"
)

var (
	a4, b4 = netip.MustParseAddrPort("192.0.2.1:8333"), netip.MustParseAddrPort("198.51.100.2:50000")
	a6, b6 = netip.MustParseAddrPort("[2001:db8::1]:8333"), netip.MustParseAddrPort("[2001:db8::2]:50000")
)

// tcpOf lets gopacket take a frame apart, and verifies its checksums.
func tcpOf(t *testing.T, l Layer, frame []byte) (gopacket.Packet, *layers.TCP) {
	t.Helper()
	var first gopacket.Decoder = layers.LinkType(l.LinkType())
	if l == SLL2 { // gopacket knows no such link type
		first, frame = layers.EthernetType(int(frame[0])<<8|int(frame[1])), frame[20:]
	}
	p := gopacket.NewPacket(frame, first, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("%v: %v", l, e.Error())
	}
	tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		t.Fatalf("%v: no TCP in %v", l, p)
	}
	return p, tcp
}

func TestAppendFrame(t *testing.T) {
	for l := range NumLayers {
		for _, ends := range [][2]netip.AddrPort{{a4, b4}, {a6, b6}} {
			for _, n := range []int{0, 1, 5, 1448} {
				s := Segment{
					Src: ends[0], Dst: ends[1], Seq: 7, Ack: 9, Flags: PSH | ACK, Window: 512, ID: 3,
					Payload: bytes.Repeat([]byte("x"), n),
				}
				p, tcp := tcpOf(t, l, l.AppendFrame(nil, &s))
				if tcp.Seq != 7 || tcp.Ack != 9 || !tcp.PSH || !tcp.ACK || tcp.SYN || tcp.Window != 512 || !bytes.Equal(tcp.Payload, s.Payload) {
					t.Errorf("%v: %+v", l, tcp)
				}
				src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
				if got, want := fmt.Sprint(src, dst, tcp.SrcPort, tcp.DstPort), fmt.Sprint(
					ends[0].Addr(), ends[1].Addr(), layers.TCPPort(ends[0].Port()), layers.TCPPort(ends[1].Port())); got != want {
					t.Errorf("%v: endpoints %s, want %s", l, got, want)
				}
				sum := tcp.Checksum
				out := gopacket.NewSerializeBuffer()
				if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
					t.Fatal(err)
				}
				if err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{ComputeChecksums: true}, tcp, gopacket.Payload(s.Payload)); err != nil {
					t.Fatal(err)
				}
				if tcp.Checksum != sum {
					t.Errorf("%v, %d bytes: checksum %04x, want %04x", l, n, sum, tcp.Checksum)
				}
			}
		}
	}
}

func TestFragmentsHoldTheSegment(t *testing.T) {
	s := Segment{Src: a4, Dst: b4, Flags: ACK, Payload: bytes.Repeat([]byte("0123456789"), 30), ID: 5}
	whole := Raw.AppendFrame(nil, &s)[20:]
	var got []byte
	for i, f := range Raw.Fragments(&s, 100) {
		ip := gopacket.NewPacket(f, layers.LayerTypeIPv4, gopacket.Default).NetworkLayer().(*layers.IPv4)
		more := ip.Flags&layers.IPv4MoreFragments != 0
		if int(ip.FragOffset)*8 != len(got) || int(ip.Length) != len(f) || ip.Id != 5 || more != (len(got)+len(f)-20 < len(whole)) {
			t.Errorf("fragment %d: %+v", i, ip)
		}
		got = append(got, f[20:]...)
	}
	if diff := cmp.Diff(whole, got); diff != "" {
		t.Errorf("datagram (-want +got):\n%s", diff)
	}
}

func story() []capture.Packet {
	s := &Script{}
	c := s.Conn("192.0.2.1:50000", "198.51.100.2:8333").Open()
	c.A.Send(Mainnet.Ping(7))
	s.Wait(time.Second + 234*time.Nanosecond)
	c.B.Snap = 10
	c.B.Send(Mainnet.Pong(7))
	c.Close()
	return s.Packets()
}

// What gopacket reads from a file is what was written.
func TestFormats(t *testing.T) {
	want := story()
	for _, f := range Formats() {
		t.Run(f.String(), func(t *testing.T) {
			file := bytes.NewReader(f.Append(nil, want))
			var r gopacket.PacketDataSource
			var err error
			if f.NG {
				r, err = pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
			} else {
				r, err = pcapgo.NewReader(file)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; ; i++ {
				data, info, err := r.ReadPacketData()
				if err == io.EOF && i == len(want) {
					return
				}
				if err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				at := want[i].Time
				if !f.Nanos {
					at -= at % 1000
				}
				if info.Timestamp.UnixNano() != at || info.Length != want[i].Len || !bytes.Equal(data, want[i].Data) {
					t.Errorf("packet %d: %v, want %+v", i, info, want[i])
				}
			}
		})
	}
}

func TestWriteRotated(t *testing.T) {
	dir := t.TempDir()
	packets := story()
	paths, err := Format{}.WriteRotated(dir, "eth0", packets, 0, 2, 2, 5, 100)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var got []byte
	for _, path := range paths {
		names = append(names, filepath.Base(path))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[24:]...)
	}
	if diff := cmp.Diff([]string{"1759791402.eth0.pcap", "1759791403.eth0.pcap", "1759791404.eth0.pcap"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if want := (Format{}).Append(nil, packets)[24:]; !bytes.Equal(got, want) {
		t.Errorf("the files hold %d bytes of packets, want %d", len(got), len(want))
	}
}
