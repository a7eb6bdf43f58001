package main

import (
	"context"
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
	counts  counts
	least   usage // of the least analyzer
	replay  usage // to null
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
	for _, s := range append(byPeers, byHours...) {
		if err := o.measure(ctx, dir, s, stderr); err != nil {
			return err
		}
	}
	if err := growthTables(stdout, o, byPeers, byHours); err != nil {
		return err
	}
	return os.WriteFile(o.growth, growthPlot(byPeers, byHours), 0o644) //nolint:gosec // a picture for everybody
}

// measure generates a capture, measures both programs on it and deletes it.
func (o *options) measure(ctx context.Context, dir string, s *size, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	path := filepath.Join(dir, "growth.pcap")
	defer os.Remove(path)
	fmt.Fprintf(stderr, "%d connections, %.0f s\n", s.peers, s.seconds)
	if err := command(ctx, stderr, self, generateCommand, path, "-peers", strconv.Itoa(s.peers),
		"-seconds", fmt.Sprint(s.seconds), "-rate", fmt.Sprint(s.rate)); err != nil {
		return err
	}
	least := &program{name: "least analyzer", args: fixed(self, leastCommand, path)}
	replay := &program{name: nullSink, args: fixed(o.replay, "-q", "--sensor", "bench", "--sink", "null:", path)}
	for round := range o.rounds {
		for _, p := range []*program{least, replay} {
			if err := p.measure(ctx, round); err != nil {
				return err
			}
		}
	}
	s.least, s.replay = least.median(), replay.median()
	s.counts, err = parseCounts(least.said)
	return err
}

// perPacket is a usage's processor time in nanoseconds for each packet.
func (s *size) perPacket(u usage) float64 { return float64(u.cpu) / float64(s.counts.packets) }

// growthTables prints both series, the costs also as multiples of the first one's.
func growthTables(w io.Writer, o *options, byPeers, byHours []*size) error {
	fmt.Fprintf(w, "replay to null by connections, %.0f announcements a second for %.0f s; medians of %d rounds\n\n", o.rate, o.seconds, o.rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "connections\tpackets\tfor each connection\tns/packet\tof the first's\tleast analyzer's\tof the first's\tpeak MiB\tKiB/connection\t")
	first := byPeers[0]
	for _, s := range byPeers {
		n, m := s.perPacket(s.replay), s.perPacket(s.least)
		fmt.Fprintf(t, "%d\t%d\t%d\t%.0f\t%.2f\t%.0f\t%.2f\t%d\t%.1f\t\n", s.peers, s.counts.packets, s.counts.packets/s.peers,
			n, n/first.perPacket(first.replay), m, m/first.perPacket(first.least), s.replay.peak>>10, float64(s.replay.peak)/float64(s.peers))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nreplay to null by capture time, %d connections, %d announcements a second\n\n", hoursPeers, hoursRate)
	fmt.Fprintln(t, "hours\tpackets\tns/packet\tof the first's\tpeak MiB\t")
	first = byHours[0]
	for _, s := range byHours {
		n := s.perPacket(s.replay)
		fmt.Fprintf(t, "%g\t%d\t%.0f\t%.2f\t%d\t\n", time.Duration(s.seconds*1e9).Hours(), s.counts.packets, n, n/first.perPacket(first.replay), s.replay.peak>>10)
	}
	return t.Flush()
}
