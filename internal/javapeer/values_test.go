package javapeer

import (
	"math/big"
	"strings"
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
	java.POJO{Class: "interop.Types$Base", Fields: []java.Field{{Number: 1, Type: 0, Value: []byte{3}}, {Number: 2, Type: 2, Value: []byte("x")}}},
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
