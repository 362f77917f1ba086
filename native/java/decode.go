package java

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits bound what one body may hold. Zero means the default.
type Limits struct {
	Depth    int // how deeply values are nested; 64
	Elements int // elements, entries and fields in all; 1<<20
}

const defaultElements = 1 << 20

// Parse reads a value: Body.Content, or an element of an array. It returns an error
// for what Java rejects, as far as that can be seen without the classes. The value
// does not refer to b.
func Parse(b []byte, l Limits) (any, error) {
	v, err := newDecoder(l).value(b)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// decoder decodes one value and what is in it.
type decoder struct {
	depth, most int
	left        int // how many more elements there may be
	copied      int // bytes that copies would add if they were written out
}

func newDecoder(l Limits) *decoder {
	d := &decoder{depth: l.Depth, left: l.Elements}
	if d.depth <= 0 {
		d.depth = DefaultDepth
	}
	if d.left <= 0 {
		d.left = defaultElements
	}
	d.most = d.depth
	return d
}

// maxCopied is how many bytes the copies in one body may come to when they are
// written out: Collections.nCopies names its element once, and copies of copies
// would make any size of a few bytes.
const maxCopied = 1 << 20

func (d *decoder) count() error {
	if d.left--; d.left < 0 {
		return errorf("more elements than the limit")
	}
	return nil
}

// value reads a value, which fills b.
func (d *decoder) value(b []byte) (any, error) {
	if len(b) == 0 {
		return nil, errorf("a value without a type")
	}
	id, wire, n := protowire.ConsumeTag(b)
	if n < 0 {
		return nil, errorf("bad tag: %w", protowire.ParseError(n))
	}
	rest := b[n:]
	// Collections and maps count how deep they are themselves: they may be in wrappers.
	switch id {
	case IDWrappedList, IDWrappedMap:
		zero, n := protowire.ConsumeVarint(rest)
		if n < 0 || zero != 0 || wire != protowire.VarintType {
			return nil, errorf("a java.util.Collections object that does not begin with 0")
		}
		if id == IDWrappedList {
			return d.collection(rest[n:])
		}
		return d.mapping(rest[n:])
	case IDEnumSet, IDCollection:
		return d.collection(b)
	case IDEnumMap, IDMap:
		return d.mapping(b)
	}
	if d.depth--; d.depth < 0 {
		return nil, errorf("values nested deeper than %d", d.most)
	}
	defer func() { d.depth++ }()
	switch id {
	case IDArray, IDArrayMapped:
		return d.array(b)
	case IDPOJO, IDThrowable:
		return d.object(id, wire, rest)
	case IDEnum, IDArrayClass, IDArrayClassM:
		return d.classed(id, wire, rest)
	}
	v, n, err := scalar(id, wire, rest)
	switch {
	case err != nil:
		return nil, err
	case n < len(rest):
		return nil, errorf("%d bytes after a value of type %d", len(rest)-n, id)
	}
	return v, nil
}

// scalar reads a value that has nothing in it, and returns how many bytes it has.
func scalar(id protowire.Number, wire protowire.Type, b []byte) (v any, n int, err error) {
	var x uint64
	var text []byte
	switch want := wireOf(id); {
	case want < 0:
		return nil, 0, errorf("a value of unknown type %d", id)
	case wire != want:
		return nil, 0, errorf("a value of type %d with wire type %d, want %d", id, wire, want)
	case wire == protowire.VarintType:
		x, n = protowire.ConsumeVarint(b)
	case wire == protowire.Fixed32Type:
		var y uint32
		y, n = protowire.ConsumeFixed32(b)
		x = uint64(y)
	case wire == protowire.Fixed64Type:
		x, n = protowire.ConsumeFixed64(b)
	default:
		text, n = protowire.ConsumeBytes(b)
	}
	if n < 0 {
		return nil, 0, errorf("a value of type %d: %w", id, protowire.ParseError(n))
	}
	switch id {
	case IDBoolean:
		if n > 1 {
			return nil, 0, errorf("a Boolean of %d bytes", n)
		}
		return x != 0, n, nil
	case IDByte:
		return int8(x), n, nil //nolint:gosec // as Java narrows
	case IDChar:
		return Char(x), n, nil //nolint:gosec // as Java narrows
	case IDShort:
		return int16(x), n, nil //nolint:gosec // as Java narrows
	case IDInt:
		return int32(x), n, nil //nolint:gosec // as Java narrows
	case IDLong:
		return int64(x), n, nil //nolint:gosec // the same bits
	case IDFloat:
		return math.Float32frombits(uint32(x)), n, nil //nolint:gosec // it has 32 bits
	case IDDouble:
		return math.Float64frombits(x), n, nil
	case IDDate:
		return time.UnixMilli(int64(x)).UTC(), n, nil //nolint:gosec // the same bits
	case IDString:
		return DecodeString(text), n, nil
	case IDByteString:
		return ByteString(append([]byte{}, text...)), n, nil
	case IDBytes:
		return append([]byte{}, text...), n, nil
	case IDBigDecimal:
		d := BigDecimal(DecodeString(text))
		if !d.Valid() {
			return nil, 0, errorf("%q is no BigDecimal", string(d))
		}
		return d, n, nil
	case IDBigInteger:
		if len(text) > maxBigInteger {
			return nil, 0, errorf("a BigInteger of %d bytes, above the limit of %d", len(text), maxBigInteger)
		}
		v, err := ParseBigInteger(text)
		return v, n, err
	case IDObject:
		if x != 0 {
			return nil, 0, errorf("a java.lang.Object that holds %d", x)
		}
		return Object{}, n, nil
	default: // IDClass, IDClassMapped
		return Class{Name: DecodeString(text)}, n, nil
	}
}

// maxBigInteger is the largest BigInteger in bytes that is read: what is done with
// it takes time that grows faster than its size.
const maxBigInteger = 64 << 10

// wireOf returns the wire type of a scalar, -1 for any other.
func wireOf(id protowire.Number) protowire.Type {
	switch id {
	case IDBoolean, IDByte, IDChar, IDShort, IDInt, IDLong, IDObject:
		return protowire.VarintType
	case IDFloat:
		return protowire.Fixed32Type
	case IDDouble, IDDate:
		return protowire.Fixed64Type
	case IDString, IDByteString, IDBytes, IDBigDecimal, IDBigInteger, IDClass, IDClassMapped:
		return protowire.BytesType
	default:
		return -1
	}
}

// ClassName reads the type of a value, and the name of its class if the value is a
// POJO or a Throwable: then rest is its fields. For other types the name is empty,
// and rest is all of b.
func ClassName(b []byte) (id protowire.Number, class string, rest []byte, err error) {
	id, wire, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, "", nil, errorf("a value without a type")
	}
	if id != IDPOJO && id != IDThrowable {
		return id, "", b, nil
	}
	name, m := protowire.ConsumeBytes(b[n:])
	if m < 0 || wire != protowire.BytesType {
		return 0, "", nil, errorf("an object without a class")
	}
	return id, className(name), b[n+m:], nil
}

