package javajson

import (
	"encoding/hex"
	"math"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/native/java"
)

// same compares values. A number that is none is one, whatever its bits.
var same = cmp.Options{
	cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 }), cmpopts.EquateNaNs(), cmpopts.EquateEmpty(),
}

func num(n protowire.Number, v uint64) java.Field {
	return java.Field{Number: n, Type: protowire.VarintType, Value: protowire.AppendVarint(nil, v)}
}

func text(n protowire.Number, s string) java.Field {
	return java.Field{Number: n, Type: protowire.BytesType, Value: []byte(s)}
}

func encoded(n protowire.Number, v any) java.Field {
	b, err := java.Append(nil, v)
	if err != nil {
		panic(err)
	}
	return java.Field{Number: n, Type: protowire.BytesType, Value: b}
}

func bits(n protowire.Number, t protowire.Type, h string) java.Field {
	b, err := hex.DecodeString(h)
	if err != nil {
		panic(err)
	}
	return java.Field{Number: n, Type: t, Value: b}
}

func pojo(class string, fields ...java.Field) java.POJO {
	return java.POJO{Class: class, Fields: fields}
}

// The table in docs/CLI.md, and what is odd: both ways.
func TestValues(t *testing.T) {
	color := func(i int32) java.Enum { return java.Enum{Class: "x.Color", Ordinal: i} }
	for _, c := range []struct {
		json  string
		value any
	}{
		{`null`, nil},
		{`true`, true},
		{`5`, int32(5)},
		{`-2147483648`, int32(math.MinInt32)},
		{`{"@long":5}`, int64(5)},
		{`{"@long":9223372036854775807}`, int64(math.MaxInt64)},
		{`1.5`, 1.5},
		{`5.0`, 5.0},
		{`1e+300`, 1e300},
		{`-0.0`, math.Copysign(0, -1)},
		{`{"@double":"NaN"}`, math.NaN()},
		{`{"@double":"-Infinity"}`, math.Inf(-1)},
		{`{"@float":0.1}`, float32(0.1)},
		{`{"@float":"Infinity"}`, float32(math.Inf(1))},
		{`{"@byte":-5}`, int8(-5)},
		{`{"@short":300}`, int16(300)},
		{`{"@char":"ß"}`, java.Char('ß')},
		{`{"@char":55357}`, java.Char(0xd83d)},
		{`"grüß \"\\\n\u0007\u202e"`, "grüß \"\\\n\a\u202e"},
		{`{"@bytes":"AQL/"}`, []byte{1, 2, 255}},
		{`{"@bytestring":"YWI="}`, java.ByteString("ab")},
		{`{"@decimal":"1.50"}`, java.BigDecimal("1.50")},
		{`{"@biginteger":"-129"}`, big.NewInt(-129)},
		{`{"@date":"2026-01-02T03:04:05.006Z"}`, time.UnixMilli(1767323045006).UTC()},
		{`{"@date":"1970-01-01T00:00:00Z"}`, time.UnixMilli(0).UTC()},
		{`{"@date":9223372036854775807}`, time.UnixMilli(math.MaxInt64).UTC()},
		{`{"@object":{}}`, java.Object{}},
		{`{"@type":"int"}`, java.Class{Name: "int"}},
		{`{"@type":"int[][]"}`, java.Class{Name: "int", Dims: 2}},
		{`{"@type":"odd[]","@dims":0}`, java.Class{Name: "odd[]"}},

		{`[1,"x"]`, java.List{Class: "ArrayList", Elems: []any{int32(1), "x"}}},
		{`[]`, java.List{Class: "ArrayList"}},
		{`{"@list":["a"],"@class":"HashSet"}`, java.List{Class: "HashSet", Elems: []any{"a"}}},
		{`{"k":1,"n":null}`, java.Map{Class: "HashMap", Entries: []java.Entry{{Key: "k", Value: int32(1)}, {Key: "n"}}}},
		{`{}`, java.Map{Class: "HashMap"}},
		{`{"1":"x"}`, java.Map{Class: "HashMap", Entries: []java.Entry{{Key: "1", Value: "x"}}}},
		{`{"@map":{"@k":1}}`, java.Map{Class: "HashMap", Entries: []java.Entry{{Key: "@k", Value: int32(1)}}}},
		{`{"@map":{"b":1,"a":2},"@class":"TreeMap"}`, java.Map{Class: "TreeMap", Entries: []java.Entry{{Key: "b", Value: int32(1)}, {Key: "a", Value: int32(2)}}}},
		{`{"@map":[[1,"x"],[null,[]]]}`, java.Map{Class: "HashMap", Entries: []java.Entry{{Key: int32(1), Value: "x"}, {Value: java.List{Class: "ArrayList"}}}}},
		{`{"@map":[["a",1],["a",2]]}`, java.Map{Class: "HashMap", Entries: []java.Entry{{Key: "a", Value: int32(1)}, {Key: "a", Value: int32(2)}}}},

		{`{"@array":[1,2],"@class":"int[]"}`, java.Array{Component: "int", Dims: 1, Len: 2, Elems: []any{int32(1), int32(2)}}},
		{`{"@array":[1,{"@int":2}],"@class":"long[]"}`, java.Array{Component: "long", Dims: 1, Len: 2, Elems: []any{int64(1), int32(2)}}},
		{`{"@array":["a",{"@char":"b"}],"@class":"java.lang.Object[]"}`, java.Array{Component: "java.lang.Object", Dims: 1, Len: 2, Elems: []any{"a", java.Char('b')}}},
		{`{"@array":["a",55357],"@class":"char[]"}`, java.Array{Component: "char", Dims: 1, Len: 2, Elems: []any{java.Char('a'), java.Char(0xd83d)}}},
		{`{"@array":[[1],[]],"@class":"int[][]"}`, java.Array{Component: "int", Dims: 2, Len: 2, Elems: []any{java.Array{Component: "int", Dims: 1, Len: 1, Elems: []any{int32(1)}}, java.Array{Component: "int", Dims: 1}}}},
		{`{"@array":[{"@bytes":"AQ=="}],"@class":"byte[][]"}`, java.Array{Component: "byte", Dims: 2, Len: 1, Elems: []any{[]byte{1}}}},
		{`{"@array":["a"],"@class":"java.lang.String[]","@length":3}`, java.Array{Component: "java.lang.String", Dims: 1, Len: 3, Elems: []any{"a"}}},
		{`{"@array":[],"@class":"odd[]","@dims":1}`, java.Array{Component: "odd[]", Dims: 1}},

		{`{"@enum":"x.Color","@ordinal":2}`, color(2)},
		{`{"@enum":"x.Color","@name":"RED"}`, java.Enum{Class: "x.Color", Name: "RED"}},
		{`{"@enumset":"x.Color","@elements":[2,"RED",{"@enum":"x.Other","@ordinal":0}]}`, java.EnumSet{Class: "x.Color", Elems: []any{color(2), java.Enum{Class: "x.Color", Name: "RED"}, java.Enum{Class: "x.Other"}}}},
		{`{"@enummap":"x.Color","@entries":[[1,"x"]]}`, java.EnumMap{Class: "x.Color", Entries: []java.Entry{{Key: color(1), Value: "x"}}}},

		{`{"@class":"x.Y"}`, pojo("x.Y")},
		{`{"@class":"x.Y","1":"hello","2":5,"3":-1}`, pojo("x.Y", text(1, "hello"), num(2, 5), num(3, math.MaxUint64))},
		{`{"@class":"x.Y","1":1.5,"2":{"@float":1.5},"3":{"@date":"1970-01-01T00:00:00.001Z"}}`, pojo("x.Y", bits(1, 1, "000000000000f83f"), bits(2, 5, "0000c03f"), bits(3, 1, "0100000000000000"))},
		{`{"@class":"x.Y","1":0.0,"2":{"@double":"NaN"},"3":{"@fixed64":18442240474082181121},"4":{"@fixed32":4286578689}}`, pojo("x.Y", bits(1, 1, "0000000000000000"), bits(2, 1, "000000000000f87f"), bits(3, 1, "010000000000f0ff"), bits(4, 5, "010080ff"))},
		{`{"@class":"x.Y","200":["a","b"],"3":{"1":1,"2":"n"}}`, pojo("x.Y", text(200, "a"), text(200, "b"), text(3, "\x08\x01\x12\x01n"))},
		{`{"@class":"x.Y","1":{"@value":["a"]},"2":{"@class":"x.Z","1":"b"}}`, pojo("x.Y", encoded(1, java.List{Class: "ArrayList", Elems: []any{"a"}}), encoded(2, pojo("x.Z", text(1, "b"))))},
		{`{"@class":"x.Y","1":{"@array":[1],"@class":"int[]"},"2":{"@value":{"@enum":"x.Color","@ordinal":2}}}`, pojo("x.Y", encoded(1, java.Array{Component: "int", Dims: 1, Len: 1, Elems: []any{int32(1)}}), encoded(2, color(2)))},
		{`{"@class":"x.Y","1":"two\nlines","2":{"@bytes":"AAH/"},"3":""}`, pojo("x.Y", text(1, "two\nlines"), text(2, "\x00\x01\xff"), text(3, ""))},
		{`{"@throwable":"java.lang.IllegalStateException","1":"boom"}`, java.Throwable{Class: "java.lang.IllegalStateException", Fields: []java.Field{text(1, "boom")}}},
	} {
		got, err := Format(c.value)
		if err != nil || string(got) != c.json {
			t.Errorf("%#v is written as %s, %v; want %s", c.value, got, err, c.json)
		}
		back, err := Parse([]byte(c.json))
		if err != nil {
			t.Errorf("%s: %v", c.json, err)
			continue
		}
		if diff := cmp.Diff(c.value, back, same); diff != "" {
			t.Errorf("%s is read in another way: -want +got\n%s", c.json, diff)
		}
		if _, err := java.Append(nil, back); err != nil && back != nil {
			t.Errorf("%s cannot be sent: %v", c.json, err)
		}
	}
}

