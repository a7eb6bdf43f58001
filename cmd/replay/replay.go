package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/sink"
	"btcsniff/v2"
)

// commitLimit is how long the records that were read before a signal may take to be written after it.
const commitLimit = 30 * time.Second

// errInterrupted is what a signal ends a run with.
var errInterrupted = errors.New("interrupted: what was read until then is stored; run the same command again to store the rest, nothing is stored twice")

// An output is a sink that is being written to.
type output struct {
	target target
	queue  *sink.Queue
	err    error // of closing
}

// replay does the work of the command line opt. Its error is of one or more lines (see errorLines).
func replay(ctx context.Context, opt *options, stdin io.Reader, stdout io.Writer, bar *progress, log *slog.Logger) error {
	began := time.Now()
	keys, err := readKeys(opt.keyLog)
	if err != nil {
		return err
	}
	src, err := openFeed(opt, stdin)
	if err != nil {
		return err
	}
	defer src.Close()

	// Writing goes on after a signal, for a while, so that what was read is stored.
	writing, stopWriting := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWriting(nil)
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	context.AfterFunc(ctx, func() {
		select {
		case <-time.After(commitLimit):
			stopWriting(fmt.Errorf("not all that was read could be written within %v of the signal", commitLimit))
		case <-writing.Done():
		}
	})

	outs, err := openOutputs(reading, writing, opt, stdout, log, stopReading)
	if err != nil {
		return err
	}
	files := newDisposal(opt, log)
	stopWatching := bar.watch(func() sample { return look(src, outs, time.Since(began)) })
	res, err := pipeline.Run(reading, src, config(opt, keys, src, outs, files))
	for i := range outs {
		outs[i].err = outs[i].queue.Close()
	}
	stopWatching()

	sum := summarize(src, res, outs, time.Since(began))
	var stuck []error
	sum.Deleted, sum.Kept, stuck = files.result()
	if !opt.follow && !opt.remove {
		for _, f := range src.Stats().Files {
			log.Debug(fmt.Sprintf("file %s: %s packets", f.Path, count(f.Packets)))
		}
	}
	err = verdict(ctx, opt, err, sum, outs, stuck)
	if !opt.quiet {
		report(bar, log, opt, sum)
	}
	return err
}

// config is the pipeline's for the command line opt.
func config(opt *options, keys *v2.Keys, src feed, outs []output, files *disposal) pipeline.Config {
	cfg := pipeline.Config{
		Sensor:   opt.sensor,
		Networks: opt.networks,
		Local:    opt.local,
		Memory:   opt.memory,
		Workers:  opt.workers,
		V2Keys:   keys,
		Outputs:  queues(outs),
	}
	if opt.follow {
		cfg.LocalWithin = followLocal
	}
	if opt.follow || opt.remove {
		cfg.Finished = func() []capture.FileStats { return files.finished(src.Finished(), opt.follow) }
		cfg.Stored = files.stored
	}
	return cfg
}

// readKeys reads a key log, if one is named.
func readKeys(path string) (*v2.Keys, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--v2-keys: %w", err)
	}
	defer f.Close()
	keys, err := v2.ParseKeys(f)
	if err != nil {
		return nil, fmt.Errorf("--v2-keys %s: %w", path, err)
	}
	return keys, nil
}

// openOutputs opens all sinks, or none. Opening may take time and stops with reading; writes are bounded by writing.
func openOutputs(reading, writing context.Context, opt *options, stdout io.Writer, log *slog.Logger,
	fail context.CancelCauseFunc) (outs []output, err error) {
	for _, t := range opt.targets {
		s, err := t.open(reading, stdout, log)
		if err != nil {
			for _, o := range outs {
				err = errors.Join(err, o.queue.Close())
			}
			return nil, redactErr(err) // sinks name what they couldn't open
		}
		outs = append(outs, output{target: t, queue: sink.NewQueue(writing, s, t.options(opt.follow, fail))})
	}
	return outs, nil
}

func queues(outs []output) []*sink.Queue {
	qs := make([]*sink.Queue, len(outs))
	for i, o := range outs {
		qs[i] = o.queue
	}
	return qs
}

// look says how far the run has come.
func look(src feed, outs []output, elapsed time.Duration) sample {
	var s sample
	if f, ok := src.(*followed); ok {
		s = f.look()
	} else {
		st := src.Stats()
		s = sample{files: len(st.Files), bytes: st.Bytes, total: st.Total}
		for _, f := range st.Files {
			if f.Packets > 0 || f.Err != nil {
				s.begun++
			}
		}
	}
	s.elapsed = elapsed
	for _, o := range outs {
		s.records = max(s.records, o.queue.Stats().Made)
	}
	return s
}

