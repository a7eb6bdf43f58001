package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"btcsniff/internal/legible"
	"btcsniff/record"
)

// A Summary is what a run says at its end. Its JSON form is the log line's of --log-format json.
type Summary struct {
	Interfaces  []InterfaceSummary `json:"interfaces,omitempty"` // of a live run
	Captures    []CaptureSummary   `json:"captures"`
	Files       int                `json:"files,omitempty"`    // read, where captures have only the latest of them; 0: they have all
	Problems    []Problem          `json:"problems,omitempty"` // files not read, or not to their end
	Deleted     int                `json:"deleted,omitempty"`  // files, their records being stored
	Kept        int                `json:"kept,omitempty"`     // files that --rm did not delete
	Ledger      record.Ledger      `json:"ledger"`             // of all captures
	Closes      bool               `json:"ledger_closes"`
	Sinks       []SinkSummary      `json:"sinks"`
	KeptPackets string             `json:"kept_packets,omitempty"` // raw packets of a live run, in words
	Local       []LocalAddr        `json:"local"`
	Seconds     float64            `json:"seconds"` // that the run took
	Bytes       int64              `json:"bytes"`   // of files
}

// A CaptureSummary is one continuous capture's.
type CaptureSummary struct {
	Name        string      `json:"name"`
	Sensor      string      `json:"sensor"`
	Files       int         `json:"files"`
	First       record.Time `json:"first,omitempty"` // capture times in microseconds since the Unix epoch, 0 without packets
	Last        record.Time `json:"last,omitempty"`  // of captures in files; 0: not known
	Packets     uint64      `json:"packets"`
	Undecodable uint64      `json:"undecodable"` // of these
	Records     uint64      `json:"records"`

	reasons string // why packets were undecodable
}

// An InterfaceSummary is one interface's, of a live run.
type InterfaceSummary struct {
	Name      string  `json:"name"`
	Packets   uint64  `json:"packets"` // that were used
	Dropped   uint64  `json:"kernel_dropped"`
	IfDropped uint64  `json:"interface_dropped"`
	Downs     uint64  `json:"downs"` // times it was down, or gone
	Away      float64 `json:"away"`  // for how long, in seconds
}

// String is an interface's line in the summary.
func (i InterfaceSummary) String() string {
	text := fmt.Sprintf("%s: %s; dropped: %s by the kernel, %s by the interface", i.Name, Plural(i.Packets, "packet"), Count(i.Dropped), Count(i.IfDropped))
	if i.Downs > 0 {
		text += fmt.Sprintf("; down %s, %.1f s in all", Plural(i.Downs, "time"), i.Away)
	}
	return text
}

// A Problem is a file that was not read, or not to its end.
type Problem struct {
	Path    string `json:"path"`
	What    string `json:"what"`
	Warning bool   `json:"warning,omitempty"` // all that is in it was read
}

// A SinkSummary is one sink's.
type SinkSummary struct {
	Name   string `json:"sink"`
	Added  uint64 `json:"added"`          // records
	Stored uint64 `json:"already_stored"` // records that an earlier run had stored
	Lost   uint64 `json:"lost,omitempty"` // records made but not stored, because the sink failed or was away for too long
	// Records that wait on disk for the next run, and that an earlier one had left there and are stored now.
	Waiting   uint64 `json:"waiting,omitempty"`
	Recovered uint64 `json:"recovered,omitempty"`
	Problem   string `json:"problem,omitempty"`
}

// A LocalAddr is an address of the observed node.
type LocalAddr struct {
	Addr   string `json:"address"`
	Reason string `json:"reason"`
}

// Write writes the summary for people.
func (s *Summary) Write(w io.Writer) {
	l := &s.Ledger
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", label, legible.Text(fmt.Sprintf(format, args...)))
	}
	for _, i := range s.Interfaces {
		line("interface", "%s", i)
	}
	if s.Interfaces == nil {
		line("captures", "%s", s.captures())
	} else {
		line("time", "%.1f s", s.Seconds)
	}
	line("packets", "%s read: %s TCP, %s not TCP, %s undecodable%s", Count(l.PacketsRead), Count(l.Segments), Count(l.NotTCP),
		Count(total(l.Undecodable)), reasons(l.Undecodable))
	if s.Interfaces == nil && l.KernelDropped+l.InterfaceDropped > 0 {
		line("", "%s more were dropped by the kernel, %s by the interface, as the capture itself says", Count(l.KernelDropped), Count(l.InterfaceDropped))
	}
	line("records", "%s%s", Count(l.Records()), kinds(l.Made))
	for _, k := range s.Sinks {
		line("stored", "%s", k)
	}
	if s.Deleted+s.Kept > 0 {
		text := Plural(s.Deleted, "file")
		if s.Kept > 0 {
			text += fmt.Sprintf("; kept %s, see the warnings and errors about them", Plural(s.Kept, "file"))
		}
		line("deleted", "%s", text)
	}
	if s.KeptPackets != "" {
		line("kept", "%s", s.KeptPackets)
	}
	s.writeStreams(line)
	for i, a := range s.Local {
		label := ""
		if i == 0 {
			label = "local"
		}
		line(label, "%s (%s)", a.Addr, a.Reason)
	}
	if bad := s.notRead(); len(bad) > 0 {
		line("not read", "%s, see the errors below: %s", Plural(len(bad), "file"), strings.Join(bad, ", "))
	}
	closes := "closes: every packet and byte is accounted for"
	if !s.Closes {
		closes = "DOES NOT CLOSE, see the error below"
	}
	line("ledger", "%s", closes)
}

