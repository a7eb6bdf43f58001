package main

import (
	"bytes"
	"fmt"
	"math"
)

// growthPlot draws the cost of a packet by connections, and the peak of memory by hours of capture time.
func growthPlot(byPeers, byHours []*size) []byte {
	var cost, least, memory []point
	for _, s := range byPeers {
		x := float64(s.peers)
		cost, least = append(cost, point{x, s.perPacket(s.replay)}), append(least, point{x, s.perPacket(s.least)})
	}
	for _, s := range byHours {
		memory = append(memory, point{s.seconds / 3600, float64(s.peak()) / 1024})
	}
	b := new(bytes.Buffer)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", 2*panelWidth, panelHeight)
	fmt.Fprintln(b, `<rect width="100%" height="100%" fill="white"/>`)
	panel(b, 0, "nanoseconds of processor time for each packet, by connections", cost, least)
	panel(b, panelWidth, "MiB of memory at the most, by hours of capture time", memory)
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#1f6feb">replay to null</text>`+"\n", left+10, top+16)
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#999999">least analyzer</text>`+"\n</svg>\n", left+10, top+32)
	return b.Bytes()
}

// A point of a line: a number of connections or hours, and a cost.
type point struct{ x, y float64 }

const (
	panelWidth, panelHeight = 420, 280
	left, right             = 50, 20 // margins
	top, bottom             = 40, 40
)

// panel draws lines over a logarithmic axis of x and a linear one of y, which begins at zero.
func panel(b *bytes.Buffer, shift int, title string, lines ...[]point) {
	most := 0.0
	for _, line := range lines {
		for _, p := range line {
			most = max(most, p.y)
		}
	}
	step := roundUp(most / 4)
	most = step * math.Ceil(most*1.05/step)
	first, last := math.Log(lines[0][0].x), math.Log(lines[0][len(lines[0])-1].x)
	x := func(v float64) float64 {
		return float64(shift+left) + (math.Log(v)-first)/(last-first)*(panelWidth-left-right)
	}
	y := func(v float64) float64 { return panelHeight - bottom - v/most*(panelHeight-top-bottom) }
	fmt.Fprintf(b, `<text x="%d" y="24">%s</text>`+"\n", shift+left, title)
	for v := 0.0; v <= most; v += step {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dddddd"/>`, shift+left, shift+panelWidth-right, y(v), y(v))
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", shift+left-6, y(v)+4, v)
	}
	for _, p := range lines[0] {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n", x(p.x), panelHeight-bottom+18, p.x)
	}
	for i, line := range lines {
		colour := []string{"#1f6feb", "#999999"}[i%2]
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, colour)
		for _, p := range line {
			fmt.Fprintf(b, "%.1f,%.1f ", x(p.x), y(p.y))
		}
		fmt.Fprintln(b, `"/>`)
		for _, p := range line {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(p.x), y(p.y), colour)
		}
	}
}

// roundUp returns the next number of the form 1, 2 or 5 times a power of ten.
func roundUp(v float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*unit >= v {
				return n * unit
			}
		}
	}
}
