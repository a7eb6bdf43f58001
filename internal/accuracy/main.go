// Command accuracy measures how often analyze.Origin names the node and the country where a transaction began, on simulated networks
// whose truth is known: beside the first announcer, and the first with latency taken off. With -docs it draws what it measured, with
// -train it learns the tables of the estimator.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

// A usageError has been explained on standard error already.
type usageError struct{ error }

// options are the flags.
type options struct {
	seed      uint64
	networks  int // networks of their own
	reachable int
	txs       int // transactions in each network
	full      bool
	docs      string
	trainInto string

	calibrateOnly bool
}

// mostSeed is the greatest seed that a flag may give; trainSeed is where the seeds of training begin, beyond all that follow from it.
const (
	mostSeed  = 1_000_000
	trainSeed = 1 << 40
)

func parse(args []string, stderr io.Writer) (*options, error) {
	fs := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: accuracy [flags]")
		fs.PrintDefaults()
	}
	o := &options{}
	fs.Uint64Var(&o.seed, "seed", 1, "seed `N` of the networks and their transactions: the same gives the same figures; at most a million")
	fs.IntVar(&o.networks, "networks", 0, "`N` networks; 0: 4, with -full 12, of which a third for each kind but the first")
	fs.IntVar(&o.reachable, "reachable", 0, "`N` reachable nodes in each network; 0: 1000")
	fs.IntVar(&o.txs, "txs", 0, "`N` transactions in each network; 0: 500, with -full 300")
	fs.BoolVar(&o.full, "full", false, "more transactions, and networks that differ from those that the estimator knows; takes some minutes")
	fs.StringVar(&o.docs, "docs", "", "write the table and the plots into `FOLDER`")
	fs.StringVar(&o.trainInto, "train", "", "instead, learn the estimator's tables, into a Go `FILE`")
	fs.BoolVar(&o.calibrateOnly, "calibrate", false, "with -train, keep the weights and learn only how to calibrate what they say")
	if err := fs.Parse(args); err != nil {
		return nil, usageError{err}
	}
	if fs.NArg() > 0 || o.networks < 0 || o.reachable < 0 || o.reachable == 1 || o.txs < 0 || o.seed > mostSeed {
		fs.Usage()
		return nil, usageError{errors.New("usage")}
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.trainInto != "" {
		return o.train(stdout)
	}
	return o.report(stdout)
}

// report measures and prints.
func (o *options) report(stdout io.Writer) error {
	def := func(v *int, quick, full int) {
		if *v == 0 {
			*v = quick
			if o.full {
				*v = full
			}
		}
	}
	def(&o.networks, 4, 12)
	def(&o.reachable, 1000, 1000)
	def(&o.txs, 500, 300)
	var all []*measured
	for i, c := range o.conditions() {
		networks := o.networks
		if i > 0 {
			networks = (networks + 2) / 3
		}
		all = append(all, o.measure(c, networks))
	}
	nodes, places := pool(all[:1])
	fmt.Fprintf(stdout, "%d networks of %d reachable nodes, %d transactions in each, from nodes at random; seed %d. In percent, with 95 %% intervals.\n\n",
		o.networks, o.reachable, o.txs, o.seed)
	tables := []rows{all[0].mainTable(), reliability(nodes, places)}
	if o.full {
		tables = append(tables, otherTable(all))
	}
	for _, t := range tables {
		if err := t.text(stdout); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		fmt.Fprintln(stdout)
	}
	if o.docs != "" {
		return o.write(all)
	}
	return nil
}
