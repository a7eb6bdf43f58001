package metrics

import "btcsniff/record"

// A figure is one count of a ledger.
type figure struct {
	name, help string
	label      string // of what values has the counts by; "": there is one count
	value      func(*record.Ledger) uint64
	values     func(*record.Ledger) map[string]uint64
}

// figures are all counts of a ledger, in its order.
var figures = []figure{
	{name: "packets_read_total", help: "Packets read.", value: func(l *record.Ledger) uint64 { return l.PacketsRead }},
	{name: "tcp_segments_total", help: "Packets read that held a TCP segment.", value: func(l *record.Ledger) uint64 { return l.Segments }},
	{name: "packets_not_tcp_total", help: "Packets read that held no TCP.", value: func(l *record.Ledger) uint64 { return l.NotTCP }},
	{name: "packets_filtered_total", help: "Packets read and set aside by a filter.", value: func(l *record.Ledger) uint64 { return l.Filtered }},
	{name: "packets_undecodable_total", help: "Packets read in which nothing could be found, by reason.", label: "reason",
		values: func(l *record.Ledger) map[string]uint64 { return l.Undecodable }},

	{name: "tcp_bytes_total", help: "Bytes of TCP payload read.", value: func(l *record.Ledger) uint64 { return l.TCPBytes }},
	{name: "messages_total", help: "Bitcoin messages, by command.", label: "command",
		values: func(l *record.Ledger) map[string]uint64 { return commands(l, record.Command{Messages: 1}) }},
	{name: "message_bytes_total", help: "Bytes of Bitcoin messages, headers included, by command.", label: "command",
		values: func(l *record.Ledger) map[string]uint64 { return commands(l, record.Command{Bytes: 1}) }},
	{name: "messages_malformed_total", help: "Messages whose checksum is right and whose payload is not of the command's form, by command.", label: "command",
		values: func(l *record.Ledger) map[string]uint64 { return commands(l, record.Command{Malformed: 1}) }},
	{name: "retransmitted_bytes_total", help: "Bytes that had been captured before.", value: func(l *record.Ledger) uint64 { return l.Retransmitted }},
	{name: "encrypted_v2_bytes_total", help: "Bytes that are encrypted (BIP 324) and could not be decrypted.", value: func(l *record.Ledger) uint64 { return l.EncryptedV2 }},
	{name: "socks_bytes_total", help: "Bytes of SOCKS5 and HTTP CONNECT, before the stream proper.", value: func(l *record.Ledger) uint64 { return l.Proxy }},
	{name: "not_bitcoin_bytes_total", help: "Bytes of streams that are not Bitcoin's.", value: func(l *record.Ledger) uint64 { return l.NotBitcoin }},
	{name: "skipped_bytes_total", help: "Bytes set aside while the next message was searched for, cut and bad messages included.", value: func(l *record.Ledger) uint64 { return l.Skipped }},
	{name: "incomplete_bytes_total", help: "Bytes of messages that were under way when their stream ended.", value: func(l *record.Ledger) uint64 { return l.Incomplete }},

	{name: "bad_checksums_total", help: "Messages with a wrong checksum, by command.", label: "command",
		values: func(l *record.Ledger) map[string]uint64 { return l.BadChecksums }},
	{name: "bad_headers_total", help: "Times a message should have begun where none did.", value: func(l *record.Ledger) uint64 { return l.BadHeaders }},
	{name: "resyncs_total", help: "Times the next message was searched for.", value: func(l *record.Ledger) uint64 { return l.Resyncs }},

	{name: "lost_bytes_total", help: "Bytes missing in streams: holes that never filled, bytes cut at the snap length.", value: func(l *record.Ledger) uint64 { return l.LostBytes }},
	{name: "holes_total", help: "Holes in streams that never filled.", value: func(l *record.Ledger) uint64 { return l.Holes }},
	{name: "unseen_bytes_total", help: "Bytes that the receiver acknowledged and the capture never had: an estimate of what the capture itself missed.",
		value: func(l *record.Ledger) uint64 { return l.UnseenBytes }},
	{name: "late_bytes_total", help: "Bytes that came after their hole had been given up; they count as skipped, too.", value: func(l *record.Ledger) uint64 { return l.LateBytes }},
	{name: "kernel_dropped_packets_total", help: "Packets that the kernel dropped, by its own or the capture file's count.", value: func(l *record.Ledger) uint64 { return l.KernelDropped }},
	{name: "interface_dropped_packets_total", help: "Packets that the interface or its driver dropped, by its own or the capture file's count.",
		value: func(l *record.Ledger) uint64 { return l.InterfaceDropped }},

	{name: "evicted_connections_total", help: "Connections closed early, to stay within --memory.", value: func(l *record.Ledger) uint64 { return l.EvictedConns }},
	{name: "evicted_holds_total", help: "Times bytes held for a hole were handed over early, to stay within --memory.", value: func(l *record.Ledger) uint64 { return l.EvictedHolds }},
	{name: "evicted_messages_total", help: "Messages not decoded, to stay within --memory.", value: func(l *record.Ledger) uint64 { return l.EvictedMessages }},

	{name: "connections_closed_total", help: "TCP connections that have closed, by transport.", label: "transport",
		values: func(l *record.Ledger) map[string]uint64 { return classes(l, record.Class{Conns: 1}) }},
	{name: "connections_closed_bytes_total", help: "Bytes of TCP payload of the connections that have closed, by transport.", label: "transport",
		values: func(l *record.Ledger) map[string]uint64 { return classes(l, record.Class{Bytes: 1}) }},
	{name: "records_made_total", help: "Records made, by kind.", label: "kind", values: func(l *record.Ledger) map[string]uint64 { return l.Made }},
}

// commands returns of each command the count that is 1 in which.
func commands(l *record.Ledger, which record.Command) map[string]uint64 {
	m := make(map[string]uint64, len(l.Messages))
	for name, c := range l.Messages {
		m[name] = which.Messages*c.Messages + which.Bytes*c.Bytes + which.Malformed*c.Malformed
	}
	return m
}

// classes returns of each transport the count that is 1 in which.
func classes(l *record.Ledger, which record.Class) map[string]uint64 {
	m := make(map[string]uint64, len(l.Conns))
	for name, c := range l.Conns {
		m[name] = which.Conns*c.Conns + which.Bytes*c.Bytes
	}
	return m
}
