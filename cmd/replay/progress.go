package main

import (
	"fmt"
	"time"

	"btcsniff/internal/cli"
	"btcsniff/record"
)

const refresh = 200 * time.Millisecond // between two pictures of the progress line

// A sample is how far a run has come.
type sample struct {
	begun, files int   // files that a packet was read from, all files
	bytes, total int64 // of files on disk; total is 0 where it isn't known
	records      uint64
	elapsed      time.Duration

	follow bool  // files are followed: begun, bytes and records are what was read until now
	latest int64 // capture time of the latest packet, nanoseconds since the Unix epoch; 0 without one
}

// String is the progress line: files, bytes, MB/s, records/s, time left.
func (s sample) String() string {
	if s.follow {
		line := fmt.Sprintf("following  %s read  %.1f MB  %s records", cli.Plural(s.begun, "file"), float64(s.bytes)/1e6, count(s.records))
		if s.latest != 0 {
			line += fmt.Sprintf("  latest packet %v", record.FromNanos(s.latest))
		}
		return line
	}
	seconds := max(s.elapsed.Seconds(), 1e-3)
	rate := float64(s.bytes) / seconds
	line := fmt.Sprintf("%d/%d files  %.1f MB", s.begun, s.files, float64(s.bytes)/1e6)
	if s.total > 0 {
		line = fmt.Sprintf("%d/%d files  %.1f/%.1f MB  %d %%", s.begun, s.files, float64(s.bytes)/1e6, float64(s.total)/1e6, min(s.bytes*100/s.total, 100))
	}
	line += fmt.Sprintf("  %.1f MB/s  %s records/s", rate/1e6, count(uint64(float64(s.records)/seconds)))
	switch left := s.total - s.bytes; {
	case s.total > 0 && left <= 0:
		line += "  writing the rest"
	case s.total > 0 && rate > 0:
		d := time.Duration(float64(left) / rate * float64(time.Second)).Round(time.Second)
		line += fmt.Sprintf("  %d:%02d left", int(d.Minutes()), int(d.Seconds())%60)
	}
	return line
}

// count writes n with commas between thousands.
func count(n uint64) string { return cli.Count(n) }
