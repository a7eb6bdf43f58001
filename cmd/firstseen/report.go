package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"btcsniff/internal/cli"
	"btcsniff/internal/page"
)

var reportCommand = command{
	name:  "report",
	about: "Writes a page with charts: who was first, how announcements spread, what was captured and what is missing",
	more:  `The page is one file that needs no other and no network, and can be sent to somebody. The same database gives the same bytes.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *call) error {
		var r page.Report
		out := fs.String("o", "report.html", "write to `FILE`; - is standard output; default report.html")
		timeFlag(fs, &r.Since, "since", "what was captured at `TIME` or later")
		timeFlag(fs, &r.Until, "until", "what was captured before `TIME`")
		return func(ctx context.Context, c *call) error {
			switch {
			case c.json || c.csv:
				return cli.UsageError{Err: errors.New("--json and --csv are not for pages: firstseen export writes what they are made of")}
			case r.Until != 0 && r.Since >= r.Until:
				return cli.UsageError{Err: errors.New("--until is not after --since: want a later time")}
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

// writeWhole writes a file that appears under its name when it is whole, or not at all. A device or pipe is written to as it is.
func writeWhole(name string, write func(io.Writer) error) error {
	if special(name) {
		return writeThrough(name, write)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone when all went well
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// special says whether there is something of that name that is no ordinary file: it must not be replaced by one.
func special(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.Mode().IsRegular()
}

// writeThrough writes into what is there.
func writeThrough(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
