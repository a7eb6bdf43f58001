package postgres

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"btcsniff/record"
)

// TestPlacesOfTwoWriters has two sensors store connections with the same peers at the same time, one in the other's opposite order:
// neither fails or has to begin again, and each peer has one row.
func TestPlacesOfTwoWriters(t *testing.T) {
	p := fresh(t)
	const batches, peers = 20, 200
	where := func(host string) record.Place {
		return record.Place{Kind: record.PlaceInternet, Country: "DE", AsOf: 1_763_800_000_000_000}
	}
	node := netip.MustParseAddrPort("192.0.2.10:8333")
	const opened record.Time = 1759791402_000000
	var wg sync.WaitGroup
	for w, sensor := range []string{"a", "b"} {
		s := p.sink(t)
		s.Locate(where)
		c := &record.Capture{Sensor: sensor, Name: "eth0", First: opened}
		if _, err := s.Begin(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		s.sleep = func(context.Context, time.Duration) { t.Errorf("sensor %s waited", sensor) }
		wg.Go(func() {
			for n := range batches {
				b := &record.Batch{Capture: c, Seq: uint64(n)}
				for i := range peers {
					if w == 1 {
						i = peers - 1 - i
					}
					i += n * peers
					peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 8333)
					conn := &record.Conn{ID: record.ConnID(sensor, node, peer, opened), Capture: c, A: node, B: peer, OpenedAt: opened, LocalA: true}
					b.Ping(record.Ping{Meta: record.Meta{Conn: conn, SeenAt: opened, FromB: true}})
				}
				if _, err := s.Write(context.Background(), b); err != nil {
					t.Errorf("sensor %s: %v", sensor, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := fmt.Sprint(p.query(t, "SELECT count(*), count(DISTINCT host) FROM place")); got != fmt.Sprintf("[[%d %d]]", batches*peers, batches*peers) {
		t.Errorf("rows and hosts of place are %s, want %d of each", got, batches*peers)
	}
	if got := fmt.Sprint(p.query(t, "SELECT count(*) FROM peer_place WHERE country = 'DE'")); got != fmt.Sprintf("[[%d]]", 2*batches*peers) {
		t.Errorf("connections in DE are %s, want %d", got, 2*batches*peers)
	}
}
