package dynamic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/native/java"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/dynamic/v1"
)

// FromProto is the inverse of ToProto. It refuses what no Java program could read, as
// far as that can be seen without the classes.
func FromProto(v *pb.Value) (any, error) { return newConverter().fromProto(v) }

// fromProtos converts the arguments of a call. An error begins with the number of the
// argument.
func fromProtos(args []*pb.Value) ([]any, error) {
	c := newConverter()
	out := make([]any, len(args))
	for i, arg := range args {
		var err error
		if out[i], err = c.fromProto(arg); err != nil {
			return nil, fmt.Errorf("%d: %w", i, err)
		}
	}
	return out, nil
}

// maxDigits is how long a BigInteger of 64 KiB is in decimal, about.
const maxDigits = 160_000

func (c *converter) fromProto(v *pb.Value) (any, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer func() { c.depth++ }()
	switch k := v.GetKind().(type) {
	case nil:
		return nil, errors.New("a value without a kind: null is null_value")
	case *pb.Value_NullValue:
		return nil, nil
	case *pb.Value_BooleanValue:
		return k.BooleanValue, nil
	case *pb.Value_ByteValue:
		return within(k.ByteValue, int8(k.ByteValue), "byte") //nolint:gosec // within checks it
	case *pb.Value_ShortValue:
		return within(k.ShortValue, int16(k.ShortValue), "short") //nolint:gosec // within checks it
	case *pb.Value_CharValue:
		if k.CharValue > math.MaxUint16 {
			return nil, fmt.Errorf("%d is no char", k.CharValue)
		}
		return java.Char(k.CharValue), nil
	case *pb.Value_IntValue:
		return k.IntValue, nil
	case *pb.Value_LongValue:
		return k.LongValue, nil
	case *pb.Value_FloatValue:
		return k.FloatValue, nil
	case *pb.Value_DoubleValue:
		return k.DoubleValue, nil
	case *pb.Value_StringValue:
		return k.StringValue, nil
	case *pb.Value_ByteStringValue:
		return java.ByteString(k.ByteStringValue), nil
	case *pb.Value_BytesValue:
		return k.BytesValue, nil
	case *pb.Value_BigDecimalValue:
		d := java.BigDecimal(k.BigDecimalValue)
		if !d.Valid() {
			return nil, fmt.Errorf("%q is no BigDecimal", k.BigDecimalValue)
		}
		return d, nil
	case *pb.Value_BigIntegerValue:
		return bigInteger(k.BigIntegerValue)
	case *pb.Value_DateValue:
		return time.UnixMilli(k.DateValue).UTC(), nil
	case *pb.Value_PlainObjectValue:
		return java.Object{}, nil
	case *pb.Value_ClassValue:
		return java.Class{Name: k.ClassValue.GetName(), Dims: int(k.ClassValue.GetDimensions())}, need(k.ClassValue.GetName())
	case *pb.Value_EnumValue:
		e := k.EnumValue
		return java.Enum{Class: e.GetClassName(), Ordinal: e.GetOrdinal(), Name: e.GetName()}, need(e.GetClassName())
	case *pb.Value_ArrayValue:
		return c.fromArray(k.ArrayValue)
	case *pb.Value_EnumSetValue:
		return c.fromEnumSet(k.EnumSetValue)
	case *pb.Value_CollectionValue:
		elems, err := c.fromElements(k.CollectionValue.GetElements())
		return java.List{Class: k.CollectionValue.GetClassName(), Elems: elems}, err
	case *pb.Value_EnumMapValue:
		return c.fromEnumMap(k.EnumMapValue)
	case *pb.Value_MapValue:
		entries, err := c.fromEntries(k.MapValue.GetEntries())
		return java.Map{Class: k.MapValue.GetClassName(), Entries: entries}, err
	case *pb.Value_ThrowableValue:
		fields, err := c.fromFields(k.ThrowableValue.GetFields())
		return java.Throwable{Class: k.ThrowableValue.GetClassName(), Fields: fields}, errors.Join(err, need(k.ThrowableValue.GetClassName()))
	case *pb.Value_ObjectValue:
		fields, err := c.fromFields(k.ObjectValue.GetFields())
		return java.POJO{Class: k.ObjectValue.GetClassName(), Fields: fields}, errors.Join(err, need(k.ObjectValue.GetClassName()))
	}
	return nil, fmt.Errorf("a value of kind %T", v.GetKind())
}

// need returns an error if a class has no name.
func need(class string) error {
	if class == "" {
		return errors.New("the name of a class is missing")
	}
	return nil
}

func within[T int8 | int16](v int32, narrow T, what string) (any, error) {
	if int32(narrow) != v {
		return nil, fmt.Errorf("%d is no %s", v, what)
	}
	return narrow, nil
}

func bigInteger(s string) (any, error) {
	if len(s) > maxDigits {
		return nil, fmt.Errorf("a BigInteger of %d digits; %d are the most", len(s), maxDigits)
	}
	v, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return nil, fmt.Errorf("%q is no BigInteger", s)
	}
	return v, nil
}

