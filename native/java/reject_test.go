package java

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What Java cannot read is not read here either, as far as it can be told without
// the classes.
func TestRejects(t *testing.T) {
	object := hex.EncodeToString([]byte(ObjectClass))
	for _, c := range []struct{ what, value, err string }{
		{"nothing", "", "without a type"},
		{"an array of nothing", "7a00", "no length"},
		{"an array that begins with its length", "1801 7a10" + object + "1001", "after a value"},
		{"an array with dimensions before the length", "7a10" + object + "1001 1801", "no length where it must be"},
		{"elements without dimensions", "7a10" + object + "1801 1000 0a02 2801", "no dimensions"},
		{"more elements than the length", "7a10" + object + "1801 1001 0a022801 0a022801", "more elements"},
		{"a huge length", "7a10" + object + "18ffffffff07 1001", "above the limit"},
		{"a negative length", "7a10" + object + "18ffffffffffffffffff01 1001", "negative"},
		{"bytes after a number", "2801 2802", "after a value"},
		{"a Boolean of two bytes", "088100", "Boolean of 2 bytes"},
		{"a POJO without a class", "0a03616263 fa070141", "wire type"},
		{"an enum without a constant", "c20101 41", "without its field 1"},
		{"type 27", "da0100", "unknown type 27"},
		{"type 99", "9a0600", "unknown type 99"},
		{"a delegate", "f20100", "unknown type 30"},
		{"an Object that holds 1", "800101", "holds 1"},
		{"an empty BigInteger", "6a00", "empty BigInteger"},
		{"a packed list of numbers in a collection", "ca01 09 41727261794c697374 0a020102", "bad tag"},
		{"a group", "2b2c", "wire type 3"},
		{"tag 0", "0000", "bad tag"},
		{"half a string", "4a0561", "type 9"},
		{"half a number", "28ff", "type 5"},
		{"a class of an array without dimensions", "a20103696e741000", "0 dimensions"},
		{"copies beyond measure", "e00100 3000 08ffffffff0f 1202 2801", "more elements than the limit"},
		{"a wrapper that is none", "e00101 1000", "does not begin with 0"},
		{"an unknown wrapper", "e00100 ba0f00", "unknown type"},
		{"a String in an int[]", "7a03696e74 1801 1001 0a03 4a0178", "with a string in it"},
		{"a long in an int[]", "7a03696e74 1801 1001 0a02 3001", "with a int64 in it"},
		{"an int in a byte[][]", "7a0462797465 1801 1002 0a02 2801", "with a int32 in it"},
		{"a short in an Integer[]", "7a11" + hex.EncodeToString([]byte("java.lang.Integer")) + "1801 1001 0a02 2001", "with a int16 in it"},
		{"an element that is a group", "7a10" + object + "1801 1001 0b 2801 0c", "no element"},
		{"an element of a collection that is a group", "ca0109 41727261794c697374 0b 2801 0c", "wire type 3"},
		{"a BigDecimal of letters", "6203 616263", "no BigDecimal"},
		{"an array of half an element", "7a03696e74 1801 1001 0a05 2801", "element"},
		{"an entry with a third field", "d20107 486173684d6170 0a04 1a022801", "field 3 in an entry"},
	} {
		v, err := Parse(unhex(t, c.value), Limits{})
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, %v; want an error with %q", c.what, v, err, c.err)
		}
	}
}