// What people may write besides what is printed.
func TestParse(t *testing.T) {
	for json, want := range map[string]any{
		`5000000000`:                                          int64(5000000000),
		`{"@long": "5"}`:                                      int64(5),
		`{"@double": 5}`:                                      float64(5),
		`{"@decimal": 1.50}`:                                  java.BigDecimal("1.50"),
		`{"@biginteger": 12}`:                                 big.NewInt(12),
		`{"@date": 1}`:                                        time.UnixMilli(1).UTC(),
		`{"@list": [1]}`:                                      java.List{Class: "ArrayList", Elems: []any{int32(1)}},
		`{"@date": "1970-01-01T01:00:00+01:00"}`:              time.UnixMilli(0).UTC(),
		`{"@array": [1, 2.5], "@class": "double[]"}`:          java.Array{Component: "double", Dims: 1, Len: 2, Elems: []any{1.0, 2.5}},
		`{"@array": [1], "@class": "java.lang.Short[]"}`:      java.Array{Component: "java.lang.Short", Dims: 1, Len: 1, Elems: []any{int16(1)}},
		`{"1": {"@byte": -1}, "@class": "x.Y"}`:               pojo("x.Y", num(1, 0xffffffff)),
		`{"@class": "x.Y", "1": true, "2": null, "3": []}`:    pojo("x.Y", num(1, 1)),
		`{"@class": "x.Y", "1": {"@long": 7}}`:                pojo("x.Y", num(1, 7)),
		`{"@class": "x.Y", "1": {"@char": "A"}}`:              pojo("x.Y", num(1, 'A')),
		`{"@class": "x.Y", "1": {"@decimal": "1.5"}}`:         pojo("x.Y", text(1, "1.5")),
		`{"@class": "x.Y", "1": {"@biginteger": 256}}`:        pojo("x.Y", text(1, "\x01\x00")),
		`{"@class": "x.Y", "1": {}}`:                          pojo("x.Y", text(1, "")),
		`{"@class": "x.Y", "1": {"1": [{"1": "k", "2": 1}]}}`: pojo("x.Y", text(1, "\x0a\x05\x0a\x01k\x10\x01")),
	} {
		got, err := Parse([]byte(json))
		if err != nil {
			t.Errorf("%s: %v", json, err)
			continue
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s: -want +got\n%s", json, diff)
		}
	}
}

