package java

import (
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// DefaultDepth is how deeply values may be nested, in both directions, unless
// Limits say otherwise.
const DefaultDepth = 64

// Append appends an encoded value to b: what Body.Content is. It takes the types
// of this package's list, and besides them []any for an ArrayList and
// map[string]any for a HashMap. An error names what cannot be encoded.
func Append(b []byte, v any) ([]byte, error) {
	e := encoder{depth: DefaultDepth}
	return e.value(b, v)
}

// encoder encodes one value and what is in it.
type encoder struct{ depth int }

// message appends a field that holds a value.
func (e *encoder) message(b []byte, number protowire.Number, v any) ([]byte, error) {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	start := len(b)
	b = append(b, 0)
	b, err := e.value(b, v)
	if err != nil {
		return nil, err
	}
	return fixLength(b, start), nil
}

// fixLength sets the length of what follows start, where one byte is reserved for
// it.
func fixLength(b []byte, start int) []byte {
	n := len(b) - start - 1
	extra := protowire.SizeVarint(uint64(n)) - 1 //nolint:gosec // not negative
	if extra > 0 {
		b = append(b, make([]byte, extra)...)
		copy(b[start+1+extra:], b[start+1:start+1+n])
	}
	protowire.AppendVarint(b[:start], uint64(n)) //nolint:gosec // not negative
	return b
}

// value appends a value.
func (e *encoder) value(b []byte, v any) ([]byte, error) {
	if err := check(v); err != nil {
		return nil, err
	}
	if out, ok := appendScalar(b, v); ok {
		return out, nil
	}
	if e.depth--; e.depth < 0 {
		return nil, errorf("values nested deeper than %d", DefaultDepth)
	}
	defer func() { e.depth++ }()
	switch v := v.(type) {
	case Array:
		return e.array(b, v)
	case []any:
		return e.list(b, List{Elems: v})
	case List:
		return e.list(b, v)
	case map[string]any:
		m := Map{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			m.Entries = append(m.Entries, Entry{k, v[k]})
		}
		return e.mapping(b, IDMap, "HashMap", m.Entries)
	case Map:
		return e.mapping(b, IDMap, mapClass(v.Class), v.Entries)
	case EnumSet:
		return e.elements(named(b, IDEnumSet, v.Class), v.Elems)
	case EnumMap:
		return e.mapping(b, IDEnumMap, v.Class, v.Entries)
	case POJO:
		return AppendFields(named(b, IDPOJO, v.Class), v.Fields)
	case Throwable:
		return AppendFields(named(b, IDThrowable, v.Class), v.Fields)
	}
	return nil, unsuitable(v)
}

// check returns an error for a scalar that Java cannot read.
func check(v any) error {
	switch v := v.(type) {
	case BigDecimal:
		if !v.Valid() {
			return errorf("%q is no BigDecimal", string(v))
		}
	case Enum:
		if v.Ordinal < 0 {
			return errorf("a constant of %s at %d: ordinals begin at 0", v.Class, v.Ordinal)
		}
	case Class:
		if v.Dims < 0 || v.Dims > 255 {
			return errorf("a Class with %d Dims", v.Dims)
		}
	}
	return nil
}

func unsuitable(v any) error {
	switch v.(type) {
	case nil:
		return errorf("null has no encoding here")
	case int, uint, uint8, uint16, uint32, uint64, uintptr:
		return errorf("%T may be any of several Java types, and a method that expects another does not answer: use int32 for int, int64 for long, int16, int8 or java.Char", v)
	}
	return errorf("%T has no Java form: see the list in package java", v)
}

// named appends a field with the name of a class.
func named(b []byte, id protowire.Number, class string) []byte {
	return AppendString(protowire.AppendTag(b, id, protowire.BytesType), class)
}

// appendScalar appends a value that has nothing in it. ok is false if it is none.
func appendScalar(b []byte, v any) (out []byte, ok bool) {
	varint := func(id protowire.Number, x uint64) ([]byte, bool) {
		return protowire.AppendVarint(protowire.AppendTag(b, id, protowire.VarintType), x), true
	}
	text := func(id protowire.Number, x []byte) ([]byte, bool) {
		return protowire.AppendBytes(protowire.AppendTag(b, id, protowire.BytesType), x), true
	}
	switch v := v.(type) {
	case bool:
		return varint(IDBoolean, protowire.EncodeBool(v))
	case int8:
		return varint(IDByte, uint64(uint32(v))) //nolint:gosec // sign-extended to 32 bits
	case Char:
		return varint(IDChar, uint64(v))
	case int16:
		return varint(IDShort, uint64(uint32(v))) //nolint:gosec // sign-extended to 32 bits
	case int32:
		return varint(IDInt, uint64(v)) //nolint:gosec // sign-extended to 64 bits
	case int64:
		return varint(IDLong, uint64(v)) //nolint:gosec // the same bits
	case float32:
		return protowire.AppendFixed32(protowire.AppendTag(b, IDFloat, protowire.Fixed32Type), math.Float32bits(v)), true
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(b, IDDouble, protowire.Fixed64Type), math.Float64bits(v)), true
	case string:
		return named(b, IDString, v), true
	case ByteString:
		return text(IDByteString, v)
	case []byte:
		return text(IDBytes, v)
	case BigDecimal:
		return named(b, IDBigDecimal, string(v)), true
	case *big.Int:
		if v == nil {
			return nil, false
		}
		return text(IDBigInteger, AppendBigInteger(nil, v))
	case time.Time:
		return protowire.AppendFixed64(protowire.AppendTag(b, IDDate, protowire.Fixed64Type), uint64(v.UnixMilli())), true //nolint:gosec // the same bits
	case Object:
		return varint(IDObject, 0)
	case Class:
		if v.Dims == 0 {
			return named(b, IDClass, v.Name), true
		}
		b = named(b, IDArrayClass, v.Name)
		return varintField(b, 2, uint64(v.Dims)), true //nolint:gosec // not negative
	case Enum:
		b = named(b, IDEnum, v.Class)
		if v.Name != "" {
			return AppendString(protowire.AppendTag(b, 1, protowire.BytesType), v.Name), true
		}
		return varintField(b, 1, uint64(v.Ordinal)), true //nolint:gosec // not negative
	}
	return nil, false
}

