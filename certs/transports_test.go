package certs_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pushtunnel/pushtunnel/certs"
	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// end is a client's or a server's end: files, and a configuration that tells whose
// certificate each handshake has shown it.
type end struct {
	*folder
	w   *certs.Watcher
	saw chan string
}

func newEnd(t testing.TB, a *authority, label string) *end {
	e := &end{folder: newFolder(t).identity(a.issue(t, label)).trust(a), saw: make(chan string, 100)}
	e.w = e.watch(certs.WithInterval(time.Minute))
	return e
}

func (e *end) look(cfg *tls.Config) *tls.Config {
	cfg.VerifyConnection = chain(cfg.VerifyConnection, func(s tls.ConnectionState) { e.saw <- leaf(s) })
	return cfg
}

// transport is a way for sessions to be carried over TLS.
type transport struct {
	serve func(*testing.T, *server.Server, net.Listener, *tls.Config)
	// client returns a client, and what closes it.
	client func(t *testing.T, dial dialFunc, cfg *tls.Config, name string, opts ...client.Option) (*client.Client, func())
}

type dialFunc func(context.Context) (net.Conn, error)

// over returns a dial that does the handshake, too.
func (d dialFunc) over(cfg *tls.Config) dialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		raw, err := d(ctx)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, cfg)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, nil
	}
}

func serveGRPC(t *testing.T, push *server.Server, l net.Listener, creds grpc.ServerOption) {
	g := grpc.NewServer(creds, grpc.WaitForHandlers(true))
	push.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		push.Close()
		g.Stop()
		<-served
	})
}

func dialGRPC(t *testing.T, dial dialFunc, cfg *tls.Config) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///push.test", grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return cc
}

