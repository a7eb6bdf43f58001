package live

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/google/gopacket/pcap"

	"btcsniff/capture"
)

// A device is an interface by its name.
type device struct {
	name  string
	cfg   *Config
	index int // the kernel's number of the interface, when it was opened last; 0 for one that is none of the kernel's, as any
}

func (d *device) String() string { return d.name }

// A FilterError is a filter expression that libpcap does not understand.
type FilterError struct {
	Filter string
	Err    error // libpcap's message
}

func (e *FilterError) Error() string { return fmt.Sprintf("filter %q: %v", e.Filter, e.Err) }

// Unwrap returns libpcap's message.
func (e *FilterError) Unwrap() error { return e.Err }

const anyDevice = "any" // libpcap's name for all interfaces at once

// open opens the interface for capturing.
func (d *device) open() (handle, error) {
	// The loopback and the pseudo-interface see everything anyway. Others need it for what a switch mirrors to them.
	h, err := d.activate(d.name != anyDevice)
	if err != nil && (strings.HasPrefix(err.Error(), "Cannot set as promisc") || strings.HasPrefix(err.Error(), "Warning")) {
		h, err = d.activate(false) // gopacket gives the handle up at a mere warning
	}
	if err != nil {
		return nil, d.explain(err)
	}
	link, nanos := format(h, d.name == anyDevice)
	if d.cfg.Filter != "" {
		if err := h.SetBPFFilter(d.cfg.Filter); err != nil {
			h.Close()
			return nil, &FilterError{d.cfg.Filter, err}
		}
	}
	d.index = 0
	if i, err := net.InterfaceByName(d.name); err == nil {
		d.index = i.Index
	}
	return &pcapHandle{h, link, nanos}, nil
}

// activate returns gopacket's handle, or its error as it is.
func (d *device) activate(promiscuous bool) (*pcap.Handle, error) {
	in, err := pcap.NewInactiveHandle(d.name)
	if err != nil {
		return nil, err
	}
	defer in.CleanUp()
	for _, err := range []error{
		in.SetSnapLen(d.cfg.SnapLen),
		in.SetPromisc(promiscuous),
		in.SetTimeout(d.cfg.Timeout),
		in.SetBufferSize(d.cfg.Buffer),
		in.SetImmediateMode(d.cfg.Immediate),
	} {
		if err != nil {
			return nil, err
		}
	}
	return in.Activate() // with nanoseconds, where the interface has them
}

// explain turns gopacket's error into one that says what to do.
func (d *device) explain(err error) error {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "Error: "), d.name+": ")
	switch {
	case text == "Permission Denied" || strings.Contains(text, "Operation not permitted"):
		return fmt.Errorf("interface %s: %w: capturing needs the capability CAP_NET_RAW: run it as root (-Z drops root afterwards), or allow the "+
			"program once with: setcap cap_net_raw+ep PROGRAM", d.name, fs.ErrPermission)
	case text == "No Such Device" || strings.Contains(text, "No such device"):
		return fmt.Errorf("no interface %s: there are %s", d.name, d.others())
	case text == "Interface Not Up" || strings.Contains(text, "not up"):
		return fmt.Errorf("interface %s is down: bring it up with: ip link set %s up", d.name, d.name)
	case strings.Contains(text, "Cannot allocate memory") || strings.Contains(text, "rx ring"):
		return fmt.Errorf("interface %s: %s: try a smaller buffer (-B)", d.name, text)
	}
	return fmt.Errorf("interface %s: %s", d.name, text)
}

// others lists the interfaces that there are.
func (d *device) others() string {
	all, err := Interfaces()
	if err != nil || len(all) == 0 {
		return "none that you may see"
	}
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

func (d *device) up() (up, same bool) {
	if d.index == 0 {
		return true, true
	}
	i, err := net.InterfaceByName(d.name)
	if err != nil || i.Index != d.index {
		return false, false
	}
	return i.Flags&net.FlagUp != 0, true
}

// A pcapHandle is libpcap's, through gopacket.
type pcapHandle struct {
	h     *pcap.Handle
	link  capture.LinkType
	nanos bool
}

func (p *pcapHandle) read() ([]byte, int64, int, error) {
	data, ci, err := p.h.ZeroCopyReadPacketData()
	switch err {
	case nil:
		return data, ci.Timestamp.UnixNano(), ci.Length, nil
	case pcap.NextErrorTimeoutExpired:
		return nil, 0, 0, errTimeout
	case pcap.NextErrorReadError:
		return nil, 0, 0, errors.New(p.h.Error().Error()) // the handle's text changes when it is closed
	}
	return nil, 0, 0, err
}

func (p *pcapHandle) format() (capture.LinkType, bool) { return p.link, p.nanos }

func (p *pcapHandle) drops() (kernel, iface uint32, ok bool) {
	s, err := p.h.Stats()
	if err != nil { // the interface is gone: what was counted since we last asked is not known
		return 0, 0, false
	}
	return uint32(s.PacketsDropped), uint32(s.PacketsIfDropped), true
}

func (p *pcapHandle) close() { p.h.Close() }
