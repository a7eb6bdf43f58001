package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"btcsniff/capture/live"
	"btcsniff/internal/cli"
)

// options is the command line, checked.
type options struct {
	cli.Flags
	interfaces []string // none: the first that is up
	filter     string
	bufferKiB  int
	snapLen    int
	user       string // to become; "": stay
	count      uint64 // packets; 0: no limit
	duration   time.Duration
	dir        string // to keep packets in; "": don't
	seconds    int    // for each file
	zstd       bool
	immediate  bool
	list       bool
}

const defaultSeconds = 3600 // -G

// newFlags declares the flags, which fill in opt.
func newFlags(opt *options) *flag.FlagSet {
	fs := cli.NewFlagSet("sniff")
	fs.Func("i", "capture on this `IFACE`; may be given more than once; any is all of them at once; default: the first that is up", func(s string) error {
		opt.interfaces = append(opt.interfaces, s)
		return nil
	})
	fs.IntVar(&opt.bufferKiB, "B", live.DefaultBuffer>>10, "kernel buffer for each interface, in `KIB`; when it is full the kernel drops packets, and counts them; default 32768")
	fs.IntVar(&opt.snapLen, "s", 0, "keep `SNAPLEN` bytes of each packet; default, and 0: 262144, which cuts none")
	fs.StringVar(&opt.user, "Z", "", "become `USER` once the interfaces are open: drop root, supplementary groups and all capabilities")
	fs.Uint64Var(&opt.count, "c", 0, "stop after `COUNT` packets")
	fs.DurationVar(&opt.duration, "duration", 0, "stop after `D`, as in 90s or 24h")
	fs.StringVar(&opt.dir, "w", "", "also keep the raw packets, in rotated files in this `DIR`: SECONDS.IFACE.pcap, which replay reads to the same records")
	fs.IntVar(&opt.seconds, "G", 0, "begin a new file at every multiple of `SECONDS`; default 3600")
	fs.BoolVar(&opt.zstd, "zstd", false, "compress the files of -w with zstd")
	fs.BoolVar(&opt.immediate, "immediate", false, "have the kernel hand over each packet at once; otherwise it gathers them for up to 0.1 s, which costs less "+
		"and makes records late, but not their times wrong")
	opt.DeclareSpool(fs)
	opt.DeclareRetain(fs)
	fs.BoolVar(&opt.list, "D", false, "list the interfaces and exit")
	opt.Declare(fs, "the addresses of the interfaces; if they have none, worked out from the traffic", "the host name")
	return fs
}

// parseFlags reads the command line. The error is flag.ErrHelp or a cli.UsageError.
func parseFlags(args []string) (*options, error) {
	opt := &options{}
	words, err := cli.Parse(newFlags(opt), args)
	if err != nil {
		return nil, err
	}
	opt.filter = strings.Join(words, " ")
	if opt.ShowVersion || opt.list {
		return opt, nil
	}
	if err := opt.check(); err != nil {
		return nil, cli.UsageError{Err: err}
	}
	return opt, opt.Check()
}

// check looks for values that no flag can have, and flags that need others. It fills in defaults.
func (opt *options) check() error {
	if opt.snapLen == 0 {
		opt.snapLen = live.DefaultSnapLen
	}
	switch {
	case opt.bufferKiB < 64 || opt.bufferKiB > 2<<20-1:
		return fmt.Errorf("-B %d: want KiB from 64 to 2097151", opt.bufferKiB)
	case opt.snapLen < 64 || opt.snapLen > live.DefaultSnapLen:
		return fmt.Errorf("-s %d: want bytes from 64 to %d, or 0", opt.snapLen, live.DefaultSnapLen)
	case opt.duration < 0:
		return fmt.Errorf("--duration %v: want a time above 0", opt.duration)
	case opt.seconds < 0:
		return fmt.Errorf("-G %d: want seconds above 0", opt.seconds)
	case opt.dir == "" && (opt.seconds != 0 || opt.zstd):
		return errors.New("-G and --zstd are about the files of -w: give it a -w DIR, too")
	}
	if opt.seconds == 0 {
		opt.seconds = defaultSeconds
	}
	return nil
}

// usage is what -h prints.
func usage() string {
	return "usage: sniff [flags] [FILTER]\n\n" +
		"Captures on network interfaces and stores the Bitcoin messages that pass as records, until SIGINT or SIGTERM.\n" +
		"FILTER is a pcap filter expression, as for tcpdump: tcp port 8333\n\n" +
		cli.FlagList(newFlags(&options{})) +
		"\nSIGUSR1 asks for a line of status. Exit codes: 0 all done, 1 something failed, 2 wrong usage.\n"
}
