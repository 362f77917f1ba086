package dynamic_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pushtunnel/pushtunnel/native/dynamic"
	"github.com/pushtunnel/pushtunnel/native/java"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/dynamic/v1"
)

// What is easier to write than what is on the wire is the same there.
func TestFields(t *testing.T) {
	text, err := dynamic.ToProto("x")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		field *pb.Field
		want  java.Field
	}{
		"float":  {&pb.Field{Number: 1, Kind: &pb.Field_FloatValue{FloatValue: 1.5}}, java.Field{Number: 1, Type: 5, Value: []byte{0, 0, 0xc0, 0x3f}}},
		"double": {&pb.Field{Number: 1, Kind: &pb.Field_DoubleValue{DoubleValue: 1.5}}, java.Field{Number: 1, Type: 1, Value: []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f}}},
		"text":   {&pb.Field{Number: 126, Kind: &pb.Field_StringValue{StringValue: "x"}}, java.Field{Number: 126, Type: 2, Value: []byte("x")}},
		"object": {&pb.Field{Number: 1, Kind: &pb.Field_ObjectValue{ObjectValue: &pb.Fields{Fields: []*pb.Field{{Number: 2, Kind: &pb.Field_VarintValue{VarintValue: 7}}}}}}, java.Field{Number: 1, Type: 2, Value: []byte{0x10, 7}}},
		"typed":  {&pb.Field{Number: 1, Kind: &pb.Field_TypedValue{TypedValue: text}}, java.Field{Number: 1, Type: 2, Value: []byte{0x4a, 1, 'x'}}},
	} {
		v, err := dynamic.FromProto(&pb.Value{Kind: &pb.Value_ObjectValue{ObjectValue: &pb.ObjectValue{ClassName: "x.Y", Fields: []*pb.Field{c.field}}}})
		if diff := cmp.Diff(any(java.POJO{Class: "x.Y", Fields: []java.Field{c.want}}), v); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got\n%s", name, err, diff)
		}
	}
}

