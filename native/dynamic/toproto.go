package dynamic

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pushtunnel/pushtunnel/native/java"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/dynamic/v1"
)

// ToProto returns a value of package java as a message. It takes what java.Append
// takes, and nil. An error names what has no Java form, or exceeds MaxValues or
// MaxDepth.
func ToProto(v any) (*pb.Value, error) { return newConverter().toProto(v) }

// converter converts the values of one message.
type converter struct{ left, depth int }

func newConverter() *converter { return &converter{left: MaxValues, depth: MaxDepth} }

// count counts what a message may have MaxValues of.
func (c *converter) count(n int) error {
	if c.left -= n; c.left < 0 {
		return errTooMany
	}
	return nil
}

func (c *converter) enter() error {
	if c.depth--; c.depth < 0 {
		return errTooDeep
	}
	return c.count(1)
}

func (c *converter) toProto(v any) (*pb.Value, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer func() { c.depth++ }()
	if out := scalar(v); out != nil {
		return out, nil
	}
	switch v := v.(type) {
	case java.Array:
		elems, err := c.elements(v.Elems)
		a := &pb.ArrayValue{Component: v.Component, Dimensions: int32(v.Dims), Elements: elems} //nolint:gosec // java.Append checks it
		if n := max(v.Len, len(v.Elems)); n > len(elems) {
			a.Length = int32(n) //nolint:gosec // java.Append checks it
		}
		return &pb.Value{Kind: &pb.Value_ArrayValue{ArrayValue: a}}, err
	case java.EnumSet:
		elems, err := c.elements(v.Elems)
		return &pb.Value{Kind: &pb.Value_EnumSetValue{EnumSetValue: &pb.CollectionValue{ClassName: v.Class, Elements: elems}}}, err
	case []any:
		return c.collection(java.List{Elems: v})
	case java.List:
		return c.collection(v)
	case java.EnumMap:
		entries, err := c.entries(v.Entries)
		return &pb.Value{Kind: &pb.Value_EnumMapValue{EnumMapValue: &pb.MapValue{ClassName: v.Class, Entries: entries}}}, err
	case map[string]any:
		var m java.Map
		for _, k := range slices.Sorted(maps.Keys(v)) {
			m.Entries = append(m.Entries, java.Entry{Key: k, Value: v[k]})
		}
		return c.mapping(m)
	case java.Map:
		return c.mapping(v)
	case java.Throwable:
		o, err := c.object(v.Class, v.Fields)
		return &pb.Value{Kind: &pb.Value_ThrowableValue{ThrowableValue: o}}, err
	case java.POJO:
		o, err := c.object(v.Class, v.Fields)
		return &pb.Value{Kind: &pb.Value_ObjectValue{ObjectValue: o}}, err
	}
	_, err := java.Append(nil, v) // says what to use instead
	if err == nil {
		err = fmt.Errorf("%T has no Java form", v)
	}
	return nil, err
}

