package live

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/gopacket/pcap"
)

// An Interface is something that can be captured on.
type Interface struct {
	Name        string
	Description string         // libpcap's; mostly empty on Linux
	Addrs       []netip.Prefix // its own addresses, each alone
	Up          bool
	Loopback    bool
}

// Interfaces lists what Open can open: network interfaces and "any". libpcap's other things (USB, Bluetooth, netfilter
// logs) hold no Internet traffic and are left out. It needs no rights.
func Interfaces() ([]Interface, error) {
	all, err := pcap.FindAllDevs()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Interface
	for _, d := range all {
		i, err := net.InterfaceByName(d.Name)
		if err != nil && d.Name != anyDevice {
			continue
		}
		f := Interface{Name: d.Name, Description: d.Description, Up: true}
		if err == nil {
			f.Up, f.Loopback = i.Flags&net.FlagUp != 0, i.Flags&net.FlagLoopback != 0
			if f.Addrs, err = Addrs(d.Name); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// Addrs returns the addresses that belong to this machine on an interface, each as a network of one address; for a
// loopback interface, all loopback addresses; for "any", those of all interfaces. They come in order, each once.
func Addrs(iface string) ([]netip.Prefix, error) {
	var list []net.Interface
	if iface == anyDevice {
		all, err := net.Interfaces()
		if err != nil {
			return nil, fmt.Errorf("addresses: %w", err)
		}
		list = all
	} else {
		one, err := net.InterfaceByName(iface)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", iface, err)
		}
		list = append(list, *one)
	}
	var out []netip.Prefix
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 {
			// RFC 1122, section 3.2.1.3: all of 127/8 is the host itself.
			out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8), netip.PrefixFrom(netip.IPv6Loopback(), 128))
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			text, _, _ := strings.Cut(a.String(), "/")
			if addr, err := netip.ParseAddr(text); err == nil {
				addr = addr.Unmap().WithZone("")
				if !addr.IsLoopback() {
					out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return slices.Compact(out), nil
}
