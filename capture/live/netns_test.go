package live_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/capture"
	"btcsniff/capture/live"
	"btcsniff/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Run(m)) }

// frames are n Ethernet packets of a protocol for experiments (IEEE 802, 0x88b5), each with its number.
func frames(n int) (out []capture.Packet) {
	for i := range n {
		f := append([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5"), fmt.Sprintf("%08d", i)...)
		out = append(out, capture.Packet{Data: append(f, make([]byte, 100)...)})
	}
	return out
}

func open(t *testing.T, cfg live.Config) *live.Live {
	t.Helper()
	l, err := live.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// read returns n packets, with their data copied.
func read(t *testing.T, l *live.Live, n int) (out []capture.Packet) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(out) < n {
		var p capture.Packet
		if err := l.Next(ctx, &p); err != nil {
			t.Fatalf("after %d packets of %d: %v", len(out), n, err)
		}
		if p.Data != nil {
			p.Data, p.Block = bytes.Clone(p.Data), nil
			out = append(out, p)
		}
	}
	return out
}

func TestCapture(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	for _, tt := range []struct {
		name   string
		cfg    live.Config
		link   capture.LinkType
		header int // bytes of the link layer
		size   int // bytes captured; 0: all
	}{
		{"interface", live.Config{Interfaces: []string{"right"}}, 1, 14, 0},
		{"any is Linux cooked v2", live.Config{Interfaces: []string{"any"}, Filter: "inbound"}, 276, 20, 0},
		{"filter", live.Config{Interfaces: []string{"right"}, Filter: "ether proto 0x88b5 and len > 60"}, 1, 14, 0},
		{"snap length", live.Config{Interfaces: []string{"right"}, SnapLen: 64}, 1, 14, 64},
		{"immediate", live.Config{Interfaces: []string{"right"}, Immediate: true}, 1, 14, 0},
		{"small buffer", live.Config{Interfaces: []string{"right"}, Buffer: 256 << 10}, 1, 14, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 500
			l := open(t, tt.cfg)
			sent := frames(n)
			before := time.Now()
			netlab.Send(t, "left", sent)
			got := read(t, l, n)
			last := before.UnixNano()
			for i, p := range got {
				want := sent[i].Data[14:]
				data := p.Data[tt.header:]
				if tt.size > 0 {
					want = want[:tt.size-tt.header]
				}
				if !bytes.Equal(data, want) || p.Link != tt.link || p.Len != len(sent[i].Data)-14+tt.header || p.Time < last {
					t.Fatalf("packet %d: link type %d, length %d, time %d after %d, data %q", i, p.Link, p.Len, p.Time, last, p.Data)
				}
				last = p.Time
			}
			if s := l.Interfaces()[0]; s.Link != tt.link || !s.Nanos {
				t.Errorf("Interfaces() = %+v, want link type %d and nanoseconds", s, tt.link)
			}
			if s := l.Stats(); s.Dropped != 0 || s.Packets != n {
				t.Errorf("Stats() = %+v, want no drops", s)
			}
		})
	}
}

// A buffer that is too small makes the kernel drop packets, and it is said how many.
func TestDrops(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	l := open(t, live.Config{Interfaces: []string{"right"}, Buffer: 64 << 10})
	const n = 3000
	var big []capture.Packet
	for range n { // 12 MB at once: more than all blocks hold
		big = append(big, capture.Packet{Data: append(frames(1)[0].Data, make([]byte, 4000)...)})
	}
	netlab.Send(t, "left", big)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var p capture.Packet
	packets := uint64(0)
	for l.Next(ctx, &p) == nil {
		if p.Data != nil {
			packets++
		}
	}
	s := l.Stats()
	if s.Dropped == 0 || packets+s.Dropped != n || s.Drops[0].Kernel != s.Dropped {
		t.Errorf("%d packets and %d dropped (%v), want %d together, and some dropped", packets, s.Dropped, s.Drops, n)
	}
}

// Two interfaces are two captures, in the order of their times.
func TestTwo(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	netlab.Pair(t, "top", "bottom")
	l := open(t, live.Config{Interfaces: []string{"right", "bottom", "right"}})
	if diff := cmp.Diff([]capture.Info{{Name: "bottom"}, {Name: "right"}}, l.Captures()); diff != "" {
		t.Fatalf("captures (-want +got):\n%s", diff)
	}
	f := frames(40)
	for i := 0; i < len(f); i += 10 {
		netlab.Send(t, [2]string{"left", "top"}[i/10%2], f[i:i+10])
	}
	for i, p := range read(t, l, len(f)) {
		if want := 1 - i/10%2; p.Capture != want || !bytes.Equal(p.Data, f[i].Data) {
			t.Errorf("packet %d: capture %d, %q, want capture %d", i, p.Capture, p.Data[14:22], want)
		}
	}
}

// An interface may go down, or away, and come back.
func TestDownAndUp(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	changed := make(chan live.Change, 100)
	l := open(t, live.Config{Interfaces: []string{"right"}, Changed: func(c live.Change) { changed <- c }})
	f := frames(4)
	netlab.Send(t, "left", f[:1])
	read(t, l, 1)

	netlab.IP(t, "link set right down")
	if c := <-changed; !c.Down {
		t.Errorf("change %+v, want that it is down", c)
	}
	netlab.IP(t, "link set right up")
	if c := <-changed; c.Down || c.Away <= 0 {
		t.Errorf("change %+v, want that it is up", c)
	}
	netlab.Send(t, "left", f[1:2])
	if p := read(t, l, 1)[0]; !bytes.Equal(p.Data, f[1].Data) {
		t.Errorf("packet %q after it was down, want the second", p.Data)
	}

	netlab.IP(t, "link del left")
	if c := <-changed; !c.Down || c.Err == nil {
		t.Errorf("change %+v, want that it is gone", c)
	}
	netlab.Pair(t, "left", "right")
	if c := <-changed; c.Down || c.Away <= 0 {
		t.Errorf("change %+v, want that it is back", c)
	}
	netlab.Send(t, "left", f[2:])
	if p := read(t, l, 2); !bytes.Equal(p[1].Data, f[3].Data) {
		t.Errorf("packet %q after it was gone, want the last", p[1].Data)
	}
	if s := l.Interfaces()[0]; s.Downs != 2 || s.Reopened != 1 || s.Down || s.Away <= 0 {
		t.Errorf("Interfaces() = %+v, want that it was down twice and opened again once", s)
	}
}

func TestOpenErrors(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	netlab.IP(t, "link set right down")
	netlab.IP(t, "link set left up")
	for _, tt := range []struct {
		name, want string
		cfg        live.Config
	}{
		{"none", "no interface to capture on", live.Config{}},
		{"no such", "no interface nope: there are ", live.Config{Interfaces: []string{"nope"}}},
		{"one of two", "no interface nope: there are ", live.Config{Interfaces: []string{"left", "nope"}}},
		{"down", "interface right is down: bring it up with: ip link set right up", live.Config{Interfaces: []string{"right"}}},
		{"filter", `filter "port x": unknown port 'x'`, live.Config{Interfaces: []string{"left"}, Filter: "port x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := live.Open(tt.cfg)
			if err == nil {
				l.Close()
				t.Fatal("Open = nil error")
			}
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Open = %v, want %s", err, tt.want)
			}
			if isFilter := errors.As(err, new(*live.FilterError)); isFilter != (tt.name == "filter") {
				t.Errorf("a FilterError: %v", isFilter)
			}
		})
	}
}

