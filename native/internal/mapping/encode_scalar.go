package mapping

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// unwrap returns the scalar in a message around one.
func (t *typ) unwrap(r record) (record, error) {
	inner := record{wire: wireOf(t.inner)}
	for in := r.bytes; len(in) > 0; {
		e, rest, err := nextRecord(in)
		if err != nil {
			return r, err
		}
		if e.number == t.unbox && e.wire == inner.wire {
			inner = e
		}
		in = rest
	}
	return inner, nil
}

// appendScalar appends a scalar with a field number.
func (t *typ) appendScalar(b []byte, n protowire.Number, r record) ([]byte, error) {
	p := t.proto
	if t.boxed {
		var err error
		if r, err = t.unwrap(r); err != nil {
			return nil, err
		}
		p = t.inner
	}
	varint := func(v uint64) ([]byte, error) {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v), nil
	}
	v := number(p, r.bits)
	switch t.kind {
	case kindBool:
		return varint(v & 1)
	case kindByte:
		if int64(v) != int64(int8(v)) { //nolint:gosec // that is what is checked
			return nil, fmt.Errorf("%d is no Java byte", int64(v)) //nolint:gosec // the same bits
		}
		return varint(uint64(uint32(v))) //nolint:gosec // the low half
	case kindShort:
		if int64(v) != int64(int16(v)) { //nolint:gosec // that is what is checked
			return nil, fmt.Errorf("%d is no Java short", int64(v)) //nolint:gosec // the same bits
		}
		return varint(uint64(uint32(v))) //nolint:gosec // the low half
	case kindChar:
		if v > 0xffff {
			return nil, fmt.Errorf("%d is no Java char", int64(v)) //nolint:gosec // the same bits
		}
		return varint(v)
	case kindInt, kindLong, kindEnum:
		return varint(v)
	case kindFloat:
		return protowire.AppendFixed32(protowire.AppendTag(b, n, protowire.Fixed32Type), uint32(r.bits)), nil //nolint:gosec // it has 32 bits
	case kindDouble:
		return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), r.bits), nil
	case kindDate:
		if p == protoreflect.MessageKind {
			ms, err := millis(r.bytes)
			if err != nil {
				return nil, err
			}
			v = uint64(ms) //nolint:gosec // the same bits
		}
		return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), v), nil
	case kindBigInteger:
		bytes, err := bigInteger(p, r.bytes)
		if err != nil {
			return nil, err
		}
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), bytes), nil
	case kindBigDecimal:
		text := r.bytes
		if len(text) == 0 {
			text = []byte{'0'} // Java has no empty one
		}
		if !java.BigDecimal(text).Valid() {
			return nil, fmt.Errorf("%q is no BigDecimal", text)
		}
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), text), nil
	default:
	}
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), r.bytes), nil
}

// ordinal returns the place in Java of a constant. A number without one is an error:
// a Java peer could not read the call.
func (e *enum) ordinal(bits uint64) (ordinal int32, null bool, err error) {
	n := int32(bits) //nolint:gosec // an enum's number
	if e.none[n] {
		return 0, true, nil
	}
	ordinal, ok := e.toOrdinal[n]
	if !ok {
		return 0, false, fmt.Errorf("%d is no constant of %s", n, e.name)
	}
	return ordinal, false, nil
}
