package interceptors

import (
	"fmt"
	"testing"
	"time"
)

// Names that come once are forgotten, with and without a rate.
func TestBoundsForget(t *testing.T) {
	for _, limit := range []ClientLimit{{InFlight: 1}, {Rate: 1, Burst: 2}, {InFlight: 3, Rate: 10}} {
		b := &bounds{ClientLimit: limit}
		now := time.Unix(0, 0)
		busy := clientKey{"", "busy"}
		if limit, _ := b.begin(busy, now); limit != "" {
			t.Fatalf("got the limit %q, want none", limit)
		}
		for i := range 10_000 {
			now = now.Add(100 * time.Millisecond)
			c := clientKey{"", fmt.Sprint(i)}
			if limit, _ := b.begin(c, now); limit != "" {
				t.Fatalf("got the limit %q, want none", limit)
			}
			b.end(c)
			if len(b.clients) > 2*sweepClients {
				t.Fatalf("%+v: got %d clients in memory after %d that came once", limit, len(b.clients), i)
			}
		}
		if b.clients[busy] == nil {
			t.Errorf("%+v: a client with a push under way was forgotten", limit)
		}
		b.end(busy)
		now = now.Add(sweepInterval)
		b.begin(busy, now)
		if len(b.clients) != 1 {
			t.Errorf("%+v: got %d clients in memory after a long time, want 1", limit, len(b.clients))
		}
	}
}

// One whose bucket is not full is remembered, or it could have another burst.
func TestBoundsRemember(t *testing.T) {
	b := &bounds{ClientLimit: ClientLimit{Rate: 0.001, Burst: 1}}
	now := time.Unix(0, 0)
	c := clientKey{"n", "c"}
	if limit, _ := b.begin(c, now); limit != "" {
		t.Fatalf("got the limit %q, want none", limit)
	}
	b.end(c)
	for range 10 {
		now = now.Add(sweepInterval)
		if limit, _ := b.begin(c, now); limit != LimitRate {
			t.Fatalf("got the limit %q, want %q", limit, LimitRate)
		}
	}
	now = now.Add(1000 * time.Second)
	if limit, _ := b.begin(c, now); limit != "" {
		t.Fatalf("got the limit %q, want none", limit)
	}
}
