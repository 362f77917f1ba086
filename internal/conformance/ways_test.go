package conformance

import (
	"context"
	"errors"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// target is the client's name, and the target of the plain connection.
const target = "x"

// setup is what a case wants of the two ends, in terms that both ways have.
type setup struct {
	// The caller's.
	unaryCaller  []grpc.UnaryClientInterceptor
	streamCaller []grpc.StreamClientInterceptor
	callerStats  stats.Handler

	// The handler's.
	unaryHandler  []grpc.UnaryServerInterceptor
	streamHandler []grpc.StreamServerInterceptor
	handlerStats  stats.Handler
	maxRecv       int
	maxSend       int
	maxCalls      int
}

// way is one of the two ways to make a call.
type way struct {
	name string
	// connect connects a caller to a handler that serves what register
	// registers, until the test ends.
	connect func(t *testing.T, s setup, register func(grpc.ServiceRegistrar)) grpc.ClientConnInterface
}

var (
	plainWay  = way{name: "plain", connect: connectPlain}
	tunnelWay = way{name: "tunnel", connect: connectTunnel}
	directWay = way{name: "direct", connect: connectDirect}
	allWays   = []way{plainWay, tunnelWay, directWay}
)

func connectPlain(t *testing.T, s setup, register func(grpc.ServiceRegistrar)) grpc.ClientConnInterface {
	t.Helper()
	opts := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.unaryHandler...),
		grpc.ChainStreamInterceptor(s.streamHandler...),
	}
	if s.handlerStats != nil {
		opts = append(opts, grpc.StatsHandler(s.handlerStats))
	}
	if s.maxRecv != 0 {
		opts = append(opts, grpc.MaxRecvMsgSize(s.maxRecv))
	}
	if s.maxSend != 0 {
		opts = append(opts, grpc.MaxSendMsgSize(s.maxSend))
	}
	if s.maxCalls != 0 {
		opts = append(opts, grpc.MaxConcurrentStreams(uint32(s.maxCalls)))
	}
	listener := bufconn.Listen(1 << 20)
	g := grpc.NewServer(opts...)
	register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("the plain server: %v", err)
		}
	})
	dial := []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(s.unaryCaller...),
		grpc.WithChainStreamInterceptor(s.streamCaller...),
	}
	if s.callerStats != nil {
		dial = append(dial, grpc.WithStatsHandler(s.callerStats))
	}
	cc, err := grpc.NewClient("passthrough:///"+target, dial...)
	if err != nil {
		t.Fatalf("the plain connection: %v", err)
	}
	t.Cleanup(func() { cc.Close() })
	// A client of a tunnel is connected, too, before the case begins.
	cc.Connect()
	for state := cc.GetState(); state != connectivity.Ready; state = cc.GetState() {
		cc.WaitForStateChange(t.Context(), state)
	}
	return cc
}

func connectTunnel(t *testing.T, s setup, register func(grpc.ServiceRegistrar)) grpc.ClientConnInterface {
	t.Helper()
	return startTunnel(t, s, register).Client(target)
}

// connectDirect connects as connectTunnel does, with the direct transport.
func connectDirect(t *testing.T, s setup, register func(grpc.ServiceRegistrar)) grpc.ClientConnInterface {
	t.Helper()
	push := tunneltest.NewServer(t, s.atServer()...)
	push.Connect(t, target, register, append(s.atClient(), client.WithDirectDialer(push.DialConn))...)
	for session := range push.Sessions(target) {
		if got := session.Peer().Protocol; got != "direct" {
			t.Fatalf("got a session over %q, want one over the direct transport", got)
		}
	}
	return push.Client(target)
}

// startTunnel returns the server of a tunnel to one client.
func startTunnel(t *testing.T, s setup, register func(grpc.ServiceRegistrar)) *tunneltest.Server {
	t.Helper()
	push := tunneltest.NewServer(t, s.atServer()...)
	push.Connect(t, target, register, s.atClient()...)
	return push
}

func (s setup) atServer() []server.Option {
	opts := []server.Option{
		server.WithUnaryInterceptors(s.unaryCaller...),
		server.WithStreamInterceptors(s.streamCaller...),
	}
	if s.callerStats != nil {
		opts = append(opts, server.WithStatsHandlers(s.callerStats))
	}
	return opts
}

func (s setup) atClient() []client.Option {
	opts := []client.Option{
		client.WithUnaryInterceptors(s.unaryHandler...),
		client.WithStreamInterceptors(s.streamHandler...),
		client.WithMaxRecvMsgSize(s.maxRecv),
		client.WithMaxSendMsgSize(s.maxSend),
		client.WithMaxConcurrentCalls(s.maxCalls),
	}
	if s.handlerStats != nil {
		opts = append(opts, client.WithStatsHandlers(s.handlerStats))
	}
	return opts
}
