package client_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// town has a server that is replaced from time to time.
type town struct {
	net    *faultnet.Network // leads to the server
	push   *server.Server
	grpc   *grpc.Server
	served chan struct{}
	dials  atomic.Int64               // for the direct transport
	way    atomic.Pointer[directDial] // what they lead to; nil: the server
}

type directDial func(context.Context) (net.Conn, error)

func newTown(t *testing.T, knows bool) *town {
	t.Helper()
	w := &town{net: faultnet.New(faultnet.Config{})}
	w.start(knows)
	t.Cleanup(func() {
		w.stop()
		w.net.Cut()
	})
	return w
}

// start starts a server, which knows the direct transport or does not.
func (w *town) start(knows bool) {
	w.push = server.New()
	opts := server.RecommendedOptions()
	if knows {
		opts = append(opts, w.push.Direct(nil))
	}
	w.grpc = grpc.NewServer(opts...)
	w.push.Register(w.grpc)
	l, g := w.net.Listener(), w.grpc
	served := make(chan struct{})
	w.served = served
	go func() {
		g.Serve(l) //nolint:errcheck // it ends with stop
		close(served)
	}()
}

// stop kills the server.
func (w *town) stop() {
	w.push.Close()
	w.grpc.Stop()
	<-w.served
}

func (w *town) dial(ctx context.Context) (net.Conn, error) {
	w.dials.Add(1)
	if way := w.way.Load(); way != nil {
		return (*way)(ctx)
	}
	return w.net.DialContext(ctx, "")
}

// run makes a client serve that comes back at once.
func (w *town) run(t *testing.T, c *connections, opts ...client.Option) *running {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///town", grpc.WithContextDialer(w.net.DialContext), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return run(t, cc, append([]client.Option{
		c.option(), client.WithDirectDialer(w.dial),
		client.WithBackoff(backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1, MaxDelay: 100 * time.Millisecond}),
	}, opts...)...)
}

func wantProtocol(t *testing.T, c *connections, want string) tunnel.Peer {
	t.Helper()
	p := <-c.came
	if p.Protocol != want {
		t.Fatalf("got a session over %q, want one over %q", p.Protocol, want)
	}
	return p
}

// again ends the session, and waits until the client has noticed.
func (w *town) again(c *connections) {
	for s := range w.push.Sessions() {
		s.Close("again")
	}
	<-c.went
}

func TestDirectComesBackDirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, true)
		c := newConnections()
		w.run(t, c)
		first := wantProtocol(t, c, "direct")
		w.net.Cut()
		wantCode(t, <-c.went, codes.Unavailable)
		second := wantProtocol(t, c, "direct")
		if first.Session == second.Session {
			t.Error("got the same session twice")
		}
		// The server may go away for long, and nobody is there meanwhile.
		w.stop()
		<-c.went
		time.Sleep(10 * time.Second) // of the bubble
		w.start(true)
		wantProtocol(t, c, "direct")
	})
}

// An old server gets gRPC streams, and is not asked again before 10 minutes have
// passed; the same with a client whose server gets old.
func TestAnOldServerGetsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, false)
		c := newConnections()
		var log bytes.Buffer
		w.run(t, c, client.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		began := time.Now()
		wantProtocol(t, c, "grpc")
		elapsed(t, began, 0)
		if !strings.Contains(log.String(), "no direct transport") || !strings.Contains(log.String(), "does not know the direct transport") {
			t.Errorf("got the log %q, want the reason", &log)
		}
		for range 3 {
			w.again(c)
			wantProtocol(t, c, "grpc")
		}
		if got := w.dials.Load(); got != 1 {
			t.Errorf("got %d attempts, want 1", got)
		}
		// It becomes a new one.
		w.stop()
		<-c.went
		w.start(true)
		wantProtocol(t, c, "grpc")
		time.Sleep(10*time.Minute - time.Since(began) - time.Second) // of the bubble
		w.again(c)
		wantProtocol(t, c, "grpc")
		time.Sleep(time.Second) // of the bubble
		w.again(c)
		wantProtocol(t, c, "direct")
		// And an old one again.
		w.stop()
		<-c.went
		w.start(false)
		wantProtocol(t, c, "grpc")
		if got := w.dials.Load(); got < 3 {
			t.Errorf("got %d attempts, want 3 or more", got)
		}
	})
}

// What is in between may be mute, hang up or refuse: the client gets its stream, in
// time, and leaves the direct transport alone for a while.
func TestAWayThatIsNotDirect(t *testing.T) {
	for why, test := range map[string]struct {
		dial    directDial
		timeout time.Duration // the connect timeout
		want    time.Duration
	}{
		"hangs up":       {dial: hangUp},
		"is mute":        {dial: mute, want: 5 * time.Second},
		"hangs":          {dial: hang, want: 5 * time.Second},
		"refuses":        {dial: func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }},
		"mute in haste":  {dial: mute, timeout: 2 * time.Second, want: 500 * time.Millisecond},
		"hangs in haste": {dial: hang, timeout: 2 * time.Second, want: 500 * time.Millisecond},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, true)
				w.way.Store(&test.dial)
				c := newConnections()
				var opts []client.Option
				if test.timeout != 0 {
					opts = append(opts, client.WithConnectTimeout(test.timeout))
				}
				began := time.Now()
				w.run(t, c, opts...)
				wantProtocol(t, c, "grpc")
				elapsed(t, began, test.want)
				w.again(c)
				wantProtocol(t, c, "grpc")
				if got := w.dials.Load(); got != 1 {
					t.Errorf("got %d attempts, want 1", got)
				}
			})
		})
	}
}

