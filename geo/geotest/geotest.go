// Package geotest writes small databases in MaxMind's format for tests. Only tests import it.
package geotest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// A Database is what a file is to hold.
type Database struct {
	Type     string         // as GeoLite2-City; "": btcsniff-test
	Built    int64          // seconds since 1970
	Version  int            // 4: IPv4 addresses only; else both
	Networks map[string]any // in CIDR form, also reserved ones, with what the database says: maps, strings, float64, uint32
}

// Countries is a database in ip-location-db's form, of networks and their countries.
func Countries(built int64, networks map[string]string) Database {
	d := Database{Type: "country ipvAll", Built: built, Networks: map[string]any{}}
	for network, country := range networks {
		d.Networks[network] = map[string]any{"country_code": country}
	}
	return d
}

// Write writes the database to the file and returns the file's path.
func (d Database) Write(t testing.TB, path string) string {
	t.Helper()
	if err := os.WriteFile(path, d.Bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Bytes returns what the file holds.
func (d Database) Bytes(t testing.TB) []byte {
	t.Helper()
	opt := mmdbwriter.Options{DatabaseType: d.Type, BuildEpoch: d.Built, IPVersion: 6, RecordSize: 24, IncludeReservedNetworks: true,
		DisableIPv4Aliasing: true}
	if d.Type == "" {
		opt.DatabaseType = "btcsniff-test"
	}
	if d.Version == 4 {
		opt.IPVersion = 4
	}
	tree, err := mmdbwriter.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	for cidr, value := range d.Networks {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, convert(value)); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// convert returns a value as the writer wants it.
func convert(v any) mmdbtype.DataType {
	switch v := v.(type) {
	case string:
		return mmdbtype.String(v)
	case float64:
		return mmdbtype.Float64(v)
	case float32:
		return mmdbtype.Float32(v)
	case uint32:
		return mmdbtype.Uint32(v)
	case uint64:
		return mmdbtype.Uint64(v)
	case []any:
		list := make(mmdbtype.Slice, len(v))
		for i := range v {
			list[i] = convert(v[i])
		}
		return list
	case map[string]any:
		m := mmdbtype.Map{}
		for key, value := range v {
			m[mmdbtype.String(key)] = convert(value)
		}
		return m
	}
	panic(fmt.Sprintf("geotest: a database can't hold a %T", v))
}
