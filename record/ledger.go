package record

import (
	"fmt"
	"maps"
	"slices"
)

// A Ledger accounts for everything that a capture held. Check says whether it closes.
// Its JSON form is what sinks store with the capture.
type Ledger struct {
	// Packets: Read = Segments + NotTCP + Filtered + the sum of Undecodable.
	PacketsRead uint64            `json:"packets_read"`
	Segments    uint64            `json:"tcp_segments"`
	NotTCP      uint64            `json:"not_tcp"`
	Filtered    uint64            `json:"filtered"`
	Undecodable map[string]uint64 `json:"undecodable"` // by reason

	// Bytes of TCP payload: TCPBytes = the sum of Messages' Bytes + Retransmitted + EncryptedV2 + Proxy +
	// NotBitcoin + Skipped + Incomplete.
	TCPBytes      uint64             `json:"tcp_bytes"`
	Messages      map[string]Command `json:"messages"` // by command
	Retransmitted uint64             `json:"retransmitted_bytes"`
	EncryptedV2   uint64             `json:"encrypted_v2_bytes"`
	Proxy         uint64             `json:"socks_bytes"` // SOCKS5 and HTTP CONNECT, before the stream proper
	NotBitcoin    uint64             `json:"not_bitcoin_bytes"`
	Skipped       uint64             `json:"skipped_bytes"`    // set aside while looking for the next message, cut or bad messages included
	Incomplete    uint64             `json:"incomplete_bytes"` // of messages under way when the stream ended

	// Why bytes were skipped, beside holes.
	BadChecksums map[string]uint64 `json:"bad_checksums"` // messages, by command
	BadHeaders   uint64            `json:"bad_headers"`   // no magic where a message should begin, or an impossible length
	Resyncs      uint64            `json:"resyncs"`       // times the next message was searched for

	// What is missing from the capture.
	LostBytes uint64 `json:"lost_bytes"` // holes in the sequence space, bytes cut at the snap length
	Holes     uint64 `json:"holes"`      // that never filled
	// UnseenBytes is the capture's own loss, estimated from TCP: bytes that the receiver acknowledged, that the sender's own
	// sequence numbers say it sent, and that were not captured by the time they were given up. Those in holes are in LostBytes, too;
	// those behind the last byte captured of a stream are in no hole. Bytes cut at the snap length, and holes that nobody acknowledged (the network
	// lost them, or the acknowledgment was not captured), don't count.
	UnseenBytes      uint64 `json:"unseen_bytes"`
	LateBytes        uint64 `json:"late_bytes"`        // of Skipped: came after their hole had been given up
	KernelDropped    uint64 `json:"kernel_dropped"`    // packets, by the kernel's or the capture file's own count
	InterfaceDropped uint64 `json:"interface_dropped"` // packets

	// What had to be let go to stay within the memory ceiling.
	EvictedConns uint64 `json:"evicted_connections"`
	EvictedHolds uint64 `json:"evicted_holds"` // times bytes held for a hole were handed over early
	// EvictedMessages were not decoded, or passed over in a search, because too much was kept of unfinished messages.
	EvictedMessages uint64 `json:"evicted_messages"`

	Conns map[string]Class  `json:"connections"` // by transport
	Made  map[string]uint64 `json:"records"`     // records made, by kind

	// RecordsDropped is how many of Made a database that was away for too long had no room for; only in what is stored there.
	RecordsDropped uint64 `json:"records_dropped,omitempty"`
}

// A Command counts the messages of one command.
type Command struct {
	Messages  uint64 `json:"messages"`
	Bytes     uint64 `json:"bytes"`               // headers included
	Malformed uint64 `json:"malformed,omitempty"` // of Messages: the checksum is right, the payload is not of the command's form
}

// A Class counts connections of one transport.
type Class struct {
	Conns uint64 `json:"connections"`
	Bytes uint64 `json:"bytes"` // TCP payload, both directions
}

