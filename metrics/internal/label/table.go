package label

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// Table has something for each value of a label: for the first that come, up to a
// number, and one thing, under Other, for the rest. Its methods may be called by any
// goroutine. Get of a value that is there takes no lock.
type Table[T any] struct {
	most int
	make func(value string) *T

	mu   sync.Mutex // of those that add
	have atomic.Pointer[map[string]*T]
}

// NewTable returns a Table of so many values. make is called once for each.
func NewTable[T any](most int, make func(value string) *T) *Table[T] {
	t := &Table[T]{most: most, make: make}
	t.have.Store(&map[string]*T{})
	return t
}

// Get returns what there is for a value.
func (t *Table[T]) Get(value string) *T {
	have := *t.have.Load()
	if v, ok := have[value]; ok {
		return v
	}
	if other, ok := have[Other]; ok && len(have)-1 >= t.most {
		return other
	}
	return t.add(value)
}

func (t *Table[T]) add(value string) *T {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := *t.have.Load()
	n := len(have)
	if _, ok := have[Other]; ok {
		n--
	}
	if v, ok := have[value]; ok {
		return v
	}
	if value = Valid(value); n >= t.most {
		value = Other
	}
	if v, ok := have[value]; ok {
		return v
	}
	value = strings.Clone(value) // it may be a piece of something large
	v := t.make(value)
	grown := make(map[string]*T, len(have)+1)
	maps.Copy(grown, have)
	grown[value] = v
	t.have.Store(&grown)
	return v
}

// All calls do for each value that there is something for.
func (t *Table[T]) All(do func(value string, v *T)) {
	for value, v := range *t.have.Load() {
		do(value, v)
	}
}
