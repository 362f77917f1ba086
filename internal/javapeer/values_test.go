package javapeer

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
	"github.com/pushtunnel/pushtunnel/native/java"
	javapb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/java/v1"
)

// values are one of each type, as Java writes it back.
var values = []any{
	true, int8(-5), java.Char('ß'), int16(-300), int32(-1 << 31), int64(-1 << 63), float32(1.5), -2.5,
	"grüß 中", "", strings.Repeat("x", 42),
	[]byte{1, 2, 255},
	[]byte{},
	java.BigDecimal("1E+5"), big.NewInt(-129),
	time.UnixMilli(-1).UTC(),
	java.Enum{Class: "interop.Types$Color", Ordinal: 2},
	java.Array{Component: "int", Dims: 1, Elems: []any{int32(1), int32(-2)}},
	java.Array{Component: "int", Dims: 2, Elems: []any{java.Array{Component: "int", Dims: 1, Elems: []any{int32(1)}}}},
	java.Array{Component: "byte", Dims: 2, Elems: []any{[]byte{1}}},
	java.Array{Component: "java.lang.String", Dims: 1, Elems: []any{"a", "b"}},
	java.List{Class: "ArrayList", Elems: []any{int32(1), "x"}},
	java.List{Class: "TreeSet", Elems: []any{"a", "b"}},
	java.List{Class: "LinkedList", Elems: []any{int64(1)}},
	java.Map{Class: "TreeMap", Entries: []java.Entry{{Key: "a", Value: int32(1)}, {Key: "b", Value: java.List{Class: "ArrayList"}}}},
	java.Class{Name: "java.lang.String"},
	java.Class{Name: "int", Dims: 2},
	java.Class{Name: "interop.Types$Base"},
	java.Object{},
	java.ByteString("ab"),
	java.BigDecimal("1.50"),
	java.Enum{Class: "interop.Types$Color"},
	java.EnumSet{Class: "interop.Types$Color", Elems: []any{java.Enum{Class: "interop.Types$Color", Ordinal: 2}}},
	java.EnumMap{Class: "interop.Types$Color", Entries: []java.Entry{{Key: java.Enum{Class: "interop.Types$Color", Ordinal: 1}, Value: int32(4)}}},
	java.Array{Component: "java.lang.Object", Dims: 1, Len: 3, Elems: []any{"a", "b"}}, // the last is null
	java.Array{Component: "java.lang.String", Dims: 1, Len: 2},
	java.Array{Component: "java.util.Date", Dims: 1, Elems: []any{time.UnixMilli(5).UTC()}},
	java.Array{Component: "interop.Types$Color", Dims: 1, Elems: []any{java.Enum{Class: "interop.Types$Color", Ordinal: 1}}},
	java.List{Class: "ArrayList"},
	java.Map{Class: "HashMap", Entries: []java.Entry{{Key: "k"}}},
	java.POJO{Class: "interop.Types$Base", Fields: []java.Field{{Number: 1, Type: 0, Value: []byte{3}}, {Number: 2, Type: 2, Value: []byte("x")}}},
}

// namedCollections sends a collection and a map of each name that brpc-java has, and
// checks what comes back: the same, or the class that stands for an interface.
func namedCollections(t *testing.T, echo func(any) (any, error)) {
	t.Helper()
	for name, want := range map[string]string{
		"Collection": "ArrayList", "List": "ArrayList", "ArrayList": "", "LinkedList": "", "CopyOnWriteArrayList": "", "Stack": "", "Vector": "",
		"Set": "HashSet", "HashSet": "", "LinkedHashSet": "", "SortedSet": "TreeSet", "NavigableSet": "TreeSet", "TreeSet": "",
		"ConcurrentSkipListSet": "", "CopyOnWriteArraySet": "", "Queue": "LinkedList", "BlockingQueue": "LinkedBlockingQueue",
		"LinkedBlockingQueue": "", "Deque": "LinkedList", "BlockingDeque": "LinkedBlockingDeque", "LinkedBlockingDeque": "",
		"ArrayBlockingQueue": "", "ArrayDeque": "", "ConcurrentLinkedQueue": "", "PriorityBlockingQueue": "", "PriorityQueue": "",
		"java.util.ArrayList": "ArrayList",
		// What Java itself cannot read is written in another way.
		"ListN": "ArrayList", "SetN": "HashSet", "java.util.Collections$UnmodifiableRandomAccessList": "ArrayList",
	} {
		if want == "" {
			want = name
		}
		v, err := echo(java.List{Class: name, Elems: []any{"a"}})
		if l, ok := v.(java.List); err != nil || !ok || l.Class != want || len(l.Elems) != 1 || l.Elems[0] != "a" {
			t.Errorf("%s came back as %v, %v; want %s", name, v, err, want)
		}
	}
	for name, want := range map[string]string{
		"Map": "HashMap", "SortedMap": "TreeMap", "NavigableMap": "TreeMap", "HashMap": "", "LinkedHashMap": "", "TreeMap": "",
		"WeakHashMap": "", "IdentityHashMap": "", "Hashtable": "", "ConcurrentMap": "ConcurrentHashMap", "ConcurrentHashMap": "",
		"ConcurrentNavigableMap": "ConcurrentSkipListMap", "ConcurrentSkipListMap": "", "java.util.TreeMap": "TreeMap", "Map1": "HashMap",
	} {
		if want == "" {
			want = name
		}
		v, err := echo(java.Map{Class: name, Entries: []java.Entry{{Key: "k", Value: int32(1)}}})
		if m, ok := v.(java.Map); err != nil || !ok || m.Class != want || len(m.Entries) != 1 || m.Entries[0].Value != int32(1) {
			t.Errorf("%s came back as %v, %v; want %s", name, v, err, want)
		}
	}
	v, err := echo(java.Throwable{Class: "java.lang.IllegalStateException", Fields: []java.Field{{Number: 1, Type: 2, Value: []byte("boom")}}})
	if e, ok := v.(java.Throwable); err != nil || !ok || e.Class != "java.lang.IllegalStateException" || e.Message() != "boom" {
		t.Errorf("an exception came back as %v, %v", v, err)
	}
}

