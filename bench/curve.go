package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
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

// add adds a point to the line of this name. Where both axes are logarithmic there is
// no place for what is not positive: it is left out.
func (c *curve) add(name string, x int, y float64) {
	if !(y > 0) || math.IsInf(y, 0) {
		return
	}
	i := slices.IndexFunc(c.lines, func(l *line) bool { return l.name == name })
	if i < 0 {
		i = len(c.lines)
		c.lines = append(c.lines, &line{name: name})
	}
	c.lines[i].x = append(c.lines[i].x, float64(x))
	c.lines[i].y = append(c.lines[i].y, y)
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

// verdict says how the cost of a contender grows, and whether that is as it should be.
func (c *curve) verdict(l *line) (text string, ok bool) {
	e := c.exponent(l)
	switch {
	case math.IsNaN(e):
		return "", true
	case c.growth == flat && e <= flat+slack:
		text, ok = "flat", true
	case c.growth == flat:
		text = "NOT FLAT"
	case e <= linear+slack:
		text, ok = "linear at most", true
	default:
		text = "MORE THAN LINEAR"
	}
	return fmt.Sprintf("%s (n^%.2f)", text, e), ok
}

// reportGrowth prints all curves, and then which of them are not as they should be.
func reportGrowth(w io.Writer, curves []*curve) {
	var steep []string
	for _, c := range curves {
		var t table
		head := []string{c.title, c.y}
		for _, x := range c.longest() {
			head = append(head, number(x, 0))
		}
		t.add(append(head, "cost")...)
		for _, l := range c.lines {
			cells := []string{"", l.name}
			for _, x := range c.longest() {
				cells = append(cells, l.at(x))
			}
			verdict, ok := c.verdict(l)
			t.add(append(cells, verdict)...)
			if !ok {
				steep = append(steep, fmt.Sprintf("  %s: %s: %s", c.title, l.name, verdict))
			}
		}
		t.write(w)
		fmt.Fprintln(w)
	}
	if len(steep) == 0 {
		fmt.Fprintln(w, "All is flat or linear that should be, over the last two decades.")
		return
	}
	fmt.Fprintln(w, "Over the last two decades these grow faster than they should:\n"+strings.Join(steep, "\n"))
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
	switch i := slices.Index(l.x, x); {
	case i < 0:
		return "–"
	case l.y[i] < 100:
		return number(l.y[i], 1)
	default:
		return number(l.y[i], 0)
	}
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
