package mapping

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pushtunnel/pushtunnel/native/internal/mapping/testpb"
	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

func service(t testing.TB) *Service {
	t.Helper()
	s, err := Compile(testpb.File_test_proto.Services().ByName("Svc"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func method(t testing.TB, name string) *Method {
	t.Helper()
	for _, m := range service(t).Methods {
		if strings.HasSuffix(m.FullMethod, "/"+name) {
			return m
		}
	}
	t.Fatalf("no method %s", name)
	return nil
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../java/testdata/vectors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if f := strings.Split(l, "\t"); f[0] == name {
			b, err := hex.DecodeString(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no vector %s", name)
	return nil
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func object(text string) *javapb.Value {
	return &javapb.Value{Kind: &javapb.Value_StringValue{StringValue: text}}
}

func encoded(v any) *javapb.Value {
	b, err := java.Append(nil, v)
	if err != nil {
		panic(err)
	}
	return &javapb.Value{Kind: &javapb.Value_Encoded{Encoded: b}}
}

func base() *testpb.Types_Base { return &testpb.Types_Base{Id: 7, Name: new("n")} }

func holder() *testpb.Holder {
	return &testpb.Holder{
		Abs:     &testpb.Abs{Kind: &testpb.Abs_AbsImpl{AbsImpl: &testpb.Types_AbsImpl{A: 1, B: 2}}},
		Itf:     &testpb.Itf{Kind: &testpb.Itf_ItfImpl{ItfImpl: &testpb.Types_ItfImpl{B: 2}}},
		Base:    base(),
		Object:  object("x"),
		Color:   testpb.Types_COLOR_BLUE.Enum(),
		Strings: []string{"p", "q"},
		Bases:   []*testpb.Types_Base{base()},
		Counts:  map[string]int32{"k": 1},
		Ints:    &testpb.Ints{Values: []int32{1, 2}},
		Data:    []byte{1, 2},
		Date:    timestamppb.New(time.UnixMilli(1)),
		Decimal: new("1.50"),
		C:       'A', S: -2, B: -1, F: 1,
		Objects: []*javapb.Value{{Kind: &javapb.Value_IntValue{IntValue: 1}}, object("z")},
		Raw:     []*javapb.Value{object("r")},
		Colors:  []testpb.Types_Color{testpb.Types_COLOR_GREEN},
		Names:   []string{"s", "t"},
		Number:  &testpb.Number{Kind: &testpb.Number_IntValue{IntValue: 5}},
		Type:    new("java.lang.String"),
		Rows:    []*testpb.Ints{{Values: []int32{9}}},
		ByName:  map[string]*javapb.Value{"o": {Kind: &javapb.Value_LongValue{LongValue: 2}}},
		Nested:  []*testpb.Strings{{Values: []string{"in"}}},
	}
}

// goldenHolder is the vector without what protobuf cannot hold: an entry of a map
// with no value, and a null in the middle of an array.
func goldenHolder(t testing.TB) []byte {
	want := hex.EncodeToString(vector(t, "dyn.Holder"))
	for _, r := range [][2]string{{"420e0a050a016b10010a050a036e756c", "42070a050a016b1001"}, {"1803" + "1001" + "0a034a0173", "1802" + "1001" + "0a034a0173"}} {
		if strings.Count(want, r[0]) != 1 {
			t.Fatalf("%s is not in the vector", r[0])
		}
		want = strings.Replace(want, r[0], r[1], 1)
	}
	b, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryKindOfFieldIsWrittenAsJavaDoes(t *testing.T) {
	m := method(t, "EchoHolder")
	want := goldenHolder(t)
	got, null, err := m.AppendContent(nil, marshal(t, holder()))
	if err != nil || null {
		t.Fatal(null, err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}

func TestEveryKindOfFieldIsReadAsJavaWritesIt(t *testing.T) {
	m := method(t, "EchoHolder")
	b, err := m.Response(vector(t, "dyn.Holder"), true)
	if err != nil {
		t.Fatal(err)
	}
	var got testpb.Holder
	if err := proto.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := holder()
	want.Counts["nul"] = 0 // a null
	if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
}

// plan is the plan of a message, as a value.
func plan(t testing.TB, m proto.Message) *message {
	t.Helper()
	c := &compiler{messages: map[protoreflectFullName]*message{}, enums: map[protoreflectFullName]*enum{}}
	p := c.message(m.ProtoReflect().Descriptor())
	if len(c.errs) > 0 {
		t.Fatal(c.errs)
	}
	return p
}

func TestSubclassesTagsAndPresence(t *testing.T) {
	for name, want := range map[string]proto.Message{
		"dyn.Child": &testpb.Types_Child{
			Id: 7, Name: new("n"), Big: -1, D: 1.5, Nested: base(),
		},
		"dyn.pojo_tagged": &testpb.Tagged{Text: new("t"), One: 1, Two: 2},
	} {
		p := plan(t, want)
		got, _, err := p.appendDynamic(nil, marshal(t, want), 0)
		if err != nil || !bytes.Equal(got, vector(t, name)) {
			t.Errorf("%s is written as\n%x, want\n%x, %v", name, got, vector(t, name), err)
		}
		b, err := p.fromDynamic(nil, vector(t, name), 0)
		back := want.ProtoReflect().New().Interface()
		if err != nil || proto.Unmarshal(b, back) != nil || !proto.Equal(back, want) {
			t.Errorf("%s is read as %v, %v", name, back, err)
		}
	}
}

func args(t testing.TB, vs ...any) []byte {
	t.Helper()
	b, err := java.AppendArgs(nil, vs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParameters(t *testing.T) {
	now := time.UnixMilli(1234567890123).UTC()
	types := &testpb.TypesRequest{
		Z: true, B: -5, S: -300, C: 'ß', I: -7, J: 1 << 40, F: 1.5, D: -2.5, Text: "tä", Data: []byte{9},
		Decimal: "1E+5", Integer: "-129", Date: timestamppb.New(now), Color: testpb.Types_COLOR_BLUE,
		Ints: []int32{1, -1}, List: []string{"a", "b"}, Map: map[string]int32{"k": 3}, Base: base(),
	}
	typesArgs := []any{
		true, int8(-5), int16(-300), java.Char('ß'), int32(-7), int64(1 << 40), float32(1.5), -2.5, "tä",
		[]byte{9},
		java.BigDecimal("1E+5"), bigInt(-129), now,
		java.Enum{Class: "demo.Types$Color", Ordinal: 2},
		java.Array{Component: "int", Dims: 1, Elems: []any{int32(1), int32(-1)}},
		java.List{Class: "ArrayList", Elems: []any{"a", "b"}},
		java.Map{Class: "HashMap", Entries: []java.Entry{{Key: "k", Value: int32(3)}}},
		java.POJO{Class: "demo.Types$Base", Fields: []java.Field{{Number: 1, Type: 0, Value: []byte{7}}, {Number: 2, Type: 2, Value: []byte("n")}}},
	}
	for _, c := range []struct {
		method string
		msg    proto.Message
		args   []any
	}{
		{"Hi", &testpb.HiRequest{Name: "bob"}, []any{"bob"}},
		{"Hi", &testpb.HiRequest{}, []any{""}},
		{"Add", &testpb.AddRequest{A: 1, B: 2}, []any{int32(1), int64(2)}},
		{"Add", &testpb.AddRequest{A: -1}, []any{int32(-1), int64(0)}},
		{"Zero", &emptypb.Empty{}, []any{}},
		{"EchoObject", &testpb.AnyRequest{Value: object("x")}, []any{"x"}},
		{"EchoObject", &testpb.AnyRequest{Value: encoded(java.List{Class: "TreeSet", Elems: []any{int64(1)}})}, []any{java.List{Class: "TreeSet", Elems: []any{int64(1)}}}},
		{"EchoObject", &testpb.AnyRequest{}, []any{nil}},
		{"Maybe", &testpb.MaybeRequest{A: new("a")}, []any{"a", nil, nil}},
		{"Types", types, typesArgs},
	} {
		m := method(t, c.method)
		got, err := m.AppendParameters(nil, marshal(t, c.msg))
		if want := args(t, c.args...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of %v sends\n%x, want\n%x, %v", c.method, c.msg, got, want, err)
		}
		b, err := m.Request(args(t, c.args...))
		back := c.msg.ProtoReflect().New().Interface()
		if err != nil || proto.Unmarshal(b, back) != nil || !proto.Equal(back, c.msg) {
			t.Errorf("%s of %v reads %v, %v", c.method, c.args, back, err)
		}
	}
}

func TestNullParameters(t *testing.T) {
	m := method(t, "Maybe")
	_, err := m.AppendParameters(nil, marshal(t, &testpb.MaybeRequest{B: proto.Int32(1)}))
	if err == nil || !strings.Contains(err.Error(), "MaybeRequest.a is not set") {
		t.Errorf("got %v", err)
	}
	// Java drops the nulls. Where the types allow only one way, they are found.
	drop := func(n int, vs ...any) []byte {
		b := java.AppendArrayHeader(nil, java.ArrayHeader{Component: java.ObjectClass, Len: n, Dims: 1})
		all := args(t, vs...)
		h := java.AppendArrayHeader(nil, java.ArrayHeader{Component: java.ObjectClass, Len: len(vs), Dims: 1})
		return append(b, all[len(h):]...)
	}
	for _, c := range []struct {
		params []byte
		want   *testpb.MaybeRequest
	}{
		{drop(3, int32(1)), &testpb.MaybeRequest{B: proto.Int32(1)}},
		{drop(3, int32(1), "c"), &testpb.MaybeRequest{B: proto.Int32(1), C: new("c")}},
		{drop(3, "x", "y"), &testpb.MaybeRequest{A: new("x"), C: new("y")}},
		{drop(3, "x"), &testpb.MaybeRequest{A: new("x")}}, // or c: the first is Java's way
		{drop(3), &testpb.MaybeRequest{}},
	} {
		b, err := m.Request(c.params)
		var got testpb.MaybeRequest
		if err != nil || proto.Unmarshal(b, &got) != nil || !proto.Equal(&got, c.want) {
			t.Errorf("%x is read as %v, %v; want %v", c.params, &got, err, c.want)
		}
	}
}

func TestWideningAndMismatches(t *testing.T) {
	m := method(t, "Add")
	for _, c := range []struct {
		args []any
		want string // of the error; empty: it is taken
	}{
		{[]any{int32(1), int32(2)}, ""},
		{[]any{int8(1), int16(2)}, ""},
		{[]any{java.Char(1), java.Char(2)}, ""},
		{[]any{int64(1), int64(2)}, "a java.lang.Long, want a java.lang.Integer"},
		{[]any{"1", int64(2)}, "a java.lang.String, want a java.lang.Integer"},
		{[]any{int32(1)}, "1 arguments; add takes 2"},
		{[]any{int32(1), java.List{}}, "a collection, want a java.lang.Long"},
	} {
		b, err := m.Request(args(t, c.args...))
		if c.want == "" {
			var got testpb.AddRequest
			if err != nil || proto.Unmarshal(b, &got) != nil || got.GetA() != 1 || got.GetB() != 2 {
				t.Errorf("%v: %v, %v", c.args, &got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.args, err, c.want)
		}
	}
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		method  string
		msg     proto.Message
		content any // nil: null
	}{
		{"Hi", wrapperspb.String("x"), "x"},
		{"Hi", wrapperspb.String(""), ""},
		{"Add", &testpb.LongResult{Value: 3}, int64(3)},
		{"Add", &testpb.LongResult{}, int64(0)},
		{"Zero", &emptypb.Empty{}, true},
		{"EchoObject", &testpb.AnyResult{Value: object("x")}, "x"},
		{"EchoObject", &testpb.AnyResult{}, nil},
		{"Maybe", &testpb.MaybeResult{Value: new("")}, ""},
		{"Maybe", &testpb.MaybeResult{}, nil},
		{"MaybeZero", &testpb.MaybeResult{}, ""},
	} {
		m := method(t, c.method)
		got, null, err := m.AppendContent(nil, marshal(t, c.msg))
		if err != nil || null != (c.content == nil) {
			t.Errorf("%s of %v: null %v, %v", c.method, c.msg, null, err)
			continue
		}
		if !null {
			if v, err := java.Parse(got, java.Limits{}); err != nil || !cmp.Equal(v, c.content) {
				t.Errorf("%s of %v: %v, %v", c.method, c.msg, v, err)
			}
		}
		b, err := m.Response(got, !null)
		back := c.msg.ProtoReflect().New().Interface()
		if err != nil || proto.Unmarshal(b, back) != nil || (!proto.Equal(back, c.msg) && c.method != "MaybeZero") {
			t.Errorf("%s of %v reads %v, %v", c.method, c.content, back, err)
		}
	}
}

func TestUnknownClassesSurvive(t *testing.T) {
	m := method(t, "EchoHolder")
	unknown := java.POJO{Class: "demo.Nobody", Fields: []java.Field{{Number: 1, Type: 2, Value: []byte("x")}, {Number: 9, Type: 0, Value: []byte{1}}}}
	h := &testpb.Holder{Object: encoded(unknown), Itf: &testpb.Itf{Kind: &testpb.Itf_Other{Other: encoded(unknown)}}}
	content, _, err := m.AppendContent(nil, marshal(t, h))
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Response(content, true)
	var got testpb.Holder
	if err != nil || proto.Unmarshal(b, &got) != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got.GetObject(), h.GetObject()) || !proto.Equal(got.GetItf(), h.GetItf()) {
		t.Errorf("got %v", &got)
	}
	// Where nothing takes it, the error says what would.
	bad := bytes.Replace(content, []byte("demo.Types$Holder"), []byte("demo.Types$Holdor"), 1)
	if _, err := m.Response(bad, true); err == nil || !strings.Contains(err.Error(), "demo.Types$Holdor, want demo.Types$Holder") {
		t.Errorf("got %v", err)
	}
}

func TestStreamsHaveNoForm(t *testing.T) {
	s := service(t)
	if len(s.Streams) != 1 || s.Streams[0] != "Watch" || s.JavaName != "demo.Svc" {
		t.Errorf("%+v", s)
	}
	if m := method(t, "Log"); !m.OneWay || !m.Void || m.JavaMethod != "log" {
		t.Errorf("%+v", m)
	}
}

func BenchmarkContent(b *testing.B) {
	m := method(b, "Hi")
	in := marshal(b, wrapperspb.String(strings.Repeat("x", 100)))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, _, err = m.AppendContent(buf[:0], in); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Response(buf, true); err != nil {
			b.Fatal(err)
		}
	}
}