// Mistakes say what would be right.
func TestMistakes(t *testing.T) {
	for json, want := range map[string]string{
		``:                                       "EOF",
		`[1`:                                     "EOF",
		`1 2`:                                    "behind the JSON value",
		`{"a": 1, "a": 2}`:                       `"a" is there twice`,
		`99999999999999999999`:                   "@biginteger",
		`{"@byte": 128}`:                         "@byte is an integer of 8 bits",
		`{"@int": 1.5}`:                          "32 bits",
		`{"@long": true}`:                        "64 bits",
		`{"@char": "ab"}`:                        "one UTF-16 unit",
		`{"@char": "😀"}`:                         "one UTF-16 unit",
		`{"@float": "inf"}`:                      "single precision",
		`{"@double": "0x1p4"}`:                   "double precision",
		`{"@float": 1e40}`:                       "single precision",
		`{"@bytes": "?"}`:                        "base64",
		`{"@decimal": "x"}`:                      "@decimal",
		`{"@biginteger": "1.5"}`:                 "@biginteger",
		`{"@date": "tomorrow"}`:                  "@date",
		`{"@date": "1970-01-01T00:00:00.0001Z"}`: "milliseconds",
		`{"@tpyo": 1}`:                           "the tag @tpyo is unknown",
		`{"@long": 1, "@int": 2}`:                "@long and @int do not go together",
		`{"@long": 1, "x": 2}`:                   "@long and x do not go together",
		`{"@list": 1}`:                           "@list is an array",
		`{"@list": [], "@class": 1}`:             "@class is a text",
		`[1, null]`:                              "element 2 is null",
		`{"@map": [[1]]}`:                        "[[KEY, VALUE], …]",
		`{"@map": 1}`:                            "[[KEY, VALUE], …]",
		`{"@array": [1]}`:                        `"@class": "int[]"`,
		`{"@array": [1], "@class": "int"}`:       `"@class": "int[]"`,
		`{"@array": ["x"], "@class": "int[]"}`:   "element 1 is no int",
		`{"@array": [2147483648], "@class": "int[]"}`:                 "32 bits",
		`{"@array": [1, null], "@class": "java.lang.Object[]"}`:       `"@length"`,
		`{"@array": [1, 2], "@class": "int[]", "@length": 1}`:         "@length",
		`{"@enum": "x.Color"}`:                                        `"@ordinal": PLACE`,
		`{"@enum": "x.Color", "@ordinal": -1}`:                        "from 0",
		`{"@enumset": "x.Color"}`:                                     `"@elements"`,
		`{"@enumset": "x.Color", "@elements": [true]}`:                "its place",
		`{"@class": ""}`:                                              "name of a class",
		`{"@class": "x.Y", "name": 1}`:                                "fields have numbers",
		`{"@class": "x.Y", "0": 1}`:                                   "fields have numbers",
		`{"@class": "x.Y", "01": 1}`:                                  "fields have numbers",
		`{"@class": "x.Y", "536870912": 1}`:                           "fields have numbers",
		`{"@class": "x.Y", "1": {"name": 1}}`:                         `{"@value": {…}}`,
		`{"@class": "x.Y", "1": {"@list": []}}`:                       "[ELEMENT, …]",
		`{"@class": "x.Y", "1": {"@enum": "x.Color", "@ordinal": 1}}`: "the ordinal",
		`{"@class": "x.Y", "1": [[1]]}`:                               `{"@value": […]}`,
		`{"@class": "x.Y", "1": [null]}`:                              "null",
		`{"@class": "x.Y", "1": {"@value": null}}`:                    "null",
		`{"@class": "x.Y", "1": 99999999999999999999}`:                "64 bits",
		`{"@value": 1}`:                                               "@value is for fields",
		`{"@fixed32": 1}`:                                             "@fixed32 is for fields",
		`{"@object": {"a": 1}}`:                                       `{"@object": {}}`,
		strings.Repeat("[", 600) + strings.Repeat("]", 600):           "nested deeper",
	} {
		if v, err := Parse([]byte(json)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, %v; want an error with %q", json, v, err, want)
		}
	}
}

