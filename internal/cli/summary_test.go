package cli

import (
	"encoding/json"
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
		Captures:    []CaptureSummary{{Name: "eth0"}, {Name: "lo"}},
		Closes:      true,
		Seconds:     1.25,
		Sinks:       []SinkSummary{{Name: "a.duckdb", Added: 1234567}},
		KeptPackets: "2,000 packets in 2 files",
		Local:       []LocalAddr{{"192.0.2.10", "given"}},
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

func TestFilesSummary(t *testing.T) {
	sum := &Summary{
		Captures: []CaptureSummary{
			{Name: "eth0", Files: 41, First: 1795341527_000001, Last: 1795341611_000000},
			{Name: "lo", Files: 1, First: 1795341500_000000, Last: 1795341600_000000},
		},
		Problems: []Problem{{Path: "notes.txt", What: "notes.txt: is no capture"}, {Path: "cut.pcap", What: "cut.pcap: cut off", Warning: true}},
		Closes:   true,
		Seconds:  1.25,
		Bytes:    740739,
		Sinks: []SinkSummary{
			{Name: "a.duckdb", Added: 1234567},
			{Name: "b.duckdb", Stored: 1234567},
			{Name: "c.duckdb", Added: 67, Stored: 1234500},
			{Name: "postgres://u:xxxxx@192.0.2.1/db", Added: 5, Lost: 7, Problem: "gone"},
		},
		Local: []LocalAddr{{"192.0.2.10", "on 12 of 12 connections"}, {"fd77:a::10", "given"}},
		Ledger: record.Ledger{
			PacketsRead: 2000, Segments: 1990, NotTCP: 7, Undecodable: map[string]uint64{"cut short": 1, "no IP": 2}, KernelDropped: 4,
			TCPBytes: 1000, EncryptedV2: 907, Retransmitted: 3, Proxy: 1, NotBitcoin: 2, Skipped: 5, Incomplete: 6,
			Messages: map[string]record.Command{"inv": {Messages: 1000, Bytes: 50}, "ping": {Messages: 20, Bytes: 20, Malformed: 1}, "addr": {Messages: 20, Bytes: 6}},
			Conns:    map[string]record.Class{"v1": {Conns: 3, Bytes: 93}, "v2": {Conns: 8, Bytes: 907}},
			Made:     map[string]uint64{"conn": 11, "inv": 1234556}, LostBytes: 12, Holes: 2, Resyncs: 3, BadChecksums: map[string]uint64{"tx": 1},
			EvictedConns: 1, EvictedMessages: 2, UnseenBytes: 3,
		},
	}
	want := `captures     2 captures, 42 files, 740,739 bytes, 2026-11-22T09:58:20.000000Z to 2026-11-22T10:00:11.000000Z, in 1.2 s
packets      2,000 read: 1,990 TCP, 7 not TCP, 3 undecodable (1 cut short, 2 no IP)
             4 more were dropped by the kernel, 0 by the interface, as the capture itself says
records      1,234,567: inv 1,234,556, conn 11
stored       1,234,567 new records into a.duckdb
stored       nothing added to b.duckdb; 1,234,567 records stored already, by an earlier run
stored       67 new records into c.duckdb; 1,234,500 records stored already, by an earlier run
stored       5 new records into postgres://u:xxxxx@192.0.2.1/db; 7 records not stored, see the error below
messages     inv 1,000, addr 20, ping 20; 1 of them malformed
connections  v1 3 (9.3 % of the bytes), v2 8 (90.7 % of the bytes)
unreadable   90.7 % of the TCP bytes are encrypted (BIP 324); v2transport=0 in the observed node's bitcoin.conf keeps new connections readable
bytes        1,000 of TCP: 3 retransmitted, 1 SOCKS, 2 not Bitcoin, 5 skipped, 6 incomplete at the end
lost         12 bytes in 2 holes; the next message searched for 3 times, 1 bad checksum, 0 bad headers
             3 bytes that the receivers acknowledged: the capture itself missed about 0.3 %
evicted      1 connection, 0 held streams, 2 messages, to stay within --memory
local        192.0.2.10 (on 12 of 12 connections)
             fd77:a::10 (given)
not read     1 file, see the errors below: notes.txt
ledger       closes: every packet and byte is accounted for
`
	var got strings.Builder
	sum.Write(&got)
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 123456: "123,456"} {
		if got := Count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestShare(t *testing.T) {
	for f, want := range map[float64]string{0: "0.0 %", 1e-9: "less than 0.1 %", 0.00049: "less than 0.1 %", 0.0005: "0.1 %", 0.907: "90.7 %", 1: "100.0 %"} {
		if got := Share(f); got != want {
			t.Errorf("Share(%v) = %s, want %s", f, got, want)
		}
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
		{"more", nil, Summary{}, nil, []error{broken, errors.New("two\nlines")}, []string{"broken", "two; lines"}},
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

// TestSummaryTimes looks at the JSON form of captures' times: one that is not known, as that of an interface's last packet, is left out.
func TestSummaryTimes(t *testing.T) {
	got, err := json.Marshal([]CaptureSummary{{Name: "lo", First: 5}, {Name: "eth0", First: 5, Last: 7}, {}})
	if err != nil {
		t.Fatal(err)
	}
	const rest = `"packets":0,"undecodable":0,"records":0}`
	const want = `[{"name":"lo","sensor":"","files":0,"first":5,` + rest + `,{"name":"eth0","sensor":"","files":0,"first":5,"last":7,` + rest +
		`,{"name":"","sensor":"","files":0,` + rest + `]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("captures (-want +got):\n%s", diff)
	}
}
