package tunnel

import (
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// The methods of testService. Their messages are BytesValues.
const (
	unaryMethod  = "/test.Test/Unary"
	serverMethod = "/test.Test/Server"
	clientMethod = "/test.Test/Client"
	bidiMethod   = "/test.Test/Bidi"
)

var (
	serverDesc = &grpc.StreamDesc{StreamName: "Server", ServerStreams: true}
	clientDesc = &grpc.StreamDesc{StreamName: "Client", ClientStreams: true}
	bidiDesc   = &grpc.StreamDesc{StreamName: "Bidi", ServerStreams: true, ClientStreams: true}
)

// testService has a method of each kind. If a handler is nil, it echoes.
type testService struct {
	unary  func(ctx context.Context, request string) (string, error)
	stream func(stream grpc.ServerStream) error
}

func (s testService) handleUnary(ctx context.Context, request string) (string, error) {
	if s.unary == nil {
		return request, nil
	}
	return s.unary(ctx, request)
}

func (s testService) handleStream(stream grpc.ServerStream) error {
	if s.stream == nil {
		return echo(stream)
	}
	return s.stream(stream)
}

func echo(stream grpc.ServerStream) error {
	for {
		m, err := receive(stream)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(text(m)); err != nil {
			return err
		}
	}
}

// services returns Services with the service.
func (s testService) services() *Services {
	services := &Services{}
	handle := func(srv any, stream grpc.ServerStream) error { return srv.(testService).handleStream(stream) }
	streamDesc := func(d *grpc.StreamDesc) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: d.StreamName, ServerStreams: d.ServerStreams, ClientStreams: d.ClientStreams, Handler: handle}
	}
	services.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Test",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			request := &wrapperspb.BytesValue{}
			if err := dec(request); err != nil {
				return nil, err
			}
			handler := func(ctx context.Context, request any) (any, error) {
				reply, err := srv.(testService).handleUnary(ctx, string(request.(*wrapperspb.BytesValue).GetValue()))
				return text(reply), err
			}
			if i == nil {
				return handler(ctx, request)
			}
			return i(ctx, request, &grpc.UnaryServerInfo{Server: srv, FullMethod: unaryMethod}, handler)
		}}},
		Streams: []grpc.StreamDesc{streamDesc(serverDesc), streamDesc(clientDesc), streamDesc(bidiDesc)},
	}, s)
	return services
}

// text is a message.
func text(s string) *wrapperspb.BytesValue { return wrapperspb.Bytes([]byte(s)) }

// encodedText is a message as it is on the wire.
func encodedText(s string) []byte {
	b, err := proto.Marshal(text(s))
	if err != nil {
		panic(err)
	}
	return append([]byte{}, b...)
}

// sized returns a message whose encoding has n bytes, and that encoding.
func sized(n int) (*wrapperspb.BytesValue, []byte) {
	for k := max(n-6, 0); ; k++ {
		m := text(strings.Repeat("x", k))
		if size := proto.Size(m); size == n {
			return m, encodedText(strings.Repeat("x", k))
		} else if size > n {
			panic("there is no message of this size")
		}
	}
}

// encodedSize is an encoded message of n bytes.
func encodedSize(n int) []byte {
	_, b := sized(n)
	return b
}

type receiver interface{ RecvMsg(m any) error }

// receive receives a message.
func receive(stream receiver) (string, error) {
	m := &wrapperspb.BytesValue{}
	err := stream.RecvMsg(m)
	return string(m.GetValue()), err
}

// invoke makes a unary call beside the test; reply is set when it is over.
func (p *scriptedPeer) invoke(ctx context.Context, request string, opts ...grpc.CallOption) (call *async, reply *wrapperspb.BytesValue) {
	reply = &wrapperspb.BytesValue{}
	call = start(p.t, func() error { return p.session.Invoke(ctx, unaryMethod, text(request), reply, opts...) })
	p.read() // calls get their ids in order
	return call, reply
}

// stream begins a streaming call.
func (p *scriptedPeer) stream(ctx context.Context, desc *grpc.StreamDesc) grpc.ClientStream {
	p.t.Helper()
	stream, err := p.session.NewStream(ctx, desc, "/test.Test/"+desc.StreamName)
	if err != nil {
		p.t.Fatalf("beginning a stream: got the error %v, want none", err)
	}
	return stream
}

// Frames, so that a script reads like a transcript.

func begin(id uint64, method string) *pb.Frame {
	return &pb.Frame{CallId: id, Begin: &pb.Begin{Method: method}}
}

// request is a unary request.
func request(id uint64, message string) *pb.Frame {
	return &pb.Frame{CallId: id, Begin: &pb.Begin{Method: unaryMethod}, Message: encodedText(message), HalfClose: true}
}

// answer is a unary response.
func answer(id uint64, message string) *pb.Frame {
	return &pb.Frame{CallId: id, Message: encodedText(message), End: &pb.End{}}
}

func message(id uint64, m string) *pb.Frame { return &pb.Frame{CallId: id, Message: encodedText(m)} }

func nextPiece(id uint64, data []byte) *pb.Frame { return &pb.Frame{CallId: id, Message: data} }

// firstPiece begins a message of this size.
func firstPiece(id, size uint64, data []byte) *pb.Frame {
	return &pb.Frame{CallId: id, Message: data, MessageSize: size}
}

func halfClose(id uint64) *pb.Frame { return &pb.Frame{CallId: id, HalfClose: true} }

func end(id uint64) *pb.Frame { return &pb.Frame{CallId: id, End: &pb.End{}} }

func failed(id uint64, code codes.Code, text string) *pb.Frame {
	return &pb.Frame{CallId: id, End: &pb.End{Status: &pb.Status{Code: uint32(code), Message: []byte(text)}}}
}

func refused(id uint64, code codes.Code, text string) *pb.Frame {
	f := failed(id, code, text)
	f.End.Refused = true
	return f
}

// refusedBy is the refusal of a call that has hit a limit.
func refusedBy(limit Limit, id uint64, text string) *pb.Frame {
	f := refused(id, codes.ResourceExhausted, text)
	f.End.Status.Details = statusDetails(limit.Status("%s", text))
	return f
}

func cancelled(id uint64) *pb.Frame { return &pb.Frame{CallId: id, Cancel: true} }

func window(id, n uint64) *pb.Frame { return &pb.Frame{CallId: id, Window: n} }

// A first look at the peer itself: a call each way.

func TestScriptedClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := accepted(t, Config{})
		call, reply := p.invoke(t.Context(), "hello")
		p.wantBatch("a unary call is one frame", request(1, "hello"))
		p.wantIdle("it waits for the answer")
		p.send(answer(1, "and hello"))
		if err := call.wait("the call"); err != nil || string(reply.GetValue()) != "and hello" {
			t.Errorf("got %q and the error %v, want %q", reply.GetValue(), err, "and hello")
		}
		p.wantIdle("there is nothing to add")
	})
}

func TestScriptedServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dialled(t, Config{Services: testService{}.services()})
		p.send(request(1, "hello"))
		p.wantBatch("a unary answer is one frame", answer(1, "hello"))
		p.wantIdle("there is nothing to add")
	})
}
