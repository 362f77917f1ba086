package interceptors

import (
	"testing"
	"time"

	"google.golang.org/grpc/backoff"
)

func TestDelay(t *testing.T) {
	c := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.5, MaxDelay: time.Second}
	for _, tc := range []struct {
		failures int
		asked    time.Duration
		random   float64
		want     time.Duration
	}{
		{1, 0, 0.5, 100 * time.Millisecond},
		{2, 0, 0.5, 200 * time.Millisecond},
		{4, 0, 0.5, 800 * time.Millisecond},
		{5, 0, 0.5, time.Second},
		{5000, 0, 0.5, time.Second},
		{1, 0, 0, 50 * time.Millisecond},
		{1, 0, 1, 150 * time.Millisecond},
		{1, 3 * time.Second, 0, 3 * time.Second},
		{1, 2 * time.Second, 1, 3 * time.Second},
		{5, time.Millisecond, 0.5, time.Second},
	} {
		if got := delay(c, tc.failures, tc.asked, tc.random); got != tc.want {
			t.Errorf("after %d failures, asked for %v, random %v: got %v, want %v", tc.failures, tc.asked, tc.random, got, tc.want)
		}
	}
}
