package client_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// What is registered is told as a grpc.Server tells it, which is what stock
// reflection builds on.
func TestGetServiceInfo(t *testing.T) {
	c, g := client.New(nil, "c1"), grpc.NewServer()
	if got := len(c.GetServiceInfo()); got != 0 {
		t.Errorf("got %d services, want none", got)
	}
	for _, r := range []grpc.ServiceRegistrar{c, g} {
		testgrpc.RegisterTestServiceServer(r, interop.NewTestServer())
		testgrpc.RegisterReconnectServiceServer(r, &testgrpc.UnimplementedReconnectServiceServer{})
	}
	got, want := c.GetServiceInfo(), g.GetServiceInfo()
	if len(got) != len(want) {
		t.Fatalf("got %d services, want %d", len(got), len(want))
	}
	byName := func(a, b grpc.MethodInfo) int { return strings.Compare(a.Name, b.Name) }
	for name, want := range want {
		got := got[name]
		slices.SortFunc(got.Methods, byName)
		slices.SortFunc(want.Methods, byName)
		if !slices.Equal(got.Methods, want.Methods) || got.Metadata != want.Metadata {
			t.Errorf("service %s: got %+v, want %+v", name, got, want)
		}
	}
}

func wantPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got, ok := recover().(string); !ok || !strings.Contains(got, text) {
			t.Errorf("got a panic of %q, want one that has %q", got, text)
		}
	}()
	f()
}

func TestRegisterServicePanicsOnMisuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		register := func(r grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(r, interop.NewTestServer()) }
		c := push.Connect(t, "c1", register)
		wantPanic(t, "service grpc.testing.ReconnectService is registered after serving has begun", func() {
			testgrpc.RegisterReconnectServiceServer(c, &testgrpc.UnimplementedReconnectServiceServer{})
		})
		other := client.New(nil, "c2")
		register(other)
		wantPanic(t, "service grpc.testing.TestService is registered twice", func() { register(other) })
		wantPanic(t, "does not implement", func() { other.RegisterService(&testgrpc.ReconnectService_ServiceDesc, interop.NewTestServer()) })
	})
}

// A handler of unknown methods gets the calls of all methods that are not registered,
// with their names, whatever their kind; interceptors see them as streams.
func TestUnknownServiceHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var methods, intercepted []string
		echo := func(_ any, s grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(s)
			methods = append(methods, method)
			for {
				m := new(emptypb.Empty) // keeps what it does not know
				if err := s.RecvMsg(m); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
		}
		see := func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			intercepted = append(intercepted, info.FullMethod)
			return next(srv, s)
		}
		push := tunneltest.NewServer(t)
		push.Connect(t, "c1", func(r grpc.ServiceRegistrar) {
			testgrpc.RegisterReconnectServiceServer(r, testgrpc.UnimplementedReconnectServiceServer{})
		}, client.WithUnknownServiceHandler(echo), client.WithStreamInterceptors(see))
		stub := testgrpc.NewTestServiceClient(push.Client("c1"))

		payload := &testgrpc.Payload{Type: testgrpc.PayloadType_COMPRESSABLE, Body: []byte("bytes")}
		answer, err := stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{ResponseType: 0, Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		// The payload is field 3 of a request. In an answer that is a text.
		if want := "\x12\x05bytes"; answer.GetOauthScope() != want {
			t.Errorf("got %v, want the request's bytes, %q in field 3", answer, want)
		}
		s, err := stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := s.Send(&testgrpc.StreamingOutputCallRequest{Payload: payload}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != io.EOF {
			t.Errorf("got %v, want io.EOF", err)
		}
		want := []string{"/grpc.testing.TestService/UnaryCall", "/grpc.testing.TestService/FullDuplexCall"}
		if !slices.Equal(methods, want) || !slices.Equal(intercepted, want) {
			t.Errorf("got %q and %q intercepted, want %q", methods, intercepted, want)
		}

		// A method that is registered is not unknown, and a name that is none is refused.
		_, err = testgrpc.NewReconnectServiceClient(push.Client("c1")).Start(t.Context(), &testgrpc.ReconnectParams{})
		if status.Code(err) != codes.Unimplemented || len(methods) != 2 {
			t.Errorf("got %v after %q, want the registered method's UNIMPLEMENTED", err, methods)
		}
		err = push.Client("c1").Invoke(t.Context(), "no-slash", &testgrpc.Empty{}, &testgrpc.Empty{})
		if status.Code(err) != codes.Unimplemented || len(methods) != 2 {
			t.Errorf("got %v after %q, want UNIMPLEMENTED for a malformed name", err, methods)
		}
	})
}

// Interceptors wrap the handlers, the first one outermost.
func TestInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		unary := func(label string) grpc.UnaryServerInterceptor {
			return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				got = append(got, label+" "+info.FullMethod)
				return next(ctx, req)
			}
		}
		stream := func(label string) grpc.StreamServerInterceptor {
			return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				got = append(got, label+" "+info.FullMethod)
				return next(srv, ss)
			}
		}
		push := tunneltest.NewServer(t)
		push.Connect(t, "c1", func(r grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(r, interop.NewTestServer()) },
			client.WithUnaryInterceptors(unary("u1"), unary("u2")), client.WithUnaryInterceptors(unary("u3")),
			client.WithStreamInterceptors(stream("s1"), stream("s2")), client.WithStreamInterceptors(stream("s3")))
		stub := testgrpc.NewTestServiceClient(push.Client("c1"))
		if _, err := stub.EmptyCall(t.Context(), &testgrpc.Empty{}); err != nil {
			t.Fatal(err)
		}
		const name = " /grpc.testing.TestService/"
		if want := []string{"u1" + name + "EmptyCall", "u2" + name + "EmptyCall", "u3" + name + "EmptyCall"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		got = nil
		s, err := stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		s.Recv()
		if want := []string{"s1" + name + "FullDuplexCall", "s2" + name + "FullDuplexCall", "s3" + name + "FullDuplexCall"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