// verdict collects everything that went wrong. run is the pipeline's error, stuck are files that could not be deleted.
func verdict(ctx context.Context, opt *options, run error, sum *summary, outs []output, stuck []error) error {
	var errs []error
	for _, p := range sum.Problems {
		if !p.Warning {
			errs = append(errs, errors.New(p.What))
		}
	}
	for _, c := range sum.Captures {
		if c.Undecodable == c.Packets && c.Packets > 0 {
			errs = append(errs, fmt.Errorf("capture %s: none of its %s could be decoded%s; it was recorded in a way that replay doesn't know, "+
				"record it on Ethernet, -i any, loopback or raw IP", c.Name, plural(c.Packets, "packet"), c.reasons))
		}
	}
	sinks := 0
	for _, o := range outs {
		if o.err != nil {
			errs = append(errs, redactErr(o.err))
			sinks++
		}
	}
	errs = append(errs, stuck...)
	switch {
	case ctx.Err() != nil && opt.follow: // that is how following ends
	case ctx.Err() != nil:
		errs = append(errs, errInterrupted)
	case run != nil && sinks == 0: // a sink's error is the run's, too
		errs = append(errs, redactErr(run))
	}
	if err := sum.Ledger.Check(); err != nil {
		errs = append(errs, fmt.Errorf("%w; this is a defect of btcsniff, please report it with the capture", err))
	}
	if len(errs) == 0 {
		return nil
	}
	return failures(errs)
}

// failures are several things that went wrong. Each is a line.
type failures []error

func (f failures) Error() string { return errors.Join(f...).Error() }

// errorLines returns a line for each thing that went wrong.
func errorLines(err error) (lines []string) {
	var all failures
	if !errors.As(err, &all) {
		all = failures{err}
	}
	for _, e := range all {
		lines = append(lines, strings.Join(strings.Fields(e.Error()), " "))
	}
	return lines
}

// summarize collects what the run's parts know.
func summarize(src feed, res *pipeline.Result, outs []output, elapsed time.Duration) *summary {
	st := src.Stats()
	sum := &summary{Seconds: round(elapsed), Bytes: st.Bytes, Local: []localAddr{}}
	if f, ok := src.(*followed); ok {
		sum.Files = f.look().begun
	}
	for _, c := range res.Captures {
		s := captureSummary{Name: c.Capture.Name, Sensor: c.Capture.Sensor, Files: len(c.Files), First: c.Capture.First,
			Packets: c.Ledger.PacketsRead, Records: c.Ledger.Records(), Undecodable: total(c.Ledger.Undecodable), reasons: reasons(c.Ledger.Undecodable)}
		for _, f := range c.Files {
			s.Last = max(s.Last, f.Last)
		}
		sum.Captures = append(sum.Captures, s)
	}
	sum.Ledger = *res.Total()
	sum.Closes = sum.Ledger.Check() == nil
	for _, f := range st.Files {
		switch {
		case f.Err != nil:
			sum.Problems = append(sum.Problems, problem{Path: f.Path, What: f.Err.Error()})
		case f.Warning != "":
			sum.Problems = append(sum.Problems, problem{Path: f.Path, What: f.Warning, Warning: true})
		}
	}
	for _, o := range outs {
		q := o.queue.Stats()
		k := sinkSummary{Name: o.target.name, Added: q.Added, Stored: q.Stored, Lost: q.Lost}
		if o.err != nil {
			k.Problem = redactErr(o.err).Error()
		}
		sum.Sinks = append(sum.Sinks, k)
	}
	for _, a := range res.Local {
		text := a.Prefix.String()
		if a.Prefix.IsSingleIP() {
			text = a.Prefix.Addr().String()
		}
		sum.Local = append(sum.Local, localAddr{Addr: text, Reason: a.Reason})
	}
	return sum
}

// report writes the summary.
func report(w io.Writer, log *slog.Logger, opt *options, sum *summary) {
	for _, p := range sum.Problems {
		if p.Warning {
			log.Warn(p.What)
		}
	}
	if opt.json {
		log.Info("summary", "captures", sum.Captures, "problems", sum.Problems, "ledger", &sum.Ledger, "ledger_closes", sum.Closes,
			"sinks", sum.Sinks, "local", sum.Local, "bytes", sum.Bytes, "seconds", sum.Seconds)
		return
	}
	for _, c := range sum.Captures {
		log.Debug(fmt.Sprintf("capture %s: %s, %s packets, %s records, from %v", c.Name, plural(c.Files, "file"), count(c.Packets), count(c.Records), c.First))
	}
	var b strings.Builder
	sum.write(&b)
	io.WriteString(w, b.String())
}