func hang(ctx context.Context) (net.Conn, error) { return hangingDial(ctx, "") }

// hangUp returns a connection that the other end closes without a word.
func hangUp(ctx context.Context) (net.Conn, error) {
	return other(ctx, func(conn net.Conn) { conn.Close() })
}

// mute returns a connection whose other end says nothing.
func mute(ctx context.Context) (net.Conn, error) { return other(ctx, func(net.Conn) {}) }

func other(ctx context.Context, end func(net.Conn)) (net.Conn, error) {
	n := faultnet.New(faultnet.Config{})
	l := n.Listener()
	conn, err := n.DialContext(ctx, "")
	if err != nil {
		return nil, err
	}
	accepted, err := l.Accept()
	end(accepted)
	return conn, err
}

// A server that goes down hangs up, too. That tells nothing about what it knows.
func TestAServerThatIsDownIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, true)
		c := newConnections()
		w.run(t, c)
		wantProtocol(t, c, "direct")
		bad := directDial(hangUp)
		w.way.Store(&bad)
		w.stop()
		<-c.went
		time.Sleep(5 * time.Second) // of the bubble
		if got := w.dials.Load(); got < 10 {
			t.Errorf("got %d attempts, want one each time", got)
		}
		w.way.Store(nil)
		w.start(true)
		wantProtocol(t, c, "direct")
	})
}

// Nor does a single connection that breaks too early, once the server has shown that
// it knows the transport. The second one does.
func TestASingleBrokenConnectionIsBadLuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for broken, want := range map[int64]string{1: "direct", 2: "grpc"} {
			w := newTown(t, true)
			c := newConnections()
			r := w.run(t, c)
			wantProtocol(t, c, "direct")
			first := w.dials.Load()
			unlucky := directDial(func(ctx context.Context) (net.Conn, error) {
				if w.dials.Load()-first <= broken {
					return hangUp(ctx)
				}
				return w.net.DialContext(ctx, "")
			})
			w.way.Store(&unlucky)
			w.again(c)
			wantProtocol(t, c, want)
			r.cancel()
			<-r.served
		}
	})
}

// What the user gave for the gRPC stream goes along on the direct transport.
func TestWhatIsSentToConnectDirectly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan metadata.MD, 1)
		w := newTown(t, true)
		w.stop()
		push := server.New(server.WithConnectInterceptors(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			md, _ := metadata.FromIncomingContext(s.Context())
			got <- md
			return next(srv, s)
		}))
		w.push = push
		w.grpc = grpc.NewServer(push.Direct(nil))
		w.served = make(chan struct{})
		l := w.net.Listener()
		go func() {
			w.grpc.Serve(l) //nolint:errcheck // it ends with stop
			close(w.served)
		}()
		c := newConnections()
		w.run(t, c, client.WithMetadata(metadata.MD{"Key": {"1"}}), client.WithCallOptions(grpc.PerRPCCredentials(token("secret"))))
		wantProtocol(t, c, "direct")
		md := <-got
		for key, want := range map[string]string{"clientname": "c1", "key": "1", "authorization": "Bearer secret"} {
			if got := md.Get(key); len(got) != 1 || got[0] != want {
				t.Errorf("metadata %q: got %q, want %q", key, got, want)
			}
		}
	})
}

// secret is credentials that don't go over plaintext.
type secret struct{ token }

func (secret) RequireTransportSecurity() bool { return true }

// They stop the client, as they do on a gRPC stream.
func TestSecretsDoNotGoOverPlaintext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, true)
		r := w.run(t, newConnections(), client.WithCallOptions(grpc.PerRPCCredentials(secret{"x"})))
		<-r.served
		wantCode(t, r.err, codes.Unauthenticated)
	})
}

// Serve ends at once, whatever an attempt waits for.
func TestServeEndsWhileItConnectsDirectly(t *testing.T) {
	for why, dial := range map[string]directDial{"mute": mute, "hangs": hang} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, true)
				w.way.Store(&dial)
				r := w.run(t, newConnections())
				synctest.Wait()
				began := time.Now()
				r.cancel()
				<-r.served
				elapsed(t, began, 0)
				if !errors.Is(r.err, context.Canceled) {
					t.Errorf("got %v, want %v", r.err, context.Canceled)
				}
			})
		})
	}
}

// Shutdown parts in order.
func TestShutdownOfADirectClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, true)
		c := newConnections()
		r := w.run(t, c)
		wantProtocol(t, c, "direct")
		began := time.Now()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		r.wantServed(t, nil)
		if err := <-c.went; err != nil {
			t.Errorf("got a session that ended with %v, want an end in order", err)
		}
		elapsed(t, began, 0)
	})
}
