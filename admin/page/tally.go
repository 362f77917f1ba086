package page

import (
	"cmp"
	"slices"
)

const (
	// maxTallied is how many values are counted: there may be as many as sessions.
	maxTallied = 1000
	maxShares  = 20
)

// share is how many sessions have a value.
type share struct {
	Value    string `json:"value"`
	Sessions int    `json:"sessions"`
}

// tally counts the sessions of each value.
type tally struct {
	counts map[string]*int
	value  string // the last one, which comes again most of the time
	last   *int
}

func (t *tally) add(value string) {
	if t.last != nil && t.value == value {
		*t.last++
		return
	}
	if t.counts == nil {
		t.counts = make(map[string]*int)
	}
	n := t.counts[value]
	if n == nil {
		if len(t.counts) == maxTallied {
			return
		}
		n = new(int)
		t.counts[value] = n
	}
	*n++
	t.value, t.last = value, n
}

// shares returns the values that most sessions have, the most frequent first.
func (t *tally) shares() []share {
	all := make([]share, 0, len(t.counts))
	for value, n := range t.counts {
		all = append(all, share{clip(value), *n})
	}
	slices.SortFunc(all, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Value, b.Value))
	})
	*t = tally{}
	return all[:min(len(all), maxShares)]
}
