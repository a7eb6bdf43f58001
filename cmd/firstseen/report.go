package main

import (
	"context"
	"errors"
	"flag"
	"io"

	"btcsniff/internal/cli"
	"btcsniff/internal/page"
)

var reportCommand = command{
	name:  "report",
	about: "Writes a page with charts: who was first, how announcements spread, what was captured and what is missing",
	pages: true,
	more:  `The page is one file that needs no other and no network, and can be sent to somebody. The same database gives the same bytes.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		var r page.Report
		out := fs.String("o", "report.html", "write to `FILE`; - is standard output; default report.html")
		timeFlags(fs, &r.Since, &r.Until, "what was captured")
		return func(ctx context.Context, c *call) error {
			if c.json || c.csv {
				return cli.UsageError{Err: errors.New("--json and --csv are not for pages: firstseen export writes what they are made of")}
			}
			db, err := c.open(ctx)
			if err != nil {
				return err
			}
			defer db.Close()
			which, err := cli.ParseDatabase(c.db)
			if err != nil {
				return err
			}
			r.Source = which.Name
			write := func(w io.Writer) error { return page.WriteReport(ctx, w, db, r) }
			if *out == "-" {
				return write(c.stdout)
			}
			return writeWhole(*out, write)
		}
	},
}
