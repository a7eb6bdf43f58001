package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"btcsniff/record"
)

const (
	defaultSink = "btcsniff.duckdb"
	maxWorkers  = 64 // more than there are connections worth sharing out
)

// options is the command line, checked.
type options struct {
	paths       []string
	sinks       []string         // as given
	targets     []target         // what sinks mean
	networks    []record.Network // none: every known one
	local       []netip.Prefix   // none: worked out from the traffic
	sensor      string           // "": each capture's name
	memory      int64            // bytes; 0: the pipeline's default
	workers     int              // goroutines that decode
	follow      bool             // until a signal
	remove      bool             // files whose records are stored
	keyLog      string           // file of session secrets; "": none
	verify      bool             // compare with tshark instead
	json        bool             // logs as JSON lines
	verbose     bool
	quiet       bool
	showVersion bool
}

// newFlags declares the flags, which fill in opt.
func newFlags(opt *options) *flag.FlagSet {
	fs := flag.NewFlagSet("replay", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.Func("sink", "where records go; may be given more than once: `URL` is postgres://..., duckdb:FILE or FILE.duckdb (the embedded database), "+
		"jsonl:FILE, jsonl:- (standard output) or null: (count only); default "+defaultSink, func(s string) error {
		opt.sinks = append(opt.sinks, s) // parsed later: the flag package's errors quote the value, which may hold a password
		return nil
	})
	fs.Func("network", "decode only this network; may be given more than once: `NAME` is mainnet, testnet3, testnet4, signet, regtest, simnet "+
		"or eight hex digits of magic; default: every known network, recognised per connection", func(s string) error {
		n, err := record.ParseNetwork(s)
		opt.networks = append(opt.networks, n)
		return err
	})
	fs.Func("local", "the observed node's own address or network, as `ADDR|CIDR`; may be given more than once; default: worked out from the traffic "+
		"and said in the summary", func(s string) error {
		p, err := parseLocal(s)
		opt.local = append(opt.local, p)
		return err
	})
	fs.StringVar(&opt.sensor, "sensor", "", "`NAME` of the vantage point, stored with every record; default: the capture's name")
	fs.Func("memory", "ceiling for all buffers, as a `SIZE` in bytes or with k, M or G behind it; default 256M", func(s string) error {
		n, err := parseSize(s)
		opt.memory = n
		return err
	})
	fs.IntVar(&opt.workers, "workers", 1, "`N` goroutines follow connections and decode; more help where cores are idle, at a little more CPU in all; records don't depend on it; default 1")
	fs.BoolVar(&opt.follow, "follow", false, "go on with folders that tcpdump or dumpcap rotates files into, and with files that grow, until SIGINT or SIGTERM")
	fs.BoolVar(&opt.remove, "rm", false, "delete each file once its records are committed; needs a database as sink")
	fs.BoolVar(&opt.verify, "verify", false, "store nothing, but compare with what tshark finds in the same captures, and print who found what")
	fs.StringVar(&opt.keyLog, "v2-keys", "", "decrypt v2 (BIP 324) connections with the session secrets in `FILE`, which is read once, at the start")
	fs.Func("log-format", "`FORMAT` of what is said on standard error: text or json; default text", func(s string) error {
		opt.json = s == "json"
		if s != "json" && s != "text" {
			return errors.New("want text or json")
		}
		return nil
	})
	fs.BoolVar(&opt.verbose, "v", false, "say more: one line for each file and each capture")
	fs.BoolVar(&opt.quiet, "q", false, "say nothing but errors: no progress, no summary")
	fs.BoolVar(&opt.showVersion, "version", false, "print the version and exit")
	return fs
}

// parseFlags reads the command line. Flags may also come behind paths, up to a "--". The error is flag.ErrHelp or a usageError.
func parseFlags(args []string) (*options, error) {
	opt := &options{}
	fs := newFlags(opt)
	for len(args) > 0 {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, usageError{err}
		}
		rest := fs.Args()
		if len(rest) == 0 {
			break
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			opt.paths = append(opt.paths, rest...)
			break
		}
		opt.paths = append(opt.paths, rest[0])
		args = rest[1:]
	}
	if opt.showVersion {
		return opt, nil
	}
	if len(opt.paths) == 0 {
		return nil, usageError{errors.New("no capture given: name files or directories, or - for standard input, as in: replay capture.pcap")}
	}
	if opt.verify && (len(opt.sinks) > 0 || opt.follow || opt.remove || slices.Contains(opt.paths, "-")) {
		return nil, usageError{errors.New("--verify stores nothing and reads files twice: leave out --sink, --follow, --rm and standard input")}
	}
	if err := opt.parseSinks(); err != nil {
		return nil, usageError{err}
	}
	if err := opt.check(); err != nil {
		return nil, usageError{err}
	}
	return opt, nil
}

