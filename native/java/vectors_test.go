package java

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

type vector struct {
	name string
	data []byte
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	for l := range strings.Lines(string(text)) {
		if strings.HasPrefix(l, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(l, "\n"), "\t")
		data, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatal(f[0], err)
		}
		vs = append(vs, vector{f[0], data})
	}
	return vs
}

const (
	color    = "demo.Types$Color"
	push     = "com.baidu.brpc.example.push.push."
	register = "com.baidu.brpc.server.push."
)

func strs(s ...string) (out []any) {
	for _, s := range s {
		out = append(out, s)
	}
	return out
}

func num(n protowire.Number, v uint64) Field {
	return Field{n, protowire.VarintType, protowire.AppendVarint(nil, v)}
}

func txt(n protowire.Number, s string) Field { return Field{n, protowire.BytesType, []byte(s)} }

func raw(n protowire.Number, h string) Field {
	b, err := hex.DecodeString(strings.ReplaceAll(h, " ", ""))
	if err != nil {
		panic(err)
	}
	return Field{n, protowire.BytesType, b}
}

func arr(component string, dims int, elems ...any) Array {
	return Array{Component: component, Dims: dims, Len: len(elems), Elems: elems}
}

func cfmap(class string, kv ...any) (m Map) {
	m.Class = class
	for i := 0; i < len(kv); i += 2 {
		m.Entries = append(m.Entries, Entry{kv[i], kv[i+1]})
	}
	return m
}

var one = time.UnixMilli(1).UTC()

