package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"btcsniff/capture"
	"btcsniff/capture/keep"
	"btcsniff/capture/live"
	"btcsniff/internal/cli"
	"btcsniff/internal/pipeline"
)

const (
	batchAge    = time.Second      // of capture time that a database's batch may span
	localWithin = 10 * time.Second // see pipeline.Config.LocalWithin
)

// sniff does the work of the command line opt. Its error is of one or more lines (see cli.ErrorLines).
func sniff(ctx context.Context, opt *options, ask <-chan os.Signal, stdout io.Writer, bar *cli.Progress, log *slog.Logger) (err error) {
	began := time.Now()
	keys, err := opt.Keys() // as root still, whose file it may be
	if err != nil {
		return err
	}
	places, err := opt.Places() // the same
	if err != nil {
		return err
	}
	defer places.Close()
	opt.Order()
	watch, err := opt.Watch(time.Now, log) // as root still, whose port it may be
	if err != nil {
		return err
	}
	defer watch.End(&err)
	src, err := open(opt, log)
	if err != nil {
		return err
	}
	defer src.Close()
	local, reason, err := opt.local(src) // at once: an interface may go away
	if err != nil {
		return err
	}
	src.announce(opt, log)
	reading, stopReading := opt.reading(ctx)
	defer stopReading(nil)
	writing, stopWriting := cli.Writing(reading) // also where --duration or another sink ends it
	defer stopWriting()
	outs, err := cli.OpenOutputs(reading, writing, opt.Targets, batchAge, stdout, log, stopReading)
	if err != nil {
		return err
	}

	watch.Begin(outs, src.interfaces)
	status := func() string { return src.status(outs, watch.Monitor.Progress(), time.Since(began)) }
	stopWatching := bar.Watch(time.Second, status)
	stopAnswering := answer(ask, log, status)
	res, err := pipeline.Run(reading, src, pipeline.Config{
		Sensor: opt.Sensor, Networks: opt.Networks, Local: local, LocalWithin: localWithin, V2Keys: keys,
		Memory: opt.Memory, Workers: opt.Workers, Outputs: cli.Queues(outs), Monitor: &watch.Monitor,
		Blind: src.Blind,
	})
	errKept := src.finish()
	cli.CloseOutputs(outs)
	stopAnswering()
	stopWatching()

	if reading.Err() != nil {
		err = nil // that is how it was to end, or a sink failed, which the outputs know
	}
	sum := src.summary(res, outs, reason, time.Since(began))
	err = src.verdict(err, errors.Join(errKept, places.Err()), sum, outs)
	opt.Report(bar, log, sum)
	return err
}

// reading is the context of capturing: it ends with ctx, with stop, and after --duration.
func (opt *options) reading(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, stop := context.WithCancelCause(ctx)
	if opt.duration == 0 {
		return ctx, stop
	}
	ctx, stopTimer := context.WithTimeout(ctx, opt.duration)
	return ctx, func(cause error) {
		stop(cause)
		stopTimer()
	}
}

// verdict collects what went wrong: in the run, with files (those that were kept, and databases of places), and else.
func (s *source) verdict(run, kept error, sum *cli.Summary, outs []cli.Output) error {
	more := s.lost()
	if len(more) > 0 {
		run = nil // it is the same
	}
	if kept != nil {
		more = append(more, kept)
	}
	return cli.Verdict(run, sum, outs, more...)
}

// A source is what sniff reads: interfaces, perhaps kept in files, perhaps a number of packets only.
type source struct {
	*live.Live
	keeper  *keep.Keeper // nil: nothing is kept
	from    capture.Source
	limit   uint64 // packets; 0: none
	packets uint64
}

