package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

func TestSummary(t *testing.T) {
	sum := &Summary{
		Interfaces: []InterfaceSummary{
			{Name: "eth0", Packets: 1990, Dropped: 4},
			{Name: "lo", Packets: 10, IfDropped: 1, Downs: 2, Away: 3.25},
		},
		Captures: []CaptureSummary{{Name: "eth0"}, {Name: "lo"}},
		Closes:   true,
		Seconds:  1.25,
		Sinks:    []SinkSummary{{Name: "a.duckdb", Added: 1234567}},
		Kept:     "2,000 packets in 2 files",
		Local:    []LocalAddr{{"192.0.2.10", "given"}},
		Ledger: record.Ledger{
			PacketsRead: 2000, Segments: 1993, NotTCP: 7, KernelDropped: 4,
			TCPBytes: 50, Messages: map[string]record.Command{"inv": {Messages: 1, Bytes: 50}},
			Conns: map[string]record.Class{"v1": {Conns: 3, Bytes: 50}}, Made: map[string]uint64{"inv": 1234567},
		},
	}
	want := `interface    eth0: 1,990 packets; dropped: 4 by the kernel, 0 by the interface
interface    lo: 10 packets; dropped: 0 by the kernel, 1 by the interface; down 2 times, 3.2 s in all
time         1.2 s
packets      2,000 read: 1,993 TCP, 7 not TCP, 0 undecodable
records      1,234,567: inv 1,234,567
stored       1,234,567 new records into a.duckdb
kept         2,000 packets in 2 files
messages     inv 1
connections  v1 3 (100.0 % of the bytes)
bytes        50 of TCP: 0 retransmitted, 0 SOCKS, 0 not Bitcoin, 0 skipped, 0 incomplete at the end
lost         0 bytes in 0 holes; the next message searched for 0 times, 0 bad checksums, 0 bad headers
local        192.0.2.10 (given)
ledger       closes: every packet and byte is accounted for
`
	var got strings.Builder
	sum.Write(&got)
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestVerdict(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		run  error
		sum  Summary
		outs []Output
		more []error
		want []string
	}{
		{"all well", nil, Summary{}, []Output{{}}, nil, nil},
		{"a run's error", broken, Summary{}, nil, nil, []string{"broken"}},
		{"a sink's error is the run's", broken, Summary{}, []Output{{Err: errors.New("sink")}}, nil, []string{"sink"}},
		{"passwords", nil, Summary{}, []Output{{Err: errors.New("at postgres://u:secret@192.0.2.1/db")}}, nil, []string{"at postgres://u:xxxxx@192.0.2.1/db"}},
		{"more", nil, Summary{}, nil, []error{broken, errors.New("two\nlines")}, []string{"broken", "two lines"}},
		{"a ledger that does not close", nil, Summary{Ledger: record.Ledger{PacketsRead: 1}}, nil, nil,
			[]string{"ledger: 1 packets read, 0 accounted for; this is a defect of btcsniff, please report it with the capture"}},
		{"nothing could be decoded", nil, Summary{Captures: []CaptureSummary{{Name: "usb0", Packets: 2, Undecodable: 2, reasons: " (2 unknown link type)"}}}, nil, nil,
			[]string{"capture usb0: none of its 2 packets could be decoded (2 unknown link type); it was recorded in a way that btcsniff doesn't know, " +
				"record it on Ethernet, -i any, loopback or raw IP"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Verdict(tt.run, &tt.sum, tt.outs, tt.more...)
			var got []string
			if err != nil {
				got = ErrorLines(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if want := min(len(tt.want), 1); ExitCode(err) != want {
				t.Errorf("exit code %d, want %d", ExitCode(err), want)
			}
		})
	}
}
