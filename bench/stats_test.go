package main

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{
		2:   {3, 1, 2},
		2.5: {4, 1, 2, 3},
		7:   {7},
	} {
		if got := median(values); got != want {
			t.Errorf("median(%v): got %v, want %v", values, got, want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing: got %v, want NaN", got)
	}
}

func TestPercentile(t *testing.T) {
	var sorted []time.Duration
	for i := range 200 {
		sorted = append(sorted, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := percentile(sorted, p); got != want {
			t.Errorf("percentile %d of 1…200: got %d, want %d", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("percentile of nothing: got %d, want 0", got)
	}
}

func TestNumber(t *testing.T) {
	for want, got := range map[string]string{
		"0":         number(0, 0),
		"-123":      number(-123, 0),
		"-1,234":    number(-1234, 0),
		"999.50":    number(999.5, 2),
		"1,000.0":   number(1000, 1),
		"1,234,567": number(1234567, 0),
		"–":         number(math.NaN(), 2),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