func TestAddrs(t *testing.T) {
	netlab.Need(t)
	netlab.Pair(t, "left", "right")
	netlab.IP(t, "addr add 192.0.2.10/24 dev right")
	netlab.IP(t, "addr add 192.0.2.9/24 dev right")
	netlab.IP(t, "addr add 198.51.100.1/32 dev left")
	for iface, want := range map[string][]string{
		"right": {"192.0.2.9/32", "192.0.2.10/32"},
		"lo":    {"127.0.0.0/8", "::1/128"},
		"any":   {"127.0.0.0/8", "192.0.2.9/32", "192.0.2.10/32", "198.51.100.1/32", "::1/128"},
	} {
		got, err := live.Addrs(iface)
		var texts []string
		for _, p := range got {
			texts = append(texts, p.String())
		}
		if diff := cmp.Diff(want, texts); diff != "" || err != nil {
			t.Errorf("Addrs(%s) (-want +got), %v:\n%s", iface, err, diff)
		}
	}
	if _, err := live.Addrs("nope"); err == nil {
		t.Error("Addrs(nope) = nil error")
	}
	all, err := live.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]live.Interface{}
	for _, i := range all {
		i.Description = ""
		got[i.Name] = i
	}
	want := map[string]live.Interface{
		"any":  {Name: "any", Up: true},
		"lo":   {Name: "lo", Loopback: true, Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		"left": {Name: "left", Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/32")}},
		"right": {Name: "right", Up: true, Addrs: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.9/32"), netip.MustParsePrefix("192.0.2.10/32"),
		}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("Interfaces() (-want +got):\n%s", diff)
	}
}
