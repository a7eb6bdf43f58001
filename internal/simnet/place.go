package simnet

import (
	"encoding/base32"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// torPlace is the place of a node on Tor, in the words of analyze.Sighting.
const torPlace = "tor"

// A country has nodes in proportion to weight, about at one place on the map.
type country struct {
	iso      string
	weight   float64 // reachable nodes
	lat, lon float64 // degrees, about where its networks meet
}

// countries are those with most reachable nodes. Source of the weights: Bitnodes' counts as https://newhedge.io/bitcoin/node-map showed
// them in 2025, of 21,515 reachable nodes, 13,772 of them on Tor.
var countries = [...]country{
	{"US", 2166, 39.0, -90.0}, {"DE", 1362, 50.1, 8.7}, {"FR", 539, 48.9, 2.3}, {"FI", 400, 60.2, 24.9}, {"NL", 346, 52.4, 4.9},
	{"CA", 335, 45.5, -75.6}, {"GB", 243, 51.5, -0.1}, {"CH", 210, 47.4, 8.5}, {"RU", 172, 55.8, 37.6}, {"SG", 153, 1.3, 103.8},
	{"AU", 132, -33.9, 151.2}, {"JP", 117, 35.7, 139.7}, {"CZ", 95, 50.1, 14.4}, {"ES", 94, 40.4, -3.7}, {"BR", 91, -23.6, -46.6},
	{"KR", 86, 37.6, 127.0}, {"IT", 85, 45.5, 9.2}, {"SE", 75, 59.3, 18.1}, {"AT", 74, 48.2, 16.4}, {"PL", 64, 52.2, 21.0},
	{"BE", 49, 50.9, 4.4}, {"IN", 47, 19.1, 72.9}, {"CN", 46, 31.2, 121.5}, {"IE", 41, 53.3, -6.3}, {"NO", 39, 59.9, 10.8},
	{"LT", 38, 54.7, 25.3}, {"TW", 37, 25.0, 121.5}, {"BG", 35, 42.7, 23.3}, {"UA", 35, 50.5, 30.5}, {"ZA", 29, -26.2, 28.0},
	{"TH", 29, 13.8, 100.5}, {"HU", 28, 47.5, 19.0}, {"NZ", 24, -36.8, 174.8}, {"AR", 23, -34.6, -58.4}, {"MX", 22, 19.4, -99.1},
}

func countryIndex(iso string) int32 {
	return int32(max(0, slices.IndexFunc(countries[:], func(c country) bool { return c.iso == iso })))
}

// places draws countries by weight, and knows the way between them.
type places struct{ sums [len(countries)]float64 }

func newPlaces() *places {
	p := new(places)
	sum := 0.0
	for i := range countries {
		sum += countries[i].weight
		p.sums[i] = sum
	}
	return p
}

func (p *places) draw(rng *rand.Rand) int32 {
	i, _ := slices.BinarySearch(p.sums[:], rng.Float64()*p.sums[len(p.sums)-1])
	return int32(min(i, len(countries)-1))
}

const (
	earthRadius = 6371.0                  // km
	lightSpeed  = 299.792 / float64(1000) // km a microsecond
	// detour is how much slower a packet is than light in vacuum on the shortest way over the ground. Straight fibre is 1.47 times as
	// slow, and as a rule of thumb the Internet is 2.1 times as slow as that (Bozkurt and others, "Dissecting Latency in the Internet's
	// Fiber Infrastructure", arXiv 1811.10737): 3.1, between ends with their lines, which access adds here. So less is taken.
	detour = 2.3
)

// fibre is the one-way latency between the networks of two countries.
func fibre(a, b int32) time.Duration {
	rad := math.Pi / 180
	p, q := &countries[a], &countries[b]
	h := hav((p.lat-q.lat)*rad) + math.Cos(p.lat*rad)*math.Cos(q.lat*rad)*hav((p.lon-q.lon)*rad)
	km := 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
	return time.Duration((km + 150) * detour / lightSpeed * float64(time.Microsecond)) // 150 km: within a country
}

func hav(x float64) float64 { return math.Pow(math.Sin(x/2), 2) }

// access draws a node's own part of the one-way latency: the line, or the way through Tor's relays. Both are log-normal: medians of
// 5 ms and 150 ms. So two ordinary nodes add 10 ms to the way between their countries, and a ping over Tor takes a third to half a
// second, the order of what Tor Metrics shows for onion services (https://metrics.torproject.org/onionperf-latencies.html).
func access(rng *rand.Rand, tor bool, factor float64) time.Duration {
	median, sigma := 5.0, 0.8
	if tor {
		median, sigma = 150, 0.5
	}
	return time.Duration(factor * median * math.Exp(sigma*rng.NormFloat64()) * float64(time.Millisecond))
}

// way tables the latencies between countries.
type way [len(countries)][len(countries)]time.Duration

func newWay(factor float64) *way {
	w := new(way)
	for i := range w {
		for j := range w[i] {
			w[i][j] = time.Duration(factor * float64(fibre(int32(i), int32(j))))
		}
	}
	return w
}

// A peerName is what a peer is called in sightings.
type peerName struct {
	addr  netip.AddrPort // not valid: it is on Tor
	onion string
}

func (p peerName) String() string {
	if p.onion != "" {
		return p.onion
	}
	return p.addr.String()
}

// peer names node i. Onion names have the form of version 3's, and are nobody's.
func (n *Network) peer(i int) peerName {
	if n.nodes[i].tor {
		var key [35]byte
		binary.BigEndian.PutUint64(key[:], uint64(i))
		return peerName{onion: strings.ToLower(base32.StdEncoding.EncodeToString(key[:])) + ".onion:8333"}
	}
	port := uint16(8333)
	if i >= n.cfg.Reachable {
		port = uint16(49152 + i%16384)
	}
	ip := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint32(ip[12:], uint32(i+1))
	return peerName{addr: netip.AddrPortFrom(netip.AddrFrom16(ip), port)}
}
