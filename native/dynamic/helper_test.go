package dynamic_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/dynamic"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// long is more than anything in a test takes.
const long = 20 * time.Second

// world is a server with a gateway, the service Dynamic, and a port for native clients.
type world struct {
	push   *server.Server
	native string
	cc     *grpc.ClientConn // for backends, and for clients that speak gRPC
}

func allowAll(context.Context, gateway.Request) error { return nil }

// newWorld makes a world. Without the gateway's codec the server has gRPC's own.
func newWorld(t testing.TB, authorize gateway.Authorizer, codec bool, opts ...grpc.ServerOption) *world {
	t.Helper()
	w := &world{push: server.New()}
	gw := gateway.New(w.push, authorize)
	if codec {
		opts = append(opts, gw.ServerOptions()...)
	} else {
		opts = append(opts, grpc.UnknownServiceHandler(gw.Handle),
			grpc.ChainStreamInterceptor(gw.StreamInterceptor()), grpc.ChainUnaryInterceptor(gw.UnaryInterceptor()))
	}
	g := grpc.NewServer(opts...)
	w.push.Register(g)
	dynamic.Register(gw.Services(g), gw.Conn())
	ended := make(chan error, 2)
	listen := func(serve func(net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- serve(l) }()
		return l.Addr().String()
	}
	addr := listen(g.Serve)
	w.native = listen(func(l net.Listener) error { return w.push.Serve(l, native.Protocol()) })
	t.Cleanup(func() {
		w.push.Close()
		g.Stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	var err error
	if w.cc, err = grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.cc.Close() })
	return w
}

// dial connects a native client whose methods are all h, and returns when it takes calls.
func (w *world) dial(t testing.TB, name string, h native.UnknownHandler) {
	t.Helper()
	serve(t, client.NewDialer(native.Dialer(w.native, native.WithUnknownHandler(h)), name, connected(t)))
	await(t, w.push, name)
}

// connect connects a client that speaks gRPC.
func (w *world) connect(t testing.TB, name string) {
	t.Helper()
	serve(t, client.New(w.cc, name, connected(t)))
	await(t, w.push, name)
}

func connected(t testing.TB) client.Option {
	return client.WithHooks(client.Hooks{Disconnected: func(_ tunnel.Peer, err error) { t.Logf("disconnected: %v", err) }})
}

func serve(t testing.TB, c *client.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) && err != nil {
			t.Error(err)
		}
	})
}

// await waits until a client takes calls.
func await(t testing.TB, push *server.Server, name string) {
	t.Helper()
	for change := range push.Watch(within(t)) {
		for _, s := range append(change.Sessions, change.Session) {
			if s != nil && s.Name() == name {
				return
			}
		}
	}
	t.Fatalf("%q has not come", name)
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}

// to is a context for a call of a client.
func to(t testing.TB, name string, pairs ...string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(within(t), append([]string{gateway.ClientKey, name}, pairs...)...)
}
