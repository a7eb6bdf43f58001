package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"btcsniff/analyze"
	"btcsniff/internal/legible"
	"btcsniff/record"
)

// timeline draws what was counted in each step of the range, with the times in which nothing could be seen.
func timeline(id, title, about string, s *analyze.Summary, value func(analyze.Step) int64) *chart {
	c := newChart(id, title, about)
	axis := timeAxis{s.Since, s.Until}
	var most int64
	for _, x := range s.Steps {
		most = max(most, value(x))
	}
	if most == 0 && len(s.Blind) == 0 {
		c.Empty = "None in this time."
		return c
	}
	for _, b := range s.Blind {
		x := axis.x(b.From)
		c.Bands = append(c.Bands, rect{x, top, max(1.5, axis.x(b.To)-x), bottom - top, "blind",
			fmt.Sprintf("blind from %s to %s: %s", formatTime(b.From), formatTime(b.To), clean(b.Reason))})
	}
	y := c.upward(float64(most), axisCount)
	axis.draw(c)
	c.Table = table{Columns: []string{"From (UTC)", fmt.Sprintf("In %s", formatSpan(s.Step))}, Text: 1}
	for _, x := range s.Steps {
		n := value(x)
		if n == 0 {
			continue
		}
		from, to := axis.x(x.At), axis.x(x.At.Add(s.Step))
		gap := min(1, (to-from)/4)
		c.Bars = append(c.Bars, rect{from, y(float64(n)), to - from - gap, bottom - y(float64(n)), "c0",
			fmt.Sprintf("%s: %s", formatStep(x.At, s.Step), formatCount(n))})
		c.Table.Rows = append(c.Table.Rows, []string{formatStep(x.At, s.Step), formatCount(n)})
	}
	if len(s.Blind) > 0 {
		c.Keys = []key{{"c0", "in " + formatSpan(s.Step)}, {"blind", "blind: the sensor could not see"}}
	}
	return c
}

// formatStep writes when a step begins.
func formatStep(t record.Time, step time.Duration) string {
	if step < time.Second {
		return t.Std().Format("2006-01-02 15:04:05.00")
	}
	return formatSecond(t)
}

// spreadChart draws, over the time since the first announcement, which share of the peers that told had told.
func spreadChart(s *analyze.Summary) *chart {
	c := newChart("spread", "How announcements spread",
		"Of the peers that announced a transaction, the share that had done so by then, after the first one. All of a sample's transactions together; the first announcements themselves are left out.")
	if len(s.Delays) == 0 {
		c.Empty = "No transaction was announced by two peers in this time."
		return c
	}
	limit := max(1, analyze.Quantile(s.Delays, 99))
	y := c.upward(1, func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) })
	x := c.afterward(limit)
	points := [][2]num{{x(0), y(0)}}
	for p := 1; p <= 99; p++ {
		points = append(points, [2]num{x(analyze.Quantile(s.Delays, p)), y(float64(p) / 100)})
	}
	c.Curves = append(c.Curves, curve{path(points), "c0"})
	for _, p := range []int{10, 50, 90} {
		us := analyze.Quantile(s.Delays, p)
		c.Bars = append(c.Bars, rect{x(us) - 3, y(float64(p)/100) - 3, 6, 6, "c1", fmt.Sprintf("%d %%: %s", p, formatMicros(us))})
		anchor, dx := "start", num(8)
		if x(us) > right-70 {
			anchor, dx = "end", -8
		}
		c.Labels = append(c.Labels, label{x(us) + dx, y(float64(p)/100) + 14, anchor, formatMicros(us), "value"})
	}
	c.Table = table{Columns: []string{"Share of the peers", "After the first", "In the median transaction"}, Text: 1}
	for i, p := range []int{10, 50, 90} {
		c.Table.Rows = append(c.Table.Rows, []string{fmt.Sprintf("%d %%", p), formatMicros(analyze.Quantile(s.Delays, p)), formatMicros(s.Spread[i])})
	}
	c.Table.More = fmt.Sprintf("A sample of %s transactions, %s announcements after the first ones.", formatCount(s.Sampled), formatCount(len(s.Delays)))
	return c
}

// edges are where bars of round-trip times begin, in microseconds, about six to a decade.
func edges() []int64 {
	out := []int64{0}
	for p := int64(100); p <= 100_000_000; p *= 10 {
		for _, k := range []int64{10, 15, 20, 30, 50, 70} {
			out = append(out, p*k/10)
		}
	}
	return out
}

