package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// A curve is what a value does while something grows, for each contender: a chart.
type curve struct {
	key    string // of its files
	title  string
	x, y   string // what the axes are
	rates  bool   // the value is a rate: its inverse is the cost
	growth int    // the power with which the cost may grow
	lines  []*line
}

// How the cost may grow.
const (
	flat   = 0
	linear = 1
)

// A line is one contender's.
type line struct {
	name string
	x, y []float64
}

func newCurve(key, title, x, y string, growth int) *curve {
	return &curve{key: key, title: title, x: x, y: y, growth: growth}
}

// ofRates says that more is better.
func (c *curve) ofRates() *curve {
	c.rates = true
	return c
}

// add adds a point to the line of this name.
func (c *curve) add(name string, x int, y float64) {
	for _, l := range c.lines {
		if l.name == name {
			l.x, l.y = append(l.x, float64(x)), append(l.y, y)
			return
		}
	}
	c.lines = append(c.lines, &line{name, []float64{float64(x)}, []float64{y}})
}

// exponent returns the power with which the cost grows over the last two decades of
// x: the slope of the straight line that fits the logarithms best. What is fixed
// outweighs the rest before that. It is NaN if there are fewer than two points.
func (c *curve) exponent(l *line) float64 {
	const decades = 100
	var n, sx, sy, sxx, sxy float64
	for i, x := range l.x {
		if x*decades < l.x[len(l.x)-1] {
			continue
		}
		lx, ly := math.Log(x), math.Log(l.y[i])
		if c.rates {
			ly = -ly
		}
		n, sx, sy, sxx, sxy = n+1, sx+lx, sy+ly, sxx+lx*lx, sxy+lx*ly
	}
	if n < 2 {
		return math.NaN()
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// slack is how much more an exponent may be: over two decades a factor of two, which
// this machine's noise and its caches can make.
const slack = 0.15

// verdict says how the cost of a contender grows.
func (c *curve) verdict(l *line) string {
	e := c.exponent(l)
	text := fmt.Sprintf("cost grows as n^%.2f", e)
	switch {
	case math.IsNaN(e):
		return ""
	case e > float64(c.growth)+slack && c.growth == linear:
		return text + ", MORE THAN LINEARLY"
	case e > float64(c.growth)+slack:
		return text + ", NOT FLAT"
	default:
		return text
	}
}

// reportGrowth prints all curves, and then what grows faster than it should.
func reportGrowth(w io.Writer, curves []*curve) {
	var faster []string
	for _, c := range curves {
		var t table
		head := []string{c.title, c.y}
		for _, x := range c.longest() {
			head = append(head, number(x, 0))
		}
		t.add(head...)
		for _, l := range c.lines {
			cells := []string{"", l.name}
			for _, x := range c.longest() {
				cells = append(cells, l.at(x))
			}
			verdict := c.verdict(l)
			if strings.ToLower(verdict) != verdict && !strings.Contains(l.name, plainGRPC.name) {
				faster = append(faster, fmt.Sprintf("  %s: %s: %s", c.title, l.name, verdict))
			}
			t.add(append(cells, verdict)...)
		}
		t.write(w)
		fmt.Fprintln(w)
	}
	if len(faster) == 0 {
		fmt.Fprintln(w, "Nothing of ours grows faster than it should.")
		return
	}
	fmt.Fprintln(w, "These of ours grow faster than they should over the last two decades:\n"+strings.Join(faster, "\n"))
}

// longest returns the x of the line that has most of them.
func (c *curve) longest() (x []float64) {
	for _, l := range c.lines {
		if len(l.x) > len(x) {
			x = l.x
		}
	}
	return x
}

// at is the text of a line's value at x.
func (l *line) at(x float64) string {
	for i := range l.x {
		if l.x[i] == x {
			decimals := 0
			if l.y[i] < 100 {
				decimals = 1
			}
			return number(l.y[i], decimals)
		}
	}
	return "–"
}

// writeData writes the points of a curve, as a table with tabs.
func (c *curve) writeData(dir string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\t%s\n", "contender", c.x, c.y)
	for _, l := range c.lines {
		for i := range l.x {
			fmt.Fprintf(&b, "%s\t%g\t%.4g\n", l.name, l.x[i], l.y[i])
		}
	}
	return os.WriteFile(filepath.Join(dir, c.key+".tsv"), []byte(b.String()), 0o644)
}
