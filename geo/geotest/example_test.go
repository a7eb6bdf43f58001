package geotest_test

import (
	"path/filepath"
	"testing"

	"btcsniff/geo/geotest"
)

// A test writes a database of two networks into a folder of its own.
func Example() {
	_ = func(t *testing.T) {
		countries := map[string]string{"192.0.2.0/25": "DE", "2001:db8:1::/48": "FR"}
		geotest.Countries(1_750_000_000, countries).Write(t, filepath.Join(t.TempDir(), "country.mmdb"))
	}
}
