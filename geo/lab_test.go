package geo_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"btcsniff/geo"
	"btcsniff/geo/geotest"
	"btcsniff/record"
)

var update = flag.Bool("update", false, "write testdata/geo/lab.mmdb anew")

const lab = "../testdata/geo/lab.mmdb"

// labBuilt is the lab database's date: 2026-11-01, before the recordings.
const labBuilt = 1_793_491_200 // seconds since 1970

// A node is what a recording's sidecar.json says of one.
type node struct {
	IP      string `json:"ip"`
	IP6     string `json:"ip6"`
	Country string `json:"country_label"`
}

// labels returns the made-up countries of all recordings' nodes, by address.
func labels(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../testdata/pcaps/*/sidecar.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("sidecars: %v, %v", files, err)
	}
	countries := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var sidecar struct{ Nodes []node }
		if err := json.Unmarshal(text, &sidecar); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, n := range sidecar.Nodes {
			for _, address := range []string{n.IP, n.IP6} {
				if address == "" || n.Country == "--" {
					continue
				}
				if had := countries[address]; had != "" && had != n.Country {
					t.Fatalf("%s: %s is in %s, and elsewhere in %s", file, address, n.Country, had)
				}
				countries[address] = n.Country
			}
		}
	}
	return countries
}

// TestLab makes the database of the recordings' made-up countries again: it is what is checked in, and says what the recordings do.
func TestLab(t *testing.T) {
	want := labels(t)
	networks := map[string]string{}
	for address, country := range want {
		bits := "/32"
		if bytes.ContainsRune([]byte(address), ':') {
			bits = "/128"
		}
		networks[address+bits] = country
	}
	d := geotest.Countries(labBuilt, networks)
	d.Type = "btcsniff-lab"
	data := d.Bytes(t)
	if *update {
		if err := os.WriteFile(lab, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%s is not what the sidecars make: run go test ./geo -run TestLab -update", lab)
	}
	db, err := geo.Open(lab)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for address, country := range want {
		if p := db.Place(address); p.Country != country || p.Kind != record.PlacePrivate || p.AsOf != labBuilt*1_000_000 {
			t.Errorf("Place(%s) = %+v, want a private one in %s", address, p, country)
		}
	}
	if p := db.Place("192.0.2.10"); p != (record.Place{Kind: record.PlacePrivate}) {
		t.Errorf("the observer is at %+v, want a private place without a country", p)
	}
}