// What no Java program could read is refused.
func TestRefused(t *testing.T) {
	text := &pb.Value{Kind: &pb.Value_StringValue{StringValue: "x"}}
	null := &pb.Value{Kind: &pb.Value_NullValue{}}
	object := func(f *pb.Field) *pb.Value {
		return &pb.Value{Kind: &pb.Value_ObjectValue{ObjectValue: &pb.ObjectValue{ClassName: "x.Y", Fields: []*pb.Field{f}}}}
	}
	array := func(a *pb.ArrayValue) *pb.Value { return &pb.Value{Kind: &pb.Value_ArrayValue{ArrayValue: a}} }
	for name, v := range map[string]*pb.Value{
		"nothing":                    nil,
		"a byte out of range":        {Kind: &pb.Value_ByteValue{ByteValue: 128}},
		"a short out of range":       {Kind: &pb.Value_ShortValue{ShortValue: -32769}},
		"a char out of range":        {Kind: &pb.Value_CharValue{CharValue: 65536}},
		"no decimal":                 {Kind: &pb.Value_BigDecimalValue{BigDecimalValue: "1,5"}},
		"no integer":                 {Kind: &pb.Value_BigIntegerValue{BigIntegerValue: "0x5"}},
		"a long integer":             {Kind: &pb.Value_BigIntegerValue{BigIntegerValue: strings.Repeat("9", 160_001)}},
		"an object without a class":  {Kind: &pb.Value_ObjectValue{ObjectValue: &pb.ObjectValue{}}},
		"an error without a class":   {Kind: &pb.Value_ThrowableValue{}},
		"an enum without a class":    {Kind: &pb.Value_EnumValue{EnumValue: &pb.EnumValue{Ordinal: 1}}},
		"a class without a name":     {Kind: &pb.Value_ClassValue{}},
		"an enum set of texts":       {Kind: &pb.Value_EnumSetValue{EnumSetValue: &pb.CollectionValue{ClassName: "x", Elements: []*pb.Value{text}}}},
		"an enum map of texts":       {Kind: &pb.Value_EnumMapValue{EnumMapValue: &pb.MapValue{ClassName: "x", Entries: []*pb.Entry{{Key: text, Value: text}}}}},
		"null in a list":             {Kind: &pb.Value_CollectionValue{CollectionValue: &pb.CollectionValue{Elements: []*pb.Value{null}}}},
		"an entry without a value":   {Kind: &pb.Value_MapValue{MapValue: &pb.MapValue{Entries: []*pb.Entry{{Key: text}}}}},
		"an array without a class":   array(&pb.ArrayValue{Dimensions: 1}),
		"an array of no dimensions":  array(&pb.ArrayValue{Component: "int"}),
		"an array of 256 dimensions": array(&pb.ArrayValue{Component: "int", Dimensions: 256}),
		"an array that is too short": array(&pb.ArrayValue{Component: "java.lang.String", Dimensions: 1, Length: 1, Elements: []*pb.Value{text, text}}),
		"an array of others":         array(&pb.ArrayValue{Component: "int", Dimensions: 1, Elements: []*pb.Value{text}}),
		"field 0":                    object(&pb.Field{Kind: &pb.Field_VarintValue{}}),
		"field -1":                   object(&pb.Field{Number: -1, Kind: &pb.Field_VarintValue{}}),
		"field 2^29":                 object(&pb.Field{Number: 1 << 29, Kind: &pb.Field_VarintValue{}}),
		"a field without a value":    object(&pb.Field{Number: 1}),
		"a field with a typed null":  object(&pb.Field{Number: 1, Kind: &pb.Field_TypedValue{TypedValue: null}}),
		"a field in a field":         object(&pb.Field{Number: 1, Kind: &pb.Field_ObjectValue{ObjectValue: &pb.Fields{Fields: []*pb.Field{{}}}}}),
	} {
		if got, err := dynamic.FromProto(v); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
	for name, v := range map[string]any{
		"an int":  5,
		"a group": java.POJO{Class: "x", Fields: []java.Field{{Number: 1, Type: 3, Value: []byte{0x0c}}}},
		"no bits": java.POJO{Class: "x", Fields: []java.Field{{Number: 1, Type: 5}}},
		"deep":    deep(dynamic.MaxDepth),
		"many":    make1(dynamic.MaxValues),
		"in map":  map[string]any{"a": struct{}{}},
	} {
		if got, err := dynamic.ToProto(v); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

// Conveniences of Go are what java.Append makes of them.
func TestGoForms(t *testing.T) {
	v, err := dynamic.ToProto(map[string]any{"b": []any{"x", nil}, "a": nil})
	if err != nil {
		t.Fatal(err)
	}
	got, err := dynamic.FromProto(v)
	want := java.Map{Entries: []java.Entry{{Key: "a"}, {Key: "b", Value: java.List{Elems: []any{"x"}}}}}
	if diff := cmp.Diff(any(want), got); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
}

// FuzzConvert makes a message of a value that has come, and a value of that.
func FuzzConvert(f *testing.F) {
	data, err := os.ReadFile("../java/testdata/vectors.tsv")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Split(line, "\t"); strings.HasPrefix(fields[0], "dyn.") {
			b, err := hex.DecodeString(fields[1])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := java.Parse(b, java.Limits{Elements: 10_000})
		if err != nil {
			return
		}
		message, err := dynamic.ToProto(v)
		if err != nil {
			return
		}
		back, err := dynamic.FromProto(message)
		if err != nil {
			return // what no Java program writes, such as a class without a name
		}
		before, err := java.Append(nil, v)
		if err != nil {
			return
		}
		after, err := java.Append(nil, back)
		if err != nil {
			t.Fatalf("%#v comes back as %#v, which cannot be sent: %v", v, back, err)
		}
		again, err := java.Parse(after, java.Limits{})
		if err != nil {
			t.Fatalf("%#v comes back as %#v, which cannot be read: %v", v, back, err)
		}
		// Varints of more bytes than they need are of the least then.
		if len(after) == len(before) && string(before) != string(after) {
			t.Fatalf("%#v comes back as %#v", v, again)
		}
	})
}
