package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"btcsniff/analyze"
	"btcsniff/record"
)

// A stat is a number that a page begins with.
type stat struct{ Value, What string }

// overview is the body of the pages that show a range of time.
type overview struct {
	*analyze.Summary
	Empty   bool // nothing was recorded at all
	Stats   []stat
	Charts  []*chart
	Matrix  matrix
	Ledger  []ledgerLine
	Tx      []txRow     // examples
	Ranges  []rangeLink // other ranges
	InSince string      // what the form holds
	InUntil string
}

// A txRow is a transaction in a list.
type txRow struct {
	Hash      string
	FirstSeen record.Time
	Peer      string
	Host      string // to look for
	Place     string
	Lead      string
	Peers     string
	Link      bool // on a site
}

// A rangeLink leads to another range of time.
type rangeLink struct {
	Text, Span string
	Chosen     bool
}

// newOverview puts a summary in words and pictures.
func newOverview(s *analyze.Summary) *overview {
	o := &overview{Summary: s, Matrix: newMatrix(s), Ledger: ledgerLines(&s.Ledger)}
	seconds := s.Until.Sub(s.Since).Seconds()
	var v2, bytes int64
	for _, g := range s.Transports {
		bytes += g.Bytes
		if g.Name == record.TransportV2.String() {
			v2 = g.Bytes
		}
	}
	o.Stats = []stat{
		{formatCount(s.Transactions()), "transactions first seen"},
		{formatCount(s.Announcements()), fmt.Sprintf("announcements by peers, %s a second", axisCount(round(float64(s.Announcements())/seconds)))},
		{formatCount(s.Connections()), "connections"},
		{percent(v2, bytes), "of the bytes of ended connections encrypted"},
		{formatSpan(blindFor(s)), "in which a sensor was blind"},
	}
	if s.Sampled > 0 {
		o.Stats = append(o.Stats, stat{formatMicros(s.Spread[1]), "after the first peer, half of the others have told too"})
	}
	o.Charts = []*chart{
		timeline("announcements", "Announcements over time", "Inventory entries that peers sent to the observed nodes.", s, func(x analyze.Step) int64 { return x.Announcements }),
		timeline("transactions", "Transactions over time", "Transactions, when they were first seen.", s, func(x analyze.Step) int64 { return x.Transactions }),
		spreadChart(s),
		countryChart(s),
		topChart("ases", "First announcers by network", "Autonomous systems of the peers that announced a transaction first.", "Autonomous system", s, s.ASes, asName),
		topChart("peers", "Peers that were first most often", "By address, or the name that a proxy was asked for. A peer that is first unusually often may be well connected, or a listener.", "Peer", s, s.Peers, peerName),
		rttChart(s),
		transportChart(s),
	}
	return o
}

func round(v float64) float64 {
	if v >= 100 {
		return float64(int64(v + 0.5))
	}
	return float64(int64(v*100+0.5)) / 100
}

// blindFor is the time of the range in which at least one sensor could not see.
func blindFor(s *analyze.Summary) time.Duration {
	var total record.Time
	till := s.Since
	for _, b := range s.Blind { // in order
		from, to := max(b.From, till), min(b.To, s.Until)
		if to > from {
			total += to - from
			till = to
		}
	}
	return total.Sub(0)
}

// A matrix counts border crossings.
type matrix struct {
	About string
	Empty string
	To    []string
	Rows  []matrixRow
	Total int64
	Note  string
}

type matrixRow struct {
	From  string
	Cells []matrixCell
}

// A matrixCell's Shade is from 0, none, to 5.
type matrixCell struct {
	Number, Value string
	Shade         int
}

const maxPlaces = 12 // rows and columns

