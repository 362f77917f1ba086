package conformance

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The methods of the service that the cases call, and their shapes.
const (
	unaryMethod        = "/conformance.Service/Unary"
	clientStreamMethod = "/conformance.Service/ClientStream"
	serverStreamMethod = "/conformance.Service/ServerStream"
	bidiMethod         = "/conformance.Service/Bidi"
)

var descs = map[string]*grpc.StreamDesc{
	unaryMethod:        {StreamName: "Unary"},
	clientStreamMethod: {StreamName: "ClientStream", ClientStreams: true},
	serverStreamMethod: {StreamName: "ServerStream", ServerStreams: true},
	bidiMethod:         {StreamName: "Bidi", ClientStreams: true, ServerStreams: true},
}

// methods are all of them.
var methods = []string{unaryMethod, clientStreamMethod, serverStreamMethod, bidiMethod}

// message is the type of all messages: bytes.
type message = wrapperspb.BytesValue

func text(s string) *message { return &message{Value: []byte(s)} }

func size(n int) *message { return &message{Value: make([]byte, n)} }

// handlers are the handlers of the service. A case sets those that it calls;
// streams are echoed otherwise.
type handlers struct {
	// unary handles Unary.
	unary func(ctx context.Context, in *message) (*message, error)
	// rawUnary handles Unary, if it is set, and reads the request by itself or not.
	rawUnary func(ctx context.Context, read func(any) error) (any, error)
	// stream handles the other methods.
	stream func(s *served) error
}

// register registers the service. What its streaming handlers see is noted in tr.
func (h handlers) register(r grpc.ServiceRegistrar, tr *transcript) {
	if h.stream == nil {
		h.stream = quietEcho
	}
	stream := func(_ any, s grpc.ServerStream) error { return h.stream(&served{ServerStream: s, tr: tr}) }
	desc := &grpc.ServiceDesc{
		ServiceName: "conformance.Service",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: h.handleUnary}},
	}
	for _, method := range methods[1:] {
		d := *descs[method]
		d.Handler = stream
		desc.Streams = append(desc.Streams, d)
	}
	r.RegisterService(desc, nil)
}

func (h handlers) handleUnary(_ any, ctx context.Context, read func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	if h.rawUnary != nil {
		return h.rawUnary(ctx, read)
	}
	in := &message{}
	if err := read(in); err != nil {
		return nil, err
	}
	handle := func(ctx context.Context, in any) (any, error) { return h.unary(ctx, in.(*message)) }
	if intercept == nil {
		return handle(ctx, in)
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: unaryMethod}, handle)
}

// echo answers each message with itself.
func echo(s *served) error {
	for {
		in, ok := s.recv()
		if !ok {
			return nil
		}
		s.send(in)
	}
}

// quietEcho is echo, and notes nothing.
func quietEcho(s *served) error {
	for {
		m := &message{}
		if err := s.RecvMsg(m); err != nil {
			return nil
		}
		s.SendMsg(m)
	}
}

func echoUnary(_ context.Context, in *message) (*message, error) { return in, nil }
