package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"
)

// A size is one capture of a growth series and what reading it took.
type size struct {
	peers   int
	seconds float64 // of capture time
	rate    float64 // announcements a second
	least   *program
	replay  *program // to null
}

// Connections that growth is measured at, and hours of capture time.
var (
	growthPeers = []int{100, 1_000, 3_000, 10_000, 30_000, 100_000}
	growthHours = []float64{1, 2, 4, 8, 16, 24}
)

// Of the series over hours: as much as fits into files of a gigabyte.
const (
	hoursPeers = 300
	hoursRate  = 250 // announcements a second
)

// grow measures both series, prints them as tables and draws them.
func (o *options) grow(ctx context.Context, dir string, stdout, stderr io.Writer) error {
	if err := o.build(ctx, dir, stderr); err != nil {
		return err
	}
	var byPeers, byHours []*size
	for _, n := range growthPeers {
		byPeers = append(byPeers, &size{peers: n, seconds: o.seconds, rate: o.rate})
	}
	for _, h := range growthHours {
		byHours = append(byHours, &size{peers: hoursPeers, seconds: h * 3600, rate: hoursRate})
	}
	all := append(append([]*size{}, byPeers...), byHours...)
	for i, s := range all {
		if err := s.prepare(ctx, filepath.Join(dir, fmt.Sprintf("growth%d.pcap", i)), o, stderr); err != nil {
			return err
		}
	}
	// Rounds are outermost: what else the machine does then falls on all sizes alike.
	for round := range o.rounds {
		for _, s := range all {
			fmt.Fprintf(stderr, "round %d of %d: %d connections, %.0f s\n", round+1, o.rounds, s.peers, s.seconds)
			if err := errors.Join(s.least.measure(ctx, round), s.replay.measure(ctx, round)); err != nil {
				return err
			}
		}
	}
	if err := growthTables(stdout, o, byPeers, byHours); err != nil {
		return err
	}
	return os.WriteFile(o.growth, growthPlot(byPeers, byHours), 0o644) //nolint:gosec // a picture for everybody
}

// prepare generates the capture.
func (s *size) prepare(ctx context.Context, path string, o *options, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	fmt.Fprintf(stderr, "generating %d connections, %.0f s\n", s.peers, s.seconds)
	s.least = &program{name: "least analyzer", args: fixed(self, leastCommand, path)}
	s.replay = &program{name: nullSink, args: fixed(o.replay, "-q", "--sensor", "bench", "--sink", "null:", path)}
	return command(ctx, stderr, self, generateCommand, path, "-peers", strconv.Itoa(s.peers),
		"-seconds", fmt.Sprint(s.seconds), "-rate", fmt.Sprint(s.rate))
}

// counted returns what the capture holds, by the least analyzer.
func (s *size) counted() counts {
	c, _ := parseCounts(s.least.said) // zero if it said nothing that we know
	return c
}

// perPacket is a program's processor time in nanoseconds for each packet.
func (s *size) perPacket(p *program) float64 {
	return float64(p.median().cpu) / float64(s.counted().packets)
}

// peak is the most memory that replay took, in KiB.
func (s *size) peak() int64 { return s.replay.median().peak }

// growthTables prints both series, the costs also as multiples of the first one's.
func growthTables(w io.Writer, o *options, byPeers, byHours []*size) error {
	fmt.Fprintf(w, "replay to null by connections, %.0f announcements a second for %.0f s; medians of %d rounds\n\n", o.rate, o.seconds, o.rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "connections\tpackets\tfor each connection\tns/packet\tof the first's\tleast analyzer's\tof the first's\tpeak MiB\tKiB/connection\t")
	first := byPeers[0]
	for _, s := range byPeers {
		n, m := s.perPacket(s.replay), s.perPacket(s.least)
		fmt.Fprintf(t, "%d\t%d\t%d\t%.0f\t%.2f\t%.0f\t%.2f\t%d\t%.1f\t\n", s.peers, s.counted().packets, s.counted().packets/s.peers,
			n, n/first.perPacket(first.replay), m, m/first.perPacket(first.least), s.peak()>>10, float64(s.peak())/float64(s.peers))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nreplay to null by capture time, %d connections, %d announcements a second\n\n", hoursPeers, hoursRate)
	fmt.Fprintln(t, "hours\tpackets\tns/packet\tof the first's\tpeak MiB\t")
	first = byHours[0]
	for _, s := range byHours {
		n := s.perPacket(s.replay)
		fmt.Fprintf(t, "%g\t%d\t%.0f\t%.2f\t%d\t\n", time.Duration(s.seconds*1e9).Hours(), s.counted().packets, n, n/first.perPacket(first.replay), s.peak()>>10)
	}
	return t.Flush()
}
