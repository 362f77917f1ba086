package dynamic_test

import (
	"context"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/native/dynamic"
	"github.com/pushtunnel/pushtunnel/native/java"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/dynamic/v1"
	"github.com/pushtunnel/pushtunnel/server"
)

var same = cmp.Options{
	cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 }), cmpopts.EquateNaNs(), cmpopts.EquateEmpty(),
}

// values are one of each type.
var values = []any{
	true, int8(-5), java.Char('ß'), int16(-300), int32(math.MinInt32), int64(math.MinInt64), float32(1.5), -2.5, math.NaN(),
	"grüß 😀", "", java.ByteString("ab"),
	[]byte{1, 2, 255},
	[]byte{},
	java.BigDecimal("1.50"), big.NewInt(-129),
	time.UnixMilli(-1).UTC(), time.UnixMilli(math.MaxInt64).UTC(),
	java.Object{},
	java.Class{Name: "int"},
	java.Class{Name: "int", Dims: 2},
	java.Enum{Class: "x.Color", Ordinal: 2},
	java.Enum{Class: "x.Color", Name: "RED"},
	java.Array{Component: "int", Dims: 1, Len: 2, Elems: []any{int32(1), int32(2)}},
	java.Array{Component: "java.lang.String", Dims: 1, Len: 3, Elems: []any{"a"}},
	java.Array{Component: "int", Dims: 2, Len: 1, Elems: []any{java.Array{Component: "int", Dims: 1, Len: 1, Elems: []any{int32(1)}}}},
	java.List{Class: "LinkedList", Elems: []any{int64(1), "x"}},
	java.Map{Class: "TreeMap", Entries: []java.Entry{{Key: "a", Value: int32(1)}, {Key: "b"}}},
	java.EnumSet{Class: "x.Color", Elems: []any{java.Enum{Class: "x.Color", Ordinal: 1}}},
	java.EnumMap{Class: "x.Color", Entries: []java.Entry{{Key: java.Enum{Class: "x.Color", Ordinal: 1}, Value: int32(4)}}},
	java.Throwable{Class: "x.Failed", Fields: []java.Field{{Number: 1, Type: 2, Value: []byte("boom")}}},
	java.POJO{Class: "x.Y", Fields: []java.Field{
		{Number: 1, Type: 0, Value: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		{Number: 2, Type: 5, Value: []byte{1, 2, 3, 4}},
		{Number: 2, Type: 1, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{Number: 200, Type: 2, Value: []byte("n\xff")},
	}},
}

// Each value goes through the service to a native client, and comes back as it is.
func TestInvoke(t *testing.T) {
	for name, codec := range map[string]bool{"the gateway's codec": true, "gRPC's codec": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, allowAll, codec)
			w.dial(t, "c1", func(_ context.Context, _, _ string, args []any) (any, error) { return args[0], nil })
			for _, v := range values {
				got, err := dynamic.Invoke(to(t, "c1"), w.cc, "demo.Svc", "echo", []any{v})
				if diff := cmp.Diff(v, got, same); err != nil || diff != "" {
					t.Errorf("%#v: %v, -want +got\n%s", v, err, diff)
				}
			}
		})
	}
}

// Names and arguments arrive as they are; nulls are the last.
func TestArguments(t *testing.T) {
	w := newWorld(t, allowAll, true)
	w.dial(t, "c1", func(_ context.Context, service, method string, args []any) (any, error) {
		return java.List{Class: "ArrayList", Elems: []any{service, method, int32(len(args)), args[0]}}, nil
	})
	got, err := dynamic.Invoke(to(t, "c1"), w.cc, "demo.Outer$Svc", "hi", []any{"a", nil, nil})
	want := java.List{Class: "ArrayList", Elems: []any{"demo.Outer$Svc", "hi", int32(3), "a"}}
	if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
}