// meanings are what the values mean. nil means that the test of frames and bodies
// has it.
var meanings = map[string]any{
	"dyn.bool_true": true, "dyn.bool_false": false, "dyn.byte_5": int8(5), "dyn.char_A": Char('A'),
	"dyn.short_300": int16(300), "dyn.short_-2": int16(-2), "dyn.int_300": int32(300), "dyn.int_-1": int32(-1),
	"dyn.int_min": int32(-1 << 31), "dyn.long_1": int64(1), "dyn.long_-1": int64(-1),
	"dyn.float_1": float32(1), "dyn.double_1": float64(1), "dyn.string": "abc", "dyn.string_empty": "",
	"dyn.ByteString": ByteString("ab"), "dyn.byte[]": []byte{1, 2, 255},
	"dyn.BigDecimal_exp": BigDecimal("1E+5"), "dyn.BigInteger_-1": big.NewInt(-1), "dyn.Date_1": one,
	"dyn.enum_BLUE": Enum{Class: color, Ordinal: 2}, "dyn.enum_RED_0_": Enum{Class: color},
	"dyn.int[]": arr("int", 1, int32(1), int32(2)), "dyn.int[0]": Array{Component: "int", Dims: 1},
	"dyn.int[][]":          arr("int", 2, arr("int", 1, int32(1)), arr("int", 1, int32(2), int32(3))),
	"dyn.int[2][]_w_null":  Array{Component: "int", Dims: 2, Len: 2, Elems: []any{arr("int", 1, int32(2))}},
	"dyn.String[]":         arr("java.lang.String", 1, "a", "b"),
	"dyn.String[][]":       arr("java.lang.String", 2, arr("java.lang.String", 1, "a")),
	"dyn.Object[]":         arr("java.lang.Object", 1, int32(1), "x"),
	"dyn.byte[][]":         arr("byte", 2, []byte{1}, []byte{2}),
	"dyn.boolean[]":        arr("boolean", 1, true, false),
	"dyn.char[]":           arr("char", 1, Char('a')),
	"dyn.double[]":         arr("double", 1, float64(1)),
	"dyn.Date[]":           arr("java.util.Date", 1, one),
	"dyn.Color[]":          arr(color, 1, Enum{Class: color, Ordinal: 2}),
	"dyn.Object":           Object{},
	"dyn.Class_int":        Class{Name: "int"},
	"dyn.Class_int[]":      Class{Name: "int", Dims: 1},
	"dyn.ArrayList":        List{"ArrayList", []any{int32(1), "x"}},
	"dyn.ArrayList_empty":  List{"ArrayList", nil},
	"dyn.LinkedList":       List{"LinkedList", strs("a")},
	"dyn.TreeSet":          List{"TreeSet", strs("a")},
	"dyn.Arrays_asList":    List{"ArrayList", strs("a", "b")},
	"dyn.List_of1":         List{"List12", strs("a")},
	"dyn.List_of3":         List{"ListN", strs("a", "b", "c")},
	"dyn.ArrayDeque":       List{"ArrayDeque", strs("a")},
	"dyn.unmodifiableList": List{wrapperPrefix + "UnmodifiableRandomAccessList", strs("a")},
	"dyn.emptySet":         List{wrapperPrefix + "EmptySet", nil},
	"dyn.synchronizedList": List{wrapperPrefix + "SynchronizedRandomAccessList", strs("a")},
	"dyn.nCopies":          List{wrapperPrefix + "CopiesList", strs("a", "a")},

	"dyn.LinkedHashMap_null_v": cfmap("LinkedHashMap", "k", nil),
	"dyn.HashMap_empty":        cfmap("HashMap"),
	"dyn.TreeMap":              cfmap("TreeMap", "a", int32(1), "b", "x"),
	"dyn.ConcurrentHashMap":    cfmap("ConcurrentHashMap", "a", int32(1)),
	"dyn.emptyMap":             cfmap(wrapperPrefix + "EmptyMap"),
	"dyn.singletonMap":         cfmap(wrapperPrefix+"SingletonMap", "k", "v"),
	"dyn.unmodifiableMap":      cfmap(wrapperPrefix+"UnmodifiableMap", "k", "v"),
	"dyn.Map_of":               cfmap("Map1", "k", "v"),

	"dyn.PushData":            POJO{push + "PushData", []Field{txt(1, "hello")}},
	"dyn.PushData_null_field": POJO{push + "PushData", nil},
	"dyn.Child": POJO{"demo.Types$Child", []Field{
		num(1, 7), txt(2, "n"), num(3, 1<<64-1), num(5, 0),
		{7, protowire.Fixed64Type, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f}},
		raw(8, "0807 12016e"),
	}},
	// The class is written down field by field in the mapping's tests; here it is
	// the numbers that count.
	"dyn.Holder":        nil,
	"dyn.LocalDate":     POJO{"java.time.LocalDate", []Field{num(1, 2020), num(2, 1), num(3, 2)}},
	"dyn.AtomicInteger": POJO{"java.util.concurrent.atomic.AtomicInteger", []Field{num(1, 3)}},
	"dyn.Optional":      POJO{"java.util.Optional", []Field{raw(1, "4a0178")}},
	"dyn.StringBuilder": POJO{"java.lang.StringBuilder", []Field{raw(1, "7800000000000000000000000000000000"), num(2, 0), num(3, 1)}},
	"dyn.pojo_inner":    POJO{"demo.Inner$In", []Field{num(1, 5), txt(2, "x"), raw(3, "0801")}},
	"dyn.pojo_tagged":   POJO{"demo.Inner$Tagged", []Field{txt(1, "t"), num(3, 1), num(200, 2)}},
}

// rewritten are the values that are not written as they were read: the wrappers
// of java.util.Collections, which a recent Java cannot read, and the collections
// whose names no Java can.
var rewritten = map[string]any{
	"dyn.unmodifiableList": List{"ArrayList", strs("a")},
	"dyn.List_of1":         List{"ArrayList", strs("a")},
	"dyn.List_of3":         List{"ArrayList", strs("a", "b", "c")},
	"dyn.Map_of":           cfmap("HashMap", "k", "v"),
	"dyn.emptySet":         List{"HashSet", nil},
	"dyn.synchronizedList": List{"ArrayList", strs("a")},
	"dyn.nCopies":          List{"ArrayList", strs("a", "a")},
	"dyn.emptyMap":         cfmap("HashMap"),
	"dyn.singletonMap":     cfmap("HashMap", "k", "v"),
	"dyn.unmodifiableMap":  cfmap("HashMap", "k", "v"),
}

var bigInts = cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })

