// Command genpcap writes a generated capture, the same for the same flags, and on request the records that a perfect
// reader would find in it. Benchmarks and tests by hand use it.
//
// Without -impair it is the traffic of a node with thousands of peers, for benchmarks. With it, few connections have
// every kind of traffic and the trouble that is asked for ("none=0" is none).
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
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

// options are the flags.
type options struct {
	out, truth, impair, layer, format, rotate string
	seconds, rate, midstream, oneWay          float64
	noACKs                                    bool
	peers, files, snap                        int
	seed                                      uint64
}

func parse(args []string, stderr io.Writer) (*options, error) {
	fs := flag.NewFlagSet("genpcap", flag.ContinueOnError)
	fs.SetOutput(stderr)
	o := &options{}
	fs.StringVar(&o.out, "o", "-", "write the capture to `FILE`; - is standard output")
	fs.StringVar(&o.truth, "truth", "", "write the true records to `FILE`, as JSON lines")
	fs.Uint64Var(&o.seed, "seed", 1, "another seed is another capture")
	fs.Float64Var(&o.seconds, "seconds", 0, "capture time; 0: 69 s, which makes 285 MB, or with -impair 10 s")
	fs.IntVar(&o.peers, "peers", 0, "connections; 0: 3,000, or with -impair 10")
	fs.Float64Var(&o.rate, "rate", 0, "announcements a second, 0: 30 for each peer; with -impair messages a second, each way, on each connection, 0: 10")
	fs.StringVar(&o.impair, "impair", "", "what goes wrong: a `LIST` of all, NAME or NAME=PROBABILITY, with commas between; a wrong name lists the names")
	fs.StringVar(&o.layer, "layer", "ethernet", "with -impair: the link layer, one of ethernet, vlan, qinq, sll, sll2, null, loop, raw")
	fs.StringVar(&o.format, "format", "pcap", "with -impair: pcap or pcapng, then -be for big-endian, then -ns for nanoseconds")
	fs.Float64Var(&o.midstream, "midstream", 0.5, "with -impair: share of connections that are older than the capture")
	fs.Float64Var(&o.oneWay, "oneway", 0, "with -impair: share of connections of which one direction only is captured")
	fs.BoolVar(&o.noACKs, "no-acks", false, "with -impair: acknowledgements without data are not captured")
	fs.IntVar(&o.snap, "snap", 0, "with -impair: `BYTES` of a packet that are captured; 0: all")
	fs.StringVar(&o.rotate, "rotate", "", "with -impair: write files as tcpdump -G does into a directory `DIR`, instead of -o")
	fs.IntVar(&o.files, "files", 10, "with -rotate: how many")
	if err := fs.Parse(args); err != nil {
		return nil, usageError{err}
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	lines := &lineWriter{}
	if o.truth != "" {
		w, done, err := create(o.truth, stdout)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		lines.w = w
	}
	if o.impair != "" {
		return errors.Join(generate(o, stdout, lines), lines.err)
	}
	w, done, err := create(o.out, stdout)
	if err != nil {
		return err
	}
	cfg := pcaptest.BulkConfig{Seed: o.seed, Peers: o.peers, Rate: o.rate, Duration: time.Duration(o.seconds * 1e9)}
	var truth func(*pcaptest.Record)
	if lines.w != nil {
		truth = lines.write
	}
	return errors.Join(pcaptest.Bulk(w, cfg, truth), lines.err, done())
}

// generate writes a capture with impairments.
func generate(o *options, stdout io.Writer, lines *lineWriter) error {
	cfg := pcaptest.Config{
		Seed: o.seed, Conns: o.peers, Rate: o.rate, Duration: time.Duration(o.seconds * 1e9), Midstream: o.midstream, Snap: o.snap,
		OneWay: o.oneWay, NoACKs: o.noACKs, IPv6: 0.2, SplitHead: 0.5, OneByte: 0.1, LookAlikes: 0.2,
	}
	var err error
	if cfg.Impair, err = pcaptest.ParseImpair(o.impair); err != nil {
		return err
	}
	for cfg.Layer = 0; cfg.Layer < pcaptest.NumLayers && cfg.Layer.String() != o.layer; {
		cfg.Layer++
	}
	if cfg.Layer == pcaptest.NumLayers {
		return fmt.Errorf("link layer %q is not known", o.layer)
	}
	formats := pcaptest.Formats()
	place := slices.IndexFunc(formats, func(f pcaptest.Format) bool { return f.String() == o.format })
	if place < 0 {
		return fmt.Errorf("format %q is none of %v", o.format, formats)
	}
	traffic := pcaptest.Generate(cfg)
	if lines.w != nil {
		for i := range traffic.Truth {
			lines.write(&traffic.Truth[i])
		}
	}
	if o.rotate != "" {
		var cuts []int
		r := rand.New(rand.NewPCG(o.seed, 0))
		for range o.files - 1 {
			cuts = append(cuts, r.IntN(len(traffic.Packets)+1))
		}
		slices.Sort(cuts)
		_, err := formats[place].WriteRotated(o.rotate, "eth0", traffic.Packets, cuts...)
		return err
	}
	w, done, err := create(o.out, stdout)
	if err != nil {
		return err
	}
	return errors.Join(formats[place].Write(w, traffic.Packets), done())
}

// A lineWriter writes records and remembers what went wrong.
type lineWriter struct {
	w   io.Writer
	buf []byte
	err error
}

func (l *lineWriter) write(r *pcaptest.Record) {
	l.buf = append(r.AppendJSON(l.buf[:0]), '\n')
	if l.err == nil {
		_, l.err = l.w.Write(l.buf)
	}
}

// create opens a file for writing. done must be called at the end.
func create(path string, stdout io.Writer) (w *bufio.Writer, done func() error, err error) {
	if path == "-" {
		w = bufio.NewWriterSize(stdout, 1<<20)
		return w, w.Flush, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, fmt.Errorf("create: %w", err)
	}
	w = bufio.NewWriterSize(f, 1<<20)
	return w, func() error { return errors.Join(w.Flush(), f.Close()) }, nil
}