// newMatrix lays crossings out, for the places that have most of them.
func newMatrix(s *analyze.Summary) matrix {
	m := matrix{About: "Transactions that were first seen from one place and spend, at once, what a transaction first seen from another made. From left, to top. Where a transaction was first seen is a guess at where it began, and what was seen was not confirmed yet."}
	if b := &s.CrossingsOf; b.Since != 0 {
		m.About += fmt.Sprintf(" To answer soon, this is about the newest %s tx messages of that time, from %s; firstseen report counts all.", formatCount(b.Messages), formatTime(b.Since))
	}
	weight := map[string]int64{}
	number := map[[2]string]analyze.CrossingCell{}
	var most int64
	for _, c := range s.Crossings {
		weight[c.From] += c.Number
		weight[c.To] += c.Number
		number[[2]string{c.From, c.To}] = c
		most = max(most, c.Number)
		m.Total += c.Number
	}
	if m.Total == 0 {
		m.Empty = fmt.Sprintf("None in this time, of %s pairs of captured transactions in which one spends the other, %s of them with both places known.",
			formatCount(s.CrossingsOf.Pairs), formatCount(s.CrossingsOf.Located))
		return m
	}
	places := slices.SortedFunc(maps.Keys(weight), func(a, b string) int {
		return cmp.Or(cmp.Compare(weight[b], weight[a]), cmp.Compare(a, b))
	})
	if len(places) > maxPlaces {
		m.Note = fmt.Sprintf("The %d places with most crossings of %d.", maxPlaces, len(places))
		places = places[:maxPlaces]
	}
	if s.CrossingsOf.Capped {
		m.Note += " There are more chains of spends than were followed, so some crossings are missing."
	}
	for _, from := range places {
		row := matrixRow{From: placeName(from)}
		m.To = append(m.To, placeName(from))
		for _, to := range places {
			c := number[[2]string{from, to}]
			cell := matrixCell{}
			if c.Number > 0 {
				cell = matrixCell{formatCount(c.Number), formatBitcoin(c.Value), 1 + int(c.Number*4/most)}
			}
			row.Cells = append(row.Cells, cell)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// formatBitcoin writes satoshi as bitcoins.
func formatBitcoin(v int64) string { return fmt.Sprintf("%s.%08d BTC", formatCount(v/1e8), v%1e8) }

// A ledgerLine is one count of a ledger: a heading, or a part of the one above it.
type ledgerLine struct {
	Name, Count, Share string
	Head               bool
}

// ledgerLines writes a ledger's two sums and what is missing.
func ledgerLines(l *record.Ledger) (lines []ledgerLine) {
	whole := uint64(0)
	head := func(name string, n uint64) {
		whole = n
		lines = append(lines, ledgerLine{Name: name, Count: formatCount(n), Head: true})
	}
	part := func(name string, n uint64) {
		if n > 0 {
			lines = append(lines, ledgerLine{Name: clean(name), Count: formatCount(n), Share: percent(int64(n), int64(whole))})
		}
	}
	head("Packets read", l.PacketsRead)
	part("TCP segments", l.Segments)
	part("not TCP", l.NotTCP)
	part("filtered", l.Filtered)
	for _, why := range slices.Sorted(maps.Keys(l.Undecodable)) {
		part("undecodable: "+why, l.Undecodable[why])
	}
	head("Bytes of TCP payload", l.TCPBytes)
	commands := slices.SortedFunc(maps.Keys(l.Messages), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.Messages[b].Bytes, l.Messages[a].Bytes), cmp.Compare(a, b))
	})
	var rest uint64
	for i, name := range commands {
		if i >= 30 {
			rest += l.Messages[name].Bytes
			continue
		}
		part("messages: "+name, l.Messages[name].Bytes)
	}
	part(fmt.Sprintf("messages of %d other commands", len(commands)-30), rest)
	part("retransmitted", l.Retransmitted)
	part("encrypted (v2)", l.EncryptedV2)
	part("proxy (SOCKS, CONNECT)", l.Proxy)
	part("not Bitcoin", l.NotBitcoin)
	part("skipped while looking for the next message", l.Skipped)
	part("incomplete at the end", l.Incomplete)
	lines = append(lines, missing(l)...)
	head("Records made", l.Records())
	for _, kind := range slices.Sorted(maps.Keys(l.Made)) {
		part(kind, l.Made[kind])
	}
	return lines
}

// missing lists what is not in the capture, or was let go.
func missing(l *record.Ledger) []ledgerLine {
	lines := []ledgerLine{{Name: "Missing", Head: true}}
	for _, x := range []struct {
		name string
		n    uint64
	}{
		{"bytes lost in holes", l.LostBytes}, {"holes", l.Holes}, {"bytes acknowledged that were never seen", l.UnseenBytes},
		{"packets that the kernel dropped", l.KernelDropped}, {"packets that the interface dropped", l.InterfaceDropped},
		{"connections evicted", l.EvictedConns}, {"held streams evicted", l.EvictedHolds}, {"messages not decoded for want of memory", l.EvictedMessages},
	} {
		lines = append(lines, ledgerLine{Name: x.name, Count: formatCount(x.n)})
	}
	return lines
}