func TestValuesOfJava(t *testing.T) {
	for _, v := range vectors(t) {
		if !strings.HasPrefix(v.name, "dyn.") {
			continue
		}
		want, ok := meanings[v.name]
		if !ok {
			t.Errorf("%s has no meaning here", v.name)
			continue
		}
		got, err := Parse(v.data, Limits{})
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if want != nil && !cmp.Equal(got, want, bigInts) {
			t.Errorf("%s:\n%s", v.name, cmp.Diff(want, got, bigInts))
		}
		again, err := Append(nil, got)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if other, ok := rewritten[v.name]; ok {
			back, err := Parse(again, Limits{})
			if err != nil || !cmp.Equal(back, other) {
				t.Errorf("%s is written as %#v, %v; want %#v", v.name, back, err, other)
			}
			continue
		}
		if !bytes.Equal(again, v.data) {
			t.Errorf("%s is written as\n%x, want\n%x", v.name, again, v.data)
		}
	}
}

// bodies are what is in the frames and bodies.
var bodies = map[string]struct {
	service, method string
	args            []any
	content         any
}{
	"frame.register.c1.cid0":   {register + "RegisterService", "registerClient", strs("c1"), nil},
	"frame.push.request.cid0":  {push + "UserPushApi", "clientReceive", []any{"abc", POJO{push + "PushData", []Field{txt(1, "hello")}}}, nil},
	"frame.push.response.cid0": {push + "UserPushApi", "clientReceive", nil, POJO{push + "PushResult", []Field{txt(1, "abc receive push data:hello")}}},
	"frame.rpc.request.cid3":   {"demo.Svc", "hi", strs("bob"), nil},
	"frame.rpc.response.cid101": {
		"demo.Svc", "hi", nil, "hi go",
	},
	"frame.rpc.request.add.cid4": {"demo.Svc", "add", []any{int32(1), int64(2)}, nil},
	"frame.register.ack.cid7":    {register + "RegisterService", "registerClient", nil, POJO{register + "Response", []Field{num(1, 0)}}},
	"body.register.null":         {register + "RegisterService", "registerClient", []any{nil}, nil},
	"body.empty":                 {},
	"body.parameterTypes":        {},
	"body.attachments":           {},
}

func TestBodiesOfJava(t *testing.T) {
	for _, v := range vectors(t) {
		if strings.HasPrefix(v.name, "dyn.") {
			continue
		}
		want, ok := bodies[v.name]
		if !ok {
			t.Errorf("%s has no meaning here", v.name)
			continue
		}
		b := v.data
		if strings.HasPrefix(v.name, "frame.") {
			if n := int(binary.LittleEndian.Uint32(b[44:])); n != len(b)-48 {
				t.Errorf("%s: a body of %d bytes, the head says %d", v.name, len(b)-48, n)
			}
			b = b[48:]
		}
		body, err := ParseBody(b)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if body.Service != want.service || body.Method != want.method {
			t.Errorf("%s: %s.%s", v.name, body.Service, body.Method)
		}
		args, err := ParseArgs(body.Parameters, Limits{})
		if err != nil || !cmp.Equal(args, want.args) {
			t.Errorf("%s: arguments %v, %v", v.name, args, err)
		}
		if body.Parameters != nil {
			if params, err := AppendArgs(nil, args); err != nil || !bytes.Equal(params, body.Parameters) {
				t.Errorf("%s: arguments are written as %x, %v", v.name, params, err)
			}
		}
		if body.Content != nil || want.content != nil {
			got, err := Parse(body.Content, Limits{})
			if err != nil || !cmp.Equal(got, want.content) {
				t.Errorf("%s: content %v, %v", v.name, got, err)
			}
		}
		if again := body.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%s is written as\n%x, want\n%x", v.name, again, b)
		}
	}
}

func TestParameterTypesAndAttachments(t *testing.T) {
	for _, v := range vectors(t) {
		body, _ := ParseBody(v.data)
		switch v.name {
		case "body.parameterTypes":
			got, err := Parse(body.ParameterTypes, Limits{})
			want := arr("java.lang.Class", 1, Class{Name: "java.lang.String"}, Class{Name: "int"}, Class{Name: "int", Dims: 1})
			if err != nil || !cmp.Equal(got, want) {
				t.Errorf("%v, %v", got, err)
			}
		case "body.attachments":
			if got := hex.EncodeToString(body.Attachments); got != "0a080a016b12034a0176" {
				t.Error(got)
			}
		}
	}
}
