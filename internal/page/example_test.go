package page_test

import (
	"context"
	"net/http/httptest"
	"os"

	"btcsniff/analyze"
	"btcsniff/internal/page"
)

func Example() {
	var db *analyze.DB // of an open database
	if err := page.WriteReport(context.Background(), os.Stdout, db, page.Report{Source: "my database"}); err != nil {
		panic(err)
	}
	site, err := page.New(page.Config{DB: db, Source: "my database"})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(site)
	defer server.Close()
}
