package java

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The private classes of java.util.Collections that no vector has, as
// PolymorphicCollectionSchema and PolymorphicMapSchema write them. They are read
// with their names, and written as what Java can read.
func TestWrappers(t *testing.T) {
	const (
		list  = "ca0109 41727261794c697374 0a034a0161"             // ArrayList [a]
		hash  = "d20107 486173684d6170 0a0a 0a034a016b 12034a0176" // HashMap {k: v}
		class = "9201 03 696e74"                                   // int
	)
	a, kv := strs("a"), []Entry{{"k", "v"}}
	for _, c := range []struct {
		value, class, written string
		elems                 []any
		entries               []Entry
	}{
		{value: "e00100 1000", class: "EmptyList", written: "ArrayList"},
		{value: "e00100 1800 0a034a0161", class: "SingletonSet", written: "HashSet", elems: a},
		{value: "e00100 2000 0a034a0161", class: "SingletonList", written: "ArrayList", elems: a},
		{value: "e00100 2000", class: "SingletonList", written: "ArrayList"}, // of null
		{value: "e00100 2a16" + hash, class: "SetFromMap", written: "HashSet", elems: strs("k")},
		{value: "e00100 3a11" + list, class: "UnmodifiableCollection", written: "ArrayList", elems: a},
		{value: "e00100 4211" + list, class: "UnmodifiableSet", written: "HashSet", elems: a},
		{value: "e00100 5211" + list, class: "UnmodifiableList", written: "ArrayList", elems: a},
		{value: "e00100 5205 2000 0a034a0161", class: "", written: ""}, // its length does not fit
		{value: "e00100 5207 2000 0a034a0161", class: "UnmodifiableList", written: "ArrayList", elems: a},
		{value: "e00100 6211" + list, class: "SynchronizedCollection", written: "ArrayList", elems: a},
		{value: "e00100 a20111" + list + "0a06" + class, class: "CheckedList", written: "ArrayList", elems: a},
		{value: "e80100 2216" + hash, class: "UnmodifiableSortedMap", written: "HashMap", entries: kv},
		{value: "e80100 2a16" + hash, class: "SynchronizedMap", written: "HashMap", entries: kv},
		{value: "e80100 3a16" + hash + "0a06" + class + "1206" + class, class: "CheckedMap", written: "HashMap", entries: kv},
	} {
		v, err := Parse(unhex(t, c.value), Limits{})
		if c.class == "" {
			if err == nil {
				t.Errorf("%s is read as %v", c.value, v)
			}
			continue
		}
		var want, written any = List{wrapperPrefix + c.class, c.elems}, List{c.written, c.elems}
		if c.value[:3] == "e80" {
			want, written = Map{wrapperPrefix + c.class, c.entries}, Map{c.written, c.entries}
		}
		if err != nil || !cmp.Equal(v, want) {
			t.Errorf("%s: %#v, %v; want %#v", c.class, v, err, want)
			continue
		}
		again, err := Append(nil, v)
		if err != nil {
			t.Errorf("%s: %v", c.class, err)
			continue
		}
		if back, err := Parse(again, Limits{}); err != nil || !cmp.Equal(back, written) {
			t.Errorf("%s is written as %#v, %v; want %#v", c.class, back, err, written)
		}
	}
}
