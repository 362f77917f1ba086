package native_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// long is more than anything in a test takes.
const long = 20 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}

// echo implements EchoService.
type echo struct {
	pb.UnimplementedEchoServiceServer
	do func(context.Context, *pb.EchoRequest) (*pb.EchoResponse, error)
}

func (e *echo) Echo(ctx context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
	if e.do != nil {
		return e.do(ctx, r)
	}
	return &pb.EchoResponse{Message: r.GetMessage()}, nil
}

// receiver implements UserPushApi.
type receiver struct {
	pb.UnimplementedUserPushApiServer
	name string
	do   func(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error)
}

func (r *receiver) ClientReceive(ctx context.Context, in *pb.ClientReceiveRequest) (*pb.PushResult, error) {
	if r.do != nil {
		return r.do(ctx, in)
	}
	return &pb.PushResult{Result: r.name + " " + in.GetExtra() + " " + in.GetData().GetData()}, nil
}

// world is a server that native clients connect to.
type world struct {
	*server.Server
	addr string
	came chan string
	gone chan error
}

func newWorld(t testing.TB, impl pb.EchoServiceServer, opts ...native.Option) *world {
	t.Helper()
	w := &world{came: make(chan string, 100), gone: make(chan error, 100)}
	w.Server = server.New(server.WithHooks(server.Hooks{
		Connected:    func(s *server.Session) { w.came <- s.Name() },
		Disconnected: func(_ *server.Session, err error) { w.gone <- err },
	}))
	var services native.Services
	if impl != nil {
		pb.RegisterEchoServiceServer(&services, impl)
	}
	opts = append([]native.Option{native.WithPushes(&pb.UserPushApi_ServiceDesc), native.WithServices(&services)}, opts...)
	w.addr = w.listen(t, native.Protocol(opts...))
	return w
}

func (w *world) listen(t testing.TB, p ...protocol) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(l, p...) }()
	t.Cleanup(func() {
		w.Close()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// push calls a client of the name.
func (w *world) push(ctx context.Context, name, extra, data string) (string, error) {
	r, err := pb.NewUserPushApiClient(w.Client(name)).ClientReceive(ctx,
		&pb.ClientReceiveRequest{Extra: extra, Data: &pb.PushData{Data: data}}, grpc.WaitForReady(true))
	return r.GetResult(), err
}

// dial serves pushes as a Go client until the test ends, or stop is called.
func dial(t testing.TB, e *native.Endpoint, name string, impl pb.UserPushApiServer, opts ...client.Option) (stop func()) {
	t.Helper()
	connected := make(chan struct{}, 10)
	opts = append(opts, client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { connected <- struct{}{} }}))
	c := client.NewDialer(e, name, opts...)
	if impl == nil {
		impl = &receiver{name: name}
	}
	pb.RegisterUserPushApiServer(c, impl)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.Serve(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	await(t, connected, "session")
	return stop
}

func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(long):
		t.Fatal("no", what)
	}
	return v
}
