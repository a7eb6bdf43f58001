package main

import (
	"errors"
	"flag"
	"slices"

	"btcsniff/internal/cli"
)

// options is the command line, checked.
type options struct {
	cli.Flags
	paths  []string
	follow bool // until a signal
	remove bool // files whose records are stored
	verify bool // compare with tshark instead
}

// newFlags declares the flags, which fill in opt.
func newFlags(opt *options) *flag.FlagSet {
	fs := cli.NewFlagSet("replay")
	opt.Declare(fs, "worked out from the traffic and said in the summary", "the capture's name")
	opt.DeclareRetain(fs)
	fs.BoolVar(&opt.follow, "follow", false, "go on with folders that tcpdump or dumpcap rotates files into, and with files that grow, until SIGINT or SIGTERM")
	fs.BoolVar(&opt.remove, "rm", false, "delete each file once its records are committed; needs a database as sink")
	fs.BoolVar(&opt.verify, "verify", false, "store nothing, but compare with what tshark finds in the same captures, and print who found what")
	return fs
}

// parseFlags reads the command line. The error is flag.ErrHelp or a cli.UsageError.
func parseFlags(args []string) (*options, error) {
	opt := &options{}
	var err error
	if opt.paths, err = cli.Parse(newFlags(opt), args); err != nil {
		return nil, err
	}
	if opt.ShowVersion {
		return opt, nil
	}
	if len(opt.paths) == 0 {
		return nil, cli.UsageError{Err: errors.New("no capture given: name files or directories, or - for standard input, as in: replay capture.pcap")}
	}
	if slices.Contains(opt.paths, "") {
		return nil, cli.UsageError{Err: errors.New("an empty PATH: name a file or directory; is a variable of the shell not set?")}
	}
	if opt.verify && (opt.SinksGiven() || opt.follow || opt.remove || slices.Contains(opt.paths, "-")) {
		return nil, cli.UsageError{Err: errors.New("--verify stores nothing and reads files twice: leave out --sink, --follow, --rm and standard input")}
	}
	if err := opt.Check(); err != nil {
		return nil, err
	}
	if err := opt.check(); err != nil {
		return nil, cli.UsageError{Err: err}
	}
	return opt, nil
}

// check looks for flags that contradict each other.
func (opt *options) check() error {
	stdin := slices.Contains(opt.paths, "-")
	switch {
	case opt.follow && stdin:
		return errors.New("standard input can't be followed, and is read as it comes anyway: leave out --follow")
	case opt.Retains() && !opt.follow:
		return errors.New("--retain is for runs that go on for long: give it --follow, too, or call drop_before(date) in the database")
	case opt.remove && stdin:
		return errors.New("--rm can't delete standard input: leave out one of them")
	case opt.remove && !slices.ContainsFunc(opt.Targets, cli.Target.Stored):
		return errors.New("--rm without a database would leave the records nowhere safe: give it a --sink of postgres://... or FILE.duckdb, too")
	}
	return nil
}

// usage is what -h prints.
func usage() string {
	return "usage: replay [flags] PATH...\n\n" +
		"Reads recorded captures (pcap, pcapng; also gzip or zstd) and stores the Bitcoin messages in them as records.\n" +
		"PATH is a file, a directory, a glob or - (standard input).\n\n" +
		cli.FlagList(newFlags(&options{})) +
		"\nExit codes: 0 all done, 1 something failed, 2 wrong usage.\n"
}
