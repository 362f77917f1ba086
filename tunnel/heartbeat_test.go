package tunnel

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestListen(t *testing.T) {
	const interval = 10 * time.Second
	for _, test := range []struct {
		silent     time.Duration
		ping, dead bool
		next       time.Duration
	}{
		{0, false, false, interval},
		{time.Second, false, false, 9 * time.Second},
		{interval - 1, false, false, 1},
		{interval, true, false, interval},
		{interval + time.Second, true, false, 9 * time.Second},
		{2*interval - 1, true, false, 1},
		{2 * interval, false, true, 0},
		{time.Hour, false, true, 0},
	} {
		ping, dead, next := listen(test.silent, interval)
		if ping != test.ping || dead != test.dead || next != test.next {
			t.Errorf("silent for %v: got ping %v, dead %v, next %v, want %v, %v, %v",
				test.silent, ping, dead, next, test.ping, test.dead, test.next)
		}
	}
}

// A peer that keeps to the rule, one ping for each tenth of an interval and a
// burst, is never told off; one that breaks it by more than a ping is.
func TestBucket(t *testing.T) {
	const refill = time.Second
	rapid.Check(t, func(t *rapid.T) {
		var b bucket
		var now, level time.Duration // level: a leaky bucket's, in time
		for range rapid.IntRange(1, 100).Draw(t, "pings") {
			pause := rapid.SampledFrom([]time.Duration{0, 0, refill / 10, refill * 9 / 10, refill, refill * 3 / 2, 30 * refill}).Draw(t, "pause")
			now += pause
			level = max(level-pause, 0) + refill
			got := b.take(now, refill)
			switch {
			case level <= pingBurst*refill && !got:
				t.Fatalf("at %v: got a ping refused, want it allowed: the bucket has %v", now, level)
			case level > (pingBurst+1)*refill && got:
				t.Fatalf("at %v: got a ping allowed, want it refused: the bucket has %v", now, level)
			case !got:
				return // the session ends
			}
		}
	})
}

// A session that hears heartbeats alone is idle, however often they come.
func TestHeartbeatIdle(t *testing.T) {
	for _, test := range []struct {
		silent, interval time.Duration
		want             bool
	}{
		{time.Second, 15 * time.Second, false},
		{7 * time.Second, 15 * time.Second, false},
		{15 * time.Second, 15 * time.Second, true},
		{time.Second, time.Second, true},
		{11 * time.Second, time.Minute, true},
		{time.Second, 0, false},
		{11 * time.Second, 0, true},
	} {
		h := heartbeat{interval: test.interval}
		if got := h.idle(test.silent); got != test.want {
			t.Errorf("silent for %v with heartbeats every %v: got %v, want %v", test.silent, test.interval, got, test.want)
		}
	}
}