func (c *converter) fromArray(a *pb.ArrayValue) (any, error) {
	elems, err := c.fromElements(a.GetElements())
	if err != nil {
		return nil, err
	}
	out := java.Array{Component: a.GetComponent(), Dims: int(a.GetDimensions()), Len: int(a.GetLength()), Elems: elems}
	switch {
	case out.Component == "" || out.Dims < 1 || out.Dims > 255:
		return nil, errors.New("an array needs the class of its components and 1 to 255 dimensions")
	case out.Len == 0:
		out.Len = len(elems)
	case out.Len < len(elems):
		return nil, fmt.Errorf("an array of length %d with %d elements", out.Len, len(elems))
	}
	for i, elem := range elems {
		if !java.Holds(out.Component, out.Dims, elem) {
			return nil, fmt.Errorf("element %d: a %T is no element of an array of %s", i, elem, out.Component)
		}
	}
	return out, nil
}

func (c *converter) fromEnumSet(s *pb.CollectionValue) (any, error) {
	elems, err := c.fromElements(s.GetElements())
	for i, elem := range elems {
		if _, ok := elem.(java.Enum); !ok {
			return nil, fmt.Errorf("element %d of an EnumSet is a %T", i, elem)
		}
	}
	return java.EnumSet{Class: s.GetClassName(), Elems: elems}, errors.Join(err, need(s.GetClassName()))
}

func (c *converter) fromEnumMap(m *pb.MapValue) (any, error) {
	entries, err := c.fromEntries(m.GetEntries())
	for i, entry := range entries {
		if _, ok := entry.Key.(java.Enum); !ok {
			return nil, fmt.Errorf("key %d of an EnumMap is a %T", i, entry.Key)
		}
	}
	return java.EnumMap{Class: m.GetClassName(), Entries: entries}, errors.Join(err, need(m.GetClassName()))
}

func (c *converter) fromElements(elems []*pb.Value) (out []any, err error) {
	for i, elem := range elems {
		v, err := c.fromProto(elem)
		switch {
		case err != nil:
			return nil, err
		case v == nil:
			return nil, fmt.Errorf("element %d is null: null is not on the wire, and Java would leave it out", i)
		}
		out = append(out, v)
	}
	return out, nil
}

func (c *converter) fromEntries(entries []*pb.Entry) (out []java.Entry, err error) {
	for _, e := range entries {
		if err := c.count(1); err != nil {
			return nil, err
		}
		k, err := c.fromProto(e.GetKey())
		if err != nil {
			return nil, err
		}
		v, err := c.fromProto(e.GetValue())
		if err != nil {
			return nil, err
		}
		out = append(out, java.Entry{Key: k, Value: v})
	}
	return out, nil
}

func (c *converter) fromFields(fields []*pb.Field) (out []java.Field, err error) {
	for _, f := range fields {
		if err := c.count(1); err != nil {
			return nil, err
		}
		v, err := c.fromField(f)
		if err != nil {
			return nil, fmt.Errorf("field %d: %w", f.GetNumber(), err)
		}
		out = append(out, v)
	}
	return out, nil
}

func (c *converter) fromField(f *pb.Field) (out java.Field, err error) {
	out.Number = protowire.Number(f.GetNumber())
	if !out.Number.IsValid() {
		return out, errors.New("fields have numbers from 1 to 536870911")
	}
	fixed32 := func(x uint32) { out.Type, out.Value = protowire.Fixed32Type, binary.LittleEndian.AppendUint32(nil, x) }
	fixed64 := func(x uint64) { out.Type, out.Value = protowire.Fixed64Type, binary.LittleEndian.AppendUint64(nil, x) }
	out.Type = protowire.BytesType
	switch k := f.GetKind().(type) {
	case *pb.Field_VarintValue:
		out.Type, out.Value = protowire.VarintType, protowire.AppendVarint(nil, uint64(k.VarintValue)) //nolint:gosec // the same bits
	case *pb.Field_Fixed32Value:
		fixed32(k.Fixed32Value)
	case *pb.Field_Fixed64Value:
		fixed64(k.Fixed64Value)
	case *pb.Field_FloatValue:
		fixed32(math.Float32bits(k.FloatValue))
	case *pb.Field_DoubleValue:
		fixed64(math.Float64bits(k.DoubleValue))
	case *pb.Field_BytesValue:
		out.Value = k.BytesValue
	case *pb.Field_StringValue:
		out.Value = []byte(k.StringValue)
	case *pb.Field_ObjectValue:
		if err := c.enter(); err != nil {
			return out, err
		}
		defer func() { c.depth++ }()
		fields, err := c.fromFields(k.ObjectValue.GetFields())
		if err == nil {
			out.Value, err = java.AppendFields(nil, fields)
		}
		return out, err
	case *pb.Field_TypedValue:
		v, err := c.fromProto(k.TypedValue)
		if err == nil {
			out.Value, err = java.Append(nil, v)
		}
		return out, err
	default:
		return out, errors.New("it has no value")
	}
	return out, nil
}
