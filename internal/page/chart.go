package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"btcsniff/record"
)

// Size of a chart, in units of its own: it is scaled to the room that there is.
const (
	chartWidth  = 400.0
	chartHeight = 224.0
	left        = 48.0 // of the plot
	right       = 394.0
	top         = 12.0
	bottom      = 196.0
)

// A num is a coordinate or length in a chart.
type num float64

// String writes one decimal, which is finer than a screen.
func (n num) String() string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(n)+0, 'f', 1, 64), ".0")
}

// A rect is a bar or a band. Its Class is a colour in the stylesheet, its Title what it says when pointed at.
type rect struct {
	X, Y, W, H   num
	Class, Title string
}

// A label is text in a chart. Its anchor is start, middle or end.
type label struct {
	X, Y         num
	Anchor, Text string
	Class        string
}

// A rule is a line from one point to another.
type rule struct{ X1, Y1, X2, Y2 num }

// A curve is a path through points.
type curve struct{ D, Class string }

// A key says what a colour is.
type key struct{ Class, Text string }

// A table is what a chart shows, in numbers.
type table struct {
	Columns []string
	Rows    [][]string
	Text    int    // so many columns at the left are text, the others numbers
	More    string // what was left out
}

// A chart is a picture that the template "chart" draws. The rules for colours and dark screens are in the stylesheet.
type chart struct {
	ID, Title, About string
	Empty            string // instead of a picture where there is nothing to show
	W, H             num
	Bands, Bars      []rect
	Rules            []rule
	Curves           []curve
	Labels           []label
	Keys             []key
	Table            table
}

// Box is the SVG's viewBox.
func (c *chart) Box() string { return fmt.Sprintf("0 0 %v %v", c.W, c.H) }

// newChart returns a chart with nothing in it.
func newChart(id, title, about string) *chart {
	return &chart{ID: id, Title: title, About: about, W: chartWidth, H: chartHeight}
}

// upward draws the scale at the left for values from 0 to at least most, and returns where a value lies.
func (c *chart) upward(most float64, text func(float64) string) func(float64) num {
	step := niceStep(most, 4)
	limit := math.Max(step, math.Ceil(most/step-1e-9)*step)
	y := func(v float64) num { return num(bottom - (bottom-top)*v/limit) }
	for v := 0.0; v <= limit+step/2; v += step {
		c.Rules = append(c.Rules, rule{left, y(v), right, y(v)})
		c.Labels = append(c.Labels, label{left - 6, y(v) + 4, "end", text(v), ""})
	}
	return y
}

// niceStep is 1, 2 or 5 times a power of ten, so that about n of it make most.
func niceStep(most float64, n int) float64 {
	if !(most > 0) {
		return 1
	}
	raw := most / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, k := range []float64{1, 2, 5} {
		if raw <= k*power*1.0000001 {
			return k * power
		}
	}
	return 10 * power
}

// axisCount writes a count on a scale.
func axisCount(v float64) string {
	switch {
	case v >= 1e9:
		return trimmed(v/1e9) + " G"
	case v >= 1e6:
		return trimmed(v/1e6) + " M"
	case v >= 1e4:
		return trimmed(v/1e3) + " k"
	}
	return trimmed(v)
}

func trimmed(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// sideBars draws groups as bars to the right, with one bar for each series. shares are from 0 to 1.
func (c *chart) sideBars(names []string, series []string, shares [][]float64, says [][]string) {
	const lineHeight, barHeight, room = 19.0, 10.0, 62.0
	y := 4.0
	most := 0.0
	for _, row := range shares {
		for _, v := range row {
			most = math.Max(most, v)
		}
	}
	if most == 0 {
		most = 1
	}
	for i, name := range names {
		y += lineHeight
		c.Labels = append(c.Labels, label{2, num(y - 4), "start", name, "name"})
		for j, v := range shares[i] {
			w := (chartWidth - room) * v / most
			if w > 0 {
				c.Bars = append(c.Bars, rect{2, num(y), num(math.Max(w, 0.7)), barHeight, fmt.Sprintf("c%d", j), name + ": " + says[i][j]})
			}
			c.Labels = append(c.Labels, label{num(8 + w), num(y + barHeight), "start", says[i][j], "value"})
			y += barHeight + 3
		}
		y += 3
	}
	c.H = num(y + 4)
	if len(series) > 1 {
		for j, s := range series {
			c.Keys = append(c.Keys, key{fmt.Sprintf("c%d", j), s})
		}
	}
}

// A timeAxis places capture times between the left and right of a plot.
type timeAxis struct {
	since, until record.Time
}

func (a timeAxis) x(t record.Time) num {
	t = max(a.since, min(a.until, t))
	return num(left + (right-left)*float64(t-a.since)/float64(a.until-a.since))
}

// draw writes three to five times below the plot, as precise as is needed to tell them apart.
func (a timeAxis) draw(c *chart) {
	span := a.until.Sub(a.since)
	layout, marks := "2006-01-02", 3
	switch {
	case span <= 10*time.Second:
		layout = "15:04:05.0"
	case span <= 2*time.Hour:
		layout = "15:04:05"
	case span <= 40*time.Hour:
		layout = "15:04"
	case span <= 20*24*time.Hour:
		layout = "01-02 15:04"
	}
	for i := range marks + 1 {
		t := a.since.Add(span * time.Duration(i) / time.Duration(marks))
		anchor := "middle"
		switch i {
		case 0:
			anchor = "start"
		case marks:
			anchor = "end"
		}
		c.Rules = append(c.Rules, rule{a.x(t), bottom, a.x(t), bottom + 4})
		c.Labels = append(c.Labels, label{a.x(t), bottom + 18, anchor, t.Std().Format(layout), ""})
	}
}

// path joins points by straight lines.
func path(points [][2]num) string {
	var b strings.Builder
	for i, p := range points {
		b.WriteByte("ML"[min(i, 1)])
		fmt.Fprintf(&b, "%v %v", p[0], p[1])
	}
	return b.String()
}

// afterward draws the scale below the plot for times from 0 to limit, in microseconds, and returns where a time lies.
func (c *chart) afterward(limit int64) func(us int64) num {
	x := func(us int64) num { return num(left + (right-left)*float64(min(us, limit))/float64(limit)) }
	for v := 0.0; v <= float64(limit); v += niceStep(float64(limit), 4) {
		at := x(int64(v))
		anchor := "middle"
		if at > right-20 {
			anchor = "end"
		}
		c.Rules = append(c.Rules, rule{at, bottom, at, bottom + 4})
		c.Labels = append(c.Labels, label{at, bottom + 18, anchor, formatMicros(int64(v)), ""})
	}
	return x
}
