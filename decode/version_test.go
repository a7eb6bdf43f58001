package decode

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/record"
)

const (
	// Of btcd 0.26.2, Bitcoin Core 28.1 and bcoin 1.0.2, from recordings of our own.
	versionBtcd = "80110100 4d04000000000000 acbd026b00000000" +
		"0000000000000000 00000000000000000000ffffc0000281 480c" +
		"4d04000000000000 00000000000000000000000000000000 0000" +
		"8a9f76a9cf7b8779 1b 2f627463776972653a302e352e302f627463643a302e32362e322f 00000000 01"
	versionCore = "80110100 4904000000000000 acbd026b00000000" +
		"0000000000000000 00000000000000000000000000000000 0000" +
		"4904000000000000 00000000000000000000000000000000 0000" +
		"9e891782557faa50 10 2f5361746f7368693a32382e312e302f 51020000 01"
	versionBcoin = "7f110100 0d00000000000000 08ba026b00000000" +
		"0000000000000000 00000000000000000000ffffc000020a b40c" +
		"0d00000000000000 00000000000000000000000000000000 0000" +
		"e279a30a354e3d48 0e 2f62636f696e3a76312e302e322f 49020000 01"
	// Made after what Bitcoin 0.3.20 sent: protocol 32002, no user agent, no relay.
	versionOld = "027d0000 0100000000000000 15eb5f4d00000000" +
		"0100000000000000 00000000000000000000ffffc6336416 208d" +
		"0100000000000000 00000000000000000000ffffc0000201 208d" +
		"2f5d3fa1b0c4e297 00 82bb0100"
)

var equalAddrs = cmpopts.EquateComparable(netip.AddrPort{})

func TestVersion(t *testing.T) {
	none := netip.MustParseAddrPort("[::]:0")
	btcd := record.Version{
		Protocol: 70016, Services: 0x44d, Timestamp: 1795341740, AddrRecv: netip.MustParseAddrPort("192.0.2.129:18444"), AddrFrom: none,
		Nonce: 0x79877bcfa9769f8a, UserAgent: "/btcwire:0.5.0/btcd:0.26.2/", Relay: true,
	}
	core := record.Version{
		Protocol: 70016, Services: 0x449, Timestamp: 1795341740, AddrRecv: none, AddrFrom: none,
		Nonce: 0x50aa7f558217899e, UserAgent: "/Satoshi:28.1.0/", StartHeight: 593, Relay: true,
	}
	old := record.Version{
		Protocol: 32002, Services: 1, Timestamp: 1298131733, AddrRecv: netip.MustParseAddrPort("198.51.100.22:8333"),
		AddrFrom: netip.MustParseAddrPort("192.0.2.1:8333"), Nonce: 0x97e2c4b0a13f5d2f, StartHeight: 113538, Relay: true,
	}
	with := func(v record.Version, change func(*record.Version)) record.Version {
		change(&v)
		return v
	}
	oldBytes := fromHex(t, versionOld)
	coreBytes := fromHex(t, versionCore)
	agent := func(n int, count string) []byte {
		b := append(oldBytes[:80:80], fromHex(t, count)...)
		b = append(b, strings.Repeat("\xff", n)...)
		return append(b, 1, 0, 0, 0)
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want record.Version
	}{
		{"btcd", fromHex(t, versionBtcd), btcd},
		{"Bitcoin Core", coreBytes, core},
		{"no relay field, before BIP 37", coreBytes[:len(coreBytes)-1], core},
		{"relay not wanted", append(coreBytes[:len(coreBytes)-1:len(coreBytes)-1], 0), with(core, func(v *record.Version) { v.Relay = false })},
		{"bytes after the last field", append(coreBytes[:len(coreBytes):len(coreBytes)], 1, 2, 3), core},
		{"protocol 32002", oldBytes, old},
		{"no start height, before protocol 209", oldBytes[:81], with(old, func(v *record.Version) { v.StartHeight = 0 })},
		{"no user agent", oldBytes[:80], with(old, func(v *record.Version) { v.StartHeight = 0 })},
		{"no addr_from, before protocol 106", oldBytes[:46], record.Version{
			Protocol: old.Protocol, Services: old.Services, Timestamp: old.Timestamp, AddrRecv: old.AddrRecv, Relay: true,
		}},
		{"longest user agent, any bytes", agent(256, "fd0001"), with(old, func(v *record.Version) {
			v.UserAgent, v.StartHeight = strings.Repeat("\xff", 256), 1
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := record.Version{Meta: record.Meta{Pos: 7}, UserAgent: "of before"}
			if err := parseVersion(tt.in, &got); err != nil {
				t.Fatal(err)
			}
			tt.want.Pos = 7
			if diff := cmp.Diff(tt.want, got, equalAddrs); diff != "" {
				t.Errorf("parseVersion (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("user agent too long", func(t *testing.T) {
		got := record.Version{Meta: record.Meta{Pos: 7}}
		if err := parseVersion(agent(257, "fd0101"), &got); err != errMalformed {
			t.Errorf("error %v, want %v", err, errMalformed)
		}
		if diff := cmp.Diff(record.Version{Meta: record.Meta{Pos: 7}}, got, equalAddrs); diff != "" {
			t.Errorf("a malformed message changed the record (-want +got):\n%s", diff)
		}
	})
}

func TestVersionTruncated(t *testing.T) {
	wantTruncationsRefused(t, fromHex(t, versionCore), func(b []byte) error {
		return parseVersion(b, new(record.Version))
	}, 46, 80, 97, 101) // the lengths of old versions
}

func TestPlausibleVersion(t *testing.T) {
	edit := func(at int, with string) []byte {
		b := fromHex(t, versionOld)
		copy(b[at:], fromHex(t, with))
		return b
	}
	core := fromHex(t, versionCore)
	for _, tt := range []struct {
		name string
		in   []byte
		want bool
	}{
		{"protocol 32002", fromHex(t, versionOld), true},
		{"Bitcoin Core", core, true},
		{"btcd", fromHex(t, versionBtcd), true},
		{"bcoin", fromHex(t, versionBcoin), true},
		{"nothing", nil, false},
		{"zeros", make([]byte, 85), false},
		{"a byte after it", append(core[:len(core):len(core)], 0), false},
		{"a byte less", fromHex(t, versionOld)[:84], false},
		{"protocol 0", edit(0, "00000000"), false},
		{"protocol negative", edit(0, "ffffffff"), false},
		{"protocol beyond all", edit(0, "41420f00"), false},
		{"before Bitcoin", edit(12, "7f055c49"), false},
		{"after 2100", edit(12, "00578af400"), false},
		{"user agent not printable", append(core[:81:81], append([]byte("/Satoshi\x00:28.1.0"), 1, 0, 0, 0, 1)...), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := plausibleVersion(tt.in); got != tt.want {
				t.Errorf("plausibleVersion(%x) = %v, want %v", tt.in, got, tt.want)
			}
		})
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{versionBtcd, versionCore, versionBcoin, versionOld} {
		f.Add(fromHex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record.Version
		err := parseVersion(b, &r)
		if err == nil && len(r.UserAgent) > maxUserAgent {
			t.Fatalf("a user agent of %d bytes", len(r.UserAgent))
		}
		if plausibleVersion(b) && err != nil {
			t.Fatal("plausible but malformed")
		}
	})
}