func TestParseArgs(t *testing.T) {
	for json, want := range map[string][]any{
		"": nil, " \n": nil, `[]`: {}, `["a", 5, null]`: {"a", int32(5), nil},
	} {
		if got, err := ParseArgs([]byte(json)); err != nil || !cmp.Equal(got, want, same) {
			t.Errorf("%q: got %v, %v; want %v", json, got, err, want)
		}
	}
	for json, want := range map[string]string{`{"a": 1}`: "[ARGUMENT, …]", `[1] [2]`: "behind", `[{"@x": 1}]`: "argument 1: "} {
		if got, err := ParseArgs([]byte(json)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want an error with %q", json, got, err, want)
		}
	}
}

// vectors are values as Java writes them.
func vectors(t testing.TB) (out [][]byte) {
	t.Helper()
	data, err := os.ReadFile("../../../../native/java/testdata/vectors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(line, "\t")
		if !strings.HasPrefix(f[0], "dyn.") {
			continue
		}
		b, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// settled returns a value as Format and Parse leave it: fields of a number together,
// varints of the least length, and lengths that say something.
func settled(v any) any {
	each := func(elems []any) (out []any) {
		for _, e := range elems {
			out = append(out, settled(e))
		}
		return out
	}
	entries := func(in []java.Entry) (out []java.Entry) {
		for _, e := range in {
			out = append(out, java.Entry{Key: settled(e.Key), Value: settled(e.Value)})
		}
		return out
	}
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	fields := func(in []java.Field) (out []java.Field) {
		for _, f := range in {
			if f.Type == protowire.VarintType {
				x, _ := protowire.ConsumeVarint(f.Value)
				f.Value = protowire.AppendVarint(nil, x)
			}
			at := len(out)
			for i, before := range slices.Backward(out) {
				if before.Number == f.Number {
					at = i + 1
					break
				}
			}
			out = slices.Insert(out, at, f)
		}
		return out
	}
	switch v := v.(type) {
	case java.List:
		return java.List{Class: or(v.Class, "ArrayList"), Elems: each(v.Elems)}
	case java.Array:
		return java.Array{Component: v.Component, Dims: v.Dims, Len: max(v.Len, len(v.Elems)), Elems: each(v.Elems)}
	case java.EnumSet:
		return java.EnumSet{Class: v.Class, Elems: each(v.Elems)}
	case java.Map:
		return java.Map{Class: or(v.Class, "HashMap"), Entries: entries(v.Entries)}
	case java.EnumMap:
		return java.EnumMap{Class: v.Class, Entries: entries(v.Entries)}
	case java.POJO:
		return java.POJO{Class: v.Class, Fields: fields(v.Fields)}
	case java.Throwable:
		return java.Throwable{Class: v.Class, Fields: fields(v.Fields)}
	}
	return v
}

// FuzzFormat writes a value as JSON, and reads it back.
func FuzzFormat(f *testing.F) {
	for _, b := range vectors(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := java.Parse(b, java.Limits{Elements: 10_000})
		if err != nil {
			return
		}
		if _, err := java.Append(nil, v); err != nil {
			return
		}
		text, err := Format(v)
		if err != nil {
			if strings.Contains(err.Error(), "a form that Java does not write") {
				return
			}
			t.Fatalf("%#v: %v", v, err)
		}
		back, err := Parse(text)
		if err != nil {
			if unnamed(v) {
				return
			}
			t.Fatalf("%#v is written as %s, which is an error: %v", v, text, err)
		}
		if diff := cmp.Diff(settled(v), settled(back), same); diff != "" {
			t.Fatalf("%s: -want +got\n%s", text, diff)
		}
	})
}

// FuzzParse reads JSON, and writes what it is, and reads that.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`[1,{"@long":2},{"@class":"x.Y","1":["a",{"1":2}],"2":{"@value":{"a":1.5}}},null]`,
		`{"@array":[[1]],"@class":"int[][]"}`, `{"@map":[[1,2]],"@class":"TreeMap"}`, `{"@enumset":"C","@elements":[1,"X"]}`,
		`{"@date":"2026-01-02T03:04:05Z"}`, `{"@float":"NaN"}`, `{"@type":"int[]"}`, `{"@throwable":"E","1":"x"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if err != nil || v == nil {
			return
		}
		encoded, err := java.Append(nil, v)
		if err != nil {
			return
		}
		text, err := Format(v)
		if err != nil {
			t.Fatalf("%#v: %v", v, err)
		}
		back, err := Parse(text)
		if err != nil {
			t.Fatalf("%s is written as %s, which is an error: %v", data, text, err)
		}
		if diff := cmp.Diff(settled(v), settled(back), same); diff != "" {
			t.Fatalf("%s is written as %s: -want +got\n%s", data, text, diff)
		}
		if _, err := java.Parse(encoded, java.Limits{}); err != nil {
			t.Fatalf("%s is sent as what cannot be read: %v", data, err)
		}
	})
}

// unnamed reports whether a class in a value has no name: no Java program writes that, and
// Parse takes it for a mistake.
func unnamed(v any) bool {
	text, _ := Format(v)
	return strings.Contains(string(text), `":""`)
}
