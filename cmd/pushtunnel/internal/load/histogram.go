// Package load makes calls as fast as they go, and tells how long they took.
package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are a sixteenth of their value wide, so that
// what it tells is within 6 %. The zero value is empty. It is not for several goroutines.
type Histogram struct {
	counts [64 * slots]int64
	total  int64
	sum    time.Duration
	most   time.Duration
}

const slots = 16

// bucket is where a duration is counted.
func bucket(d time.Duration) int {
	n := uint64(max(d, 0)) //nolint:gosec // not negative
	if n < slots {
		return int(n) //nolint:gosec // small
	}
	shift := bits.Len64(n) - 5 // n>>shift is in 16..31
	return (shift+1)*slots + int(n>>shift) - slots
}

// upper is the largest duration of a bucket.
func upper(i int) time.Duration {
	if i < slots {
		return time.Duration(i)
	}
	shift := i/slots - 1
	return time.Duration((uint64(i%slots)+slots+1)<<shift - 1) //nolint:gosec // it was a duration
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.sum += d
	h.most = max(h.most, d)
}

// Merge adds what another one has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.sum += other.sum
	h.most = max(h.most, other.most)
}

// Count returns how many durations there are.
func (h *Histogram) Count() int64 { return h.total }

// Max returns the longest.
func (h *Histogram) Max() time.Duration { return h.most }

// Mean returns the mean, 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

// Quantile returns what a share q of the durations, 0 to 1, do not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(q * float64(h.total))
	seen := int64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(upper(i), h.most)
		}
	}
	return h.most
}

// Band is a part of a histogram.
type Band struct {
	UpTo  time.Duration // the longest in it
	Count int64
}

// Bands returns the histogram in bands that double, from the first that is not empty to
// the last.
func (h *Histogram) Bands() (bands []Band) {
	for shift := range len(h.counts) / slots {
		n := int64(0)
		for _, c := range h.counts[shift*slots : (shift+1)*slots] {
			n += c
		}
		if n > 0 || len(bands) > 0 {
			bands = append(bands, Band{UpTo: upper((shift+1)*slots - 1), Count: n})
		}
	}
	for len(bands) > 0 && bands[len(bands)-1].Count == 0 {
		bands = bands[:len(bands)-1]
	}
	return bands
}
