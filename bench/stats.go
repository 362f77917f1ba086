package main

import (
	"math"
	"slices"
	"time"
)

// median returns the middle of values, or NaN if there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile returns the value that p percent of sorted do not exceed.
// It returns 0 if sorted is empty.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

// A spread is the median of some values and their range.
type spread struct{ mid, min, max float64 }

// spreadOf returns the spread of values; all NaN if there are none.
func spreadOf(values []float64) spread {
	s := spread{mid: median(values), min: math.NaN(), max: math.NaN()}
	if len(values) > 0 {
		s.min, s.max = slices.Min(values), slices.Max(values)
	}
	return s
}
