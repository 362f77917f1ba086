package mapping

import (
	"fmt"
	"math/big"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
)

func (t *typ) fromEnum(b []byte, n protowire.Number, v []byte) ([]byte, error) {
	value, err := java.Parse(v, java.Limits{})
	if err != nil {
		return nil, err
	}
	e, ok := value.(java.Enum)
	switch {
	case !ok:
		return nil, fmt.Errorf("a %T, want a constant of %s", value, t.enum.class)
	case e.Class != t.enum.class:
		return nil, fmt.Errorf("a constant of %s, want %s", e.Class, t.enum.class)
	case e.Name != "":
		return nil, fmt.Errorf("a constant of %s by its name: the peer runs with enums_by_name", e.Class)
	}
	return t.fromScalar(b, n, record{wire: protowire.VarintType, bits: uint64(e.Ordinal)}) //nolint:gosec // not negative
}

// fromScalar appends a scalar as the field n.
func (t *typ) fromScalar(b []byte, n protowire.Number, r record) ([]byte, error) {
	if t.boxed {
		scalar := *t
		scalar.boxed, scalar.proto = false, t.inner
		return message1(b, n, func(b []byte) ([]byte, error) { return scalar.fromScalar(b, t.unbox, r) })
	}
	v, bytes := r.bits, r.bytes
	switch t.kind {
	case kindByte:
		v = uint64(int64(int8(v))) //nolint:gosec // as Java narrows
	case kindShort:
		v = uint64(int64(int16(v))) //nolint:gosec // as Java narrows
	case kindChar:
		v &= 0xffff
	case kindInt:
		v = uint64(int64(int32(v))) //nolint:gosec // as Java narrows
	case kindEnum:
		number, err := t.enum.number(v)
		if err != nil {
			return nil, err
		}
		v = uint64(int64(number)) //nolint:gosec // sign-extended
	case kindDate:
		if t.proto == protoreflect.MessageKind {
			ms := int64(v) //nolint:gosec // the same bits
			if ms < minMillis || ms > maxMillis {
				return nil, fmt.Errorf("a Date of %d ms, which google.protobuf.Timestamp does not have: use kind DATE on int64", ms)
			}
			return message1(b, n, func(b []byte) ([]byte, error) { return appendTimestamp(b, ms), nil })
		}
	case kindString, kindBigDecimal, kindClass:
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), java.DecodeString(bytes)), nil
	case kindBigInteger:
		i, err := parseBigInteger(bytes)
		if err != nil {
			return nil, err
		}
		if t.proto == protoreflect.StringKind {
			bytes = i.Append(nil, 10)
		}
	default:
	}
	wire := wireOf(t.proto)
	b = protowire.AppendTag(b, n, wire)
	if wire == protowire.BytesType {
		return protowire.AppendBytes(b, bytes), nil
	}
	return appendNumber(b, t.proto, v), nil
}

// parseBigInteger reads a BigInteger of bounded size.
func parseBigInteger(b []byte) (*big.Int, error) {
	if len(b) > maxDigits/2 {
		return nil, fmt.Errorf("a BigInteger of %d bytes", len(b))
	}
	return java.ParseBigInteger(b)
}

// number returns the number of a constant.
func (e *enum) number(bits uint64) (int32, error) {
	ordinal := int32(bits) //nolint:gosec // as Java narrows
	if e.toNumber == nil {
		return ordinal, nil
	}
	n, ok := e.toNumber[ordinal]
	if !ok {
		return 0, fmt.Errorf("%s has no constant at %d in Java", e.name, ordinal)
	}
	return n, nil
}
