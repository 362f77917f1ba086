package server

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The order compared with a slice, and how much room it takes.
func TestOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	var o order
	var want []*Session
	for step := range 20_000 {
		if growing := step/5000%2 == 0; rnd.IntN(10) < 5 == growing || rnd.IntN(10) < 3 {
			s := new(Session)
			o.add(s)
			want = append(want, s)
		} else if len(want) > 0 {
			i := rnd.IntN(len(want))
			o.remove(want[i])
			o.remove(want[i]) // does nothing
			want = slices.Delete(want, i, i+1)
		}
		if step%100 == 0 && !slices.Equal(o.all(), want) {
			t.Fatalf("step %d: got %d sessions, want %d, the oldest first", step, len(o.all()), len(want))
		}
		if n := len(o.slots); n > fewSlots && n > 2*len(want)+1 {
			t.Fatalf("step %d: %d slots for %d sessions", step, n, len(want))
		}
	}
	o.remove(new(Session)) // was never in
	for _, s := range want {
		o.remove(s)
	}
	if got := o.all(); len(got) > 0 {
		t.Errorf("got %d sessions, want none", len(got))
	}
}