func TestBodiesThatJavaRejects(t *testing.T) {
	for _, c := range []struct{ what, body, err string }{
		{"tag 0", "0000", "bad tag"},
		{"half a name", "0a05 6162", "no string"},
		{"a result that is a group", "23 0801 24", "no string"},
		{"a result that is a number", "2001", "no string"},
		{"a group that does not end", "3b 0801", "field 7"},
		{"half a tag", "80", "bad tag"},
	} {
		if b, err := ParseBody(unhex(t, c.body)); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v, %v; want an error with %q", c.what, b, err, c.err)
		}
	}
	for what, params := range map[string]string{"an empty array": "", "an array that is a number": "2801", "an array of 256 arguments": "7a10" + hex.EncodeToString([]byte(ObjectClass)) + "188002 1001"} {
		if args, err := ParseArgs(append([]byte{}, unhex(t, params)...), Limits{}); err == nil {
			t.Errorf("%s is read as arguments %v", what, args)
		}
	}
	// No vector can be cut short and be a body still, except between two fields.
	for _, v := range vectors(t) {
		if !strings.HasPrefix(v.name, "body.") || len(v.data) == 0 {
			continue
		}
		if _, err := ParseBody(v.data[:len(v.data)-1]); err == nil {
			t.Errorf("%s is read without its last byte", v.name)
		}
	}
}

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		what, value string
		want        any
	}{
		{"a negative int of 5 bytes", "28ffffffff0f", int32(-1)},
		{"a negative byte of 10 bytes", "10ffffffffffffffffff01", int8(-1)},
		{"a number that is not minimal", "28 8180 8000", int32(1)},
		{"a length that is not minimal", "4a 8300 616263", "abc"},
		{"CESU-8", "4a 06 eda0bdedb880", "😀"},
		{"UTF-8", "4a 04 f09f9880", "😀"},
		{"half a pair of surrogates", "4a 04 eda0bd61", "\ufffd\ufffd\ufffda"},
		{"no UTF-8 at all", "4a 02 ff61", "\ufffda"},
		{"an array by the other number", "8a0103696e74 1800 1001", Array{Component: "int", Dims: 1}},
		{"a POJO with a group", "fa070141 0b0801 0c", POJO{Class: "A", Fields: []Field{{1, protowire.StartGroupType, []byte{8, 1, 12}}}}},
		{"an entry with the value first", "d20101 4d 0a08 1202 2801 0a02 2802", Map{"M", []Entry{{int32(2), int32(1)}}}},
		{"an enum by name", "c20101 41 0a0142", Enum{Class: "A", Name: "B"}},
	} {
		v, err := Parse(unhex(t, c.value), Limits{})
		if err != nil || !cmp.Equal(v, c.want) {
			t.Errorf("%s: %#v, %v; want %#v", c.what, v, err, c.want)
		}
	}
	// A body's fields in any order, twice, and others between.
	b, err := ParseBody(unhex(t, "12 0162 0a 0161 9a0600 0a 0163"))
	if err != nil || b.Service != "c" || b.Method != "b" {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestStringsOfEveryLength(t *testing.T) {
	// As Java writes the lengths (StringSerializer): not always in as few bytes as
	// can be.
	for n, prefix := range map[int]string{682: "aa05", 683: "ab05", 2047: "ff0f", 2048: "", 3000: "b89700", 10922: "aad500", 10923: "abd500", 50000: "d0868300"} {
		s := strings.Repeat("x", n)
		if prefix == "" {
			prefix = hex.EncodeToString(protowire.AppendVarint(nil, uint64(n)))
		}
		v, err := Parse(append(append([]byte{0x4a}, unhex(t, prefix)...), s...), Limits{})
		if err != nil || v != s {
			t.Errorf("%d characters: %v", n, err)
		}
	}
}

func TestRefusesWhatWouldBeSilentInJava(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{1, "int32 for int, int64 for long"},
		{uint8(1), "int8 or java.Char"},
		{nil, "null"},
		{struct{}{}, "no Java form"},
		{Array{}, "without a Component"},
		{Array{Component: "int"}, "0 Dims"},
		{(*big.Int)(nil), "no Java form"},
		{List{Elems: []any{1}}, "element 0"},
		{map[string]any{"k": 1}, "value 0"},
		{Array{Component: "int", Dims: 1, Elems: []any{int64(1)}}, "no element of int[]"},
		{Array{Component: "int", Dims: 2, Elems: []any{int32(1)}}, "no element of int[][]"},
		{Array{Component: "java.lang.String", Dims: 2, Elems: []any{[]byte{1}}}, "no element of"},
		{BigDecimal("one"), "no BigDecimal"},
		{BigDecimal("1E99999999999"), "no BigDecimal"},
		{Enum{Class: "E", Ordinal: -1}, "begin at 0"},
		{Class{Name: "int", Dims: -1}, "-1 Dims"},
		{POJO{Fields: []Field{{1, protowire.VarintType, []byte{0x80}}}}, "not of its type"},
	} {
		if _, err := Append(nil, c.v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%#v: %v, want %q", c.v, err, c.want)
		}
	}
	if _, err := AppendArgs(nil, []any{"a", nil, "b"}); err == nil || !strings.Contains(err.Error(), "argument 1 is null but argument 2 is not") {
		t.Errorf("%v", err)
	}
	if _, err := AppendArgs(nil, []any{"a", nil}); err != nil {
		t.Error(err)
	}
}

// Arrays hold what Array.set lets in.
func TestWhatArraysHold(t *testing.T) {
	for _, c := range []struct {
		component string
		dims      int
		v         any
	}{
		{"int", 1, int8(1)},
		{"int", 1, Char(1)},
		{"short", 1, int8(1)},
		{"double", 1, int64(1)},
		{"long", 1, int32(1)},
		{"java.lang.Number", 1, int64(1)},
		{"java.lang.Object", 1, []byte{1}},
		{"java.lang.Object", 2, Array{Component: "int", Dims: 2}},
		{"byte", 2, []byte{}},
		{"a.B", 1, POJO{Class: "a.C"}},
		{"java.lang.Long", 1, int64(1)},
	} {
		if !Holds(c.component, c.dims, c.v) {
			t.Errorf("%s, %d dimensions, does not hold %#v", c.component, c.dims, c.v)
		}
	}
	for _, v := range []any{int8(1), int16(1), int32(1), true} {
		if Holds("char", 1, v) {
			t.Errorf("a char[] holds %#v", v)
		}
	}
	if Holds("short", 1, Char(1)) || Holds("boolean", 1, int8(1)) || Holds("float", 1, float64(1)) {
		t.Error("it widens too far")
	}
}