// rttChart draws how many connections have which round-trip time.
func rttChart(s *analyze.Summary) *chart {
	c := newChart("rtt", "Round-trip times", "Connections by the least time from a ping of the node to the peer's pong, on a scale of which each bar is about half as long again.")
	if len(s.RTTs) == 0 {
		c.Empty = "No peer answered a ping in this time."
		return c
	}
	lows := edges()
	counts := make([]int64, len(lows))
	for _, us := range s.RTTs {
		i, exact := slices.BinarySearch(lows, us)
		if !exact {
			i-- // it is above the edge before
		}
		counts[i]++
	}
	from, to := 0, len(counts)
	for counts[from] == 0 {
		from++
	}
	for counts[to-1] == 0 {
		to--
	}
	y := c.upward(float64(slices.Max(counts)), axisCount)
	width := num((right - left) / float64(max(to-from, 6)))
	every := (to - from + 5) / 6
	c.Table = table{Columns: []string{"From", "To below", "Connections"}, Text: 0}
	for i := from; i < to; i++ {
		x, top := num(left)+width*num(i-from), y(float64(counts[i]))
		high := "–"
		if i+1 < len(lows) {
			high = formatMicros(lows[i+1])
		}
		c.Bars = append(c.Bars, rect{x, top, width - 1, bottom - top, "c0", fmt.Sprintf("%s to %s: %s", formatMicros(lows[i]), high, formatCount(counts[i]))})
		if (i-from)%every == 0 {
			c.Rules = append(c.Rules, rule{x, bottom, x, bottom + 4})
			c.Labels = append(c.Labels, label{x, bottom + 18, "start", formatMicros(lows[i]), ""})
		}
		c.Table.Rows = append(c.Table.Rows, []string{formatMicros(lows[i]), high, formatCount(counts[i])})
	}
	c.Table.More = fmt.Sprintf("10, 50 and 90 %% of %s connections are not above %s, %s and %s.", formatCount(len(s.RTTs)),
		formatMicros(analyze.Quantile(s.RTTs, 10)), formatMicros(analyze.Quantile(s.RTTs, 50)), formatMicros(analyze.Quantile(s.RTTs, 90)))
	return c
}

// countryChart compares where peers are with where transactions were announced first.
func countryChart(s *analyze.Summary) *chart {
	c := newChart("countries", "First announcers by country",
		"Where the peers are that announced a transaction first, beside where all peers are: a place with many peers is often first. First here is no proof of where a transaction began.")
	var firsts, conns int64
	for _, g := range s.Countries {
		firsts += g.Firsts
		conns += g.Connections
	}
	if conns == 0 {
		c.Empty = "No connection in this time."
		return c
	}
	list := slices.Clone(s.Countries)
	slices.SortStableFunc(list, func(a, b analyze.Group) int {
		return cmp.Or(cmp.Compare(b.Firsts, a.Firsts), cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Name, b.Name))
	})
	var names []string
	var shares [][]float64
	var says [][]string
	c.Table = table{Columns: []string{"Country", "First announcements", "Share", "Connections", "Share"}, Text: 1}
	for i, g := range list {
		row := []string{placeName(g.Name), formatCount(g.Firsts), percent(g.Firsts, firsts), formatCount(g.Connections), percent(g.Connections, conns)}
		if i < 300 { // there are fewer countries
			c.Table.Rows = append(c.Table.Rows, row)
		}
		if i < 8 {
			names = append(names, row[0])
			shares = append(shares, []float64{ratio(g.Firsts, firsts), ratio(g.Connections, conns)})
			says = append(says, []string{row[2], row[4]})
		}
	}
	c.sideBars(names, []string{"of first announcements", "of connections"}, shares, says)
	return c
}

// topChart draws who was first most often, of s's transactions.
func topChart(id, title, about, column string, s *analyze.Summary, list []analyze.Group, name func(analyze.Group) string) *chart {
	c := newChart(id, title, about)
	if len(list) == 0 {
		c.Empty = "Not known for any transaction in this time."
		return c
	}
	all := s.Transactions()
	var names []string
	var shares [][]float64
	var says [][]string
	c.Table = table{Columns: []string{column, "First announcements", "Share"}, Text: 1}
	for i, g := range list {
		row := []string{name(g), formatCount(g.Firsts), percent(g.Firsts, all)}
		c.Table.Rows = append(c.Table.Rows, row)
		if i < 10 {
			names = append(names, row[0])
			shares = append(shares, []float64{ratio(g.Firsts, all)})
			says = append(says, []string{row[2]})
		}
	}
	c.Table.More = fmt.Sprintf("Of %s transactions. At most 20 are listed.", formatCount(all))
	c.sideBars(names, nil, shares, says)
	return c
}

func asName(g analyze.Group) string {
	return legible.Cut(strings.TrimSpace("AS"+g.Name+" "+g.More), 60)
}

func peerName(g analyze.Group) string {
	if g.More == "" {
		return short(g.Name)
	}
	return short(g.Name) + ", " + placeName(g.More)
}

// transportChart draws how much of what was captured can be read.
func transportChart(s *analyze.Summary) *chart {
	c := newChart("transports", "Transports", "v1 can be read; v2 is encrypted (BIP 324); unknown was joined in its middle, or is not Bitcoin. What a connection carried is counted when it ends.")
	var conns, bytes int64
	for _, g := range s.Transports {
		conns += g.Connections
		bytes += g.Bytes
	}
	if conns == 0 {
		c.Empty = "No connection in this time."
		return c
	}
	var names []string
	var shares [][]float64
	var says [][]string
	c.Table = table{Columns: []string{"Transport", "Connections", "Share", "Bytes", "Share"}, Text: 1}
	for _, g := range s.Transports {
		row := []string{clean(g.Name), formatCount(g.Connections), percent(g.Connections, conns), formatCount(g.Bytes), percent(g.Bytes, bytes)}
		c.Table.Rows = append(c.Table.Rows, row)
		names = append(names, row[0])
		shares = append(shares, []float64{ratio(g.Connections, conns), ratio(g.Bytes, bytes)})
		says = append(says, []string{row[2], row[4]})
	}
	c.sideBars(names, []string{"of connections", "of bytes"}, shares, says)
	return c
}

func ratio(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
