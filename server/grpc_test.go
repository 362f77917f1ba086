package server_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/server"
)

// serveOn serves push on a gRPC server with these options until the test ends.
func serveOn(t *testing.T, push *server.Server, l net.Listener, opts ...grpc.ServerOption) {
	t.Helper()
	g := grpc.NewServer(opts...)
	push.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		push.Close() //nolint:errcheck // always nil
		g.Stop()
		<-served
	})
}

// dialWith returns a connection that dials like this.
func dialWith(t *testing.T, dial func(context.Context, string) (net.Conn, error)) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() }) //nolint:errcheck // nothing to do about it
	return cc
}

// serveWith is serveOn in memory, and dialWith.
func serveWith(t *testing.T, push *server.Server, opts ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	serveOn(t, push, l, opts...)
	return dialWith(t, func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
}

// holdUp is a stats handler that, when armed, holds up the next message that the
// server sends.
type holdUp struct {
	armed   atomic.Bool
	release chan struct{}
}

func (h *holdUp) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok && h.armed.CompareAndSwap(true, false) {
		<-h.release
	}
}
func (*holdUp) HandleConn(context.Context, stats.ConnStats)                       {}
func (*holdUp) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*holdUp) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
