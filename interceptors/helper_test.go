package interceptors_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

const (
	receiveMethod = "/examples.userpush.v1.UserPushApi/ClientReceive"
	duplexMethod  = "/grpc.testing.TestService/FullDuplexCall"
)

// service is what a client serves: a unary method, which the native protocol can
// carry, and a streaming one.
type service struct {
	pb.UnimplementedUserPushApiServer
	testgrpc.UnimplementedTestServiceServer
	receive func(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error)
	duplex  func(testgrpc.TestService_FullDuplexCallServer) error
}

func (s *service) ClientReceive(ctx context.Context, r *pb.ClientReceiveRequest) (*pb.PushResult, error) {
	if s.receive == nil {
		return &pb.PushResult{Result: r.GetExtra()}, nil
	}
	return s.receive(ctx, r)
}

func (s *service) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	return s.duplex(stream)
}

// world is a server whose clients come by gRPC streams or the native protocol, in
// memory.
type world struct {
	*tunneltest.Server
	native   *bufconn.Listener
	endpoint *native.Endpoint
}

// newWorld starts a server with these interceptors.
func newWorld(t *testing.T, callers []interceptors.Caller, opts ...server.Option) *world {
	t.Helper()
	unary, stream := interceptors.Callers(callers...)
	opts = append(opts, server.WithUnaryInterceptors(unary...), server.WithStreamInterceptors(stream...), server.WithIdentity(server.TrustClaims))
	w := &world{Server: tunneltest.NewServer(t, opts...), native: bufconn.Listen(1 << 20)}
	served := make(chan error, 1)
	go func() { served <- w.Serve(w.native, native.Protocol(native.WithPushes(&pb.UserPushApi_ServiceDesc))) }()
	w.endpoint = native.Dialer("in memory", native.WithDialFunc(func(ctx context.Context, _ string) (net.Conn, error) { return w.native.DialContext(ctx) }))
	t.Cleanup(func() {
		w.endpoint.Close()
		w.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return w
}

// running is a client that serves until the test ends, or stop is called.
type running struct {
	connected chan tunnel.Peer
	stop      func()
}

// connect starts a client with these interceptors, and returns when it is there.
func (w *world) connect(t *testing.T, way, name string, s *service, handlers []interceptors.Handler, opts ...client.Option) *running {
	t.Helper()
	r := w.start(t, way, name, s, handlers, opts...)
	<-r.connected
	synctest.Wait() // the server has it, too
	return r
}

func (w *world) start(t *testing.T, way, name string, s *service, handlers []interceptors.Handler, opts ...client.Option) *running {
	t.Helper()
	r := &running{connected: make(chan tunnel.Peer, 100)}
	unary, stream := interceptors.Handlers(handlers...)
	opts = append(opts, client.WithUnaryInterceptors(unary...), client.WithStreamInterceptors(stream...),
		client.WithHooks(client.Hooks{Connected: func(p tunnel.Peer) { r.connected <- p }}))
	var c *client.Client
	if way == "native" {
		c = client.NewDialer(w.endpoint, name, opts...)
	} else {
		c = client.New(w.Dial(t), name, opts...)
		testgrpc.RegisterTestServiceServer(c, s)
	}
	pb.RegisterUserPushApiServer(c, s)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := c.Serve(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("client %q: %v", name, err)
		}
	}()
	r.stop = func() {
		cancel()
		<-stopped
	}
	t.Cleanup(r.stop)
	return r
}

// receive makes a unary push. It does not wait for more than a day of the bubble.
func receive(ctx context.Context, cc grpc.ClientConnInterface, text string, opts ...grpc.CallOption) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 24*time.Hour)
	defer cancel()
	r, err := pb.NewUserPushApiClient(cc).ClientReceive(ctx, &pb.ClientReceiveRequest{Extra: text, Data: &pb.PushData{}}, opts...)
	return r.GetResult(), err
}

// kinds are unary and streaming pushes, as far as their beginning is concerned.
var kinds = []struct {
	name  string
	begin func(context.Context, grpc.ClientConnInterface, ...grpc.CallOption) error
}{
	{"unary", func(ctx context.Context, cc grpc.ClientConnInterface, opts ...grpc.CallOption) error {
		_, err := pb.NewUserPushApiClient(cc).ClientReceive(ctx, &pb.ClientReceiveRequest{}, opts...)
		return err
	}},
	{"stream", func(ctx context.Context, cc grpc.ClientConnInterface, opts ...grpc.CallOption) error {
		_, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(ctx, opts...)
		return err
	}},
}

// answer is a pair of interceptors that answers calls itself, by f.
func answer(f func(ctx context.Context, method string) error) interceptors.Caller {
	return interceptors.Caller{
		Unary: func(ctx context.Context, method string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
			return f(ctx, method)
		},
		Stream: func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, method string, _ grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
			return nil, f(ctx, method)
		},
	}
}

// count is a pair of interceptors that counts what begins.
func count(n *int) interceptors.Caller {
	return interceptors.Caller{
		Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			*n++
			return invoke(ctx, method, req, reply, cc, opts...)
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			*n++
			return next(ctx, desc, cc, method, opts...)
		},
	}
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// wantError checks an error's code and outcome.
func wantError(t *testing.T, err error, code codes.Code, outcome tunnel.Outcome) {
	t.Helper()
	if status.Code(err) != code || tunnel.OutcomeOf(err) != outcome {
		t.Fatalf("got %v, %v (%v), want %v, %v", status.Code(err), tunnel.OutcomeOf(err), err, code, outcome)
	}
}

func callers(all ...interceptors.Caller) []interceptors.Caller    { return all }
func handlers(all ...interceptors.Handler) []interceptors.Handler { return all }

// inBubble runs a test for each way that clients come.
func inBubble(t *testing.T, test func(t *testing.T, way string)) {
	t.Helper()
	for _, way := range []string{"grpc", "native"} {
		t.Run(way, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, way) }) })
	}
}
