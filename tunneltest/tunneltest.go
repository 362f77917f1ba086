// Package tunneltest helps to test programs that push: a server and its clients
// in one process, over real gRPC in memory.
//
//	push := tunneltest.NewServer(t)
//	push.Connect(t, "c1", func(r grpc.ServiceRegistrar) { pb.RegisterNotifierServer(r, fake) })
//	_, err := pb.NewNotifierClient(push.Client("c1")).Notify(ctx, msg)
//
// All of it works in testing/synctest bubbles.
package tunneltest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// bufferSize is how many bytes a connection in memory holds.
const bufferSize = 1 << 20

// Server is a server.Server that clients reach in memory.
type Server struct {
	*server.Server
	listener *bufconn.Listener
}

// NewServer starts a Server. It is closed at the end of the test, after its
// clients.
func NewServer(tb testing.TB, opts ...server.Option) *Server {
	tb.Helper()
	s := &Server{Server: server.New(opts...), listener: bufconn.Listen(bufferSize)}
	g := grpc.NewServer(s.Direct(nil))
	s.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(s.listener) }()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("tunneltest: closing the server: %v", err)
		}
		g.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			tb.Errorf("tunneltest: the gRPC server: %v", err)
		}
	})
	return s
}

// Connect connects a client of this name that serves what register registers,
// and returns it when it is connected. It is stopped at the end of the test, or
// by its Shutdown.
func (s *Server) Connect(tb testing.TB, name string, register func(grpc.ServiceRegistrar), opts ...client.Option) *client.Client {
	tb.Helper()
	cc := s.Dial(tb)
	connected := make(chan struct{})
	var once sync.Once
	opts = append(opts, client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { once.Do(func() { close(connected) }) }}))
	c := client.New(cc, name, opts...)
	if register != nil {
		register(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
			tb.Errorf("tunneltest: client %q: %v", name, err)
		}
	})
	select {
	case <-connected:
	case err := <-served:
		served <- nil
		tb.Fatalf("tunneltest: client %q: %v", name, err)
	}
	return c
}

// DialConn returns a network connection to the server, for client.WithDirectDialer.
func (s *Server) DialConn(ctx context.Context) (net.Conn, error) { return s.listener.DialContext(ctx) }

// Dial returns a gRPC connection to the server, for clients of the test's own.
// It is closed at the end of the test.
func (s *Server) Dial(tb testing.TB) *grpc.ClientConn {
	tb.Helper()
	cc, err := grpc.NewClient("passthrough:///tunneltest",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatalf("tunneltest: %v", err)
	}
	tb.Cleanup(func() { cc.Close() })
	return cc
}
