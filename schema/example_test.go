package schema_test

import (
	"fmt"

	"btcsniff/schema"
)

// A researcher, or a sink, goes through the migrations in order.
func Example() {
	list, err := schema.Postgres()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(list[0].Version, list[0].Name)
	// Output: 1 0001_tables.sql
}
