package chaos

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/netlab"
	"btcsniff/internal/pcaptest"
	"btcsniff/record"
)

// netlabNeed skips a test where it can't have a network and a server of its own.
func netlabNeed(t *testing.T) { netlab.Need(t) }

// A peer is a connection to the observed node that was there before.
type peer struct {
	ends [2]netip.AddrPort
	next [2]uint32
}

// traffic is what a node and its peers say, message by message. Message n is a ping with nonce n and, every third time, an inv too.
type traffic struct {
	t     *testing.T
	iface string
	peers []peer
	rich  bool // inventory of hashes that nobody else announces
	n     atomic.Uint64
	id    uint16
}

// newTraffic makes a pair of interfaces, on the first of which the traffic is sent. It can be captured on the second.
func newTraffic(t *testing.T, lane int) (w *traffic, capturedOn string) {
	t.Helper()
	from, to := fmt.Sprintf("left%d", lane), fmt.Sprintf("right%d", lane)
	netlab.Pair(t, from, to)
	w = &traffic{t: t, iface: from}
	for i := range byte(5) {
		w.peers = append(w.peers, peer{
			ends: [2]netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, i + 1}), 8333),
				netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:%d", 10+lane, 40_000+int(i)))},
			next: [2]uint32{1 << 20, 1 << 21},
		})
	}
	return w, to
}

const local = "192.0.2.0/24"

// send sends so many messages.
func (w *traffic) send(messages int) {
	w.t.Helper()
	var packets []capture.Packet
	for range messages {
		n := w.n.Add(1)
		p := &w.peers[n%uint64(len(w.peers))]
		payload := pcaptest.Mainnet.Ping(n)
		if n%3 == 0 {
			var vects []record.InvVect
			for i := range uint64(10) {
				seed := n/20 + i<<40
				if w.rich {
					seed = n<<8 + i
				}
				vects = append(vects, record.InvVect{Type: record.InvWTx, Hash: sha256.Sum256(binary.BigEndian.AppendUint64(nil, seed))})
			}
			payload = append(payload, pcaptest.Mainnet.Inv(vects...)...)
		}
		w.id++
		s := pcaptest.Segment{
			Src: p.ends[0], Dst: p.ends[1], Seq: p.next[0], Ack: p.next[1], Flags: pcaptest.PSH | pcaptest.ACK, Window: 0xffff, Payload: payload, ID: w.id,
		}
		p.next[0] += uint32(len(payload))
		packets = append(packets, capture.Packet{Data: pcaptest.Ethernet.AppendFrame(nil, &s)})
	}
	netlab.Send(w.t, w.iface, packets)
}

// run sends messages until stopped is closed, so many every 20 milliseconds.
func (w *traffic) run(messages int, stopped <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.send(messages)
		case <-stopped:
			return
		}
	}
}

// during sends messages while f runs.
func (w *traffic) during(messages int, f func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		w.run(messages, stop)
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	f()
}
