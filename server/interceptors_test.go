package server_test

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// Interceptors wrap calls to a name and calls to a session alike, the first one
// outermost, and see for whom a call is.
func TestInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		note := func(label string, ctx context.Context, cc *grpc.ClientConn) {
			name, ok := server.TargetFromContext(ctx)
			if !ok || cc != nil {
				t.Errorf("got the target %q, %v and the connection %v, want a target and nil", name, ok, cc)
			}
			got = append(got, label+" "+name)
		}
		unary := func(label string) grpc.UnaryClientInterceptor {
			return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				note(label, ctx, cc)
				return invoke(ctx, method, req, reply, cc, opts...)
			}
		}
		stream := func(label string) grpc.StreamClientInterceptor {
			return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				note(label, ctx, cc)
				return next(ctx, desc, cc, method, opts...)
			}
		}
		push := tunneltest.NewServer(t,
			server.WithUnaryInterceptors(unary("u1"), unary("u2")), server.WithUnaryInterceptors(unary("u3")),
			server.WithStreamInterceptors(stream("s1"), stream("s2")), server.WithStreamInterceptors(stream("s3")))
		push.Connect(t, "c1", (&service{
			unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				return nil, statusOf(codes.NotFound)
			},
			stream: func(testgrpc.TestService_FullDuplexCallServer) error { return statusOf(codes.NotFound) },
		}).register)
		for _, cc := range []grpc.ClientConnInterface{push.Client("c1"), only(t, push, "c1")} {
			got = nil
			_, err := ask(t.Context(), cc)
			wantCode(t, err, codes.NotFound)
			wantSame(t, "interceptors", got, []string{"u1 c1", "u2 c1", "u3 c1"})
			got = nil
			s, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Recv()
			wantCode(t, err, codes.NotFound)
			wantSame(t, "interceptors", got, []string{"s1 c1", "s2 c1", "s3 c1"})
		}
		if name, ok := server.TargetFromContext(t.Context()); ok {
			t.Errorf("outside an interceptor: got the target %q, want none", name)
		}
	})
}
