package live

/*
#cgo LDFLAGS: -lpcap
#include <pcap/pcap.h>
*/
import "C"

import (
	"reflect"

	"github.com/google/gopacket/pcap"

	"btcsniff/capture"
)

// Link types that have another number in libpcap on Linux (DLT_) than in capture files (LINKTYPE_). Source: libpcap, pcap-common.c.
const (
	dltRaw        = 12
	linkRaw       = 101
	linuxCookedV2 = 276
	handlePointer = "cptr" // gopacket's name for libpcap's handle
)

// dataLink returns the link type of h's packets as capture files have it. If cooked, it is made Linux cooked v2 where libpcap has that:
// it names the interface of each packet.
//
// gopacket v1.1.19 keeps link types in a byte, where 276 becomes 20, and can't set one above 255 either. So libpcap is asked
// itself, with the pointer in gopacket's handle. That needs reflect; gopacket is frozen, and a test captures on "any". Should the
// pointer be missing, gopacket's byte is right for every other type.
func dataLink(h *pcap.Handle, cooked bool) capture.LinkType {
	link := int(h.LinkType())
	if f := reflect.ValueOf(h).Elem().FieldByName(handlePointer); f.IsValid() && f.Kind() == reflect.Pointer {
		p := (*C.pcap_t)(f.UnsafePointer())
		if cooked {
			_ = C.pcap_set_datalink(p, linuxCookedV2) // before libpcap 1.10: stays v1
		}
		link = int(C.pcap_datalink(p))
	}
	if link == dltRaw {
		link = linkRaw
	}
	return capture.LinkType(link)
}
