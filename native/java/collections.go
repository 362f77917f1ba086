package java

import "google.golang.org/protobuf/encoding/protowire"

// wrapperPrefix begins the names of the private classes of java.util.Collections.
// They have an encoding of their own (PolymorphicCollectionSchema,
// PolymorphicMapSchema), which is read and never written: Java 16 and later
// cannot read it unless java.base is opened.
const wrapperPrefix = "java.util.Collections$"

var collectionWrappers = [...]string{
	1: "EmptySet", 2: "EmptyList", 3: "SingletonSet", 4: "SingletonList", 5: "SetFromMap", 6: "CopiesList",
	7: "UnmodifiableCollection", 8: "UnmodifiableSet", 9: "UnmodifiableSortedSet", 10: "UnmodifiableList", 11: "UnmodifiableRandomAccessList",
	12: "SynchronizedCollection", 13: "SynchronizedSet", 14: "SynchronizedSortedSet", 15: "SynchronizedList", 16: "SynchronizedRandomAccessList",
	17: "CheckedCollection", 18: "CheckedSet", 19: "CheckedSortedSet", 20: "CheckedList", 21: "CheckedRandomAccessList",
}

var mapWrappers = [...]string{
	1: "EmptyMap", 2: "SingletonMap", 3: "UnmodifiableMap", 4: "UnmodifiableSortedMap",
	5: "SynchronizedMap", 6: "SynchronizedSortedMap", 7: "CheckedMap", 8: "CheckedSortedMap",
}

// field is one field of a message.
type field struct {
	number protowire.Number
	wire   protowire.Type
	varint uint64
	bytes  []byte
}

// next splits the first field off a message. Fields are varints or have a length.
func next(b []byte) (f field, rest []byte, err error) {
	number, wire, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, errorf("bad tag: %w", protowire.ParseError(n))
	}
	f = field{number: number, wire: wire}
	b = b[n:]
	switch wire {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		return f, nil, errorf("field %d with wire type %d", number, wire)
	}
	if n < 0 {
		return f, nil, errorf("field %d: %w", number, protowire.ParseError(n))
	}
	return f, b[n:], nil
}

// collection reads a collection: type 25 or 22, or one of the wrappers.
func (d *decoder) collection(b []byte) (any, error) {
	if d.depth--; d.depth < 0 {
		return nil, errorf("values nested deeper than %d", d.most)
	}
	defer func() { d.depth++ }()
	f, rest, err := next(b)
	if err != nil {
		return nil, err
	}
	if f.number == IDCollection || f.number == IDEnumSet {
		if f.wire != protowire.BytesType {
			return nil, errorf("a collection without a class")
		}
		elems, err := d.elements(rest)
		if f.number == IDEnumSet {
			return EnumSet{Class: DecodeString(f.bytes), Elems: elems}, err
		}
		return List{Class: DecodeString(f.bytes), Elems: elems}, err
	}
	if f.number >= protowire.Number(len(collectionWrappers)) {
		return nil, errorf("a collection of unknown type %d", f.number)
	}
	list := List{Class: wrapperPrefix + collectionWrappers[f.number]}
	switch n := f.number; {
	case n <= 4 || n == 6:
		if f.wire != protowire.VarintType || f.varint != 0 {
			return nil, errorf("%s that does not begin with 0", list.Class)
		}
		switch {
		case n <= 2:
			err = end(rest)
		case n == 6:
			list.Elems, err = d.copies(rest)
		default:
			list.Elems, err = d.elements(rest)
		}
	case f.wire != protowire.BytesType:
		return nil, errorf("%s without what it wraps", list.Class)
	case n == 5:
		list.Elems, err = d.keys(f.bytes)
		if err == nil {
			err = end(rest)
		}
	default:
		list.Elems, err = d.wrapped(f.bytes)
		if err == nil && n < 17 {
			err = end(rest)
		}
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

func end(b []byte) error {
	if len(b) > 0 {
		return errorf("%d bytes behind a collection", len(b))
	}
	return nil
}

// elements reads the elements of a collection.
func (d *decoder) elements(b []byte) ([]any, error) {
	var elems []any
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return nil, err
		}
		if f.number != 1 || f.wire != protowire.BytesType {
			return nil, errorf("field %d where an element must be", f.number)
		}
		if err := d.count(); err != nil {
			return nil, err
		}
		v, err := d.value(f.bytes)
		if err != nil {
			return nil, err
		}
		elems = append(elems, v)
		b = rest
	}
	return elems, nil
}

