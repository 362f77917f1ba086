package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/validator"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
)

// These messages are what protoc-gen-validate would have made of the service's: they
// can check themselves.
type (
	checkedNotify  struct{ *pb.NotifyRequest }
	checkedInstall struct{ *pb.InstallRequest }
)

func check(text string) error {
	if text == "" {
		return errors.New("there must be a text")
	}
	return nil
}

func (m checkedNotify) Validate() error  { return check(m.GetText()) }
func (m checkedInstall) Validate() error { return check(m.GetVersion()) }

// checkedDesc is Notifier with these messages.
var checkedDesc = &grpc.ServiceDesc{
	ServiceName: pb.Notifier_ServiceDesc.ServiceName,
	HandlerType: pb.Notifier_ServiceDesc.HandlerType,
	Methods: []grpc.MethodDesc{{
		MethodName: "Notify",
		Handler: func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			in := checkedNotify{new(pb.NotifyRequest)}
			if err := dec(in); err != nil {
				return nil, err
			}
			handler := func(ctx context.Context, req any) (any, error) {
				return srv.(pb.NotifierServer).Notify(ctx, req.(checkedNotify).NotifyRequest)
			}
			if i == nil {
				return handler(ctx, in)
			}
			return i(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: pb.Notifier_Notify_FullMethodName}, handler)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Install", ServerStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			in := checkedInstall{new(pb.InstallRequest)}
			if err := stream.RecvMsg(in); err != nil {
				return err
			}
			return srv.(pb.NotifierServer).Install(in.InstallRequest, &grpc.GenericServerStream[pb.InstallRequest, pb.InstallResponse]{ServerStream: stream})
		},
	}},
	Metadata: pb.Notifier_ServiceDesc.Metadata,
}

// pushChecked makes a push whose request can check itself.
func pushChecked(ctx context.Context, w way, cc grpc.ClientConnInterface, text string) error {
	if w.name == "stream" {
		return install(ctx, cc, text) // nobody checks it at this end
	}
	return cc.Invoke(ctx, w.method, checkedNotify{&pb.NotifyRequest{Text: text}}, new(pb.NotifyResponse))
}

func testValidator(t *testing.T, calling interceptors.Caller, serving interceptors.Handler, code func(way) codes.Code) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				push := start(t, w, calling, serving, checkedDesc, &impl{handle: func(context.Context, string) error {
					calls++
					return nil
				}})
				wantCode(t, pushChecked(within(t), w, push.Client("c1"), "hello"), codes.OK)
				want := code(w)
				wantCode(t, pushChecked(within(t), w, push.Client("c1"), ""), want)
				if (want == codes.OK) != (calls == 2) {
					t.Errorf("the handler ran %d times, want %v to keep it from running the second time", calls, want)
				}
			})
		})
	}
}

// At the end that calls it is for unary calls only.
func TestValidatorCalling(t *testing.T) {
	testValidator(t, interceptors.Caller{Unary: validator.UnaryClientInterceptor()}, interceptors.Handler{}, func(w way) codes.Code {
		if w.name == "stream" {
			return codes.OK
		}
		return codes.InvalidArgument
	})
}

func TestValidatorServing(t *testing.T) {
	serving := interceptors.Handler{Unary: validator.UnaryServerInterceptor(), Stream: validator.StreamServerInterceptor()}
	testValidator(t, interceptors.Caller{}, serving, func(w way) codes.Code { return w.code(codes.InvalidArgument) })
}