func value(v any) *javapb.Value {
	b, err := java.Append(nil, v)
	if err != nil {
		panic(err)
	}
	return &javapb.Value{Kind: &javapb.Value_Encoded{Encoded: b}}
}

func text(s string) *javapb.Value {
	return &javapb.Value{Kind: &javapb.Value_StringValue{StringValue: s}}
}

func number(n int32) *javapb.Value { return &javapb.Value{Kind: &javapb.Value_IntValue{IntValue: n}} }

// goFixtures is Samples.fixtures of the Java side.
func goFixtures() *pb.Types_Fixtures {
	base := func() *pb.Types_Base { return &pb.Types_Base{Id: 7, Name: "n"} }
	return &pb.Types_Fixtures{
		Child:  &pb.Types_Child{Id: 7, Name: "n", Big: -1, D: 1.5, Nested: base()},
		Shadow: &pb.Types_Shadow{Id: 7, Name: "shadow", Z: 3},
		Tagged: &pb.Types_Tagged{Two: 2, One: 1, Text: "t"},
		Bounded: &pb.Types_Bounded{
			N:            &pb.Number{Kind: &pb.Number_IntValue{IntValue: 8}},
			List:         []*javapb.Value{text("e")},
			Chars:        text("c"),
			Serializable: number(4),
			Comparable:   text("z"),
			Any:          value(java.Enum{Class: "interop.Types$Color", Ordinal: 2}),
			Colors:       map[int32]*pb.Types_Base{1: base()},
			Raw:          &pb.Entries{Entries: []*pb.Entries_Entry{{Key: text("k"), Value: number(1)}}},
			Lists:        map[int32]*pb.Strings{3: {Values: []string{"h"}}},
			Longs:        []int64{1, 2},
			Shapes:       []*pb.Shape{{Kind: &pb.Shape_Circle{Circle: &pb.Types_Circle{A: 1, Radius: 2}}}},
			Set:          []pb.Types_Color{pb.Types_COLOR_RED, pb.Types_COLOR_BLUE},
			Map:          map[int32]int32{2: 9},
			Maps:         map[string]*pb.Counts{"a": {Values: map[string]int32{"b": 1}}},
			Wild: []*javapb.Value{value(java.POJO{Class: "interop.Types$Base", Fields: []java.Field{
				{Number: 1, Type: 0, Value: []byte{7}}, {Number: 2, Type: 2, Value: []byte("n")},
			}})},
			Iterable: value(java.List{Class: "ArrayList", Elems: []any{"i"}}),
			Bytes:    [][]byte{{7}},
			Dates:    []*timestamppb.Timestamp{timestamppb.New(time.UnixMilli(3))},
		},
	}
}

// goHolder is Samples.holder of the Java side.
func goHolder() *pb.Holder {
	return &pb.Holder{
		Shape:   &pb.Shape{Kind: &pb.Shape_Circle{Circle: &pb.Types_Circle{A: 1, Radius: 3}}},
		Any:     &javapb.Value{Kind: &javapb.Value_StringValue{StringValue: "x"}},
		Color:   pb.Types_COLOR_BLUE,
		Strings: []string{"p", "q"},
		Bases:   []*pb.Types_Base{{Id: 7, Name: "n"}},
		Counts:  map[string]int32{"k": 1},
		Ints:    []int32{1, 2},
		Bytes:   []byte{1, 2},
		Date:    timestamppb.New(time.UnixMilli(1)),
		Decimal: new("1.50"),
		Integer: new("-129"),
		C:       'A', S: -2, B: -1, F: 1,
		Names:   []string{"s", "t"},
		Number:  &pb.Number{Kind: &pb.Number_LongValue{LongValue: 5}},
		Colors:  []pb.Types_Color{pb.Types_COLOR_GREEN},
		Boxed:   wrapperspb.Int32(9),
		Base:    &pb.Types_Base{Id: 7, Name: "n"},
		Objects: map[string]*javapb.Value{"o": {Kind: &javapb.Value_LongValue{LongValue: 2}}},
		Nested:  []*pb.Strings{{Values: []string{"in"}}},
	}
}