// copies reads the rest of a list that has one element many times.
func (d *decoder) copies(b []byte) ([]any, error) {
	count, b, err := next(b)
	if err != nil {
		return nil, err
	}
	if count.number != 1 || count.wire != protowire.VarintType {
		return nil, errorf("a list of copies without their number")
	}
	var elem any
	size, inside, before := 0, d.copied, d.left
	if len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return nil, err
		}
		if f.number != 2 || f.wire != protowire.BytesType || len(rest) > 0 {
			return nil, errorf("a list of copies of more than one value")
		}
		if elem, err = d.value(f.bytes); err != nil {
			return nil, err
		}
		size = len(f.bytes)
	}
	if elem == nil {
		return nil, nil
	}
	// The first is in the body, with all that is in it; the others count as if they
	// were, too.
	n := count.varint
	size += d.copied - inside
	each := before - d.left + 1
	switch {
	case n == 0:
		return nil, nil
	case n > uint64(d.left/each): //nolint:gosec // not negative
		return nil, errorf("copies of more elements than the limit")
	case n-1 > uint64((maxCopied-d.copied)/max(size, 1)): //nolint:gosec // not negative
		return nil, errorf("copies of more bytes than the limit of %d", maxCopied)
	}
	d.left -= int(n) * each     //nolint:gosec // bounded
	d.copied += int(n-1) * size //nolint:gosec // bounded
	elems := make([]any, n)
	for i := range elems {
		elems[i] = elem
	}
	return elems, nil
}

// wrapped reads the collection that another wraps.
func (d *decoder) wrapped(b []byte) ([]any, error) {
	v, err := d.collection(b)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case List:
		return v.Elems, nil
	case EnumSet:
		return v.Elems, nil
	}
	return nil, errorf("a wrapper of no collection")
}

// keys reads the keys of the map that a set is made of.
func (d *decoder) keys(b []byte) ([]any, error) {
	entries, err := d.wrappedMap(b)
	var keys []any
	for _, e := range entries {
		if e.Key != nil {
			keys = append(keys, e.Key)
		}
	}
	return keys, err
}

// mapping reads a map: type 26 or 23, or one of the wrappers.
func (d *decoder) mapping(b []byte) (any, error) {
	if d.depth--; d.depth < 0 {
		return nil, errorf("values nested deeper than %d", d.most)
	}
	defer func() { d.depth++ }()
	f, rest, err := next(b)
	if err != nil {
		return nil, err
	}
	if f.number == IDMap || f.number == IDEnumMap {
		if f.wire != protowire.BytesType {
			return nil, errorf("a map without a class")
		}
		entries, err := d.entries(rest)
		if f.number == IDEnumMap {
			return EnumMap{Class: DecodeString(f.bytes), Entries: entries}, err
		}
		return Map{Class: DecodeString(f.bytes), Entries: entries}, err
	}
	if f.number >= protowire.Number(len(mapWrappers)) {
		return nil, errorf("a map of unknown type %d", f.number)
	}
	m := Map{Class: wrapperPrefix + mapWrappers[f.number]}
	switch n := f.number; {
	case n <= 2:
		if f.wire != protowire.VarintType || f.varint != 0 {
			return nil, errorf("%s that does not begin with 0", m.Class)
		}
		if n == 1 {
			err = end(rest)
			break
		}
		var e Entry
		e, err = d.entry(rest, 3)
		m.Entries = []Entry{e}
	case f.wire != protowire.BytesType:
		return nil, errorf("%s without what it wraps", m.Class)
	default:
		m.Entries, err = d.wrappedMap(f.bytes)
		if err == nil && n < 7 {
			err = end(rest)
		}
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (d *decoder) wrappedMap(b []byte) ([]Entry, error) {
	v, err := d.mapping(b)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case Map:
		return v.Entries, nil
	case EnumMap:
		return v.Entries, nil
	}
	return nil, errorf("a wrapper of no map")
}

// entries reads the entries of a map.
func (d *decoder) entries(b []byte) ([]Entry, error) {
	var entries []Entry
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return nil, err
		}
		if f.number != 1 || f.wire != protowire.BytesType {
			return nil, errorf("field %d where an entry must be", f.number)
		}
		if err := d.count(); err != nil {
			return nil, err
		}
		e, err := d.entry(f.bytes, 2)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		b = rest
	}
	return entries, nil
}

// entry reads a key and a value, either of which may not be there, in any order.
func (d *decoder) entry(b []byte, valueNumber protowire.Number) (e Entry, err error) {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return e, err
		}
		if f.wire != protowire.BytesType || f.number != 1 && f.number != valueNumber {
			return e, errorf("field %d in an entry", f.number)
		}
		v, err := d.value(f.bytes)
		if err != nil {
			return e, err
		}
		if f.number == 1 {
			e.Key = v
		} else {
			e.Value = v
		}
		b = rest
	}
	return e, nil
}
