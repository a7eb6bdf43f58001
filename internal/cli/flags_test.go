package cli

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"btcsniff/record"
)

func parse(args string) (*Flags, error) {
	f := &Flags{}
	fs := NewFlagSet("test")
	f.Declare(fs, "local", "sensor")
	if err := fs.Parse(strings.Fields(args)); err != nil {
		return nil, UsageError{err}
	}
	return f, f.Check()
}

func TestFlags(t *testing.T) {
	duck := []Target{{Name: "btcsniff.duckdb", kind: toDuckDB, arg: "btcsniff.duckdb"}}
	for _, tt := range []struct {
		name, args string
		want       Flags
	}{
		{"none", "", Flags{Workers: 1, Targets: duck}},
		{"one or two dashes", "-sink null: --sink jsonl:-", Flags{Workers: 1, Targets: []Target{{Name: "null:", kind: toNull, arg: ""}, {Name: "jsonl:-", kind: toJSON, arg: "-"}}}},
		{"networks", "--network regtest --network F9BEB4D9", Flags{Workers: 1, Targets: duck, Networks: []record.Network{
			{Name: "regtest", Magic: [4]byte{0xfa, 0xbf, 0xb5, 0xda}}, {Name: "mainnet", Magic: [4]byte{0xf9, 0xbe, 0xb4, 0xd9}},
		}}},
		{"local addresses", "--local 192.0.2.10 --local 198.51.100.7/24 --local ::ffff:192.0.2.11", Flags{Workers: 1, Targets: duck, Local: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("192.0.2.11/32"),
		}}},
		{"the rest", "--sensor fra1 --memory 64M --log-format json -v --workers 3 --v2-keys k --geoip a.mmdb --geoip b.mmdb", Flags{Workers: 3, KeyLog: "k", GeoIP: []string{"a.mmdb", "b.mmdb"}, Targets: duck, Sensor: "fra1", Memory: 64 << 20, JSON: true, Verbose: true}},
		{"password", "--sink postgres://u:secret@192.0.2.1/db", Flags{
			Workers: 1, Targets: []Target{{Name: "postgres://u:xxxxx@192.0.2.1/db", kind: toPostgres, arg: "postgres://u:secret@192.0.2.1/db"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.args)
			if err != nil {
				t.Fatal(err)
			}
			opts := cmp.Options{cmp.AllowUnexported(Flags{}, Target{}), cmpopts.IgnoreFields(Flags{}, "sinks"), cmpopts.EquateComparable(netip.Prefix{})}
			if diff := cmp.Diff(&tt.want, got, opts); diff != "" {
				t.Errorf("flags %s (-want +got):\n%s", tt.args, diff)
			}
		})
	}
}