// scalar returns the message of a value that has nothing in it, nil for any other.
func scalar(v any) *pb.Value {
	switch v := v.(type) {
	case nil:
		return &pb.Value{Kind: &pb.Value_NullValue{NullValue: structpb.NullValue_NULL_VALUE}}
	case bool:
		return &pb.Value{Kind: &pb.Value_BooleanValue{BooleanValue: v}}
	case int8:
		return &pb.Value{Kind: &pb.Value_ByteValue{ByteValue: int32(v)}}
	case java.Char:
		return &pb.Value{Kind: &pb.Value_CharValue{CharValue: uint32(v)}}
	case int16:
		return &pb.Value{Kind: &pb.Value_ShortValue{ShortValue: int32(v)}}
	case int32:
		return &pb.Value{Kind: &pb.Value_IntValue{IntValue: v}}
	case int64:
		return &pb.Value{Kind: &pb.Value_LongValue{LongValue: v}}
	case float32:
		return &pb.Value{Kind: &pb.Value_FloatValue{FloatValue: v}}
	case float64:
		return &pb.Value{Kind: &pb.Value_DoubleValue{DoubleValue: v}}
	case string:
		return &pb.Value{Kind: &pb.Value_StringValue{StringValue: v}}
	case java.ByteString:
		return &pb.Value{Kind: &pb.Value_ByteStringValue{ByteStringValue: v}}
	case []byte:
		return &pb.Value{Kind: &pb.Value_BytesValue{BytesValue: v}}
	case java.BigDecimal:
		return &pb.Value{Kind: &pb.Value_BigDecimalValue{BigDecimalValue: string(v)}}
	case *big.Int:
		if v == nil {
			return nil
		}
		return &pb.Value{Kind: &pb.Value_BigIntegerValue{BigIntegerValue: v.String()}}
	case time.Time:
		return &pb.Value{Kind: &pb.Value_DateValue{DateValue: v.UnixMilli()}}
	case java.Object:
		return &pb.Value{Kind: &pb.Value_PlainObjectValue{PlainObjectValue: &pb.PlainObject{}}}
	case java.Class:
		return &pb.Value{Kind: &pb.Value_ClassValue{ClassValue: &pb.ClassValue{Name: v.Name, Dimensions: int32(v.Dims)}}} //nolint:gosec // java.Append checks it
	case java.Enum:
		return &pb.Value{Kind: &pb.Value_EnumValue{EnumValue: &pb.EnumValue{ClassName: v.Class, Ordinal: v.Ordinal, Name: v.Name}}}
	}
	return nil
}

func (c *converter) collection(v java.List) (*pb.Value, error) {
	elems, err := c.elements(v.Elems)
	return &pb.Value{Kind: &pb.Value_CollectionValue{CollectionValue: &pb.CollectionValue{ClassName: v.Class, Elements: elems}}}, err
}

func (c *converter) mapping(v java.Map) (*pb.Value, error) {
	entries, err := c.entries(v.Entries)
	return &pb.Value{Kind: &pb.Value_MapValue{MapValue: &pb.MapValue{ClassName: v.Class, Entries: entries}}}, err
}

// elements leaves nulls out, which are not on the wire.
func (c *converter) elements(elems []any) (out []*pb.Value, err error) {
	for _, elem := range elems {
		if elem == nil {
			continue
		}
		v, err := c.toProto(elem)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (c *converter) entries(entries []java.Entry) (out []*pb.Entry, err error) {
	for _, e := range entries {
		if err := c.count(1); err != nil {
			return nil, err
		}
		k, err := c.toProto(e.Key)
		if err != nil {
			return nil, err
		}
		v, err := c.toProto(e.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, &pb.Entry{Key: k, Value: v})
	}
	return out, nil
}

// object returns an object with its fields as they are on the wire.
func (c *converter) object(class string, fields []java.Field) (*pb.ObjectValue, error) {
	if err := c.count(len(fields)); err != nil {
		return nil, err
	}
	o := &pb.ObjectValue{ClassName: class}
	for _, f := range fields {
		out := &pb.Field{Number: int32(f.Number)}
		n := len(f.Value)
		switch f.Type {
		case protowire.BytesType:
			out.Kind = &pb.Field_BytesValue{BytesValue: f.Value}
		case protowire.VarintType:
			var x uint64
			x, n = protowire.ConsumeVarint(f.Value)
			out.Kind = &pb.Field_VarintValue{VarintValue: int64(x)} //nolint:gosec // the same bits
		case protowire.Fixed32Type:
			if n == 4 {
				out.Kind = &pb.Field_Fixed32Value{Fixed32Value: binary.LittleEndian.Uint32(f.Value)}
			}
		case protowire.Fixed64Type:
			if n == 8 {
				out.Kind = &pb.Field_Fixed64Value{Fixed64Value: binary.LittleEndian.Uint64(f.Value)}
			}
		default:
		}
		if out.Kind == nil || n != len(f.Value) {
			return nil, fmt.Errorf("field %d of %s has a form that Java does not write", f.Number, class)
		}
		o.Fields = append(o.Fields, out)
	}
	return o, nil
}
