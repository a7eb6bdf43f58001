// Command genpcap writes a generated capture, the same for the same flags, and on request the records that a perfect
// reader would find in it. Benchmarks and tests by hand use it.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"btcsniff/internal/pcaptest"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "genpcap:", err)
		os.Exit(1)
	}
}

// A usageError has been explained on standard error already.
type usageError struct{ error }

func run(args []string, stdout, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("genpcap", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var cfg pcaptest.BulkConfig
	out := fs.String("o", "-", "write the capture to `FILE`; - is standard output")
	truth := fs.String("truth", "", "write the true records to `FILE`, as JSON lines")
	seconds := fs.Float64("seconds", 69, "capture time; 69 s with the other defaults are about 300 MB")
	fs.IntVar(&cfg.Peers, "peers", 3000, "connections")
	fs.Float64Var(&cfg.Rate, "rate", 90_000, "announcements a second")
	fs.Uint64Var(&cfg.Seed, "seed", 1, "another seed is another capture")
	if err := fs.Parse(args); err != nil {
		return usageError{err}
	}
	cfg.Duration = time.Duration(*seconds * float64(time.Second))

	w, done, err := create(*out, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if *truth == "" {
		return pcaptest.Bulk(w, cfg, nil)
	}
	lines, linesDone, err := create(*truth, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, linesDone()) }()
	var line []byte
	var failed error
	err = pcaptest.Bulk(w, cfg, func(r *pcaptest.Record) {
		line = append(r.AppendJSON(line[:0]), '\n')
		if failed == nil {
			_, failed = lines.Write(line)
		}
	})
	return errors.Join(err, failed)
}

// create opens a file for writing. done must be called at the end.
func create(path string, stdout io.Writer) (w *bufio.Writer, done func() error, err error) {
	if path == "-" {
		w = bufio.NewWriterSize(stdout, 1<<20)
		return w, w.Flush, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, fmt.Errorf("create capture: %w", err)
	}
	w = bufio.NewWriterSize(f, 1<<20)
	return w, func() error { return errors.Join(w.Flush(), f.Close()) }, nil
}
