package main

import (
	"image/color"
	"math"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The size of a chart.
const (
	chartWidth  = 16 * vg.Centimeter
	chartHeight = 10 * vg.Centimeter
)

// colors are those of Okabe and Ito, which everybody can tell apart; a contender has
// the same one in every chart.
var colors = map[string]color.Color{
	plainGRPC.name:      color.RGBA{0x77, 0x77, 0x77, 0xff},
	pushTunnel.name:     color.RGBA{0x00, 0x72, 0xb2, 0xff},
	pushDirect.name:     color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	nativeProtocol.name: color.RGBA{0x00, 0x9e, 0x73, 0xff},
	registryName:        color.RGBA{0x00, 0x72, 0xb2, 0xff},
}

// draw writes the chart of a curve. Both axes are logarithmic: what grows linearly is
// a straight line that rises by a decade a decade, what is flat is level.
func (c *curve) draw(dir string) error {
	p := plot.New()
	p.Title.Text = c.title
	p.X.Label.Text, p.Y.Label.Text = c.x, c.y
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = decadeTicks{}, decadeTicks{}
	p.BackgroundColor = color.White // pages may be dark
	p.Legend.Top = c.legendOnTop()
	p.Legend.Left = true
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xe0}, color.Gray{0xe0}
	p.Add(grid)
	for _, l := range c.lines {
		points := make(plotter.XYs, len(l.x))
		for i := range l.x {
			points[i] = plotter.XY{X: l.x[i], Y: l.y[i]}
		}
		curve, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		curve.Color, curve.Width = colors[l.name], vg.Points(1.5)
		dots.Color, dots.Shape = colors[l.name], draw.CircleGlyph{}
		p.Add(curve, dots)
		p.Legend.Add(l.name, curve, dots)
	}
	p.X.Min, p.X.Max = bounds(c, func(l *line) []float64 { return l.x })
	p.Y.Min, p.Y.Max = bounds(c, func(l *line) []float64 { return l.y })
	return p.Save(chartWidth, chartHeight, filepath.Join(dir, c.key+".svg"))
}

// legendOnTop says whether the left top corner is freer than the left bottom one.
func (c *curve) legendOnTop() bool {
	low, high := bounds(c, func(l *line) []float64 { return l.y })
	var left float64
	for _, l := range c.lines {
		left += math.Log(l.y[0]) / float64(len(c.lines))
	}
	return left < (math.Log(low)+math.Log(high))/2
}

// bounds returns the decades, or halves and fifths of one, around all values.
func bounds(c *curve, of func(*line) []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, v := range of(l) {
			low, high = min(low, v), max(high, v)
		}
	}
	for i, step := range steps(low/10, high*10) {
		_ = i
		if step <= low*0.999 {
			defer func() { low = step }()
		}
		if step >= high {
			return low, step
		}
	}
	return low, high
}
