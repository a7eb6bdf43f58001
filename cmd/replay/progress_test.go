package main

import (
	"testing"
	"time"
)

func TestSample(t *testing.T) {
	for _, c := range []struct {
		name string
		in   sample
		want string
	}{
		{"begin", sample{files: 2, total: 4e6}, "0/2 files  0.0/4.0 MB  0 %  0.0 MB/s  0 records/s"},
		{
			"middle",
			sample{begun: 3, files: 41, bytes: 30e6, total: 120e6, records: 1_800_000, elapsed: 2 * time.Second},
			"3/41 files  30.0/120.0 MB  25 %  15.0 MB/s  900,000 records/s  0:06 left",
		},
		{
			"long",
			sample{begun: 1, files: 1, bytes: 1e9, total: 400e9, elapsed: 10 * time.Second},
			"1/1 files  1000.0/400000.0 MB  0 %  100.0 MB/s  0 records/s  66:30 left",
		},
		{"standard input", sample{begun: 1, files: 1, bytes: 5e6, records: 10, elapsed: time.Second}, "1/1 files  5.0 MB  5.0 MB/s  10 records/s"},
		{"file grew", sample{begun: 1, files: 1, bytes: 5e6, total: 4e6, elapsed: time.Second}, "1/1 files  5.0/4.0 MB  100 %  5.0 MB/s  0 records/s  writing the rest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.in.String(); got != c.want {
				t.Errorf("sample line\n got %q\nwant %q", got, c.want)
			}
		})
	}
}
