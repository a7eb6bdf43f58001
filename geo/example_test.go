package geo_test

import (
	"fmt"

	"btcsniff/geo"
)

// A program asks a country database and one of autonomous systems together.
func Example() {
	db, err := geo.Open("GeoLite2-Country.mmdb", "GeoLite2-ASN.mmdb")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	p := db.Place("192.0.2.1")
	fmt.Println(p.Kind, p.Country, p.ASN, p.Organisation, p.AsOf)
}
