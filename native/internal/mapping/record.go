package mapping

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// record is a field of an encoded message.
type record struct {
	place  int
	number protowire.Number
	wire   protowire.Type
	bits   uint64 // of all types but bytes
	bytes  []byte
}

// nextRecord splits the first field off a message.
func nextRecord(b []byte) (r record, rest []byte, err error) {
	number, wire, n := protowire.ConsumeTag(b)
	if n < 0 {
		return r, nil, protowire.ParseError(n)
	}
	r = record{number: number, wire: wire}
	b = b[n:]
	switch wire {
	case protowire.VarintType:
		r.bits, n = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b)
		r.bits = uint64(v)
	case protowire.Fixed64Type:
		r.bits, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		r.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(number, wire, b)
	}
	if n < 0 {
		return r, nil, fmt.Errorf("field %d: %w", number, protowire.ParseError(n))
	}
	return r, b[n:], nil
}

// records reads the fields of a protobuf message that its plan knows, in the order
// of Java.
func (m *message) records(b []byte, rs []record) ([]record, error) {
	sorted := true
	for len(b) > 0 {
		r, rest, err := nextRecord(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		b = rest
		f := m.proto[r.number]
		if f == nil {
			continue
		}
		r.place = f.place
		if r.wire == protowire.BytesType && f.packed() {
			if rs, err = unpack(rs, r, wireOf(f.proto)); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		} else {
			if r.wire != f.wireInProto() {
				return nil, fmt.Errorf("%s: wire type %d", f.name, r.wire)
			}
			rs = append(rs, r)
		}
		sorted = sorted && (len(rs) < 2 || rs[len(rs)-2].place <= r.place)
	}
	if !sorted {
		slices.SortStableFunc(rs, func(a, b record) int { return a.place - b.place })
	}
	return rs, nil
}

// wireInProto is the wire type of the field in protobuf.
func (f *field) wireInProto() protowire.Type {
	if f.container == dict {
		return protowire.BytesType
	}
	return wireOf(f.proto)
}

// packed reports whether the field may come packed.
func (f *field) packed() bool {
	return (f.container == list || f.container == set || f.container == array) && wireOf(f.proto) != protowire.BytesType
}

// unpack adds what is in a packed field.
func unpack(rs []record, r record, wire protowire.Type) ([]record, error) {
	for b := r.bytes; len(b) > 0; {
		e := record{place: r.place, number: r.number, wire: wire}
		var n int
		switch wire {
		case protowire.VarintType:
			e.bits, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			e.bits = uint64(v)
		default:
			e.bits, n = protowire.ConsumeFixed64(b)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		rs = append(rs, e)
		b = b[n:]
	}
	return rs, nil
}

// wireOf is the wire type of a proto type.
func wireOf(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return protowire.BytesType
	default:
		return protowire.VarintType
	}
}

// number returns the integer that bits of a proto type are: sign-extended to 64
// bits.
func number(k protoreflect.Kind, bits uint64) uint64 {
	switch k {
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		bits = uint64(protowire.DecodeZigZag(bits)) //nolint:gosec // the same bits
	default:
	}
	switch k {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.EnumKind:
		return uint64(int64(int32(bits))) //nolint:gosec // sign-extended
	default:
		return bits
	}
}

// appendNumber appends an integer, sign-extended to 64 bits, as a proto type.
func appendNumber(b []byte, k protoreflect.Kind, v uint64) []byte {
	switch k {
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protowire.AppendVarint(b, protowire.EncodeZigZag(int64(v))) //nolint:gosec // the same bits
	case protoreflect.Uint32Kind:
		return protowire.AppendVarint(b, uint64(uint32(v))) //nolint:gosec // the low half
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.AppendFixed32(b, uint32(v)) //nolint:gosec // the low half
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.AppendFixed64(b, v)
	default:
		return protowire.AppendVarint(b, v)
	}
}

// fixLength sets the length of what follows start, where one byte is reserved.
func fixLength(b []byte, start int) []byte {
	n := len(b) - start - 1
	if extra := protowire.SizeVarint(uint64(n)) - 1; extra > 0 { //nolint:gosec // not negative
		b = append(b, make([]byte, extra)...)
		copy(b[start+1+extra:], b[start+1:start+1+n])
	}
	protowire.AppendVarint(b[:start], uint64(n)) //nolint:gosec // not negative
	return b
}

// The range of google.protobuf.Timestamp in milliseconds: the years 1 to 9999.
const (
	minMillis = -62135596800000
	maxMillis = 253402300799999
)

// millis reads a google.protobuf.Timestamp.
func millis(b []byte) (int64, error) {
	var seconds, nanos int64
	for len(b) > 0 {
		r, rest, err := nextRecord(b)
		if err != nil {
			return 0, err
		}
		switch r.number {
		case 1:
			seconds = int64(r.bits) //nolint:gosec // the same bits
		case 2:
			nanos = int64(int32(r.bits)) //nolint:gosec // as protobuf narrows
		}
		b = rest
	}
	if seconds < minMillis/1000 || seconds > maxMillis/1000 {
		return 0, errors.New("a time that is out of range")
	}
	return time.Unix(seconds, nanos).UnixMilli(), nil
}

// appendTimestamp appends the fields of a google.protobuf.Timestamp.
func appendTimestamp(b []byte, ms int64) []byte {
	t := time.UnixMilli(ms)
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(t.Unix())) //nolint:gosec // the same bits
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(t.Nanosecond())) //nolint:gosec // not negative
}

// maxDigits is how long a BigInteger may be as text.
const maxDigits = 1 << 16

// bigInteger returns the bytes of a BigInteger that proto has as text or bytes.
func bigInteger(k protoreflect.Kind, b []byte) ([]byte, error) {
	if k == protoreflect.BytesKind {
		if len(b) == 0 {
			return []byte{0}, nil
		}
		return b, nil
	}
	if len(b) > maxDigits {
		return nil, fmt.Errorf("a number of %d digits", len(b))
	}
	if len(b) == 0 {
		return []byte{0}, nil
	}
	v, ok := new(big.Int).SetString(string(b), 10)
	if !ok {
		return nil, fmt.Errorf("%q is no integer", b)
	}
	return java.AppendBigInteger(nil, v), nil
}
