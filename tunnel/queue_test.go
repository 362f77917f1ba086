package tunnel

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestQueue compares queue with a slice.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue[*int]
		var want []*int
		if rapid.Bool().Draw(t, "with storage") {
			q.use(make([]*int, 1))
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "how many") {
					v := new(int)
					q.push(v)
					want = append(want, v)
				}
			},
			"pop": func(t *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(t, "how many") {
					if len(want) > 0 {
						q.pop()
						want = want[1:]
					}
				}
			},
			"drop": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
					q.drop()
					want = nil
				}
			},
			"": func(t *rapid.T) {
				if q.len() != len(want) || !slices.Equal(q.all(), want) {
					t.Fatalf("got %v, want %v", q.all(), want)
				}
				if len(want) > 0 && (*q.front() != want[0] || *q.back() != want[len(want)-1]) {
					t.Fatal("got another front or back than that of the content")
				}
				for _, v := range q.items[:q.head] {
					if v != nil {
						t.Fatal("got something kept that has left")
					}
				}
			},
		})
	})
}

// A queue that is never empty does not grow for ever.
func TestQueueUsesItsSpaceAgain(t *testing.T) {
	var q queue[int]
	q.push(0)
	for i := range 100_000 {
		q.push(i)
		q.pop()
	}
	if got := cap(q.items); got > 16 {
		t.Errorf("got space for %d, want little more than for the 2 there were at a time", got)
	}
}
