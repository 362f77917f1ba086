package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pushtunnel/pushtunnel/interceptors"
)

// door is a service whose request has a rule. It is what this would be compiled to:
//
//	service Door {
//	  rpc Open(OpenRequest) returns (OpenResponse);
//	  rpc Watch(OpenRequest) returns (stream OpenResponse);
//	}
//	message OpenRequest {
//	  string code = 1 [(buf.validate.field).string.min_len = 4];
//	}
//	message OpenResponse {}
//
// It is made here so that the example needs no generated code of rules.
var door = sync.OnceValue(func() protoreflect.FileDescriptor {
	rule := &descriptorpb.FieldOptions{}
	proto.SetExtension(rule, validate.E_Field, validate.FieldRules_builder{
		String: validate.StringRules_builder{MinLen: proto.Uint64(4)}.Build(),
	}.Build())
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:       new("examples/interceptors/door.proto"),
		Package:    new("examples.interceptors.v1"),
		Syntax:     new("proto3"),
		Dependency: []string{validate.File_buf_validate_validate_proto.Path()},
		Options:    &descriptorpb.FileOptions{JavaPackage: new("com.example.door")},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("OpenRequest"), Field: []*descriptorpb.FieldDescriptorProto{{
				Name: new("code"), Number: proto.Int32(1), Options: rule,
				Type:  descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}}},
			{Name: new("OpenResponse")},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Door"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: new("Open"), InputType: new("OpenRequest"), OutputType: new("OpenResponse")},
			{Name: new("Watch"), InputType: new("OpenRequest"), OutputType: new("OpenResponse"), ServerStreaming: new(true)},
		}}},
	}, protoregistry.GlobalFiles)
	if err == nil {
		err = protoregistry.GlobalFiles.RegisterFile(file) // where the native protocol looks for it
	}
	if err != nil {
		panic(err)
	}
	return file
})

const (
	openMethod  = "/examples.interceptors.v1.Door/Open"
	watchMethod = "/examples.interceptors.v1.Door/Watch"
)

func message(name protoreflect.Name) *dynamicpb.Message {
	return dynamicpb.NewMessage(door().Messages().ByName(name))
}

// openRequest is an OpenRequest with this code.
func openRequest(code string) *dynamicpb.Message {
	m := message("OpenRequest")
	m.Set(m.Descriptor().Fields().ByName("code"), protoreflect.ValueOfString(code))
	return m
}

// doorDesc is Door with a handler that counts its calls.
func doorDesc(calls *int) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "examples.interceptors.v1.Door",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Open",
			Handler: func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
				in := message("OpenRequest")
				if err := dec(in); err != nil {
					return nil, err
				}
				return i(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: openMethod}, func(context.Context, any) (any, error) {
					*calls++
					return message("OpenResponse"), nil
				})
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Watch", ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				if err := stream.RecvMsg(message("OpenRequest")); err != nil {
					return err
				}
				*calls++
				return stream.SendMsg(message("OpenResponse"))
			},
		}},
	}
}

// open makes a push of this code.
func open(ctx context.Context, w way, cc grpc.ClientConnInterface, code string) error {
	if w.name != "stream" {
		return cc.Invoke(ctx, openMethod, openRequest(code), message("OpenResponse"))
	}
	s, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, watchMethod)
	if err != nil {
		return err
	}
	if err := errors.Join(s.SendMsg(openRequest(code)), s.CloseSend()); err != nil {
		return err
	}
	for {
		if err := s.RecvMsg(message("OpenResponse")); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func TestProtovalidateServing(t *testing.T) {
	v, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	serving := interceptors.Handler{Unary: middleware.UnaryServerInterceptor(v), Stream: middleware.StreamServerInterceptor(v)}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				push := start(t, w, interceptors.Caller{}, serving, doorDesc(&calls), nil)
				wantCode(t, open(within(t), w, push.Client("c1"), "1234"), codes.OK)
				err := open(within(t), w, push.Client("c1"), "123")
				wantCode(t, err, w.code(codes.InvalidArgument))
				if calls != 1 {
					t.Errorf("the handler ran %d times, want once", calls)
				}
				if w.native {
					return
				}
				// The violation is told as a detail, so that a program can read it.
				details := status.Convert(err).Details()
				if len(details) != 1 {
					t.Fatalf("got the details %v, want one", details)
				}
				got, ok := details[0].(*validate.Violations)
				if !ok || len(got.GetViolations()) != 1 || got.GetViolations()[0].GetRuleId() != "string.min_len" {
					t.Errorf("got the detail %v, want the violation of string.min_len", details[0])
				}
			})
		})
	}
}
