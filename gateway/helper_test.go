package gateway_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// allowAll is for tests that are not about who may push.
func allowAll(context.Context, gateway.Request) error { return nil }

// world is a server with a gateway, in memory.
type world struct {
	push     *server.Server
	listener *bufconn.Listener
	direct   bool // clients use the direct transport
}

// setup is what a test wants of a world. The zero value lets everybody push.
type setup struct {
	authorize gateway.Authorizer
	gateway   []gateway.Option
	push      []server.Option
	grpc      []grpc.ServerOption
	register  func(grpc.ServiceRegistrar)          // the server's own services
	own       func(*gateway.Gateway, *grpc.Server) // those that call clients
	copies    bool                                 // the server has gRPC's own codec
	direct    bool
}

func newWorld(t testing.TB, s setup) *world {
	t.Helper()
	if s.authorize == nil {
		s.authorize = allowAll
	}
	w := &world{push: server.New(s.push...), listener: bufconn.Listen(1 << 20), direct: s.direct}
	gw := gateway.New(w.push, s.authorize, s.gateway...)
	opts := append([]grpc.ServerOption{w.push.Direct(nil)}, s.grpc...)
	if s.copies {
		opts = append(opts, grpc.UnknownServiceHandler(gw.Handle),
			grpc.ChainStreamInterceptor(gw.StreamInterceptor()), grpc.ChainUnaryInterceptor(gw.UnaryInterceptor()))
	} else {
		opts = append(opts, gw.ServerOptions()...)
	}
	g := grpc.NewServer(opts...)
	w.push.Register(g)
	if s.register != nil {
		s.register(g)
	}
	if s.own != nil {
		s.own(gw, g)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(w.listener) }()
	t.Cleanup(func() {
		w.push.Close()
		g.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("the gRPC server: %v", err)
		}
	})
	return w
}

// dialConn returns a network connection to the server.
func (w *world) dialConn(ctx context.Context) (net.Conn, error) { return w.listener.DialContext(ctx) }

// dial returns a gRPC connection to the server.
func (w *world) dial(t testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///gateway", append(opts,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.dialConn(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// caller returns a connection whose calls all carry these pairs of metadata.
func (w *world) caller(t testing.TB, pairs ...string) *grpc.ClientConn {
	t.Helper()
	return w.dial(t,
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, pairs...), method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return next(metadata.AppendToOutgoingContext(ctx, pairs...), desc, cc, method, opts...)
		}))
}

// connect connects a client, and returns when it takes calls. stop disconnects it.
func (w *world) connect(t testing.TB, name string, register func(grpc.ServiceRegistrar), opts ...client.Option) (peer tunnel.Peer, stop func()) {
	t.Helper()
	if w.direct {
		opts = append(opts, client.WithDirectDialer(w.dialConn))
	}
	connected := make(chan tunnel.Peer, 1)
	var once sync.Once
	opts = append(opts, client.WithHooks(client.Hooks{Connected: func(p tunnel.Peer) { once.Do(func() { connected <- p }) }}))
	c := client.New(w.dial(t), name, opts...)
	if register != nil {
		register(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := c.Serve(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("client %q: %v", name, err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-served
	})
	t.Cleanup(stop)
	select {
	case p := <-connected:
		return p, stop
	case <-served:
		t.Fatalf("client %q has stopped", name)
		return tunnel.Peer{}, nil
	}
}

// service is a client's service whose handlers are functions.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	unary  func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error)
	stream func(testgrpc.TestService_FullDuplexCallServer) error
}

func (s *service) UnaryCall(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return s.unary(ctx, r)
}

func (s *service) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	return s.stream(stream)
}

func (s *service) register(r grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(r, s) }

// answers is a service that answers every unary call with this label.
func answers(label string) func(grpc.ServiceRegistrar) {
	return (&service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return &testgrpc.SimpleResponse{ServerId: label}, nil
	}}).register
}

// ask makes a unary call with these pairs of metadata, and returns who answered and
// the outcome that the trailer says.
func ask(ctx context.Context, cc grpc.ClientConnInterface, pairs ...string) (label, outcome string, err error) {
	var trailer metadata.MD
	ctx = metadata.AppendToOutgoingContext(ctx, pairs...)
	r, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{}, grpc.Trailer(&trailer))
	if v := trailer.Get(gateway.OutcomeKey); len(v) > 0 {
		outcome = v[0]
	}
	return r.GetServerId(), outcome, err
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}
