package live

/*
#cgo LDFLAGS: -lpcap
#include <pcap/pcap.h>
*/
import "C"

import (
	"reflect"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcap"

	"btcsniff/capture"
)

// Link types that have another number in libpcap on Linux (DLT_) than in capture files (LINKTYPE_). Source: libpcap, pcap-common.c.
const (
	dltRaw        = 12
	linkRaw       = 101
	linuxCookedV2 = 276
)

// format returns the link type of h's packets as capture files have it, and whether their times have nanoseconds. If cooked, the
// link type is made Linux cooked v2 where libpcap has that: it names the interface of each packet.
//
// gopacket v1.1.19 keeps link types in a byte, where 276 becomes 20, can't set one above 255 either, and has the two
// precisions the wrong way round. So libpcap is asked itself, with the pointer in gopacket's handle. That needs reflect;
// gopacket is frozen, and a test captures on "any". Should the pointer be missing, gopacket's byte is right for every other type.
func format(h *pcap.Handle, cooked bool) (link capture.LinkType, nanos bool) {
	number := int(h.LinkType())
	nanos = h.Resolution() == gopacket.TimestampResolutionMicrosecond // sic
	if f := reflect.ValueOf(h).Elem().FieldByName("cptr"); f.IsValid() && f.Kind() == reflect.Pointer {
		p := (*C.pcap_t)(f.UnsafePointer())
		if cooked {
			_ = C.pcap_set_datalink(p, linuxCookedV2) // before libpcap 1.10: stays v1
		}
		number = int(C.pcap_datalink(p))
		nanos = C.pcap_get_tstamp_precision(p) == C.PCAP_TSTAMP_PRECISION_NANO
	}
	if number == dltRaw {
		number = linkRaw
	}
	return capture.LinkType(number), nanos
}
