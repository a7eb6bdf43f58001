// Command bench compares what replay costs with other programs on the same capture, in one run on one machine: with
// the least possible analyzer on the usual Go libraries, and with tshark where it is installed. It prints processor time, peak memory and
// ratios; only the ratios mean something on another machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/pcaptest"
	"btcsniff/internal/pipeline"
	"btcsniff/sink"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A usageError has been explained on standard error already.
type usageError struct{ error }

// options are the flags.
type options struct {
	file, replay     string
	seconds, rate    float64
	peers            int
	rounds, tsharked int
	sinks            []string
	growth           string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: bench [flags], in the project's folder")
		fs.PrintDefaults()
	}
	o := &options{}
	fs.StringVar(&o.file, "file", "", "capture `FILE` to read (pcap, Ethernet); none: one is generated")
	fs.StringVar(&o.replay, "replay", "", "replay `PROGRAM` to measure; none: it is built")
	fs.Float64Var(&o.seconds, "seconds", 69, "capture time to generate; 69 s are 285 MB")
	fs.Float64Var(&o.rate, "rate", 90_000, "announcements a second to generate")
	fs.IntVar(&o.peers, "peers", 3000, "connections to generate")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds, of which the medians are taken")
	fs.IntVar(&o.tsharked, "tshark-rounds", 1, "rounds in which tshark takes part, which is slow; 0: none")
	fs.Func("sink", "one more sink to measure replay with, as in replay --sink `URL`; for a database, its server's processor time is not counted", func(s string) error {
		o.sinks = append(o.sinks, s)
		return nil
	})
	fs.StringVar(&o.growth, "growth", "", "instead, measure how cost and memory grow with connections and capture time, and draw that to an SVG `FILE`; "+
		"-seconds is then the capture time for each number of connections; 300 s take 9 GB in the folder for temporary files")
	if err := fs.Parse(args); err != nil {
		return nil, usageError{err}
	}
	if fs.NArg() > 0 || o.rounds < 1 {
		fs.Usage()
		return nil, usageError{errors.New("usage")}
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	// Both are done in processes of their own: a child's peak memory begins with its parent's.
	if len(args) == 2 && args[0] == leastCommand {
		return least(args[1], stdout)
	}
	if len(args) > 1 && args[0] == generateCommand {
		return generate(args[1], args[2:], stderr)
	}
	if len(args) == 2 && args[0] == allocsCommand {
		return allocs(ctx, args[1], stdout)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "btcsniff-bench")
	if err != nil {
		return fmt.Errorf("make a folder to work in: %w", err)
	}
	defer os.RemoveAll(dir)
	if o.growth != "" {
		return o.grow(ctx, dir, stdout, stderr)
	}
	if err := o.prepare(ctx, dir, args, stderr); err != nil {
		return err
	}
	programs, err := o.programs(dir)
	if err != nil {
		return err
	}
	for round := range o.rounds {
		for _, p := range programs {
			if round >= p.rounds {
				continue
			}
			fmt.Fprintf(stderr, "round %d of %d: %s\n", round+1, o.rounds, p.name)
			if err := p.measure(ctx, round); err != nil {
				return err
			}
		}
	}
	if err := report(stdout, o, programs); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return command(ctx, stdout, self, allocsCommand, o.file)
}

// allocs runs the pipeline to a sink that counts, and says how often it allocated.
func allocs(ctx context.Context, path string, stdout io.Writer) error {
	src, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	q := sink.NewQueue(ctx, sink.NewNull(), sink.QueueOptions{Mixed: true})
	res, err := pipeline.Run(ctx, src, pipeline.Config{Sensor: "bench", Outputs: []*sink.Queue{q}})
	if err := errors.Join(err, q.Close()); err != nil {
		return err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	l := res.Total()
	fmt.Fprintf(stdout, "\nreplay, null: %.3f allocations and %.0f bytes for each packet, %.4f and %.1f for each record\n",
		float64(m.Mallocs)/float64(l.PacketsRead), float64(m.TotalAlloc)/float64(l.PacketsRead),
		float64(m.Mallocs)/float64(l.Records()), float64(m.TotalAlloc)/float64(l.Records()))
	return nil
}

const (
	leastCommand    = "least"
	generateCommand = "generate"
	allocsCommand   = "allocs"
)

// generate writes the capture that the flags ask for.
func generate(path string, args []string, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create capture: %w", err)
	}
	cfg := pcaptest.BulkConfig{Seed: 1, Peers: o.peers, Rate: o.rate, Duration: time.Duration(o.seconds * float64(time.Second))}
	return errors.Join(pcaptest.Bulk(f, cfg, nil), f.Close())
}

// prepare builds and generates what was not given.
func (o *options) prepare(ctx context.Context, dir string, args []string, stderr io.Writer) error {
	if err := o.build(ctx, dir, stderr); err != nil {
		return err
	}
	if o.file != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	o.file = filepath.Join(dir, "bench.pcap")
	fmt.Fprintln(stderr, "generating a capture")
	return command(ctx, stderr, self, append([]string{generateCommand, o.file}, args...)...)
}

// build builds replay, unless it was given.
func (o *options) build(ctx context.Context, dir string, stderr io.Writer) error {
	if o.replay != "" {
		return nil
	}
	o.replay = filepath.Join(dir, "replay")
	return command(ctx, stderr, "go", "build", "-trimpath", "-o", o.replay, "./cmd/replay")
}

func command(ctx context.Context, stderr io.Writer, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = stderr, stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", filepath.Base(name), args[0], err)
	}
	return nil
}

// programs are what is measured, the yardsticks first.
func (o *options) programs(dir string) ([]*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	all := []*program{{name: "least analyzer", rounds: o.rounds, args: fixed(self, leastCommand, o.file)}}
	if path, err := exec.LookPath("tshark"); err == nil && o.tsharked > 0 {
		args := fixed(path, "-n", "-r", o.file, "-Y", "bitcoin", "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.src", "-e", "tcp.srcport",
			"-e", "bitcoin.command", "-e", "bitcoin.inv.type", "-e", "bitcoin.inv.hash")
		all = append(all, &program{name: tsharkName, rounds: min(o.tsharked, o.rounds), args: args})
	}
	two := fixed(o.replay, "-q", "--workers", "2", "--sensor", "bench", "--sink", "null:", o.file)
	// What the second core can give at most: it shares caches and memory with the first.
	both := fixed("sh", "-c", `"$0" "$@" & "$0" "$@" & wait $! && wait %1`, o.replay, "-q", "--sensor", "bench", "--sink", "null:", o.file)
	all = append(all, &program{name: twoWorkers, rounds: o.rounds, args: two}, &program{name: twoAtOnce, rounds: o.rounds, args: both})
	sinks := append([]string{"null:", "jsonl:/dev/null", "duckdb:" + filepath.Join(dir, "%d.duckdb")}, o.sinks...)
	for _, sink := range sinks {
		scheme, _, _ := strings.Cut(sink, ":")
		all = append(all, &program{name: "replay, " + scheme, rounds: o.rounds, args: func(round int) []string {
			// A sensor of its own, or a database would say that it has the capture already.
			sensor := fmt.Sprintf("bench-%d-%d", os.Getpid(), round)
			return []string{o.replay, "-q", "--sensor", sensor, "--sink", strings.ReplaceAll(sink, "%d", fmt.Sprint(round)), o.file}
		}})
	}
	return all, nil
}

func fixed(args ...string) func(int) []string { return func(int) []string { return args } }