// Each usage error says what to type instead, and none shows a password.
func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct{ name, args, want string }{
		{"sink without scheme", "--sink records", "want postgres://"},
		{"sink of another kind", "--sink mysql://u:secret@192.0.2.1/db", "want postgres://"},
		{"sink without a file", "--sink jsonl:", "want postgres://"},
		{"Postgres URL with a bad port", "--sink postgres://u:secret@192.0.2.1:x/db", "no Postgres URL"},
		{"Postgres URL with a bad escape", "--sink postgres://u:secret%zz@192.0.2.1/db", "no Postgres URL"},
		{"Postgres URL without slashes", "--sink postgres:secret", "no Postgres URL"},
		{"one sink twice", "--sink x.duckdb --sink duckdb:x.duckdb", "is given twice"},
		{"unknown network", "--network litecoin", "want mainnet, testnet3"},
		{"local host name", "--local localhost", "want an address or a network"},
		{"memory without number", "--memory lots", "want a number of bytes"},
		{"no memory", "--memory 0", "want a number of bytes"},
		{"too little memory", "--memory 15M", "want at least 16M"},
		{"too much memory", "--memory 9999999999G", "want a number of bytes"},
		{"no worker", "--workers 0", "--workers 0: want a number from 1 to 64"},
		{"too many workers", "--workers 65", "--workers 65: want a number from 1 to 64"},
		{"log format", "--log-format xml", "want text or json"},
		{"loud and quiet", "-v -q", "give one"},
		{"places without a database", "--geoip a.mmdb --sink null: --sink jsonl:-", "--geoip has no use without a database"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.args)
			if ExitCode(err) != Usage || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("flags %s: %v, want a usage error of one line with %q and without passwords", tt.args, err, tt.want)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"postgres://192.0.2.1/db", "postgres://192.0.2.1/db"},
		{"postgres://u:secret@192.0.2.1:5432/db?sslmode=disable", "postgres://u:xxxxx@192.0.2.1:5432/db?sslmode=disable"},
		{"postgres://u@/db?host=/tmp&password=secret", "postgres://u@/db?host=%2Ftmp&password=xxxxx"},
		{"postgres:///db?sslpassword=secret", "postgres:///db?sslpassword=xxxxx"},
		{"postgres://u:secret%zz@192.0.2.1/db", "postgres:..."},
		{"postgres:secret", "postgres:..."},
		{"mysql://u:secret@192.0.2.1/db", "mysql://u:xxxxx@192.0.2.1/db"},
		{"records", "records"},
		{"host=192.0.2.1 password=secret dbname=d", "host=192.0.2.1 password=xxxxx dbname=d"},
		{"host=192.0.2.1 password = 'a secret'", "host=192.0.2.1 password = xxxxx"},
	} {
		if got := redact(tt.in); got != tt.want {
			t.Errorf("redact(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

// TestWanted gives flags values that can't be parsed.
func TestWanted(t *testing.T) {
	for _, tt := range []struct{ name, arg, want string }{
		{"a time without its unit", "--duration=5", `invalid value "5" for flag -duration: want a time with its unit, as in 90s or 24h`},
		{"a word for a number", "-c=many", `invalid value "many" for flag -c: want a whole number`},
		{"a number below 0", "-c=-1", `invalid value "-1" for flag -c: want a whole number`},
		{"a number that is too large", "--limit=99999999999999999999", `invalid value "99999999999999999999" for flag -limit: want a whole number`},
		{"a share", "--share=half", `invalid value "half" for flag -share: want a number`},
		{"what looks like the message", `--limit=" for flag -c`, `invalid value "\" for flag -c" for flag -limit: want a whole number`},
		{"no flag", "--nope=1", "flag provided but not defined: -nope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs := NewFlagSet("test")
			fs.Duration("duration", 0, "")
			fs.Uint64("c", 0, "")
			fs.Int("limit", 0, "")
			fs.Float64("share", 0, "")
			_, err := Parse(fs, []string{tt.arg})
			if ExitCode(err) != Usage || err.Error() != tt.want {
				t.Errorf("Parse(%s) = %v, want %s", tt.arg, err, tt.want)
			}
		})
	}
}

// TestParseDatabase has values of --db that are none.
func TestParseDatabase(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a file of another kind", "a.pcap", "--db a.pcap: want postgres://..., duckdb:FILE or a file that ends in .duckdb"},
		{"a sink that is no database", "jsonl:-", "--db jsonl:-: want postgres://..., duckdb:FILE or a file that ends in .duckdb"},
		{"a bad escape in a password", "postgres://u:secret%zz@192.0.2.1/db", "--db postgres:...: this is no Postgres URL: want one as in postgres://user@host:5432/database, special characters in it as %XX"},
		{"libpq's other form", "host=192.0.2.1 password=secret", "--db host=192.0.2.1 password=xxxxx: want postgres://..., duckdb:FILE or a file that ends in .duckdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseDatabase(tt.in)
			if ExitCode(err) != Usage || RedactErr(err).Error() != tt.want {
				t.Errorf("ParseDatabase(%s) = %v, want %s", tt.in, RedactErr(err), tt.want)
			}
		})
	}
}
