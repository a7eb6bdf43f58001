package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"btcsniff/geo"
	"btcsniff/internal/metrics"
	"btcsniff/record"
	"btcsniff/v2"
)

const (
	defaultSink = "btcsniff.duckdb"
	minMemory   = 16 << 20 // bytes: with less, the shares of many workers come to nothing
	maxWorkers  = 64       // more than there are connections worth sharing out
)

// Flags are the values of the flags that commands share.
type Flags struct {
	Targets     []Target         // of --sink
	Networks    []record.Network // none: every known one
	Local       []netip.Prefix   // none: the command's default
	Sensor      string           // "": the command's default
	Memory      int64            // bytes; 0: the pipeline's default
	Workers     int              // goroutines that decode
	Metrics     string           // HOST:PORT for metrics and health; "": none
	GeoIP       []string         // files of geographic databases
	KeyLog      string           // file of v2 connections' session secrets; "": none
	JSON        bool             // logs as JSON lines
	Verbose     bool
	Quiet       bool
	ShowVersion bool

	sinks []string  // as given
	spool *spooling // nil: the command has no such flags
	order *order    // nil: the command has no --retain
}

// Declare declares the shared flags, which fill in f. The defaults of --local and --sensor are the command's own, in words.
func (f *Flags) Declare(fs *flag.FlagSet, local, sensor string) {
	fs.Func("sink", "where records go; may be given more than once: `URL` is postgres://..., duckdb:FILE or FILE.duckdb (the embedded database), "+
		"jsonl:FILE, jsonl:- (standard output) or null: (count only); default "+defaultSink, func(s string) error {
		f.sinks = append(f.sinks, s) // parsed later: the flag package's errors quote the value, which may hold a password
		return nil
	})
	fs.Func("network", "decode only this network; may be given more than once: `NAME` is mainnet, testnet3, testnet4, signet, regtest, simnet, "+
		"eight hex digits of magic, or signet:HEX with the challenge of a signet of its own; default: every known network, recognised per connection", func(s string) error {
		n, err := record.ParseNetwork(s)
		f.Networks = append(f.Networks, n)
		return err
	})
	fs.Func("local", "the observed node's own address or network, as `ADDR|CIDR`; may be given more than once; default: "+local, func(s string) error {
		p, err := parseLocal(s)
		f.Local = append(f.Local, p)
		return err
	})
	fs.StringVar(&f.Sensor, "sensor", "", "`NAME` of the vantage point, stored with every record; default: "+sensor)
	fs.Func("memory", "ceiling for all buffers, as a `SIZE` in bytes or with k, M or G behind it; at least 16M; default 256M", func(s string) error {
		n, err := ParseSize(s)
		if err == nil && n < minMemory {
			err = errors.New("want at least 16M")
		}
		f.Memory = n
		return err
	})
	fs.IntVar(&f.Workers, "workers", 1, "`N` goroutines follow connections and decode; more help where cores are idle, at a little more CPU in all; records don't depend on it while nothing is evicted to stay within --memory; default 1")
	fs.Func("metrics", "answer Prometheus at /metrics, and questions about health at /healthz and /readyz, on `ADDR`: 127.0.0.1:9332, [::1]:9332, or :9332 "+
		"for everybody who reaches the machine; default: nowhere", func(s string) error {
		f.Metrics = s
		return metrics.CheckAddr(s)
	})
	fs.StringVar(&f.KeyLog, "v2-keys", "", "decrypt v2 (BIP 324) connections with the session secrets in `FILE`, which is read once, at the start")
	fs.Func("geoip", "look up where peers are in the database `FILE` in MaxMind's format (.mmdb), of countries, cities or autonomous systems; may be given "+
		"more than once; needs a database as sink", func(s string) error {
		f.GeoIP = append(f.GeoIP, s)
		return nil
	})
	fs.Func("log-format", "`FORMAT` of what is said on standard error: text or json; default text", func(s string) error {
		f.JSON = s == "json"
		if s != "json" && s != "text" {
			return errors.New("want text or json")
		}
		return nil
	})
	fs.BoolVar(&f.Verbose, "v", false, "say more")
	fs.BoolVar(&f.Quiet, "q", false, "say nothing but errors: no progress, no summary")
	fs.BoolVar(&f.ShowVersion, "version", false, "print the version and exit")
}

// SinksGiven says whether there was a --sink.
func (f *Flags) SinksGiven() bool { return len(f.sinks) > 0 }