// open opens the interfaces, drops root, and opens the folder for packets, in this order.
func open(opt *options, log *slog.Logger) (*source, error) {
	var id *identity
	if opt.user != "" {
		var err error
		if id, err = lookUp(opt.user); err != nil {
			return nil, err
		}
	}
	if opt.Sensor == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("the machine has no name: %w: give one with --sensor", err)
		}
		opt.Sensor = name
	}
	if len(opt.interfaces) == 0 {
		name, err := firstInterface()
		if err != nil {
			return nil, err
		}
		opt.interfaces = []string{name}
	}
	in, err := live.Open(live.Config{
		Interfaces: opt.interfaces, Filter: opt.filter, Buffer: opt.bufferKiB << 10, SnapLen: opt.snapLen, Immediate: opt.immediate,
		Changed: func(c live.Change) { tell(log, c) },
	})
	if errors.As(err, new(*live.FilterError)) {
		return nil, cli.UsageError{Err: err}
	} else if err != nil {
		return nil, err
	}
	src := &source{Live: in, from: in, limit: opt.count}
	if id != nil {
		err = id.drop()
	}
	if err == nil && opt.dir != "" {
		src.keeper, err = keep.New(in, keep.Config{
			Dir: opt.dir, Every: time.Duration(opt.seconds) * time.Second, SnapLen: opt.snapLen, Zstd: opt.zstd,
			Nanos:   slices.ContainsFunc(in.Interfaces(), func(i live.InterfaceStats) bool { return i.Nanos }),
			Problem: func(err error) { log.Warn(err.Error() + "; packets are not kept until the next file can be written") },
		})
		src.from = src.keeper
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return src, nil
}

// announce says what is captured, as tcpdump does.
func (s *source) announce(opt *options, log *slog.Logger) {
	var names []string
	for _, i := range s.Interfaces() {
		unit := "microseconds"
		if i.Nanos {
			unit = "nanoseconds"
		}
		names = append(names, fmt.Sprintf("%s (link type %d, %s)", i.Name, i.Link, unit))
	}
	text := "listening on " + strings.Join(names, ", ")
	if opt.filter != "" {
		text += ", filter " + opt.filter
	}
	log.Info(text)
}

// Next is capture.Source's.
func (s *source) Next(ctx context.Context, p *capture.Packet) error {
	if s.limit > 0 && s.packets == s.limit {
		return io.EOF
	}
	err := s.from.Next(ctx, p)
	if err == nil && p.Data != nil {
		s.packets++
	}
	return err
}

// finish completes the files that packets are kept in.
func (s *source) finish() error {
	if s.keeper == nil {
		return nil
	}
	return s.keeper.Finish()
}

// lost returns an error for each interface that could not be captured on to the end.
func (s *source) lost() (errs []error) {
	for _, i := range s.Interfaces() {
		if i.Err != nil {
			errs = append(errs, fmt.Errorf("%s went away and can't be opened again without root, which -Z dropped: start sniff again, or run it "+
				"with CAP_NET_RAW alone instead of -Z", i.Name))
		}
	}
	return errs
}

// firstInterface is the one that is captured on if none is named: as tcpdump does, the first that is up, but no loopback.
func firstInterface() (string, error) {
	all, err := live.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if i.Up && !i.Loopback && i.Name != "any" {
			return i.Name, nil
		}
	}
	return "", errors.New("no interface but the loopback is up: name one with -i (sniff -D lists them)")
}

// local returns the observed node's addresses, and how they are known if that is not from the command line. Without any they
// are worked out from the traffic.
func (opt *options) local(src *source) (addrs []netip.Prefix, reason string, err error) {
	if opt.Local != nil {
		return opt.Local, "", nil
	}
	for _, i := range src.Captures() {
		a, err := live.Addrs(i.Name)
		if err != nil {
			return nil, "", err
		}
		addrs = append(addrs, a...)
	}
	slices.SortFunc(addrs, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	if addrs = slices.Compact(addrs); len(addrs) > 0 {
		reason = "an address of the interface"
	}
	return addrs, reason, nil
}

// tell logs what happened to an interface.
func tell(log *slog.Logger, c live.Change) {
	switch {
	case c.Lost:
		log.Warn(fmt.Sprintf("%s is not captured on any more: there is no permission to open it again", c.Interface))
	case c.Down && c.Err != nil:
		log.Warn(fmt.Sprintf("capturing on %s ended: %v; trying again until it is back", c.Interface, c.Err))
	case c.Down:
		log.Warn(fmt.Sprintf("%s is down; it goes on when it is up again", c.Interface))
	default:
		log.Warn(fmt.Sprintf("%s is back: nothing was captured on it for %.1f s, from %s to %s", c.Interface, c.Away.Seconds(),
			c.At.Add(-c.Away).UTC().Format(time.RFC3339), c.At.UTC().Format(time.RFC3339)))
	}
}