// writeStreams writes the lines about connections, their bytes, and what is missing of them.
func (s *Summary) writeStreams(line func(label, format string, args ...any)) {
	l := &s.Ledger
	line("messages", "%s", messages(l.Messages))
	line("connections", "%s", s.connections())
	if share := percent(l.EncryptedV2, l.TCPBytes); l.EncryptedV2 > 0 {
		line("unreadable", "%s of the TCP bytes are encrypted (BIP 324); v2transport=0 in the observed node's bitcoin.conf keeps new connections readable", share)
	}
	line("bytes", "%s of TCP: %s retransmitted, %s SOCKS, %s not Bitcoin, %s skipped, %s incomplete at the end", Count(l.TCPBytes),
		Count(l.Retransmitted), Count(l.Proxy), Count(l.NotBitcoin), Count(l.Skipped), Count(l.Incomplete))
	line("lost", "%s in %s; the next message searched for %s, %s, %s", Plural(l.LostBytes, "byte"), Plural(l.Holes, "hole"),
		Plural(l.Resyncs, "time"), Plural(total(l.BadChecksums), "bad checksum"), Plural(l.BadHeaders, "bad header"))
	if l.UnseenBytes > 0 {
		line("", "%s that the receivers acknowledged: the capture itself missed about %s", Plural(l.UnseenBytes, "byte"), Share(l.CaptureLoss()))
	}
	if l.EvictedConns+l.EvictedHolds+l.EvictedMessages > 0 {
		line("evicted", "%s, %s, %s, to stay within --memory", Plural(l.EvictedConns, "connection"), Plural(l.EvictedHolds, "held stream"),
			Plural(l.EvictedMessages, "message"))
	}
}

// notRead lists the files that could not be read, or not to their end.
func (s *Summary) notRead() (paths []string) {
	for _, p := range s.Problems {
		if !p.Warning {
			paths = append(paths, p.Path)
		}
	}
	return paths
}

// captures says how much was read in which time.
func (s *Summary) captures() string {
	files := 0
	var first, last record.Time
	for _, c := range s.Captures {
		files += c.Files
		if c.First != 0 && (first == 0 || c.First < first) {
			first = c.First
		}
		last = max(last, c.Last)
	}
	if s.Files > 0 {
		files = s.Files
	}
	text := fmt.Sprintf("%s, %s, %s bytes", Plural(len(s.Captures), "capture"), Plural(files, "file"), Count(uint64(s.Bytes)))
	if first != 0 {
		text += fmt.Sprintf(", %v to %v", first, last)
	}
	return text + fmt.Sprintf(", in %.1f s", s.Seconds)
}

// String is a sink's line in the summary.
func (k SinkSummary) String() string {
	text := Plural(k.Added, "new record") + " into " + k.Name
	if k.Added == 0 && k.Stored > 0 {
		text = "nothing added to " + k.Name
	}
	if k.Stored > 0 {
		text += fmt.Sprintf("; %s stored already, by an earlier run", Plural(k.Stored, "record"))
	}
	if k.Recovered > 0 {
		text += fmt.Sprintf("; %s that an earlier run had kept on disk", Plural(k.Recovered, "record"))
	}
	if k.Waiting > 0 {
		text += fmt.Sprintf("; %s kept on disk for the next run", Plural(k.Waiting, "record"))
	}
	switch {
	case k.Problem != "" && (k.Lost > 0 || k.Waiting == 0):
		text += fmt.Sprintf("; %s not stored, see the error below", Plural(k.Lost, "record"))
	case k.Lost > 0:
		text += fmt.Sprintf("; %s LOST while the database took none: see the table blind", Plural(k.Lost, "record"))
	}
	return text
}

// connections counts connections by transport, with their share of bytes.
func (s *Summary) connections() string {
	var parts []string
	for _, transport := range []record.Transport{record.TransportV1, record.TransportV2, record.TransportUnknown} {
		if c := s.Ledger.Conns[transport.String()]; c.Conns > 0 {
			parts = append(parts, fmt.Sprintf("%s %s (%s of the bytes)", transport, Count(c.Conns), percent(c.Bytes, s.Ledger.TCPBytes)))
		}
	}
	return or(strings.Join(parts, ", "), "none")
}

// messages lists commands, the most frequent first.
func messages(m map[string]record.Command) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b].Messages, m[a].Messages), strings.Compare(a, b))
	})
	var parts []string
	malformed := uint64(0)
	for _, name := range names {
		parts = append(parts, name+" "+Count(m[name].Messages))
		malformed += m[name].Malformed
	}
	text := or(strings.Join(parts, ", "), "none")
	if malformed > 0 {
		text += fmt.Sprintf("; %s of them malformed", Count(malformed))
	}
	return text
}

// kinds lists records by kind, in the order of record's kinds.
func kinds(m map[string]uint64) string {
	var parts []string
	for k := range record.NumKinds {
		if n := m[k.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", k, Count(n)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// reasons lists counts by reason, in brackets.
func reasons(m map[string]uint64) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(m)) {
		if m[why] > 0 {
			parts = append(parts, Count(m[why])+" "+why)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// Count writes n with commas between thousands.
func Count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural is "1 file" or "1,234 files".
func Plural[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Count(uint64(n)) + " " + what + "s"
}

// percent is part's share of whole, with one decimal.
func percent(part, whole uint64) string {
	if whole == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// Share is a share of 1 in percent. What is above nothing is never shown as nothing.
func Share(f float64) string {
	if f > 0 && f < 0.0005 {
		return "less than 0.1 %"
	}
	return fmt.Sprintf("%.1f %%", 100*f)
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// round is a duration as the summary has it, in seconds.
func round(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