func varintField(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func (e *encoder) array(b []byte, v Array) ([]byte, error) {
	h := ArrayHeader{Component: v.Component, Dims: v.Dims, Len: v.Len}
	switch {
	case h.Component == "":
		return nil, errorf("an Array without a Component")
	case h.Dims < 1:
		return nil, errorf("an Array with %d Dims: a plain one has 1", h.Dims)
	case h.Len == 0:
		h.Len = len(v.Elems)
	case h.Len < len(v.Elems):
		return nil, errorf("an Array with more Elems than its Len")
	}
	for i, elem := range v.Elems {
		if elem != nil && !Holds(h.Component, h.Dims, elem) {
			return nil, errorf("element %d: a %T is no element of %s%s, and a Java peer could not read the call", i, elem, h.Component, strings.Repeat("[]", h.Dims))
		}
	}
	return e.elements(AppendArrayHeader(b, h), v.Elems)
}

func (e *encoder) list(b []byte, v List) ([]byte, error) {
	return e.elements(named(b, IDCollection, listClass(v.Class)), v.Elems)
}

// elements appends the elements of an array or collection that are not null.
func (e *encoder) elements(b []byte, elems []any) ([]byte, error) {
	for i, v := range elems {
		if v == nil {
			continue // Java drops nulls, too
		}
		var err error
		if b, err = e.message(b, 1, v); err != nil {
			return nil, errorf("element %d: %w", i, err)
		}
	}
	return b, nil
}

func (e *encoder) mapping(b []byte, id protowire.Number, class string, entries []Entry) ([]byte, error) {
	b = named(b, id, class)
	for i, entry := range entries {
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		start := len(b)
		b = append(b, 0)
		var err error
		if entry.Key != nil {
			if b, err = e.message(b, 1, entry.Key); err != nil {
				return nil, errorf("key %d: %w", i, err)
			}
		}
		if entry.Value != nil {
			if b, err = e.message(b, 2, entry.Value); err != nil {
				return nil, errorf("value %d: %w", i, err)
			}
		}
		b = fixLength(b, start)
	}
	return b, nil
}

// AppendFields appends the fields of an object as they are: what a field holds that is
// declared as a class.
func AppendFields(b []byte, fields []Field) ([]byte, error) {
	for _, f := range fields {
		if !f.Number.IsValid() {
			return nil, errorf("a field with the number %d", f.Number)
		}
		b = protowire.AppendTag(b, f.Number, f.Type)
		if f.Type == protowire.BytesType {
			b = protowire.AppendBytes(b, f.Value)
			continue
		}
		if n := protowire.ConsumeFieldValue(f.Number, f.Type, f.Value); n != len(f.Value) {
			return nil, errorf("field %d: its value is not of its type", f.Number)
		}
		b = append(b, f.Value...)
	}
	return b, nil
}
