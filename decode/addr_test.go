package decode

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

func addrsOf(parse func([]byte, func(record.Addr)) error, b []byte) (got []record.Addr, err error) {
	err = parse(b, func(r record.Addr) { got = append(got, r) })
	return got, err
}

func TestAddr(t *testing.T) {
	const head = "0b9c026b 4904000000000000 " // time and services
	entry := func(i int, text string) record.Addr {
		return record.Addr{Address: text, Port: 8333, Services: 0x449, LastSeen: 0x6b029c0b, Index: i}
	}
	for _, tt := range []struct {
		name, in string
		want     []record.Addr
		err      error
	}{
		{"none", "00", nil, nil},
		{"IPv4", "01" + head + "00000000000000000000ffffc0000201 208d", []record.Addr{entry(0, "192.0.2.1")}, nil},
		{"IPv6", "01" + head + "20010db8000000000000000000000001 208d", []record.Addr{entry(0, "2001:db8::1")}, nil},
		{"onion, version 2", "01" + head + "fd87d87eeb43f1f2f3f4f5f6f7f8f9fa 208d", []record.Addr{entry(0, "6hzph5hv6337r6p2.onion")}, nil},
		{"unspecified", "01" + head + "00000000000000000000000000000000 208d", []record.Addr{entry(0, "::")}, nil},
		{"two, and bytes after them", "02" + head + "20010db8000000000000000000000001 208d" + head + "00000000000000000000ffffc6336407 208d ffff",
			[]record.Addr{entry(0, "2001:db8::1"), entry(1, "198.51.100.7")}, nil},
		{"nothing", "", nil, errMalformed},
		{"count in a long form", "fd0100" + head + "00000000000000000000ffffc0000201 208d", nil, errMalformed},
		{"without time, before protocol 31402", "01 4904000000000000 00000000000000000000ffffc0000201 208d", nil, errMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := addrsOf(parseAddr, fromHex(t, tt.in))
			if err != tt.err {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parseAddr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddrV2(t *testing.T) {
	const head = "0b9c026b fd4904 " // time and services
	entry := func(i int, text string) record.Addr {
		return record.Addr{Address: text, Port: 8333, Services: 0x449, LastSeen: 0x6b029c0b, Index: i}
	}
	// The addresses but IPv4's and IPv6's are those of Bitcoin Core, test/net_tests.cpp, cnetaddr_basic.
	const (
		torV3 = "53cd5648488c4707914182655b7664034e09e66f7e8cbf1084e654eb56c5bd88"
		i2p   = "a2894dabaec08c0051a481a6dac88b64f98232ae42d4b6fd2fa81952dfe36a87"
		cjdns = "fc000001000200030004000500060007"
		ip6   = "20010db8000000000000000000000001"
	)
	for _, tt := range []struct {
		name, in string
		want     []record.Addr
		err      error
	}{
		{"none", "00", nil, nil},
		{"IPv4", "01" + head + "01 04 c0000201 208d", []record.Addr{entry(0, "192.0.2.1")}, nil},
		{"IPv6", "01" + head + "02 10" + ip6 + "208d", []record.Addr{entry(0, "2001:db8::1")}, nil},
		{"onion, version 2", "01" + head + "03 0a f1f2f3f4f5f6f7f8f9fa 208d", []record.Addr{entry(0, "6hzph5hv6337r6p2.onion")}, nil},
		{"onion, version 3", "01" + head + "04 20" + torV3 + "208d",
			[]record.Addr{entry(0, "kpgvmscirrdqpekbqjsvw5teanhatztpp2gl6eee4zkowvwfxwenqaid.onion")}, nil},
		{"I2P", "01" + head + "05 20" + i2p + "208d",
			[]record.Addr{entry(0, "ukeu3k5oycgaauneqgtnvselmt4yemvoilkln7jpvamvfx7dnkdq.b32.i2p")}, nil},
		{"CJDNS", "01" + head + "06 10" + cjdns + "208d", []record.Addr{entry(0, "fc00:1:2:3:4:5:6:7")}, nil},
		{"unknown network", "01" + head + "aa 03 010203 208d", []record.Addr{entry(0, "network 170: 010203")}, nil},
		{"unknown network, empty", "01" + head + "00 00 208d", []record.Addr{entry(0, "network 0: ")}, nil},
		{"unknown network, longest", "01" + head + "aa fd0002" + strings.Repeat("ab", 512) + "208d",
			[]record.Addr{entry(0, "network 170: "+strings.Repeat("ab", 512))}, nil},
		{"several, and bytes after them", "03" + head + "01 04 c0000201 208d" + head + "02 10" + ip6 + "208d" + head + "01 04 cb007105 208d 0000",
			[]record.Addr{entry(0, "192.0.2.1"), entry(1, "2001:db8::1"), entry(2, "203.0.113.5")}, nil},
		{"services, all bits", "01 0b9c026b ffffffffffffffffff 01 04 c0000201 208d",
			[]record.Addr{{Address: "192.0.2.1", Port: 8333, Services: 1<<64 - 1, LastSeen: 0x6b029c0b}}, nil},
		{"version 2 onion of another length", "01" + head + "03 02 0102 208d", []record.Addr{entry(0, "network 3: 0102")}, nil},
		{"nothing", "", nil, errMalformed},
		{"IPv4 of 5 bytes, behind a good one", "02" + head + "01 04 c0000201 208d" + head + "01 05 c000020100 208d", nil, errMalformed},
		{"IPv6 of 4 bytes", "01" + head + "02 04 c0000201 208d", nil, errMalformed},
		{"onion of 10 bytes as version 3", "01" + head + "04 0a f1f2f3f4f5f6f7f8f9fa 208d", nil, errMalformed},
		{"I2P of 31 bytes", "01" + head + "05 1f" + torV3[:62] + "208d", nil, errMalformed},
		{"CJDNS of 17 bytes", "01" + head + "06 11" + cjdns + "00 208d", nil, errMalformed},
		{"unknown network, too long", "01" + head + "aa fd0102" + strings.Repeat("ab", 513) + "208d", nil, errMalformed},
		{"services in a long form", "01 0b9c026b fd0900 01 04 c0000201 208d", nil, errMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := addrsOf(parseAddrV2, fromHex(t, tt.in))
			if err != tt.err {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parseAddrV2 (-want +got):\n%s", diff)
			}
		})
	}
}

// Of Bitcoin Core 28.1, from recordings of our own.
const (
	addrCore = "03 80b9026b 0d00000000000000 00000000000000000000ffff7f000001 bd3c" +
		"80b9026b 4d0c000000000000 00000000000000000000ffffc6336416 480c" +
		"2bb8026b 0900000000000000 00000000000000000000ffffc0000236 480c"
	addrV2Core = "03 0b9c026b 09 01 04 c00002c6 480c" +
		"30a1026b 09 04 20 42db71a3ca93c41fc4e83e2edff47101f19e4e9a738c40656f68c925442404c6 480c" +
		"2bb8026b 09 05 20 8b7e13fbb7bb35fdf4df99662c1449d98a5eae42fac47ad7eda8eeb5230f4e18 0000"
)

func TestAddrTruncated(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		parse    func([]byte, func(record.Addr)) error
	}{
		{"addr", addrCore, parseAddr},
		{"addrv2", addrV2Core, parseAddrV2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantTruncationsRefused(t, fromHex(t, tt.in), func(b []byte) error {
				got, err := addrsOf(tt.parse, b)
				if err != nil && len(got) > 0 {
					t.Errorf("%d records of a malformed message", len(got))
				}
				return err
			})
		})
	}
}

func TestAddrMost(t *testing.T) {
	for _, tt := range []struct {
		name  string
		entry string
		parse func([]byte, func(record.Addr)) error
	}{
		{"addr", "80b9026b 0d00000000000000 00000000000000000000ffff7f000001 bd3c", parseAddr},
		{"addrv2", "0b9c026b 09 01 04 c00002c6 480c", parseAddrV2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n, want := range map[int]error{maxAddrs: nil, maxAddrs + 1: errMalformed} {
				b := append([]byte{0xfd, byte(n), byte(n >> 8)}, fromHex(t, strings.Repeat(tt.entry, n))...)
				if _, err := addrsOf(tt.parse, b); err != want {
					t.Errorf("%d entries: %v, want %v", n, err, want)
				}
			}
		})
	}
}

func FuzzAddr(f *testing.F) {
	f.Add([]byte{0})
	f.Add(fromHex(f, addrCore))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzAddrs(t, parseAddr, b) })
}

func FuzzAddrV2(f *testing.F) {
	f.Add([]byte{0})
	f.Add(fromHex(f, addrV2Core))
	f.Add(fromHex(f, "02 0b9c026b fd4904 06 10 fc000001000200030004000500060007 208d 0b9c026b 00 aa 03 010203 208d"))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzAddrs(t, parseAddrV2, b) })
}

func fuzzAddrs(t *testing.T, parse func([]byte, func(record.Addr)) error, b []byte) {
	got, err := addrsOf(parse, b)
	if err != nil && len(got) > 0 {
		t.Fatalf("%d records of a malformed message", len(got))
	}
	for i, r := range got {
		if r.Index != i || r.Address == "" || len(r.Address) > len("network 255: ")+2*maxAddrV2 {
			t.Fatalf("entry %d = %+v", i, r)
		}
	}
}
