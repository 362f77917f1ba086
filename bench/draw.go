package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The size of a chart.
const (
	chartWidth  = 18 * vg.Centimeter
	chartHeight = 11 * vg.Centimeter
)

// colors are those of Okabe and Ito, which everybody can tell apart. A contender has
// the same one in every chart.
var colors = map[string]color.Color{
	plainGRPC.name:      color.RGBA{0x77, 0x77, 0x77, 0xff},
	pushTunnel.name:     color.RGBA{0x00, 0x72, 0xb2, 0xff},
	pushDirect.name:     color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	nativeProtocol.name: color.RGBA{0x00, 0x9e, 0x73, 0xff},
	mapName:             color.RGBA{0x77, 0x77, 0x77, 0xff},
	registryName:        color.RGBA{0x00, 0x72, 0xb2, 0xff},
}

// draw writes the chart of a curve. Both axes are logarithmic: what grows linearly is
// a straight line that rises by a decade in a decade, and what is flat is level.
func (c *curve) draw(dir string) error {
	p := plot.New()
	p.BackgroundColor = color.White // the page may be dark
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
	p.Title.Padding = vg.Points(8)
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.Legend.TextStyle.Font,
		&p.X.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Label.TextStyle.Font, &p.Y.Tick.Label.Font,
	} {
		f.Variant, f.Size = "Sans", vg.Points(11)
	}
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	p.X.Min, p.X.Max = bounds(c.all(func(l *line) []float64 { return l.x }))
	p.Y.Min, p.Y.Max = bounds(c.all(func(l *line) []float64 { return l.y }))
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xcc}, color.Gray{0xcc}
	p.Add(grid)
	for _, l := range c.lines {
		points := make(plotter.XYs, len(l.x))
		for i := range l.x {
			points[i] = plotter.XY{X: l.x[i], Y: l.y[i]}
		}
		strokes, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		strokes.Color, strokes.Width = colors[l.name], vg.Points(1.5)
		dots.Color, dots.Shape = colors[l.name], draw.CircleGlyph{}
		p.Add(strokes, dots)
		p.Legend.Add(l.name, strokes, dots)
	}
	p.Legend.Left, p.Legend.Top = true, c.startsLow()
	p.Legend.XOffs, p.Legend.Padding = vg.Points(8), vg.Points(2)
	chart, err := p.WriterTo(chartWidth, chartHeight, "svg")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := chart.WriteTo(&b); err != nil {
		return err
	}
	// Arial is as wide as the font that the text was laid out in, and more have it.
	text := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,sans-serif;"))
	return os.WriteFile(filepath.Join(dir, c.key+".svg"), text, 0o644)
}

// startsLow says whether the lines leave more room above their left ends than below.
func (c *curve) startsLow() bool {
	low, high := bounds(c.all(func(l *line) []float64 { return l.y }))
	below := 0.0
	for _, l := range c.lines {
		below += math.Log(l.y[0]/low) / float64(len(c.lines))
	}
	return below < math.Log(high/low)/2
}

// all returns the values of all lines.
func (c *curve) all(of func(*line) []float64) (values []float64) {
	for _, l := range c.lines {
		values = append(values, of(l)...)
	}
	return values
}

// bounds returns the narrowest steps that values, which are positive, lie between.
func bounds(values []float64) (low, high float64) {
	low, high = slices.Min(values), slices.Max(values)
	around := steps(low/10, high*10)
	below := 0
	for around[below+1] <= low {
		below++
	}
	above := below + 1
	for around[above] < high {
		above++
	}
	return around[below], around[above]
}

// ticks puts a label at each step, or at powers of ten only if that would be many.
func ticks(low, high float64) (all []plot.Tick) {
	const many = 8
	marked := steps(low, high)
	for _, v := range marked {
		label := number(v, 0)
		switch {
		case len(marked) > many && !isPowerOfTen(v):
			label = "" // a shorter tick
		case v < 1:
			label = fmt.Sprint(v)
		}
		all = append(all, plot.Tick{Value: v, Label: label})
	}
	return all
}

// steps returns the numbers 1, 2 and 5, times a power of ten, from low to high.
func steps(low, high float64) (all []float64) {
	for power := int(math.Floor(math.Log10(low))); math.Pow10(power) <= high; power++ {
		for _, v := range []float64{1, 2, 5} {
			if v *= math.Pow10(power); low <= v && v <= high {
				all = append(all, v)
			}
		}
	}
	return all
}

func isPowerOfTen(v float64) bool { return v == math.Pow10(int(math.Round(math.Log10(v)))) }