func TestBigDecimals(t *testing.T) {
	for _, d := range []BigDecimal{"0", "1.50", "-1E+5", "+.5", "5.", "1e-2147483648"} {
		if !d.Valid() {
			t.Errorf("%s is refused", d)
		}
	}
	for _, d := range []BigDecimal{"", ".", "-", "1E", "--1", "1 ", "0x1", "1.2.3", "NaN", "1e2147483648"} {
		if d.Valid() {
			t.Errorf("%q is taken", d)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	var v any = int32(1)
	for range DefaultDepth + 1 {
		v = []any{v}
	}
	if _, err := Append(nil, v); err == nil {
		t.Error("it is written")
	}
	b := unhex(t, "2801")
	for range 1000 {
		b = append(named(nil, IDCollection, "L"), protowire.AppendBytes([]byte{0x0a}, b)...)
	}
	if _, err := Parse(b, Limits{}); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("it is read: %v", err)
	}
	if _, err := Parse(unhex(t, "ca0101 4c 0a022801 0a022801"), Limits{Elements: 1}); err == nil {
		t.Error("two elements are one")
	}
}

// What may be written can be read, whatever it is nested in.
func TestDeepest(t *testing.T) {
	for name, wrap := range map[string]func(any) any{
		"list":  func(v any) any { return List{"ArrayList", []any{v}} },
		"map":   func(v any) any { return Map{"HashMap", []Entry{{"k", v}}} },
		"array": func(v any) any { return arr(ObjectClass, 1, v) },
	} {
		v := any("x")
		for range DefaultDepth - 1 {
			v = wrap(v)
		}
		b, err := Append(nil, v)
		if err != nil {
			t.Fatal(name, err)
		}
		back, err := Parse(b, Limits{})
		if err != nil {
			t.Fatal(name, err)
		}
		if again, err := Append(nil, back); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: it comes back as another, %v", name, err)
		}
	}
}

// genValue makes any value that survives a round trip as it is.
func genValue(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Bool().AsAny(), rapid.Int8().AsAny(), rapid.Int16().AsAny(), rapid.Int32().AsAny(), rapid.Int64().AsAny(),
		rapid.Float64().AsAny(), rapid.Float32().AsAny(),
		rapid.Custom(func(t *rapid.T) any { return rapid.String().Filter(utf8.ValidString).Draw(t, "string") }),
		rapid.Custom(func(t *rapid.T) any { return Char(rapid.Uint16().Draw(t, "char")) }),
		rapid.Custom(func(t *rapid.T) any { return append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")...) }),
		rapid.Custom(func(t *rapid.T) any { return big.NewInt(rapid.Int64().Draw(t, "big")) }),
		rapid.Custom(func(t *rapid.T) any {
			return time.UnixMilli(rapid.Int64Range(-1<<45, 1<<45).Draw(t, "ms")).UTC()
		}),
		rapid.Just[any](Object{}), rapid.Just[any](Class{Name: "int", Dims: 2}), rapid.Just[any](Enum{Class: "E", Ordinal: 3}),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	elems := rapid.SliceOfN(genValue(depth-1), 1, 4)
	return rapid.OneOf(append(scalars,
		rapid.Custom(func(t *rapid.T) any { return List{"ArrayList", elems.Draw(t, "list")} }),
		rapid.Custom(func(t *rapid.T) any {
			e := elems.Draw(t, "array")
			return Array{Component: "java.lang.Object", Dims: 1, Len: len(e), Elems: e}
		}),
		rapid.Custom(func(t *rapid.T) any {
			return Map{"HashMap", []Entry{{genValue(depth-1).Draw(t, "key"), genValue(depth-1).Draw(t, "value")}}}
		}),
		rapid.Custom(func(t *rapid.T) any {
			inner, err := Append(nil, genValue(depth-1).Draw(t, "field"))
			if err != nil {
				t.Fatal(err)
			}
			return POJO{"P", []Field{{1, protowire.BytesType, inner}}}
		}),
	)...)
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := genValue(3).Draw(t, "value")
		b, err := Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(b, Limits{})
		if err != nil || fmt.Sprintf("%v", back) != fmt.Sprintf("%v", v) {
			t.Fatalf("%v came back as %v, %v", v, back, err)
		}
		again, err := Append(nil, back)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x was written as %x, %v", b, again, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Parse(b, Limits{Elements: 1000})
		if err != nil {
			return
		}
		out, err := Append(nil, v)
		if err != nil {
			t.Fatalf("%#v was read and cannot be written: %v", v, err)
		}
		if _, err := Parse(out, Limits{}); err != nil {
			t.Fatalf("%#v cannot be read again: %v", v, err)
		}
	})
}

func FuzzBody(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.data)
		f.Add(v.data[min(48, len(v.data)):])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := ParseBody(b)
		if err != nil {
			return
		}
		again, err := ParseBody(body.Append(nil))
		if err != nil || !cmp.Equal(again, body) {
			t.Fatalf("%+v became %+v, %v", body, again, err)
		}
		args, err := ParseArgs(body.Parameters, Limits{Elements: 1000})
		if err == nil && len(args) > 255 {
			t.Fatalf("%d arguments", len(args))
		}
	})
}