// object reads the rest of a POJO or Throwable.
func (d *decoder) object(id protowire.Number, wire protowire.Type, b []byte) (any, error) {
	name, n := protowire.ConsumeBytes(b)
	if n < 0 || wire != protowire.BytesType {
		return nil, errorf("an object without a class")
	}
	fields, err := d.fields(b[n:])
	if err != nil {
		return nil, errorf("%s: %w", name, err)
	}
	if id == IDThrowable {
		return Throwable{Class: DecodeString(name), Fields: fields}, nil
	}
	return POJO{Class: DecodeString(name), Fields: fields}, nil
}

// ParseFields reads the fields of an object: what a field holds that is declared as a
// class. They do not refer to b.
func ParseFields(b []byte, l Limits) ([]Field, error) { return newDecoder(l).fields(b) }

func (d *decoder) fields(b []byte) (fields []Field, err error) {
	for len(b) > 0 {
		if err := d.count(); err != nil {
			return nil, err
		}
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, errorf("bad tag: %w", protowire.ParseError(n))
		}
		b = b[n:]
		m := protowire.ConsumeFieldValue(number, wire, b)
		if m < 0 {
			return nil, errorf("field %d: %w", number, protowire.ParseError(m))
		}
		value := b[:m]
		if wire == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(b)
		}
		fields = append(fields, Field{Number: number, Type: wire, Value: append([]byte{}, value...)})
		b = b[m:]
	}
	return fields, nil
}

// classed reads the rest of an enum constant, or of the Class of an array: a name
// and one field.
func (d *decoder) classed(id protowire.Number, wire protowire.Type, b []byte) (any, error) {
	name, n := protowire.ConsumeBytes(b)
	if n < 0 || wire != protowire.BytesType {
		return nil, errorf("a value of type %d without a class", id)
	}
	b = b[n:]
	number, wire, n := protowire.ConsumeTag(b)
	want := protowire.Number(1)
	if id != IDEnum {
		want = 2
	}
	if n < 0 || number != want {
		return nil, errorf("a value of type %d without its field %d", id, want)
	}
	b = b[n:]
	if id == IDEnum && wire == protowire.BytesType {
		text, n := protowire.ConsumeBytes(b)
		if n != len(b) || n <= 1 {
			return nil, errorf("an enum constant that is not one name")
		}
		return Enum{Class: DecodeString(name), Name: DecodeString(text)}, nil
	}
	x, n := protowire.ConsumeVarint(b)
	i := int32(x) //nolint:gosec // as Java reads an int
	if n != len(b) || wire != protowire.VarintType || i < 0 {
		return nil, errorf("a value of type %d whose field %d is no number, or not the last", id, want)
	}
	if id == IDEnum {
		return Enum{Class: DecodeString(name), Ordinal: i}, nil
	}
	if i < 1 || i > 255 {
		return nil, errorf("the class of an array with %d dimensions", i)
	}
	return Class{Name: DecodeString(name), Dims: int(i)}, nil
}

func (d *decoder) array(b []byte) (any, error) {
	h, elems, err := ParseArray(b)
	if err != nil {
		return nil, err
	}
	a := Array{Component: h.Component, Dims: h.Dims, Len: h.Len}
	for {
		b, ok, err := elems.Next()
		if err != nil || !ok {
			return a, err
		}
		if err := d.count(); err != nil {
			return nil, err
		}
		v, err := d.value(b)
		if err != nil {
			return nil, err
		}
		if !Holds(h.Component, h.Dims, v) {
			return nil, errorf("an array of %s, %d dimensions, with a %T in it", h.Component, h.Dims, v)
		}
		a.Elems = append(a.Elems, v)
	}
}
