package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

const (
	panelWidth, panelHeight = 430, 330
	left, right             = 50, 15 // margins
	top, bottom             = 40, 70
)

var colours = [...]string{"#999999", "#d29922", "#1f6feb"}

// A chart is an SVG picture of panels side by side, with axes from 0 to 100 %.
type chart struct{ bytes.Buffer }

func newChart(panels int) *chart {
	c := new(chart)
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", panels*panelWidth, panelHeight)
	fmt.Fprintln(c, `<rect width="100%" height="100%" fill="white"/>`)
	return c
}

func (c *chart) close() []byte {
	fmt.Fprintln(c, "</svg>")
	return c.Bytes()
}

// place is where a point of a panel is, of 0 to 1.
func place(panel int, x, y float64) (px, py float64) {
	return float64(panel*panelWidth+left) + x*(panelWidth-left-right), panelHeight - bottom - y*(panelHeight-top-bottom)
}

// frame draws a panel's axis of y, its title, and what x is.
func (c *chart) frame(panel int, title, x string) {
	fmt.Fprintf(c, `<text x="%d" y="22" font-weight="bold">%s</text>`+"\n", panel*panelWidth+left, title)
	for v := 0; v <= 100; v += 20 {
		x0, y := place(panel, 0, float64(v)/100)
		x1, _ := place(panel, 1, 0)
		fmt.Fprintf(c, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#dddddd"/><text x="%.1f" y="%.1f" text-anchor="end">%d %%</text>`+"\n", x0, x1, y, y, x0-6, y+4, v)
	}
	px, py := place(panel, 0.5, 0)
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", px, py+36, x)
}

// bars draws, for each share, a bar for each estimator, with its interval.
func (c *chart) bars(panel int, title string, m *measured, count func(*result) ([estimators]float64, float64)) {
	c.frame(panel, title, "share of the reachable nodes that is watched")
	for i := range shares {
		k, n := count(&m.results[i])
		for e := range estimators {
			x := (float64(i)+0.5)/float64(len(shares)) + (float64(e)-1.5)*0.06
			low, high := interval(k[e], n)
			px, py := place(panel, x, k[e]/max(n, 1))
			_, zero := place(panel, 0, 0)
			width := 0.055 * (panelWidth - left - right)
			fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, px, py, width, zero-py, colours[e])
			_, a := place(panel, 0, low)
			_, b := place(panel, 0, high)
			fmt.Fprintf(c, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="black"/>`+"\n", px+width/2, px+width/2, a, b)
		}
		px, py := place(panel, (float64(i)+0.5)/float64(len(shares)), 0)
		fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="middle">%g %%</text>`+"\n", px, py+18, 100*shares[i])
	}
	for e, name := range estimatorNames {
		px, py := place(panel, float64(e)*0.37, 0)
		fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="10" height="10" fill="%s"/><text x="%.1f" y="%.1f">%s</text>`+"\n", px, py+48, colours[e], px+14, py+57, name)
	}
}

// diagram draws how much of what was called so sure was right: on the diagonal, where the calibration is perfect.
func (c *chart) diagram(panel int, title string, t *tally) {
	c.frame(panel, title, "called so sure")
	x0, y0 := place(panel, 0, 0)
	x1, y1 := place(panel, 1, 1)
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#999999" stroke-dasharray="4"/>`+"\n", x0, y0, x1, y1)
	for v := 0; v <= 100; v += 20 {
		px, py := place(panel, float64(v)/100, 0)
		fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="middle">%d %%</text>`+"\n", px, py+18, v)
	}
	for g := range t.cases {
		if t.cases[g] < 10 {
			continue
		}
		low, high := interval(t.right[g], t.cases[g])
		x := t.estimated[g] / t.cases[g]
		px, py := place(panel, x, t.right[g]/t.cases[g])
		_, a := place(panel, x, low)
		_, b := place(panel, x, high)
		fmt.Fprintf(c, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#1f6feb"/>`, px, px, a, b)
		fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="#1f6feb"/>`+"\n", px, py, 2+math.Log10(t.cases[g]))
	}
}

// write writes the plots into the folder, and the tables into its accuracy.md, between the lines that mark their place.
func (o *options) write(all []*measured) error {
	first := all[0]
	c := newChart(3)
	c.bars(0, "node named, of transactions with a watched origin", first, func(r *result) ([estimators]float64, float64) { return r.ofWatched, r.watched })
	c.bars(1, "node named, of all transactions", first, func(r *result) ([estimators]float64, float64) { return r.node, r.txs })
	c.bars(2, "country named, of all transactions", first, func(r *result) ([estimators]float64, float64) { return r.place, r.txs })
	nodes, places := pool(all[:1])
	d := newChart(2)
	d.diagram(0, "peers: right, of those called so sure", nodes)
	d.diagram(1, "countries: right, of those called so sure", places)
	for name, svg := range map[string][]byte{"accuracy.svg": c.close(), "reliability.svg": d.close()} {
		if err := os.WriteFile(filepath.Join(o.docs, name), svg, 0o644); err != nil {
			return fmt.Errorf("write the plots: %w", err)
		}
	}
	return o.writePage(all)
}

func (o *options) writePage(all []*measured) error {
	path := filepath.Join(o.docs, "accuracy.md")
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the page to write into: %w", err)
	}
	text := string(page)
	nodes, places := pool(all[:1])
	for name, t := range map[string]rows{"main": all[0].mainTable(), "reliability": reliability(nodes, places), "others": otherTable(all)} {
		if name == "others" && !o.full {
			continue
		}
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			return fmt.Errorf("write into %s: it has no place marked for the table %s", path, name)
		}
		b := new(bytes.Buffer)
		t.markdown(b)
		text = before + begin + b.String() + end + after
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
