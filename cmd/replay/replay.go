package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/cli"
	"btcsniff/internal/pipeline"
	"btcsniff/v2"
)

// batchAge is how much capture time a database's batch may span. A recording is in no hurry, and a commit a second would be
// what a quiet one costs.
const batchAge = time.Minute

// errInterrupted is what a signal ends a run with.
var errInterrupted = errors.New("interrupted: what was read until then is stored; run the same command again to store the rest, nothing is stored twice")

// replay does the work of the command line opt. Its error is of one or more lines (see cli.ErrorLines).
func replay(ctx context.Context, opt *options, stdin io.Reader, stdout io.Writer, bar *cli.Progress, log *slog.Logger) (err error) {
	began := time.Now()
	keys, err := opt.Keys()
	if err != nil {
		return err
	}
	places, err := opt.Places()
	if err != nil {
		return err
	}
	defer places.Close()
	if opt.follow {
		opt.Order()
	}
	watch, err := opt.Watch(time.Now, log)
	if err != nil {
		return err
	}
	defer watch.End(&err)
	src, err := openFeed(opt, stdin)
	if err != nil {
		return err
	}
	defer src.Close()

	writing, stopWriting := cli.Writing(ctx)
	defer stopWriting()
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	age := batchAge
	if opt.follow {
		age = followAge
	}
	outs, err := cli.OpenOutputs(reading, writing, opt.Targets, age, stdout, log, stopReading)
	if err != nil {
		return err
	}
	files := newDisposal(opt, log)
	stopWatching := bar.Watch(refresh, func() string { return look(src, outs, time.Since(began)).String() })
	watch.Begin(outs, nil)
	cfg := config(opt, keys, src, outs, files)
	cfg.Monitor = &watch.Monitor
	res, err := pipeline.Run(reading, src, cfg)
	cli.CloseOutputs(outs)
	stopWatching()

	sum, stuck := summarize(opt, src, res, outs, files, time.Since(began), log)
	if broken := places.Err(); broken != nil {
		stuck = append(stuck, broken)
	}
	if ctx.Err() != nil {
		err = nil // that is how following ends
		if !opt.follow {
			stuck = append(stuck, errInterrupted)
		}
	}
	err = cli.Verdict(err, sum, outs, stuck...)
	opt.Report(bar, log, sum)
	return err
}

// summarize collects what the run's parts know. stuck is what went wrong with files beside what their own errors say.
func summarize(opt *options, src feed, res *pipeline.Result, outs []cli.Output, files *disposal,
	elapsed time.Duration, log *slog.Logger) (sum *cli.Summary, stuck []error) {
	st := src.Stats()
	sum = cli.Summarize(&st, res, outs, elapsed)
	if f, ok := src.(*followed); ok {
		sum.Files = f.look().begun
	}
	sum.Deleted, sum.Kept, stuck = files.result()
	if err := nothing(opt, st.Files); err != nil {
		stuck = append(stuck, err)
	}
	if !opt.follow && !opt.remove {
		for _, f := range st.Files {
			log.Debug(fmt.Sprintf("file %s: %s packets", f.Path, count(f.Packets)))
		}
	}
	return sum, stuck
}

// nothing is the error of a run that found nothing to read and no error that says so: files that are followed may be empty, or not
// there, to the end.
func nothing(opt *options, files []capture.FileStats) error {
	for _, f := range files {
		if f.Header || f.Err != nil || !f.Done && !opt.follow {
			return nil
		}
	}
	advice := "was anything recorded?"
	if opt.follow {
		advice = "name the folder or file that is written to, and give tcpdump -U, which has it write at once"
	}
	return fmt.Errorf("nothing was read: not even a capture's header is in %s; %s", strings.Join(opt.paths, ", "), advice)
}

// config is the pipeline's for the command line opt.
func config(opt *options, keys *v2.Keys, src feed, outs []cli.Output, files *disposal) pipeline.Config {
	cfg := pipeline.Config{
		Sensor:   opt.Sensor,
		Networks: opt.Networks,
		Local:    opt.Local,
		Memory:   opt.Memory,
		Workers:  opt.Workers,
		V2Keys:   keys,
		Outputs:  cli.Queues(outs),
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

// look says how far the run has come.
func look(src feed, outs []cli.Output, elapsed time.Duration) sample {
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
	for i := range outs { // not all of it: Err is set meanwhile
		s.records = max(s.records, outs[i].Queue.Stats().Made)
	}
	return s
}
