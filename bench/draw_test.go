package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		values    []float64
		low, high float64
	}{
		{[]float64{1, 10000}, 1, 10000},
		{[]float64{1024, 1}, 1, 2000},
		{[]float64{16, 4 << 20}, 10, 5_000_000},
		{[]float64{3, 4, 3.5}, 2, 5},
		{[]float64{0.03, 0.5}, 0.02, 0.5},
		{[]float64{1000, 1000}, 1000, 2000},
		{[]float64{7}, 5, 10},
	} {
		low, high := bounds(tt.values)
		if math.Abs(low-tt.low) > tt.low*1e-9 || math.Abs(high-tt.high) > tt.high*1e-9 {
			t.Errorf("bounds(%v): got %v, %v; want %v, %v", tt.values, low, high, tt.low, tt.high)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		want      []string
	}{
		{1, 10, []string{"1", "2", "5", "10"}},
		{20, 500, []string{"20", "50", "100", "200", "500"}},
		{0.02, 0.5, []string{"0.02", "0.05", "0.1", "0.2", "0.5"}},
		{1, 10000, []string{"1", "", "", "10", "", "", "100", "", "", "1,000", "", "", "10,000"}},
		{200, 1e6, []string{"", "", "1,000", "", "", "10,000", "", "", "100,000", "", "", "1,000,000"}},
	} {
		var got []string
		for _, tick := range ticks(tt.low, tt.high) {
			got = append(got, tick.Label)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("from %v to %v: got %q, want %q", tt.low, tt.high, got, tt.want)
		}
	}
}

// A chart is XML that names its title, axes and lines, whatever is in it.
func TestDraw(t *testing.T) {
	several := grownBy(flat, 6, func(x float64) float64 { return 0.003 * x })
	several.add(pushTunnel.name, 10, 12345)
	for name, c := range map[string]*curve{
		"several lines": several,
		"a level line":  grownBy(flat, 3, func(float64) float64 { return 100 }),
		"a point":       grownBy(flat, 0, func(float64) float64 { return 1 }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.draw(dir); err != nil {
				t.Fatal(err)
			}
			texts := svgTexts(t, filepath.Join(dir, "key.svg"))
			for _, want := range []string{"title", "x", "y", "line"} {
				if !slices.Contains(texts, want) {
					t.Errorf("no text %q in %q", want, texts)
				}
			}
		})
	}
}

// svgTexts returns the texts in a drawing.
func svgTexts(t *testing.T, file string) (texts []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := xml.NewDecoder(f)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			texts = append(texts, string(text))
		}
	}
}

func TestStartsLow(t *testing.T) {
	if !grownBy(linear, 2, func(x float64) float64 { return x }).startsLow() {
		t.Error("what rises does not start low")
	}
	if grownBy(linear, 2, func(x float64) float64 { return 1 / x }).startsLow() {
		t.Error("what falls starts low")
	}
}
