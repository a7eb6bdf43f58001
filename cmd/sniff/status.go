package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"btcsniff/capture/live"
	"btcsniff/internal/cli"
	"btcsniff/internal/metrics"
	"btcsniff/internal/pipeline"
)

// answer logs the status whenever somebody asks, until stop is called.
func answer(ask <-chan os.Signal, log *slog.Logger, status func() string) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-ask:
				log.Info("status: " + status())
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}

// status is one line about the run so far. Packets are counted about once a second.
func (s *source) status(outs []cli.Output, far pipeline.Progress, elapsed time.Duration) string {
	t := int(elapsed.Seconds())
	parts := []string{fmt.Sprintf("%d:%02d:%02d", t/3600, t/60%60, t%60)}
	for _, i := range s.Interfaces() {
		part := fmt.Sprintf("%s %s", i.Name, cli.Plural(i.Packets, "packet"))
		if n := i.Dropped + i.IfDropped; n > 0 {
			part += fmt.Sprintf(", %s dropped", cli.Count(n))
		}
		if i.Down {
			part += ", down"
		}
		parts = append(parts, part)
	}
	if l := far.Total(); l.TCPBytes > 0 {
		parts = append(parts, fmt.Sprintf("%s unreadable, %s missed by the capture", cli.Share(l.Unreadable()), cli.Share(l.CaptureLoss())))
	}
	for i := range outs {
		o := &outs[i] // not all of it: Err is set meanwhile
		q := o.Queue.Stats()
		part := fmt.Sprintf("%s: %s stored", o.Target.Name, cli.Plural(q.Added+q.Stored, "record"))
		if n := q.Made - q.Added - q.Stored - q.Lost; n > 0 {
			part += fmt.Sprintf(", %s waiting", cli.Count(n))
		}
		if q.Lost > 0 {
			part += fmt.Sprintf(", %s lost", cli.Count(q.Lost))
		}
		parts = append(parts, part)
	}
	if s.keeper != nil {
		parts = append(parts, s.kept())
	}
	return strings.Join(parts, "; ")
}

// interfaces is what metrics say of them.
func (s *source) interfaces() (all []metrics.Interface) {
	for _, i := range s.Interfaces() {
		m := metrics.Interface{
			Name: i.Name, Packets: i.Packets, Dropped: i.Dropped, IfDropped: i.IfDropped,
			Downs: i.Downs, Reopened: i.Reopened, Away: i.Away, Down: i.Down,
		}
		if i.Err != nil {
			m.Lost = i.Err.Error()
		}
		all = append(all, m)
	}
	return all
}

// kept says what is kept of the packets.
func (s *source) kept() string {
	k := s.keeper.Kept()
	text := fmt.Sprintf("%s in %s, %.1f MB", cli.Plural(k.Packets, "packet"), cli.Plural(k.Files, "file"), float64(k.Bytes)/1e6)
	if k.Lost > 0 {
		text += fmt.Sprintf("; %s could not be written", cli.Plural(k.Lost, "packet"))
	}
	return text
}

// summary is the run's, with what the interfaces know. reason says how local addresses are known; "": as the pipeline says.
func (s *source) summary(res *pipeline.Result, outs []cli.Output, reason string, elapsed time.Duration) *cli.Summary {
	st := s.Stats()
	sum := cli.Summarize(&st, res, outs, elapsed)
	for i := range sum.Local {
		sum.Local[i].Reason = cmp.Or(reason, sum.Local[i].Reason)
	}
	used := map[string]uint64{}
	for _, c := range res.Captures {
		used[c.Capture.Name] = c.Ledger.PacketsRead
	}
	for _, i := range s.Interfaces() {
		sum.Interfaces = append(sum.Interfaces, cli.InterfaceSummary{
			Name: i.Name, Packets: used[i.Name], Dropped: i.Dropped, IfDropped: i.IfDropped, Downs: i.Downs, Away: i.Away.Seconds(),
		})
	}
	if s.keeper != nil {
		sum.KeptPackets = s.kept()
	}
	return sum
}

// listInterfaces is what -D prints.
func listInterfaces(w io.Writer) error {
	all, err := live.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		line := i.Name
		if !i.Up {
			line += " (down)"
		}
		for _, a := range i.Addrs {
			if a.IsSingleIP() {
				line += " " + a.Addr().String()
			} else {
				line += " " + a.String()
			}
		}
		if i.Description != "" {
			line += " - " + i.Description
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
