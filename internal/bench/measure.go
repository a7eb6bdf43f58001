package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	tsharkName = "tshark"
	nullSink   = "replay, null"
	twoWorkers = "replay, null, 2 workers"
	twoAtOnce  = "replay, null, two at once"
)

// A program is one command line that is measured.
type program struct {
	name   string
	rounds int
	args   func(round int) []string
	runs   []usage
	said   string // what it printed last, if it is the least analyzer
}

// usage is what one run took.
type usage struct {
	cpu  time.Duration // user and system
	wall time.Duration
	peak int64 // KiB
}

// measure runs the program once. Its output is read and dropped, but a line of the least analyzer's.
func (p *program) measure(ctx context.Context, round int) error {
	args := p.args(round)
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, errs bytes.Buffer
	c.Stderr = &errs
	if args[1] == leastCommand {
		c.Stdout = &out // everybody else's goes to the null device
	}
	begin := time.Now()
	if err := c.Run(); err != nil {
		return fmt.Errorf("run %s: %w: %s", p.name, err, bytes.TrimSpace(errs.Bytes()))
	}
	wall := time.Since(begin)
	// What wait4 says of the child.
	rusage, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return fmt.Errorf("run %s: this system doesn't say what it took", p.name)
	}
	p.said = out.String()
	p.runs = append(p.runs, usage{c.ProcessState.UserTime() + c.ProcessState.SystemTime(), wall, rusage.Maxrss})
	return nil
}

// median is the median of each figure by itself.
func (p *program) median() usage {
	return usage{
		middle(p.runs, func(u usage) time.Duration { return u.cpu }), middle(p.runs, func(u usage) time.Duration { return u.wall }),
		middle(p.runs, func(u usage) int64 { return u.peak }),
	}
}

func middle[T cmp.Ordered](runs []usage, of func(usage) T) T {
	var all []T
	for _, u := range runs {
		all = append(all, of(u))
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// report prints the table.
func report(w io.Writer, o *options, programs []*program) error {
	yardstick := programs[0].median().cpu
	var tshark time.Duration
	for _, p := range programs {
		if p.name == tsharkName {
			tshark = p.median().cpu
		}
	}
	c, err := parseCounts(programs[0].said)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d bytes of packets in %d packets over %.1f s, %d announcements; medians of %d rounds (%s: %d)\n\n",
		c.bytes, c.packets, c.span.Seconds(), c.vects, o.rounds, tsharkName, min(o.tsharked, o.rounds))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "program\tcpu s\tof the least's\tof tshark's\twall s\ttimes real time\tpeak MiB\t")
	for _, p := range programs {
		u := p.median()
		part := "-"
		if tshark > 0 {
			part = fmt.Sprintf("1/%.1f", tshark.Seconds()/u.cpu.Seconds())
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%s\t%.2f\t%.0f\t%d\t\n", p.name, u.cpu.Seconds(), u.cpu.Seconds()/yardstick.Seconds(), part,
			u.wall.Seconds(), c.span.Seconds()/u.wall.Seconds(), u.peak>>10)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if one, two := find(programs, nullSink), find(programs, twoWorkers); one != nil && two != nil {
		fmt.Fprintf(w, "\n2 workers are %.2f times as fast as 1 to null\n", one.median().wall.Seconds()/two.median().wall.Seconds())
	}
	if one, both := find(programs, nullSink), find(programs, twoAtOnce); one != nil && both != nil {
		fmt.Fprintf(w, "two replays of one worker, side by side, do %.2f times the work of one in its time: more can't be had of this machine's second core\n",
			2*one.median().wall.Seconds()/both.median().wall.Seconds())
	}
	return nil
}

// find returns the program of that name, or nil.
func find(programs []*program, name string) *program {
	for _, p := range programs {
		if p.name == name {
			return p
		}
	}
	return nil
}
