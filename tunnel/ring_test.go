package tunnel

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRing compares two rings with slices. A call is in one of them at most, and
// leaves no other.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := make([]outbound, 5)
		rings := []ring{{kind: readyRing}, {kind: spentRing}}
		want := make([][]*outbound, len(rings))
		pick := func(t *rapid.T) (*ring, *[]*outbound, *outbound) {
			i := rapid.IntRange(0, len(rings)-1).Draw(t, "ring")
			return &rings[i], &want[i], &calls[rapid.IntRange(0, len(calls)-1).Draw(t, "call")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				r, in, c := pick(t)
				r.push(c)
				if !slices.Contains(slices.Concat(want...), c) {
					*in = append(*in, c)
				}
			},
			"remove": func(t *rapid.T) {
				r, want, c := pick(t)
				r.remove(c)
				if i := slices.Index(*want, c); i >= 0 {
					*want = slices.Delete(*want, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				for i, r := range rings {
					var forward, backward []*outbound
					for c := r.head; c != nil && len(forward) <= len(calls); c = c.next {
						forward = append(forward, c)
					}
					for c := r.tail; c != nil && len(backward) <= len(calls); c = c.prev {
						backward = append(backward, c)
					}
					slices.Reverse(backward)
					if !slices.Equal(forward, want[i]) || !slices.Equal(backward, want[i]) {
						t.Fatalf("ring %d: got %v forward and %v backward, want %v", i, forward, backward, want[i])
					}
				}
			},
		})
	})
}
