package java

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// ObjectClass is the component class of the arguments of a call.
const ObjectClass = "java.lang.Object"

// maxLen is the longest array that is read. Nulls take no room on the wire, so a
// peer can claim any length.
const maxLen = 1 << 20

// ArrayHeader is what stands before the elements of an array.
type ArrayHeader struct {
	Component string // the name of the innermost component's class
	Len       int
	Dims      int
}

// AppendArrayHeader appends the header; the elements follow, each with
// AppendElement. The order of the three fields is fixed (ArraySchema).
func AppendArrayHeader(b []byte, h ArrayHeader) []byte {
	b = protowire.AppendTag(b, IDArray, protowire.BytesType)
	b = protowire.AppendString(b, h.Component)
	b = protowire.AppendTag(b, 3, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(h.Len)) //nolint:gosec // not negative
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(h.Dims)) //nolint:gosec // not negative
}

// Elements are the elements of an array that are not null, in order.
type Elements struct {
	rest []byte
	left int // how many more there may be
}

// ParseArray reads the header of an array. The elements are parts of b.
func ParseArray(b []byte) (h ArrayHeader, elems Elements, err error) {
	number, wire, n := protowire.ConsumeTag(b)
	if n < 0 || wire != protowire.BytesType || number != IDArray && number != IDArrayMapped {
		return h, elems, errorf("array: it does not begin with a component class")
	}
	b = b[n:]
	class, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return h, elems, errorf("array: component class: %w", protowire.ParseError(n))
	}
	h.Component = className(class)
	b = b[n:]
	if h.Len, b, err = headerInt(b, 3, "length"); err != nil {
		return h, elems, err
	}
	if h.Dims, b, err = headerInt(b, 2, "dimensions"); err != nil {
		return h, elems, err
	}
	switch {
	case h.Len > maxLen:
		return h, elems, errorf("array: length %d, above the limit of %d", h.Len, maxLen)
	case h.Dims > 255:
		return h, elems, errorf("array: %d dimensions; Java has 255 at most", h.Dims)
	case h.Dims == 0:
		return h, elems, errorf("array: no dimensions")
	}
	return h, Elements{rest: b, left: h.Len}, nil
}

// className returns the name of a class; without an allocation for the commonest.
func className(b []byte) string {
	if string(b) == ObjectClass {
		return ObjectClass
	}
	return DecodeString(b)
}

func headerInt(b []byte, want protowire.Number, what string) (int, []byte, error) {
	number, wire, n := protowire.ConsumeTag(b)
	if n < 0 || number != want || wire != protowire.VarintType {
		return 0, nil, errorf("array: no %s where it must be", what)
	}
	b = b[n:]
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, nil, errorf("array: %s: %w", what, protowire.ParseError(n))
	}
	if i := int32(v); i >= 0 { //nolint:gosec // as Java reads an int
		return int(i), b[n:], nil
	}
	return 0, nil, errorf("array: a negative %s", what)
}

// Next returns the next element's encoded value. ok is false after the last.
func (e *Elements) Next() (elem []byte, ok bool, err error) {
	if len(e.rest) == 0 {
		return nil, false, nil
	}
	number, wire, n := protowire.ConsumeTag(e.rest)
	if n < 0 || number != 1 || wire != protowire.BytesType {
		return nil, false, errorf("array: what follows the header is no element")
	}
	v, m := protowire.ConsumeBytes(e.rest[n:])
	if m < 0 {
		return nil, false, errorf("array: element: %w", protowire.ParseError(m))
	}
	if e.left--; e.left < 0 {
		return nil, false, errorf("array: more elements than its length")
	}
	e.rest = e.rest[n+m:]
	return v, true, nil
}

// AppendArgs appends the arguments of a call: what Body.Parameters is. A null in
// the middle is an error, since Java would move the arguments behind it forward
// (IdStrategy).
func AppendArgs(b []byte, args []any) ([]byte, error) {
	b = AppendArrayHeader(b, ArrayHeader{Component: ObjectClass, Len: len(args), Dims: 1})
	e := encoder{depth: DefaultDepth}
	null := -1
	for i, arg := range args {
		if arg == nil {
			null = i
			continue
		}
		if null >= 0 {
			return nil, errorf("argument %d is null but argument %d is not: null is not on the wire, and Java would take argument %d for argument %d", null, i, i, null)
		}
		var err error
		if b, err = e.message(b, 1, arg); err != nil {
			return nil, errorf("argument %d: %w", i, err)
		}
	}
	return b, nil
}

// ParseArgs reads the arguments of a call. Nulls come last, wherever they were. b
// may be nil: a call without arguments need not have the field.
func ParseArgs(b []byte, l Limits) ([]any, error) {
	if b == nil {
		return nil, nil
	}
	h, elems, err := ParseArray(b)
	if err != nil {
		return nil, err
	}
	const most = 255 // parameters of a Java method
	if h.Len > most {
		return nil, errorf("%d arguments; a Java method has %d at most", h.Len, most)
	}
	d := newDecoder(l)
	args := make([]any, h.Len)
	for i := 0; ; i++ {
		b, ok, err := elems.Next()
		if err != nil || !ok {
			return args, err
		}
		if args[i], err = d.value(b); err != nil {
			return nil, errorf("argument %d: %w", i, err)
		}
	}
}
