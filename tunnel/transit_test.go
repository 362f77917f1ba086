package tunnel

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTransitRefusesWhatWasNeverSent(t *testing.T) {
	tr := transit{window: minTransit, sent: 10}
	if err := tr.ack(10, time.Now); err != nil {
		t.Errorf("all of it: got the error %v, want none", err)
	}
	if err := tr.ack(11, time.Now); err == nil {
		t.Error("a byte more: got no error, want one")
	}
	if err := tr.ack(5, time.Now); err != nil || tr.acked != 10 {
		t.Errorf("less than before: got %d and the error %v, want 10 still", tr.acked, err)
	}
}

func TestTransitAsksForTheTimeOnlyWhenItWaits(t *testing.T) {
	tr := transit{window: 100}
	never := func() time.Time { t.Error("asked for the time"); return time.Time{} }
	if tr.sent = 99; !tr.room(never) {
		t.Error("got no room below the window, want some")
	}
	if err := tr.ack(50, never); err != nil {
		t.Fatal(err)
	}
	asked := 0
	now := func() time.Time { asked++; return time.Time{} }
	tr.sent = 200
	for range 3 {
		if tr.room(now) {
			t.Error("got room above the window, want none")
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times for one round trip, want once", asked)
	}
}

func TestTransitGrows(t *testing.T) {
	var now time.Time
	clock := func() time.Time { return now }
	tr := transit{window: minTransit}
	// trip fills the window and lets it be confirmed after d.
	trip := func(d time.Duration) {
		t.Helper()
		for tr.room(clock) {
			tr.sent += 16 << 10
		}
		now = now.Add(d)
		if err := tr.ack(tr.sent, clock); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		why  string
		took time.Duration
		want uint64
	}{
		{"the first round trip is the shortest", 40 * time.Millisecond, 2 * minTransit},
		{"it does not show a queue", 60 * time.Millisecond, 4 * minTransit},
		{"it shows a queue", 61 * time.Millisecond, 4 * minTransit},
		{"a shorter one", 10 * time.Millisecond, 8 * minTransit},
		{"what was fine before is a queue now", 21 * time.Millisecond, 8 * minTransit},
		{"as fast as can be", 0, 16 * minTransit},
		{"the slack is for short round trips", 10 * time.Millisecond, 32 * minTransit},
		{"again", 0, 64 * minTransit},
		{"and again", 0, 128 * minTransit},
		{"to the limit", 0, maxTransit},
		{"and not beyond", 0, maxTransit},
	} {
		if trip(step.took); tr.window != step.want {
			t.Fatalf("%s: got a window of %d bytes, want %d", step.why, tr.window, step.want)
		}
	}
}

func TestTransitDoesNotGrowWhileItIsNotTheLimit(t *testing.T) {
	var now time.Time
	clock := func() time.Time { return now }
	tr := transit{window: minTransit}
	for range 100 {
		for range 4 {
			if !tr.room(clock) {
				t.Fatal("got no room, want some")
			}
			tr.sent += 16 << 10
		}
		now = now.Add(time.Millisecond)
		if err := tr.ack(tr.sent, clock); err != nil {
			t.Fatal(err)
		}
	}
	if tr.window != minTransit {
		t.Errorf("got a window of %d bytes, want %d", tr.window, minTransit)
	}
}

// TestTransitModel compares transit with a model that remembers every round trip.
func TestTransitModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		clock := func() time.Time { return now }
		tr := transit{window: minTransit}
		type probe struct {
			at   time.Time
			sent uint64
		}
		var waits *probe // when something had to wait first, since the last round trip
		var shortest time.Duration
		window := uint64(minTransit)
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				if !tr.room(clock) {
					if waits == nil {
						waits = &probe{now, tr.sent}
					}
					return
				}
				tr.sent += rapid.Uint64Range(1, 64<<10).Draw(t, "bytes")
			},
			"ack": func(t *rapid.T) {
				total := rapid.Uint64Range(tr.acked, tr.sent).Draw(t, "total")
				if rapid.Bool().Draw(t, "all") {
					total = tr.sent
				}
				if err := tr.ack(total, clock); err != nil {
					t.Fatalf("got the error %v, want none", err)
				}
				if waits == nil || total < waits.sent {
					return
				}
				took := now.Sub(waits.at)
				waits = nil
				if shortest == 0 || took < shortest {
					shortest = took
				}
				if took-shortest <= max(transitSlack, shortest/2) {
					window = min(2*window, maxTransit)
				}
			},
			"time passes": func(t *rapid.T) {
				now = now.Add(rapid.SampledFrom([]time.Duration{1, time.Millisecond, 30 * time.Millisecond}).Draw(t, "for"))
			},
			"": func(t *rapid.T) {
				if tr.window != window {
					t.Fatalf("got a window of %d bytes, want %d", tr.window, window)
				}
				if got, most := tr.underWay(), window+64<<10; got > most {
					t.Fatalf("got %d bytes under way, want at most %d", got, most)
				}
			},
		})
	})
}