// Check returns an error that names the first equation that does not hold.
func (l *Ledger) Check() error {
	packets := l.Segments + l.NotTCP + l.Filtered + sum(l.Undecodable)
	if packets != l.PacketsRead {
		return fmt.Errorf("ledger: %d packets read, %d accounted for", l.PacketsRead, packets)
	}
	bytes := l.Retransmitted + l.EncryptedV2 + l.Proxy + l.NotBitcoin + l.Skipped + l.Incomplete
	for _, c := range l.Messages {
		bytes += c.Bytes
	}
	if bytes != l.TCPBytes {
		return fmt.Errorf("ledger: %d TCP bytes, %d accounted for", l.TCPBytes, bytes)
	}
	var class uint64
	for _, c := range l.Conns {
		class += c.Bytes
	}
	if class != l.TCPBytes {
		return fmt.Errorf("ledger: %d TCP bytes, %d on connections", l.TCPBytes, class)
	}
	return nil
}

// CaptureLoss is the share of the streams' bytes that the capture missed, from 0 to 1: UnseenBytes of these and of all bytes that were
// captured for the first time. It is an estimate, in the manner of Zeek's capture-loss script: what both ends agree was sent and
// received, and was not captured.
func (l *Ledger) CaptureLoss() float64 {
	return share(l.UnseenBytes, l.TCPBytes-min(l.TCPBytes, l.Retransmitted)+l.UnseenBytes)
}

// Unreadable is the share of the TCP bytes that is encrypted (BIP 324) and could not be decrypted, from 0 to 1.
func (l *Ledger) Unreadable() float64 { return share(l.EncryptedV2, l.TCPBytes) }

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Records is the number of records made.
func (l *Ledger) Records() uint64 { return sum(l.Made) }

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// Add adds the counts of o.
func (l *Ledger) Add(o *Ledger) {
	for _, f := range []struct {
		to   *uint64
		from uint64
	}{
		{&l.PacketsRead, o.PacketsRead}, {&l.Segments, o.Segments}, {&l.NotTCP, o.NotTCP}, {&l.Filtered, o.Filtered},
		{&l.TCPBytes, o.TCPBytes}, {&l.Retransmitted, o.Retransmitted}, {&l.EncryptedV2, o.EncryptedV2},
		{&l.Proxy, o.Proxy}, {&l.NotBitcoin, o.NotBitcoin}, {&l.Skipped, o.Skipped}, {&l.Incomplete, o.Incomplete},
		{&l.BadHeaders, o.BadHeaders}, {&l.Resyncs, o.Resyncs}, {&l.LostBytes, o.LostBytes}, {&l.Holes, o.Holes},
		{&l.LateBytes, o.LateBytes}, {&l.KernelDropped, o.KernelDropped}, {&l.InterfaceDropped, o.InterfaceDropped},
		{&l.EvictedConns, o.EvictedConns}, {&l.EvictedHolds, o.EvictedHolds}, {&l.RecordsDropped, o.RecordsDropped},
		{&l.UnseenBytes, o.UnseenBytes}, {&l.EvictedMessages, o.EvictedMessages},
	} {
		*f.to += f.from
	}
	l.Undecodable = addCounts(l.Undecodable, o.Undecodable)
	l.BadChecksums = addCounts(l.BadChecksums, o.BadChecksums)
	l.Made = addCounts(l.Made, o.Made)
	for _, k := range slices.Sorted(maps.Keys(o.Messages)) {
		if l.Messages == nil {
			l.Messages = map[string]Command{}
		}
		a, b := l.Messages[k], o.Messages[k]
		l.Messages[k] = Command{a.Messages + b.Messages, a.Bytes + b.Bytes, a.Malformed + b.Malformed}
	}
	for k, b := range o.Conns {
		if l.Conns == nil {
			l.Conns = map[string]Class{}
		}
		a := l.Conns[k]
		l.Conns[k] = Class{a.Conns + b.Conns, a.Bytes + b.Bytes}
	}
}

func addCounts(to, from map[string]uint64) map[string]uint64 {
	if to == nil && len(from) > 0 {
		to = make(map[string]uint64, len(from))
	}
	for k, v := range from {
		to[k] += v
	}
	return to
}

// A File is one file of a capture, as it was read.
type File struct {
	Name    string `json:"name"` // without its directory
	Size    int64  `json:"size"` // bytes on disk
	Packets uint64 `json:"packets"`
	First   Time   `json:"first"` // capture time of its first packet, in microseconds; 0 if it has none
	Last    Time   `json:"last"`
	Problem string `json:"problem,omitempty"` // why it was not read to its end
}
