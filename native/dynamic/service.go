package dynamic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pushtunnel/pushtunnel/native"
	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/dynamic/v1"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Register adds the service Dynamic to a gRPC server, before it serves. It makes its
// calls with cc, in the context of the call that it serves: with a gateway r is its
// Services and cc its Conn, and its authorizer is asked about each call, with
// "/" + service + "/" + method as the method. cc decides who may call; this package
// does not. Register panics if cc is nil.
//
// A method has another name here than in a .proto, and Java compares names without
// case. So an authorizer that lists methods must list those that are allowed, not those
// that are forbidden.
func Register(r grpc.ServiceRegistrar, cc grpc.ClientConnInterface) {
	if cc == nil {
		panic("pushtunnel: dynamic.Register needs a connection to the clients") //nolint:forbidigo // misuse at start-up
	}
	desc := pb.Dynamic_ServiceDesc
	desc.Methods = []grpc.MethodDesc{{MethodName: desc.Methods[0].MethodName, Handler: handle}}
	r.RegisterService(&desc, &service{cc: cc})
}

// service is the service Dynamic.
type service struct {
	pb.UnimplementedDynamicServer
	cc grpc.ClientConnInterface
}

// handle is the generated handler, but that it looks at a request before it is decoded:
// nobody has said yet that the caller may call.
func handle(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	encoded := new(emptypb.Empty) // keeps all that it does not know
	if err := decode(encoded); err != nil {
		return nil, err
	}
	in := new(pb.InvokeRequest)
	data := encoded.ProtoReflect().GetUnknown()
	if err := bounded(data, in.ProtoReflect().Descriptor()); err != nil {
		return nil, notSent(codeOf(err), "the request: "+err.Error())
	}
	if err := proto.Unmarshal(data, in); err != nil {
		return nil, notSent(codes.InvalidArgument, "the request: "+errMalformed.Error())
	}
	s := srv.(pb.DynamicServer)
	if interceptor == nil {
		return s.Invoke(ctx, in)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: pb.Dynamic_Invoke_FullMethodName}
	return interceptor(ctx, in, info, func(ctx context.Context, req any) (any, error) {
		return s.Invoke(ctx, req.(*pb.InvokeRequest))
	})
}

// codeOf is the code for a request that is in error.
func codeOf(err error) codes.Code {
	if errors.Is(err, errTooMany) {
		return codes.ResourceExhausted
	}
	return codes.InvalidArgument
}

func notSent(code codes.Code, text string) error {
	return tunnel.NewError(status.New(code, "pushtunnel: "+text), tunnel.OutcomeNotSent, nil)
}

// Invoke makes a call.
func (s *service) Invoke(ctx context.Context, r *pb.InvokeRequest) (*pb.InvokeResponse, error) {
	if !named(r.GetService()) || !named(r.GetMethod()) {
		return nil, notSent(codes.InvalidArgument, `a call needs the names of a Java service and method, without "/" and what cannot be seen in them`)
	}
	if n := len(r.GetArguments()); n > maxArguments {
		return nil, notSent(codes.InvalidArgument, fmt.Sprintf("%d arguments; a Java method has %d at most", n, maxArguments))
	}
	args, err := fromProtos(r.GetArguments())
	if err != nil {
		return nil, notSent(codeOf(err), r.GetService()+"."+r.GetMethod()+": argument "+err.Error())
	}
	v, err := native.Invoke(ctx, s.cc, r.GetService(), r.GetMethod(), args)
	if err != nil {
		return nil, err
	}
	result, err := ToProto(v)
	switch {
	case errors.Is(err, errTooMany), errors.Is(err, errTooDeep):
		return nil, status.Errorf(codes.ResourceExhausted, "pushtunnel: the result: %v", err)
	case err != nil:
		return nil, status.Errorf(codes.Internal, "pushtunnel: the result: %v", err)
	}
	return &pb.InvokeResponse{Result: result}, nil
}

// maxArguments is how many parameters a Java method has at most.
const maxArguments = 255

// maxName is how long the name of a service or method is at most, in bytes.
const maxName = 1024

// named reports whether a text can be the name of a service or method. An authorizer
// sees both with a "/" between them, so neither has one.
func named(s string) bool {
	bad := func(r rune) bool { return r == '/' || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }
	return s != "" && len(s) <= maxName && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, bad)
}
