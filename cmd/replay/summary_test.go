package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"btcsniff/record"
)

func TestSummary(t *testing.T) {
	sum := &summary{
		Captures: []captureSummary{
			{Name: "eth0", Files: 41, First: 1795341527_000001, Last: 1795341611_000000},
			{Name: "lo", Files: 1, First: 1795341500_000000, Last: 1795341600_000000},
		},
		Problems: []problem{{Path: "notes.txt", What: "notes.txt: is no capture"}, {Path: "cut.pcap", What: "cut.pcap: cut off", Warning: true}},
		Closes:   true,
		Seconds:  1.25,
		Bytes:    740739,
		Sinks: []sinkSummary{
			{Name: "a.duckdb", Added: 1234567},
			{Name: "b.duckdb", Stored: 1234567},
			{Name: "c.duckdb", Added: 67, Stored: 1234500},
			{Name: "postgres://u:xxxxx@192.0.2.1/db", Added: 5, Lost: 7, Problem: "gone"},
		},
		Local: []localAddr{{"192.0.2.10", "on 12 of 12 connections"}, {"fd77:a::10", "given"}},
		Ledger: record.Ledger{
			PacketsRead: 2000, Segments: 1990, NotTCP: 7, Undecodable: map[string]uint64{"cut short": 1, "no IP": 2}, KernelDropped: 4,
			TCPBytes: 1000, EncryptedV2: 907, Retransmitted: 3, Proxy: 1, NotBitcoin: 2, Skipped: 5, Incomplete: 6,
			Messages: map[string]record.Command{"inv": {Messages: 1000, Bytes: 50}, "ping": {Messages: 20, Bytes: 20, Malformed: 1}, "addr": {Messages: 20, Bytes: 6}},
			Conns:    map[string]record.Class{"v1": {Conns: 3, Bytes: 93}, "v2": {Conns: 8, Bytes: 907}},
			Made:     map[string]uint64{"conn": 11, "inv": 1234556}, LostBytes: 12, Holes: 2, Resyncs: 3, BadChecksums: map[string]uint64{"tx": 1},
			EvictedConns: 1,
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
evicted      1 connection, 0 held streams, to stay within --memory
local        192.0.2.10 (on 12 of 12 connections)
             fd77:a::10 (given)
not read     1 file, see the errors below: notes.txt
ledger       closes: every packet and byte is accounted for
`
	var got strings.Builder
	sum.write(&got)
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 123456: "123,456"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
}