// Check looks for shared flags that contradict each other, and fills in Targets. Its error is a UsageError.
func (f *Flags) Check() error {
	switch {
	case f.Verbose && f.Quiet:
		return UsageError{errors.New("-v and -q contradict each other: give one")}
	case f.Workers < 1 || f.Workers > maxWorkers:
		return UsageError{fmt.Errorf("--workers %d: want a number from 1 to %d", f.Workers, maxWorkers)}
	}
	if len(f.sinks) == 0 {
		f.sinks = []string{defaultSink}
	}
	seen := map[string]bool{}
	for _, s := range f.sinks {
		t, err := ParseTarget(s)
		if err != nil {
			return UsageError{fmt.Errorf("--sink %s: %w", redact(s), err)}
		}
		if seen[t.arg] && t.kind != toNull {
			return UsageError{fmt.Errorf("--sink %s is given twice: give it once", t.Name)}
		}
		seen[t.arg] = true
		t.spool = f.spool
		f.Targets = append(f.Targets, t)
	}
	if len(f.GeoIP) > 0 && !slices.ContainsFunc(f.Targets, Target.Stored) {
		return UsageError{errors.New("--geoip has no use without a database, which alone keeps places: give it a --sink of postgres://... or FILE.duckdb, too")}
	}
	return f.checkRetain()
}

// Keys reads the key log, if one is named.
func (f *Flags) Keys() (*v2.Keys, error) {
	if f.KeyLog == "" {
		return nil, nil
	}
	file, err := os.Open(f.KeyLog)
	if err != nil {
		return nil, fmt.Errorf("--v2-keys: %w", err)
	}
	defer file.Close()
	keys, err := v2.ParseKeys(file)
	if err != nil {
		return nil, fmt.Errorf("--v2-keys %s: %w", f.KeyLog, err)
	}
	return keys, nil
}

// Places opens the geographic databases, if any are named, and has the targets look up in them where peers are. The caller closes them
// after the outputs.
func (f *Flags) Places() (*geo.DB, error) {
	db, err := geo.Open(f.GeoIP...)
	if err != nil {
		return nil, fmt.Errorf("--geoip: %w", err)
	}
	if len(f.GeoIP) > 0 {
		for i := range f.Targets {
			f.Targets[i].where = db.Place
		}
	}
	return db, nil
}

// NewFlagSet returns a set of flags that prints nothing by itself.
func NewFlagSet(program string) *flag.FlagSet {
	fs := flag.NewFlagSet(program, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// Parse reads a command line, in which flags may also come behind other arguments, up to a "--", and returns these. The error
// is flag.ErrHelp or a UsageError.
func Parse(fs *flag.FlagSet, args []string) (others []string, err error) {
	for len(args) > 0 {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, UsageError{wanted(fs, err)}
		}
		rest := fs.Args()
		if len(rest) == 0 {
			break
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			return append(others, rest...), nil
		}
		others = append(others, rest[0])
		args = rest[1:]
	}
	return others, nil
}

// wanted adds to an error of the flag package, which only says that it can't parse a value, what would be one.
func wanted(fs *flag.FlagSet, err error) error {
	text, unparsed := strings.CutSuffix(err.Error(), ": parse error")
	if !unparsed {
		text, unparsed = strings.CutSuffix(text, ": value out of range")
	}
	const before = `" for flag -`
	if !unparsed || !strings.Contains(text, before) {
		return err
	}
	f := fs.Lookup(text[strings.LastIndex(text, before)+len(before):])
	if f == nil {
		return err
	}
	if v, ok := f.Value.(flag.Getter); ok {
		switch v.Get().(type) {
		case time.Duration:
			return fmt.Errorf("%s: want a time with its unit, as in 90s or 24h", text)
		case float64:
			return fmt.Errorf("%s: want a number", text)
		}
	}
	return fmt.Errorf("%s: want a whole number", text)
}

// FlagList is what -h shows of the flags.
func FlagList(fs *flag.FlagSet) string {
	var b strings.Builder
	fs.VisitAll(func(f *flag.Flag) {
		name, text := FlagText(f)
		fmt.Fprintf(&b, "  %s\n        %s\n", name, strings.Join(wrap(text, 100), "\n        "))
	})
	return b.String()
}

// FlagText returns a flag as its user types it, and what it means.
func FlagText(f *flag.Flag) (name, text string) {
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

// ParseSize reads a number of bytes, with k, M or G for powers of 1024 behind it.
func ParseSize(s string) (int64, error) {
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
