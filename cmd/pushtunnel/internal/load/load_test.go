package load

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

// A duration is in the bucket whose upper end is not below it, nor much above it.
func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1<<62).Draw(t, "d"))
		i := bucket(d)
		if up := upper(i); up < d || float64(up) > float64(d)*1.07+1 {
			t.Errorf("%d is in bucket %d, up to %d", d, i, up)
		}
		if i > 0 && upper(i-1) >= d {
			t.Errorf("%d is in bucket %d, and would be in the one before", d, i)
		}
	})
}

func TestQuantiles(t *testing.T) {
	var h, half Histogram
	for i := range 500 {
		h.Add(time.Duration(2*i+1) * time.Millisecond)
		half.Add(time.Duration(2*i+2) * time.Millisecond)
	}
	h.Merge(&half)
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.Quantile(q); got < want || float64(got) > 1.07*float64(want) {
			t.Errorf("%v: got %v, want %v, or a little more", q, got, want)
		}
	}
	if h.Count() != 1000 || h.Max() != time.Second || h.Mean() != 500500*time.Microsecond {
		t.Errorf("got %d, %v and %v", h.Count(), h.Max(), h.Mean())
	}
	n := int64(0)
	for _, b := range h.Bands() {
		n += b.Count
	}
	if n != 1000 {
		t.Errorf("got %d in the bands, want all", n)
	}
	if e := (&Histogram{}); e.Quantile(0.5) != 0 || e.Mean() != 0 || e.Bands() != nil {
		t.Error("got something of nothing")
	}
}

func TestDrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var done atomic.Int64
		r := Drive(ctx, 3, func(ctx context.Context, caller int) error {
			select {
			case <-time.After(30 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
			if caller == 0 {
				return status.Error(codes.NotFound, "")
			}
			return nil
		}, &done)
		if r.Calls.Count() != 66 || r.Failed[codes.NotFound] != 33 || r.Errors() != 33 || done.Load() != 99 || r.Took != time.Second || r.Rate() != 66 {
			t.Errorf("got %d calls, %v failed, %d done in %v, want 66, 33 and 99 in 1s", r.Calls.Count(), r.Failed, done.Load(), r.Took)
		}
	})
}
