package server_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

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

// hangs is a service whose unary calls last until they are cancelled. Each sends
// on began first.
func hangs(began chan<- struct{}) func(grpc.ServiceRegistrar) {
	return (&service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}).register
}

// ask makes a unary call and returns the label of who answered. It does not wait
// for more than a day of the bubble, so that a call which hangs fails its test.
func ask(ctx context.Context, cc grpc.ClientConnInterface, opts ...grpc.CallOption) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 24*time.Hour)
	defer cancel()
	r, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{}, opts...)
	return r.GetServerId(), err
}

// wantAnswer checks who answers a unary call.
func wantAnswer(t *testing.T, cc grpc.ClientConnInterface, want string) {
	t.Helper()
	if got, err := ask(t.Context(), cc); got != want || err != nil {
		t.Fatalf("got an answer of %q, %v, want one of %q", got, err, want)
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

// wantNotSent checks a call's error: its code, its text, and that nothing was
// sent.
func wantNotSent(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	st, ok := status.FromError(err)
	if !ok || st.Code() != code || st.Message() != text || !tunnel.NotSent(err) {
		t.Fatalf("got %v %q, not sent: %v, want %v %q, not sent: true", st.Code(), st.Message(), tunnel.NotSent(err), code, text)
	}
}

// running is a client that serves.
type running struct {
	*client.Client
	connected chan tunnel.Peer // gets every session that opens
	stopped   chan struct{}    // closed when Serve has returned
	err       error            // what it returned
	cancel    context.CancelFunc
}

// run makes a client serve until the test ends. Unlike tunneltest's it may fail.
func run(t *testing.T, cc grpc.ClientConnInterface, name string, register func(grpc.ServiceRegistrar), opts ...client.Option) *running {
	t.Helper()
	r := &running{connected: make(chan tunnel.Peer, 100), stopped: make(chan struct{})}
	opts = append(opts, client.WithHooks(client.Hooks{Connected: func(p tunnel.Peer) { r.connected <- p }}))
	return r.run(t, client.New(cc, name, opts...), register)
}

// runDialer is run for a client of another transport. Nothing is sent on connected.
func runDialer(t *testing.T, c *client.Client, register func(grpc.ServiceRegistrar)) *running {
	t.Helper()
	return (&running{connected: make(chan tunnel.Peer, 100), stopped: make(chan struct{})}).run(t, c, register)
}

func (r *running) run(t *testing.T, c *client.Client, register func(grpc.ServiceRegistrar)) *running {
	t.Helper()
	r.Client = c
	if register != nil {
		register(r)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(r.stopped)
		r.err = r.Serve(ctx)
	}()
	t.Cleanup(func() {
		r.cancel()
		<-r.stopped
	})
	return r
}

// wantStopped checks that Serve has returned a status of this code.
func (r *running) wantStopped(t *testing.T, want codes.Code) {
	t.Helper()
	synctest.Wait()
	select {
	case <-r.stopped:
		wantCode(t, r.err, want)
	default:
		t.Fatalf("got a client that still serves, want one that stopped with %v", want)
	}
}

// wantServing checks that Serve has not returned.
func (r *running) wantServing(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case <-r.stopped:
		t.Fatalf("got a client that stopped with %v, want one that serves", r.err)
	default:
	}
}

// raw is a stream of a client that the test plays itself.
type raw struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[pb.Batch, pb.Batch]
}

// dialRaw opens a stream with this metadata.
func dialRaw(t *testing.T, cc grpc.ClientConnInterface, pairs ...string) *raw {
	t.Helper()
	stream, err := pb.NewPushTunnelClient(cc).Connect(metadata.AppendToOutgoingContext(t.Context(), pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t: t, stream: stream}
}

func (r *raw) send(frames ...*pb.Frame) {
	r.t.Helper()
	if err := r.stream.Send(&pb.Batch{Frames: frames}); err != nil && !errors.Is(err, io.EOF) {
		r.t.Fatal(err)
	}
}

// hello says hello and returns the server's answer.
func (r *raw) hello(h *pb.Hello) *pb.Hello {
	r.t.Helper()
	h.Version, h.CallWindow, h.MaxCalls, h.MaxMetadata = 1, 64<<10, 100, 64<<10
	r.send(&pb.Frame{Hello: h})
	batch, err := r.stream.Recv()
	if err != nil {
		r.t.Fatal(err)
	}
	if len(batch.GetFrames()) == 0 || batch.GetFrames()[0].GetHello() == nil {
		r.t.Fatalf("got %v, want a batch that begins with a hello", batch)
	}
	return batch.GetFrames()[0].GetHello()
}

// end reads until the server ends the stream, and returns its status.
func (r *raw) end() error {
	for {
		if _, err := r.stream.Recv(); err != nil {
			return err
		}
	}
}

func (r *raw) wantEnd(want codes.Code) {
	r.t.Helper()
	err := r.end()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	wantCode(r.t, err, want)
}

// names returns the names of the sessions that take calls.
func names(push *tunneltest.Server, of ...string) []string {
	got := []string{}
	for s := range push.Sessions(of...) {
		got = append(got, s.Name())
	}
	return got
}

// only returns the only session of a name.
func only(t *testing.T, push *tunneltest.Server, name string) *server.Session {
	t.Helper()
	all := slices.Collect(push.Sessions(name))
	if len(all) != 1 {
		t.Fatalf("got %d sessions of %q, want 1", len(all), name)
	}
	return all[0]
}

// nobody checks that the registry is empty.
func nobody(t *testing.T, push *tunneltest.Server) {
	t.Helper()
	synctest.Wait()
	if names, ids, waiters := push.RegistrySize(); names+ids+waiters != 0 {
		t.Fatalf("got %d names, %d sessions and %d waiters in the registry, want none", names, ids, waiters)
	}
}

func statusOf(code codes.Code) error { return status.Error(code, "because") }

func codeOf(err error) codes.Code { return status.Code(err) }

// wantSame checks two slices.
func wantSame[E comparable](t *testing.T, what string, got, want []E) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
