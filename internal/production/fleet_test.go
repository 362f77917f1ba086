package production

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/internal/certtest"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// long is how long a test waits for what must come.
const long = time.Minute

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}

func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// The ways in which clients come.
var ways = []string{"grpc", "direct", "native"}

// each runs a test for clients that come in each way.
func each(t *testing.T, test func(t *testing.T, way string)) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) { test(t, way) })
	}
}

// fleet is a server with two ports, both with TLS: one for gRPC and direct
// clients, one for native ones. Or it has one port for all.
type fleet struct {
	*server.Server
	ca       *certtest.Authority
	addr     string
	native   string
	refused  chan refusal
	hangs    chan string // the names of clients whose handlers have begun to hang
	serverTL *tls.Config
}

// refusal is what the hooks are told of a client that is not let in.
type refusal struct {
	server.Candidate
	reason error
}

// launch starts a fleet.
func launch(t testing.TB, opts ...server.Option) *fleet {
	t.Helper()
	return launchNative(t, twoPorts, nil, opts...)
}

// layout says how many ports a fleet has.
type layout string

const (
	twoPorts layout = "two ports"
	onePort  layout = "one port"
)

// launchNative is launch with options of the native protocol.
func launchNative(t testing.TB, ports layout, nativeOpts []native.Option, opts ...server.Option) *fleet {
	t.Helper()
	f := &fleet{ca: certtest.New(t), refused: make(chan refusal, 100_000), hangs: make(chan string, 1000)}
	f.serverTL = &tls.Config{
		Certificates: []tls.Certificate{f.ca.Issue(t, "127.0.0.1")},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: f.ca.Pool(), MinVersion: tls.VersionTLS13,
	}
	f.Server = server.New(append([]server.Option{server.WithHooks(server.Hooks{
		Refused: func(c server.Candidate, reason error) { f.refused <- refusal{c, reason} },
	})}, opts...)...)
	p := native.Protocol(append([]native.Option{native.WithPushes(&pb.UserPushApi_ServiceDesc)}, nativeOpts...)...)
	at := server.Port{TLS: f.serverTL}
	ended, running := make(chan error, 2), 1
	l := listen(t)
	f.addr, f.native = l.Addr().String(), l.Addr().String()
	if ports == onePort {
		at.Protocols, at.Plaintext = []tunnel.Protocol{p}, []string{p.Name()} // so that first bytes are looked at
	} else {
		n := listen(t)
		f.native = n.Addr().String()
		running++
		go func() { ended <- f.Serve(tls.NewListener(n, f.serverTL), p) }()
	}
	g := grpc.NewServer(append(server.RecommendedOptions(), f.OnePort(at))...)
	f.Register(g)
	go func() { ended <- g.Serve(l) }()
	t.Cleanup(func() {
		f.Close()
		g.Stop()
		for range running {
			if err := <-ended; err != nil {
				t.Errorf("a server has ended with %v", err)
			}
		}
	})
	return f
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// clientTLS is what a client dials with that has these certificates.
func (f *fleet) clientTLS(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: f.ca.Pool(), Certificates: certs, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
}

// member is a client that serves.
type member struct {
	*client.Client
	connected chan tunnel.Peer
	retried   chan time.Duration
	stopped   chan error
	cancel    context.CancelFunc
}

// join lets a client come, with these certificates, until the test ends.
func (f *fleet) join(t testing.TB, way, name string, certs []tls.Certificate, opts ...client.Option) *member {
	t.Helper()
	m := &member{connected: make(chan tunnel.Peer, 100), retried: make(chan time.Duration, 100), stopped: make(chan error, 1)}
	opts = append([]client.Option{
		client.WithBackoff(backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, MaxDelay: 100 * time.Millisecond}),
		client.WithHooks(client.Hooks{
			Connected: func(p tunnel.Peer) { m.connected <- p },
			Retry: func(_ error, after time.Duration) {
				select {
				case m.retried <- after:
				default:
				}
			},
		}),
	}, opts...)
	cfg := f.clientTLS(certs...)
	switch way {
	case "native":
		dial := func(ctx context.Context, addr string) (net.Conn, error) {
			return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
		}
		e := native.Dialer(f.native, native.WithDialFunc(dial))
		t.Cleanup(func() { e.Close() })
		m.Client = client.NewDialer(e, name, opts...)
	default:
		cc, err := grpc.NewClient(f.addr, append(client.RecommendedOptions(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cc.Close() })
		if way == "direct" {
			opts = append(opts, client.WithDirect(f.addr, cfg))
		}
		m.Client = client.New(cc, name, opts...)
	}
	pb.RegisterUserPushApiServer(m, receiver{name: name, hangs: f.hangs})
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		m.stopped <- m.Serve(ctx)
	}()
	t.Cleanup(func() {
		m.cancel()
		<-served
	})
	return m
}

// come is join for a client that must be let in.
func (f *fleet) come(t testing.TB, way, name string, certs []tls.Certificate, opts ...client.Option) *member {
	t.Helper()
	m := f.join(t, way, name, certs, opts...)
	select {
	case <-m.connected:
	case err := <-m.stopped:
		t.Fatalf("the client has stopped: %v", err)
	case <-within(t).Done():
		t.Fatal("the client has no session")
	}
	return m
}

// receiver answers pushes with the name that it has, and hangs if it is told to.
type receiver struct {
	pb.UnimplementedUserPushApiServer
	name  string
	hangs chan string
}

func (r receiver) ClientReceive(ctx context.Context, req *pb.ClientReceiveRequest) (*pb.PushResult, error) {
	if req.GetExtra() == "hang" {
		r.hangs <- r.name
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &pb.PushResult{Result: r.name + " " + req.GetExtra()}, nil
}

// ask pushes to a client and returns its answer.
func ask(ctx context.Context, cc grpc.ClientConnInterface, opts ...grpc.CallOption) (string, error) {
	r, err := pb.NewUserPushApiClient(cc).ClientReceive(ctx, &pb.ClientReceiveRequest{Extra: "hello"}, opts...)
	return r.GetResult(), err
}

func wantAnswer(t testing.TB, cc grpc.ClientConnInterface, want string) {
	t.Helper()
	if got, err := ask(within(t), cc, grpc.WaitForReady(true)); err != nil || got != want {
		t.Errorf("got the answer %q, %v, want %q", got, err, want)
	}
}

func wantStatus(t testing.TB, what string, err error, code codes.Code, text string) {
	t.Helper()
	if st := status.Convert(err); st.Code() != code || st.Message() != text {
		t.Errorf("%s: got %v %q, want %v %q", what, st.Code(), st.Message(), code, text)
	}
}

// wantNames checks who has sessions, in all namespaces.
func (f *fleet) wantNames(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for s := range f.All() {
		got = append(got, s.Namespace()+"/"+s.Name())
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got the sessions %q, want %q", got, want)
	}
}
