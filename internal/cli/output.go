package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"btcsniff/capture"
	"btcsniff/internal/pipeline"
	"btcsniff/sink"
)

// CommitLimit is how long the records that were read before a signal may take to be written after it.
const CommitLimit = 30 * time.Second

// Writing returns a context for writing: it goes on for CommitLimit after ctx is done, so that what was read is stored. stop
// ends it.
func Writing(ctx context.Context) (writing context.Context, stop context.CancelFunc) {
	writing, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		select {
		case <-time.After(CommitLimit):
			cancel(fmt.Errorf("not all that was read could be written within %v of the end", CommitLimit))
		case <-writing.Done():
		}
	})
	return writing, func() { cancel(nil) }
}

// An Output is a sink that is being written to.
type Output struct {
	Target Target
	Queue  *sink.Queue
	Err    error // of closing
}

// OpenOutputs opens all sinks, or none. Opening may take time and stops with reading; writes are bounded by writing. For
// age and fail see Target.QueueOptions.
func OpenOutputs(reading, writing context.Context, targets []Target, age time.Duration, stdout io.Writer, log *slog.Logger,
	fail context.CancelCauseFunc) (outs []Output, err error) {
	for _, t := range targets {
		var s sink.Sink
		if t.spooled() {
			s, err = t.openSpooled(reading, writing, log)
		} else {
			s, err = t.Open(reading, stdout, log)
		}
		if err != nil {
			CloseOutputs(outs)
			for _, o := range outs {
				err = errors.Join(err, o.Err)
			}
			return nil, RedactErr(err) // sinks name what they couldn't open
		}
		outs = append(outs, Output{Target: t, Queue: sink.NewQueue(writing, s, t.QueueOptions(age, fail))})
	}
	warnOfLeft(targets, log)
	return outs, nil
}

// Queues are the outputs' queues.
func Queues(outs []Output) []*sink.Queue {
	qs := make([]*sink.Queue, len(outs))
	for i, o := range outs {
		qs[i] = o.Queue
	}
	return qs
}

// CloseOutputs writes what waits and closes the sinks.
func CloseOutputs(outs []Output) {
	for i := range outs {
		outs[i].Err = outs[i].Queue.Close()
	}
}

// Summarize collects what a run's parts know: st are its source's counts. The summary lacks only what the command itself knows.
func Summarize(st *capture.Stats, res *pipeline.Result, outs []Output, elapsed time.Duration) *Summary {
	sum := &Summary{Seconds: round(elapsed), Bytes: st.Bytes, Local: []LocalAddr{}}
	for _, c := range res.Captures {
		s := CaptureSummary{
			Name: c.Capture.Name, Sensor: c.Capture.Sensor, Files: len(c.Files), First: c.Capture.First,
			Packets: c.Ledger.PacketsRead, Records: c.Ledger.Records(), Undecodable: total(c.Ledger.Undecodable), reasons: reasons(c.Ledger.Undecodable),
		}
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
			sum.Problems = append(sum.Problems, Problem{Path: f.Path, What: f.Err.Error()})
		case f.Warning != "":
			sum.Problems = append(sum.Problems, Problem{Path: f.Path, What: f.Warning, Warning: true})
		}
	}
	for _, o := range outs {
		q := o.Queue.Stats()
		k := SinkSummary{Name: o.Target.Name, Added: q.Added, Stored: q.Stored, Lost: q.Lost}
		if d, ok := o.Queue.Deferred(); ok {
			k.Waiting, k.Recovered = d.Records, d.Recovered
		}
		if o.Err != nil {
			k.Problem = RedactErr(o.Err).Error()
		}
		sum.Sinks = append(sum.Sinks, k)
	}
	for _, a := range res.Local {
		text := a.Prefix.String()
		if a.Prefix.IsSingleIP() {
			text = a.Prefix.Addr().String()
		}
		sum.Local = append(sum.Local, LocalAddr{Addr: text, Reason: a.Reason})
	}
	return sum
}

// Verdict collects what went wrong in a run: files, captures of which nothing could be decoded, sinks, the run itself, a ledger
// that does not close. run is the pipeline's error, nil where that is how the run was to end; more is what the command itself knows.
func Verdict(run error, sum *Summary, outs []Output, more ...error) error {
	var errs Failures
	for _, p := range sum.Problems {
		if !p.Warning {
			errs = append(errs, errors.New(p.What))
		}
	}
	for _, c := range sum.Captures {
		if c.Undecodable == c.Packets && c.Packets > 0 {
			errs = append(errs, fmt.Errorf("capture %s: none of its %s could be decoded%s; it was recorded in a way that btcsniff doesn't know, "+
				"record it on Ethernet, -i any, loopback or raw IP", c.Name, Plural(c.Packets, "packet"), c.reasons))
		}
	}
	sinks := 0
	for _, o := range outs {
		if o.Err != nil {
			errs = append(errs, RedactErr(o.Err))
			sinks++
		}
	}
	errs = append(errs, more...)
	if run != nil && sinks == 0 { // a sink's error is the run's, too
		errs = append(errs, RedactErr(run))
	}
	if err := sum.Ledger.Check(); err != nil {
		errs = append(errs, fmt.Errorf("%w; this is a defect of btcsniff, please report it with the capture", err))
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// Report says the warnings in the summary, and writes it: for people to w, or as a line of the log.
func (f *Flags) Report(w io.Writer, log *slog.Logger, sum *Summary) {
	if f.Quiet {
		return
	}
	for _, p := range sum.Problems {
		if p.Warning {
			log.Warn(p.What)
		}
	}
	if f.JSON {
		values := []any{
			"captures", sum.Captures, "problems", sum.Problems, "ledger", &sum.Ledger, "ledger_closes", sum.Closes,
			"sinks", sum.Sinks, "local", sum.Local, "bytes", sum.Bytes, "seconds", sum.Seconds,
		}
		if sum.Interfaces != nil {
			values = append([]any{"interfaces", sum.Interfaces}, values...)
		}
		log.Info("summary", values...)
		return
	}
	for _, c := range sum.Captures {
		log.Debug(fmt.Sprintf("capture %s: %s, %s packets, %s records, from %v", c.Name, Plural(c.Files, "file"), Count(c.Packets), Count(c.Records), c.First))
	}
	var b strings.Builder
	sum.Write(&b)
	io.WriteString(w, b.String()) // one picture
}
