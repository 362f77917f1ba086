package promises_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// direct makes all clients connect with the direct transport. See
// TestOverTheDirectTransport.
var direct bool

// world is a server on a network with faults.
type world struct {
	*server.Server
	net  *faultnet.Network
	dial []grpc.DialOption // of all connections
}

func newWorld(t *testing.T, path faultnet.Config, opts ...server.Option) *world {
	t.Helper()
	return newWorldWith(t, path, server.RecommendedOptions(), client.RecommendedOptions(), opts...)
}

// newWorldWith is newWorld with gRPC options for both ends.
func newWorldWith(t *testing.T, path faultnet.Config, serve []grpc.ServerOption, dial []grpc.DialOption, opts ...server.Option) *world {
	t.Helper()
	w := &world{Server: server.New(opts...), net: faultnet.New(path), dial: dial}
	if direct {
		serve = append(slices.Clip(serve), w.Direct(nil))
	}
	g := grpc.NewServer(serve...)
	w.Register(g)
	listener := w.net.Listener()
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	t.Cleanup(func() {
		w.Close()
		g.Stop()
		if err := <-served; err != nil {
			t.Errorf("the gRPC server: %v", err)
		}
		w.net.Cut()
	})
	return w
}

// connection returns a gRPC connection of its own to the server.
func (w *world) connection(t *testing.T) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///promises", append(slices.Clip(w.dial),
		grpc.WithContextDialer(w.net.DialContext), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}, MinConnectTimeout: time.Second}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// member is a client that serves, with what its hooks have told.
type member struct {
	*client.Client
	came    chan time.Time // when a session opened
	went    chan error     // why one ended
	stopped chan struct{}  // closed when Serve has returned
	stop    context.CancelFunc

	// mu guards what follows.
	mu   sync.Mutex
	lost []time.Time // when sessions ended
}

// connect makes a client serve until the test ends, and waits until it is
// connected. It has no backoff.
func (w *world) connect(t *testing.T, name string, s testgrpc.TestServiceServer, opts ...client.Option) *member {
	t.Helper()
	m := w.start(t, w.connection(t), name, s, opts...)
	<-m.came
	for s := range w.Sessions(name) {
		if got := s.Peer().Protocol; (got == "direct") != direct {
			t.Fatalf("got a session over %q", got)
		}
	}
	return m
}

// start is connect without the waiting.
func (w *world) start(t *testing.T, cc grpc.ClientConnInterface, name string, s testgrpc.TestServiceServer, opts ...client.Option) *member {
	t.Helper()
	m := &member{came: make(chan time.Time, 1000), went: make(chan error, 1000), stopped: make(chan struct{})}
	opts = append([]client.Option{client.WithBackoff(backoff.Config{}), client.WithHooks(client.Hooks{
		Connected: func(tunnel.Peer) { m.came <- time.Now() },
		Disconnected: func(_ tunnel.Peer, err error) {
			m.mu.Lock()
			m.lost = append(m.lost, time.Now())
			m.mu.Unlock()
			m.went <- err
		},
	})}, opts...)
	if direct {
		opts = append(opts, client.WithDirectDialer(func(ctx context.Context) (net.Conn, error) { return w.net.DialContext(ctx, "") }))
	}
	m.Client = client.New(cc, name, opts...)
	testgrpc.RegisterTestServiceServer(m, s)
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	go func() {
		defer close(m.stopped)
		m.Serve(ctx)
	}()
	t.Cleanup(func() {
		m.stop()
		<-m.stopped
	})
	return m
}

// stub returns the stub of the clients of a name.
func (w *world) stub(name string) testgrpc.TestServiceClient {
	return testgrpc.NewTestServiceClient(w.Client(name))
}

// inFlight returns how many calls are under way in all sessions.
func (w *world) inFlight() int {
	n := 0
	for s := range w.Sessions() {
		n += s.InFlight()
	}
	return n
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

// echo answers a unary call with its payload, and each message of a stream with
// that one's.
func echo() *service {
	return &service{
		unary: func(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			return &testgrpc.SimpleResponse{Payload: r.GetPayload()}, nil
		},
		stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			for {
				r, err := s.Recv()
				if err != nil {
					return nilAtEOF(err)
				}
				if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: r.GetPayload()}); err != nil {
					return err
				}
			}
		},
	}
}

func payload(size int) *testgrpc.Payload { return &testgrpc.Payload{Body: make([]byte, size)} }

func request(size int) *testgrpc.SimpleRequest {
	return &testgrpc.SimpleRequest{Payload: payload(size)}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func wantCode(t *testing.T, what string, err error, want ...codes.Code) {
	t.Helper()
	if got := status.Code(err); !slices.Contains(want, got) {
		t.Errorf("%s: got %v (%v), want %v", what, got, err, want)
	}
}

// heap returns the size of the live heap in bytes.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // not that large
}

func nilAtEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