// The authorizer is asked about the Java method, and decides before anything is looked up.
func TestAuthorizer(t *testing.T) {
	var asked []gateway.Request
	w := newWorld(t, func(ctx context.Context, r gateway.Request) error {
		asked = append(asked, r)
		if method, _ := grpc.Method(ctx); method != pb.Dynamic_Invoke_FullMethodName {
			t.Errorf("the caller's own method is %q, want that of the service", method)
		}
		if r.Method != "/demo.Svc/hi" {
			return errors.New("only hi")
		}
		return nil
	}, true)
	w.dial(t, "c1", func(context.Context, string, string, []any) (any, error) { return "hi", nil })
	if got, err := dynamic.Invoke(to(t, "c1"), w.cc, "demo.Svc", "hi", nil); err != nil || got != "hi" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, name := range []string{"c1", "nobody"} {
		var trailer metadata.MD
		_, err := dynamic.Invoke(to(t, name, gateway.NamespaceKey, ""), w.cc, "demo.Svc", "reboot", nil, grpc.Trailer(&trailer))
		if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "only hi") || trailer.Get(gateway.OutcomeKey)[0] != "not sent" {
			t.Errorf("got %v with the trailer %v, want to be refused", err, trailer)
		}
	}
	want := []gateway.Request{{Client: "c1", Method: "/demo.Svc/hi"}, {Client: "c1", Method: "/demo.Svc/reboot"}, {Client: "nobody", Method: "/demo.Svc/reboot"}}
	if diff := cmp.Diff(want, asked, cmp.Comparer(func(a, b server.Selector) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// deep returns lists in lists.
func deep(n int) (v any) {
	v = "x"
	for range n {
		v = []any{v}
	}
	return v
}

func TestErrors(t *testing.T) {
	w := newWorld(t, allowAll, true)
	w.connect(t, "grpc")
	w.dial(t, "c1", func(_ context.Context, _, method string, _ []any) (any, error) {
		if method == "many" {
			return java.List{Elems: make1(dynamic.MaxValues)}, nil
		}
		return nil, errors.New("no")
	})
	invoke := func(service, method string, args ...*pb.Value) *pb.InvokeRequest {
		return &pb.InvokeRequest{Service: service, Method: method, Arguments: args}
	}
	arg := func(v any) *pb.Value {
		p, err := dynamic.ToProto(v)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	nested := collected(200, &pb.Value{})
	fields := &pb.Fields{}
	for range 200 {
		fields = &pb.Fields{Fields: []*pb.Field{{Number: 1, Kind: &pb.Field_ObjectValue{ObjectValue: fields}}}}
	}
	text := arg("x")
	for name, c := range map[string]struct {
		client  string
		timeout time.Duration
		request *pb.InvokeRequest
		code    codes.Code
		outcome string
		text    string
	}{
		"a gRPC client":          {client: "grpc", request: invoke("a.B", "c"), code: codes.Unimplemented, outcome: "not sent", text: "a.B.c: the client speaks gRPC"},
		"nobody":                 {client: "c2", request: invoke("a.B", "c"), code: codes.Unavailable, outcome: "not sent", text: `"c2" is not connected`},
		"a bad name":             {client: " \x01", request: invoke("a.B", "c"), code: codes.InvalidArgument, outcome: "not sent"},
		"no answer":              {client: "c1", timeout: 300 * time.Millisecond, request: invoke("a.B", "c"), code: codes.DeadlineExceeded, outcome: ""},
		"a slash":                {client: "c1", request: invoke("a/B", "c"), code: codes.InvalidArgument, outcome: "not sent", text: `without "/"`},
		"no method":              {client: "c1", request: invoke("a.B", ""), code: codes.InvalidArgument, outcome: "not sent"},
		"spaces":                 {client: "c1", request: invoke("a.B", "c "), code: codes.InvalidArgument, outcome: "not sent"},
		"a long name":            {client: "c1", request: invoke("a.B", strings.Repeat("c", 1025)), code: codes.InvalidArgument, outcome: "not sent"},
		"null before another":    {client: "c1", request: invoke("a.B", "c", arg(nil), text), code: codes.InvalidArgument, outcome: "not sent", text: "argument 0 is null"},
		"no kind":                {client: "c1", request: invoke("a.B", "c", text, &pb.Value{}), code: codes.InvalidArgument, outcome: "not sent", text: "argument 1: a value without a kind"},
		"too deep, by one":       {client: "c1", request: invoke("a.B", "c", collected(dynamic.MaxDepth, text)), code: codes.InvalidArgument, outcome: "not sent", text: "deeper than 64"},
		"much too deep":          {client: "c1", request: invoke("a.B", "c", nested), code: codes.InvalidArgument, outcome: "", text: "deeper than 64"},
		"fields that are deep":   {client: "c1", request: invoke("a.B", "c", &pb.Value{Kind: &pb.Value_ObjectValue{ObjectValue: &pb.ObjectValue{ClassName: "x", Fields: fields.GetFields()}}}), code: codes.InvalidArgument, outcome: "", text: "deeper than 64"},
		"many arguments":         {client: "c1", request: invoke("a.B", "c", repeated(256, text)...), code: codes.InvalidArgument, outcome: "not sent", text: "256 arguments"},
		"too many":               {client: "c1", request: invoke("a.B", "c", list(repeated(dynamic.MaxValues, text))), code: codes.ResourceExhausted, outcome: "not sent", text: "more than 131072"},
		"far too many":           {client: "c1", request: invoke("a.B", "c", list(repeated(2*dynamic.MaxValues, text))), code: codes.ResourceExhausted, outcome: "", text: "the request: more than 131072"},
		"a result with too many": {client: "c1", request: invoke("a.B", "many"), code: codes.ResourceExhausted, outcome: "answered", text: "the result: more than 131072"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(within(t), gateway.ClientKey, c.client)
			if strings.TrimSpace(c.client) != c.client {
				ctx = metadata.AppendToOutgoingContext(within(t), gateway.ClientKey+"-bin", c.client)
			}
			if c.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.timeout)
				defer cancel()
			}
			var trailer metadata.MD
			_, err := pb.NewDynamicClient(w.cc).Invoke(ctx, c.request, grpc.Trailer(&trailer))
			outcome := strings.Join(trailer.Get(gateway.OutcomeKey), "")
			if status.Code(err) != c.code || !strings.Contains(err.Error(), c.text) || c.timeout == 0 && outcome != c.outcome {
				t.Errorf("got %v, %q; want %v, %q, and %q in it", err, outcome, c.code, c.outcome, c.text)
			}
		})
	}
	// Without a name it is the server's own business, and that has none to call.
	if _, err := dynamic.Invoke(within(t), w.cc, "a.B", "c", nil); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), gateway.ClientKey) {
		t.Errorf("got %v, want to be told the key", err)
	}
	if _, err := dynamic.Invoke(to(t, "c1"), w.cc, "a.B", "c", []any{1}); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "use int32") {
		t.Errorf("got %v, want to be told what to use for an int", err)
	}
	if _, err := dynamic.Invoke(to(t, "c1"), w.cc, "a.B", "c", []any{deep(100)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v, want that it is too deep", err)
	}
}