func serveRaw(t *testing.T, push *server.Server, l net.Listener, protocols ...tunnel.Protocol) {
	served := make(chan error, 1)
	go func() { served <- push.Serve(l, protocols...) }()
	t.Cleanup(func() {
		push.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func newDirect(t *testing.T, dial dialFunc, cfg *tls.Config, name string, opts ...client.Option) (*client.Client, func()) {
	cc := dialGRPC(t, dial, cfg)
	cfg = cfg.Clone()
	cfg.NextProtos = []string{tunnel.ALPN}
	return client.New(cc, name, append(opts, client.WithDirectDialer(dial.over(cfg)))...), func() { cc.Close() }
}

var transports = map[string]transport{
	"grpc": {
		serve: func(t *testing.T, push *server.Server, l net.Listener, cfg *tls.Config) {
			serveGRPC(t, push, l, grpc.Creds(credentials.NewTLS(cfg)))
		},
		client: func(t *testing.T, dial dialFunc, cfg *tls.Config, name string, opts ...client.Option) (*client.Client, func()) {
			cc := dialGRPC(t, dial, cfg)
			return client.New(cc, name, opts...), func() { cc.Close() }
		},
	},
	"direct": {
		serve: func(t *testing.T, push *server.Server, l net.Listener, cfg *tls.Config) {
			serveGRPC(t, push, l, push.Direct(cfg))
		},
		client: newDirect,
	},
	"direct, beside native": {
		serve: func(t *testing.T, push *server.Server, l net.Listener, cfg *tls.Config) {
			cfg.NextProtos = []string{tunnel.ALPN}
			serveRaw(t, push, tls.NewListener(l, cfg), push.DirectProtocol(), native.Protocol())
		},
		client: newDirect,
	},
	"native": {
		serve: func(t *testing.T, push *server.Server, l net.Listener, cfg *tls.Config) {
			serveRaw(t, push, tls.NewListener(l, cfg), native.Protocol(native.WithPushes(&pb.UserPushApi_ServiceDesc)))
		},
		client: func(_ *testing.T, dial dialFunc, cfg *tls.Config, name string, opts ...client.Option) (*client.Client, func()) {
			dial = dial.over(cfg)
			e := native.Dialer("push.test:1", native.WithDialFunc(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
			return client.NewDialer(e, name, opts...), func() { e.Close() }
		},
	},
}

// receiver answers with its name.
type receiver struct {
	pb.UnimplementedUserPushApiServer
	name string
}

func (r *receiver) ClientReceive(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error) {
	return &pb.PushResult{Result: r.name}, nil
}

// connected is a client that has connected.
type connected struct {
	peer   tunnel.Peer
	ended  chan error // gets the end of the session
	failed chan error // gets why it can't connect
}

// connect starts a client, which serves until the test ends, and waits for it to
// connect. It stops one that fails.
func (tr transport) connect(t *testing.T, dial dialFunc, cfg *tls.Config, name string) (c *connected, failed error) {
	t.Helper()
	c = &connected{ended: make(chan error, 100), failed: make(chan error, 100)}
	came := make(chan tunnel.Peer, 100)
	m, closeClient := tr.client(t, dial, cfg, name, client.WithHooks(client.Hooks{
		Connected:    func(p tunnel.Peer) { came <- p },
		Disconnected: func(_ tunnel.Peer, err error) { c.ended <- err },
		Retry: func(err error, _ time.Duration) {
			select {
			case c.failed <- err:
			default:
			}
		},
	}))
	pb.RegisterUserPushApiServer(m, &receiver{name: name})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		m.Serve(ctx)
		close(served)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-served
		closeClient()
	})
	t.Cleanup(stop)
	select {
	case c.peer = <-came:
		return c, nil
	case err := <-c.failed:
		stop()
		return c, err
	}
}

func wantPush(t *testing.T, push *server.Server, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := pb.NewUserPushApiClient(push.Client(name)).ClientReceive(ctx, &pb.ClientReceiveRequest{}, grpc.WaitForReady(true))
	if r.GetResult() != name || err != nil {
		t.Errorf("got %v, %v of %s, want its name", r, err, name)
	}
}

func wantSaw(t *testing.T, e *end, want string) {
	t.Helper()
	select {
	case got := <-e.saw:
		if got != want {
			t.Errorf("got the certificate of %s shown, want that of %s", got, want)
		}
	default:
		t.Errorf("got no handshake, want one that shows %s", want)
	}
}

// Certificates and authorities of both ends change. A session that is there goes
// on, new ones use what is new, and who has only what is old does not get in.
func TestSessionsGoOnWhenCertificatesChange(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before, after := newAuthority(t, "before"), newAuthority(t, "after")
				atServer, atClient, outdated := newEnd(t, before, "s1"), newEnd(t, before, "c1"), newEnd(t, before, "o1")
				outdated.trust(before, after)
				l := bufconn.Listen(1 << 20)
				push := server.New()
				tr.serve(t, push, l, atServer.look(atServer.w.Server()))
				cfg := atClient.look(atClient.w.Client("push.test")) // one for all clients

				first, err := tr.connect(t, l.DialContext, cfg, "first")
				if err != nil {
					t.Fatal(err)
				}
				if want, _, _ := strings.Cut(name, ","); first.peer.Protocol != want {
					t.Errorf("got a session over %s, want %s", first.peer.Protocol, want)
				}
				wantPush(t, push, "first")
				wantSaw(t, atServer, "c1")
				wantSaw(t, atClient, "s1")

				atServer.identity(after.issue(t, "s2")).trust(after)
				atClient.identity(after.issue(t, "c2")).trust(after)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if _, err := tr.connect(t, l.DialContext, cfg, "second"); err != nil {
					t.Fatal(err)
				}
				wantPush(t, push, "second")
				wantSaw(t, atServer, "c2")
				wantSaw(t, atClient, "s2")

				if c, err := tr.connect(t, l.DialContext, outdated.w.Client("push.test"), "third"); err == nil {
					t.Errorf("got a session %v with a certificate of the old authority, want none", c.peer)
				}
				time.Sleep(lifetime) // the first certificates have expired
				wantPush(t, push, "first")
				if len(first.ended)+len(first.failed) > 0 {
					t.Error("got an end of the first session, want it to go on")
				}
				if len(atServer.saw)+len(atClient.saw) > 0 {
					t.Error("got more handshakes, want none")
				}
			})
		})
	}
}

// A client that connects again uses its new certificate.
func TestReconnectUsesTheNewCertificate(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := newAuthority(t, "authority")
				atServer, atClient := newEnd(t, ca, "s1"), newEnd(t, ca, "c1")
				l := bufconn.Listen(1 << 20)
				push := server.New()
				tr.serve(t, push, l, atServer.look(atServer.w.Server()))
				conns := make(chan net.Conn, 100)
				dial := func(ctx context.Context) (net.Conn, error) {
					conn, err := l.DialContext(ctx)
					if err == nil {
						conns <- conn
					}
					return conn, err
				}
				if _, err := tr.connect(t, dial, atClient.look(atClient.w.Client("push.test")), "one"); err != nil {
					t.Fatal(err)
				}
				wantPush(t, push, "one")
				wantSaw(t, atServer, "c1")
				wantSaw(t, atClient, "s1")
				atServer.identity(ca.issue(t, "s2"))
				atClient.identity(ca.issue(t, "c2"))
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				(<-conns).Close()
				time.Sleep(2 * time.Minute)
				wantPush(t, push, "one")
				wantSaw(t, atServer, "c2")
				wantSaw(t, atClient, "s2")
			})
		})
	}
}
