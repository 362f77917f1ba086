package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// stream is the server's end of a stream that the test plays.
type stream = grpc.BidiStreamingServer[pb.Batch, pb.Batch]

// script is a server that the test plays: a function for each stream, which gets
// the stream's number, from 0.
type script struct {
	pb.UnimplementedPushTunnelServer
	play  func(n int, s stream) error
	turns chan int // holds the next stream's number
}

func (s *script) Connect(stream stream) error {
	n := <-s.turns
	s.turns <- n + 1
	return s.play(n, stream)
}

// play starts a gRPC server with a scripted service, and returns a connection
// to it.
func play(t *testing.T, f func(n int, s stream) error) *grpc.ClientConn {
	t.Helper()
	s := &script{play: f, turns: make(chan int, 1)}
	s.turns <- 0
	return listen(t, func(g *grpc.Server) { pb.RegisterPushTunnelServer(g, s) })
}

// listen starts a gRPC server with some services, and returns a connection to it.
func listen(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	// The client's messages have a codec of their own, for speed; the bytes are
	// those of proto.
	g := grpc.NewServer(grpc.ForceServerCodecV2(encoding.GetCodecV2(proto.Name)), grpc.WaitForHandlers(true))
	register(g)
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	cc := connection(t, func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
	t.Cleanup(func() {
		g.Stop()
		<-served
	})
	return cc
}

func connection(t *testing.T, dial func(context.Context, string) (net.Conn, error)) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///test", grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// welcome reads the client's hello and answers it. The session's id is made of
// the stream's number.
func welcome(n int, s stream) (*pb.Hello, error) {
	batch, err := s.Recv()
	if err != nil {
		return nil, err
	}
	if len(batch.GetFrames()) != 1 || batch.GetFrames()[0].GetHello() == nil {
		return nil, fmt.Errorf("got %v, want a batch of one hello", batch)
	}
	return batch.GetFrames()[0].GetHello(), send(s, &pb.Frame{Hello: &pb.Hello{
		Version: 1, SessionId: fmt.Sprintf("session-%d", n), CallWindow: 64 << 10, MaxMetadata: 64 << 10,
	}})
}

func send(s stream, frames ...*pb.Frame) error { return s.Send(&pb.Batch{Frames: frames}) }

// part does the server's share of a parting in order, which the client begins.
func part(s stream) error {
	if err := until(s, func(f *pb.Frame) bool { return f.GetGoAway() != nil }); err != nil {
		return err
	}
	if err := send(s, &pb.Frame{Done: true}); err != nil {
		return err
	}
	return finish(s)
}

// until reads frames until one is found.
func until(s stream, found func(*pb.Frame) bool) error {
	for {
		batch, err := s.Recv()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(batch.GetFrames(), found) {
			return nil
		}
	}
}

// finish waits for the client to end the stream.
func finish(s stream) error {
	err := until(s, func(*pb.Frame) bool { return false })
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// serve is welcome, then part.
func serve(n int, s stream) error {
	if _, err := welcome(n, s); err != nil {
		return err
	}
	return part(s)
}

// retries notes what a client's Retry hook is told.
type retries struct {
	at    []time.Time
	after []time.Duration
	errs  []error
	times chan int // gets how many there have been, each time
}

func newRetries() *retries { return &retries{times: make(chan int, 1000)} }

func (r *retries) option() client.Option {
	return client.WithHooks(client.Hooks{Retry: func(err error, after time.Duration) {
		r.at, r.after, r.errs = append(r.at, time.Now()), append(r.after, after), append(r.errs, err)
		r.times <- len(r.at)
	}})
}

// connections notes the sessions of a client.
type connections struct {
	came chan tunnel.Peer
	went chan error
}

func newConnections() *connections {
	return &connections{came: make(chan tunnel.Peer, 1000), went: make(chan error, 1000)}
}

func (c *connections) option() client.Option {
	return client.WithHooks(client.Hooks{
		Connected:    func(p tunnel.Peer) { c.came <- p },
		Disconnected: func(_ tunnel.Peer, err error) { c.went <- err },
	})
}

// running is a Serve under way.
type running struct {
	*client.Client
	cancel context.CancelFunc
	served chan struct{} // closed when it has returned
	err    error         // what it returned
}

// run makes a client serve until the test ends.
func run(t *testing.T, cc grpc.ClientConnInterface, opts ...client.Option) *running {
	t.Helper()
	r := &running{Client: client.New(cc, "c1", opts...), served: make(chan struct{})}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(r.served)
		r.err = r.Serve(ctx)
	}()
	t.Cleanup(func() {
		r.cancel()
		<-r.served
	})
	return r
}

// wantServed checks that Serve has returned, or returns at once, with this error.
func (r *running) wantServed(t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case <-r.served:
		if !errors.Is(r.err, want) {
			t.Fatalf("Serve: got %v, want %v", r.err, want)
		}
	default:
		t.Fatalf("got a Serve that goes on, want one that returned %v", want)
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

// elapsed checks how much time of the bubble has passed.
func elapsed(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got != want {
		t.Fatalf("got an end after %v, want it after %v", got, want)
	}
}

// hangingDial is a dial that nobody answers.
func hangingDial(ctx context.Context, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