func make1(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = true
	}
	return out
}

func repeated(n int, v *pb.Value) []*pb.Value {
	out := make([]*pb.Value, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// collected returns a value in so many lists.
func collected(n int, v *pb.Value) *pb.Value {
	for range n {
		v = list([]*pb.Value{v})
	}
	return v
}

func list(elems []*pb.Value) *pb.Value {
	return &pb.Value{Kind: &pb.Value_CollectionValue{CollectionValue: &pb.CollectionValue{Elements: elems}}}
}

// The deepest value that is allowed goes there and back.
func TestDeepest(t *testing.T) {
	w := newWorld(t, allowAll, true)
	w.dial(t, "c1", func(_ context.Context, _, _ string, args []any) (any, error) { return args[0], nil })
	v := collected(dynamic.MaxDepth-1, &pb.Value{Kind: &pb.Value_StringValue{StringValue: "x"}})
	r, err := pb.NewDynamicClient(w.cc).Invoke(to(t, "c1"), &pb.InvokeRequest{Service: "a.B", Method: "c", Arguments: []*pb.Value{v}})
	if err != nil {
		t.Fatal(err)
	}
	for range dynamic.MaxDepth - 1 {
		r = &pb.InvokeResponse{Result: r.GetResult().GetCollectionValue().GetElements()[0]}
	}
	if r.GetResult().GetStringValue() != "x" {
		t.Errorf("got %v", r)
	}
}

// A call waits for its client, and interceptors of the server see an ordinary request.
func TestWaitsAndInterceptors(t *testing.T) {
	seen := make(chan *pb.InvokeRequest, 1)
	w := newWorld(t, allowAll, true, grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		seen <- req.(*pb.InvokeRequest)
		return next(ctx, req)
	}))
	type answer struct {
		v   any
		err error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := dynamic.Invoke(to(t, "late", gateway.WaitKey, "true"), w.cc, "a.B", "c", []any{"x"})
		done <- answer{v, err}
	}()
	want := &pb.InvokeRequest{Service: "a.B", Method: "c", Arguments: []*pb.Value{{Kind: &pb.Value_StringValue{StringValue: "x"}}}}
	if got := <-seen; !proto.Equal(got, want) {
		t.Errorf("the interceptor got %v, want %v", got, want)
	}
	w.dial(t, "late", func(_ context.Context, _, _ string, args []any) (any, error) { return args[0], nil })
	if got := <-done; got.err != nil || got.v != "x" {
		t.Errorf("got %v", got)
	}
}