// check looks for values that no flag can have, and flags that contradict each other.
func (opt *options) check() error {
	stored := slices.ContainsFunc(opt.targets, func(t target) bool { return t.kind == toPostgres || t.kind == toDuckDB })
	stdin := slices.Contains(opt.paths, "-")
	switch {
	case opt.verbose && opt.quiet:
		return errors.New("-v and -q contradict each other: give one")
	case opt.workers < 1 || opt.workers > maxWorkers:
		return fmt.Errorf("--workers %d: want a number from 1 to %d", opt.workers, maxWorkers)
	case opt.follow && stdin:
		return errors.New("standard input can't be followed, and is read as it comes anyway: leave out --follow")
	case opt.remove && stdin:
		return errors.New("--rm can't delete standard input: leave out one of them")
	case opt.remove && !stored:
		return errors.New("--rm without a database would leave the records nowhere safe: give it a --sink of postgres://... or FILE.duckdb, too")
	}
	return nil
}

// parseSinks fills in targets.
func (opt *options) parseSinks() error {
	if len(opt.sinks) == 0 {
		opt.sinks = []string{defaultSink}
	}
	seen := map[string]bool{}
	for _, s := range opt.sinks {
		t, err := parseTarget(s)
		if err != nil {
			return fmt.Errorf("--sink %s: %w", redact(s), err)
		}
		if seen[t.arg] && t.kind != toNull {
			return fmt.Errorf("--sink %s is given twice: give it once", t.name)
		}
		seen[t.arg] = true
		opt.targets = append(opt.targets, t)
	}
	return nil
}

// usage is what -h prints.
func usage() string {
	var b strings.Builder
	b.WriteString("usage: replay [flags] PATH...\n\n" +
		"Reads recorded captures (pcap, pcapng; also gzip or zstd) and stores the Bitcoin messages in them as records.\n" +
		"PATH is a file, a directory, a glob or - (standard input).\n\n")
	newFlags(&options{}).VisitAll(func(f *flag.Flag) {
		name, text := flagText(f)
		fmt.Fprintf(&b, "  %s\n        %s\n", name, strings.Join(wrap(text, 100), "\n        "))
	})
	b.WriteString("\nExit codes: 0 all done, 1 something failed, 2 wrong usage.\n")
	return b.String()
}

// flagText returns a flag as its user types it, and what it means.
func flagText(f *flag.Flag) (name, text string) {
	value, text := flag.UnquoteUsage(f)
	name = "--" + f.Name
	if len(f.Name) == 1 {
		name = "-" + f.Name
	}
	if value != "" {
		name += " " + value
	}
	return name, text
}

// wrap breaks s into lines of at most width bytes, at spaces.
func wrap(s string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// parseLocal reads an address, or a network in CIDR form.
func parseLocal(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New("want an address or a network, as in 192.0.2.10 or 192.0.2.0/24")
	}
	return p.Masked(), nil
}

// parseSize reads a number of bytes, with k, M or G for powers of 1024 behind it.
func parseSize(s string) (int64, error) {
	digits, shift := s, 0
	if i := strings.IndexAny(s, "kKmMgG"); i >= 0 && i == len(s)-1 {
		digits = s[:i]
		shift = map[byte]int{'k': 10, 'm': 20, 'g': 30}[s[i]|0x20]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)>>shift {
		return 0, errors.New("want a number of bytes above 0, as in 512M or 2G")
	}
	return n << shift, nil
}
