package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// grownBy is a curve with one line, of what of returns for each power of ten up to
// the number of decades.
func grownBy(growth, decades int, of func(x float64) float64) *curve {
	c := newCurve("key", "title", "x", "y", growth)
	for i := range decades + 1 {
		x := math.Pow10(i)
		c.add("line", int(x), of(x))
	}
	return c
}

func TestExponent(t *testing.T) {
	for name, tt := range map[string]struct {
		curve *curve
		want  float64
	}{
		"a constant":             {grownBy(flat, 4, func(float64) float64 { return 7 }), 0},
		"a line":                 {grownBy(linear, 4, func(x float64) float64 { return 3 * x }), 1},
		"a square":               {grownBy(linear, 4, func(x float64) float64 { return x * x }), 2},
		"a rate that falls":      {grownBy(linear, 4, func(x float64) float64 { return 5 / x }).ofRates(), 1},
		"a rate that rises":      {grownBy(flat, 4, math.Sqrt).ofRates(), -0.5},
		"only the last decades":  {grownBy(linear, 6, func(x float64) float64 { return max(1e4, x) }), 1},
		"two points":             {grownBy(linear, 1, func(x float64) float64 { return x }), 1},
		"a point tells nothing":  {grownBy(flat, 0, func(float64) float64 { return 1 }), math.NaN()},
		"no logarithm, no point": {grownBy(linear, 4, func(x float64) float64 { return x - 1 }), 1.002},
		"nothing was measured":   {grownBy(flat, 1, func(float64) float64 { return math.Inf(1) }), math.NaN()},
	} {
		got := math.NaN()
		for _, l := range tt.curve.lines {
			got = tt.curve.exponent(l)
		}
		if math.Abs(got-tt.want) > 0.01 || math.IsNaN(got) != math.IsNaN(tt.want) {
			t.Errorf("%s: got %.3f, want %.3f", name, got, tt.want)
		}
	}
}

func TestVerdictOfCurve(t *testing.T) {
	power := func(growth int, e float64) *curve {
		return grownBy(growth, 4, func(x float64) float64 { return math.Pow(x, e) })
	}
	for want, tt := range map[string]struct {
		curve *curve
		ok    bool
	}{
		"flat (n^0.00)":             {power(flat, 0), true},
		"flat (n^0.14)":             {power(flat, 0.14), true},
		"flat (n^-1.00)":            {power(flat, -1), true},
		"NOT FLAT (n^0.20)":         {power(flat, 0.2), false},
		"linear at most (n^1.10)":   {power(linear, 1.1), true},
		"linear at most (n^0.50)":   {power(linear, 0.5), true},
		"MORE THAN LINEAR (n^1.20)": {power(linear, 1.2), false},
		"":                          {grownBy(flat, 0, math.Sqrt), true},
	} {
		if got, ok := tt.curve.verdict(tt.curve.lines[0]); got != want || ok != tt.ok {
			t.Errorf("got %q, %t; want %q, %t", got, ok, want, tt.ok)
		}
	}
}

func TestReportGrowthListsWhatIsSteep(t *testing.T) {
	steep := grownBy(flat, 2, func(x float64) float64 { return x })
	level := grownBy(flat, 2, func(float64) float64 { return 1234 })
	var out strings.Builder
	reportGrowth(&out, []*curve{level, steep})
	for _, want := range []string{"1,234", "flat (n^0.00)", "these grow faster", "  title: line: NOT FLAT (n^1.00)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	reportGrowth(&out, []*curve{level})
	if want := "All is flat or linear that should be"; !strings.Contains(out.String(), want) {
		t.Errorf("nothing says %q:\n%s", want, out.String())
	}
}

// A line that lacks a point has a dash there.
func TestReportGrowthOfLinesThatLackPoints(t *testing.T) {
	c := newCurve("key", "title", "x", "y", flat)
	c.add("a", 1, 5)
	c.add("a", 10, 5)
	c.add("b", 10, 6)
	var out strings.Builder
	reportGrowth(&out, []*curve{c})
	if want := "b    –  6.0"; !strings.Contains(out.String(), want) {
		t.Errorf("no row %q:\n%s", want, out.String())
	}
}

func TestWriteData(t *testing.T) {
	dir := t.TempDir()
	c := newCurve("key", "title", "clients", "calls/s", flat)
	c.add("a", 1, 1.5)
	c.add("a", 10000, 123456)
	if err := c.writeData(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "key.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "contender\tclients\tcalls/s\na\t1\t1.5\na\t10000\t1.235e+05\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
