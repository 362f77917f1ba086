package native

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Invoke calls a method of a peer by its Java names, without a .proto: for tools,
// and for classes that this program does not know. args and the result are values
// of package java. cc is what stubs are made with: a *server.Conn, a
// *server.Session, an *Endpoint, a gateway's Conn. The result of a void method is
// whatever the peer has answered. A peer that is a gRPC client has no such methods: the
// call fails with UNIMPLEMENTED, and nothing is sent.
//
// Package native/dynamic is the same for who is connected to the server by gRPC.
func Invoke(ctx context.Context, cc grpc.ClientConnInterface, service, method string, args []any, opts ...grpc.CallOption) (any, error) {
	var result dynamicReply
	var unfit dynamicCodec
	err := cc.Invoke(ctx, "/"+service+"/"+method, &dynamicArgs{service, method, args}, &result, append(opts[:len(opts):len(opts)], grpc.ForceCodecV2(&unfit))...)
	if err != nil && unfit.asked {
		return nil, refused(codes.Unimplemented, "pushtunnel: %s.%s: the client speaks gRPC and has no Java methods: call it by its services", service, method)
	}
	return result.value, err
}

// dynamicCodec is the codec of Invoke. The native protocol encodes its calls itself, so
// that only another one asks the codec.
type dynamicCodec struct{ asked bool }

func (c *dynamicCodec) Marshal(any) (mem.BufferSlice, error) {
	c.asked = true
	return nil, errNoJava
}

func (*dynamicCodec) Unmarshal(mem.BufferSlice, any) error { return errNoJava }

func (*dynamicCodec) Name() string { return "java" }

var errNoJava = errors.New("pushtunnel: the protocol has no Java methods")

// dynamicArgs is the request of Invoke.
type dynamicArgs struct {
	service, method string
	args            []any
}

// dynamicReply is the reply of Invoke.
type dynamicReply struct{ value any }

// request is a call about to be made.
type request struct {
	call   *tunnel.UnaryCall
	method *method // nil for the dynamic form
	key    string  // the names on the wire, in lower case
	frame  *[]byte // room for the head, and the body
}

// newRequest encodes a call. Its errors say that nothing was sent.
func newRequest(o *options, ms *methods, call *tunnel.UnaryCall) (request, error) {
	r := request{call: call}
	if args, ok := call.Args.(*dynamicArgs); ok {
		return r, r.dynamic(o, args)
	}
	if r.method = ms.byPath[call.Method]; r.method == nil {
		return r, refused(codes.Unimplemented, "pushtunnel: method %s has no Java form here: declare its service with native.WithPushes, or native.WithCalls", call.Method)
	}
	r.key = r.method.key
	message, err := call.Encode()
	if err != nil {
		return r, notSent(err)
	}
	defer message.Free()
	params := bufpool.Pool.Get(message.Len() + frameRoom)
	defer func() { bufpool.Pool.Put(params) }()
	if *params, err = r.method.AppendParameters((*params)[:0], message.ReadOnlyData()); err != nil {
		return r, refused(codes.InvalidArgument, "pushtunnel: method %s: %v", call.Method, err)
	}
	r.frame = o.newFrame(len(*params))
	*r.frame = append(*r.frame, r.method.names...)
	*r.frame = protowire.AppendTag(*r.frame, fieldParameters, protowire.BytesType)
	*r.frame = protowire.AppendBytes(*r.frame, *params)
	return r, nil
}

// The fields of a body that are written apart from the rest (SPBody).
const (
	fieldParameters = 3
	fieldContent    = 4
)

func refused(code codes.Code, format string, args ...any) error {
	return tunnel.NewError(status.Newf(code, format, args...), tunnel.OutcomeNotSent, nil)
}

func (r *request) dynamic(o *options, args *dynamicArgs) error {
	if strings.TrimSpace(args.service) == "" || strings.TrimSpace(args.method) == "" {
		return refused(codes.InvalidArgument, "pushtunnel: a call needs the names of a Java service and method")
	}
	r.key = methodKey(args.service, args.method)
	params, err := java.AppendArgs(nil, args.args)
	if err != nil {
		return refused(codes.InvalidArgument, "pushtunnel: method %s.%s: %v", args.service, args.method, err)
	}
	body := java.Body{Service: args.service, Method: args.method, Parameters: params}
	r.frame = o.newFrame(len(params))
	*r.frame = body.Append(*r.frame)
	return nil
}

// decode puts the body of an answer into the call's reply. It frees the body.
func (r *request) decode(b *[]byte) error {
	defer bufpool.Pool.Put(b)
	body, err := java.ParseBody(*b)
	if err != nil {
		return status.Errorf(codes.Internal, "pushtunnel: the answer to %s cannot be read: %v", r.call.Method, err)
	}
	if reply, ok := r.call.Reply.(*dynamicReply); ok {
		if body.Content == nil {
			return nil
		}
		if reply.value, err = java.Parse(body.Content, java.Limits{}); err != nil {
			return status.Errorf(codes.Internal, "pushtunnel: the answer to %s cannot be read: %v", r.call.Method, err)
		}
		return nil
	}
	message, err := r.method.Response(body.Content, body.Content != nil)
	if err != nil {
		return status.Errorf(codes.Internal, "pushtunnel: the answer to %s cannot be read: %v", r.call.Method, err)
	}
	return r.call.Decode(message)
}
