package tunnel

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRing compares ring with a slice.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := make([]outbound, 5)
		var r ring
		var want []*outbound
		pick := func(t *rapid.T) *outbound { return &calls[rapid.IntRange(0, len(calls)-1).Draw(t, "call")] }
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				c := pick(t)
				r.push(c)
				if !slices.Contains(want, c) {
					want = append(want, c)
				}
			},
			"remove": func(t *rapid.T) {
				c := pick(t)
				r.remove(c)
				if i := slices.Index(want, c); i >= 0 {
					want = slices.Delete(want, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				var forward, backward []*outbound
				for c := r.head; c != nil; c = c.next {
					forward = append(forward, c)
				}
				for c := r.tail; c != nil; c = c.prev {
					backward = append(backward, c)
				}
				slices.Reverse(backward)
				if !slices.Equal(forward, want) || !slices.Equal(backward, want) {
					t.Fatalf("got %v forward and %v backward, want %v", forward, backward, want)
				}
			},
		})
	})
}
