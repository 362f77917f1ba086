//go:build unix

package nginx

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

const (
	// silence is how long nginx bears it in these tests.
	silence = 5 * time.Second
	// beat is a heartbeat that keeps tunnels up.
	beat = 2 * time.Second
	// long is longer than anything here takes.
	long = 40 * time.Second
)

// world is a server with tunnels and an nginx before it.
type world struct {
	push   *server.Server
	proxy  *Proxy
	plain  string // nginx's address for HTTP/2 without TLS
	secure string // and with TLS
	keys   keys
	heard  chan struct{}    // gets something for each batch that has come from a client
	opened chan metadata.MD // what clients have said when they came
	came   chan *server.Session
	went   chan error
}

// setup says how a world is not as usual.
type setup struct {
	shutdown  time.Duration                          // worker_shutdown_timeout; 0: 2 s
	heartbeat time.Duration                          // 0: beat
	uncomment bool                                   // use what the configuration has in comments
	grpc      []grpc.ServerOption                    // nil: recommended
	more      func(*server.Server) grpc.ServerOption // nil: none
}

func newWorld(t *testing.T, with setup) *world {
	t.Helper()
	binary := Binary(t)
	if with.heartbeat == 0 {
		with.heartbeat = beat
	}
	if with.shutdown == 0 {
		with.shutdown = 2 * time.Second
	}
	if with.grpc == nil {
		with.grpc = server.RecommendedOptions()
	}
	w := &world{
		keys: newKeys(t), heard: make(chan struct{}, 1<<20), opened: make(chan metadata.MD, 1000),
		came: make(chan *server.Session, 1000), went: make(chan error, 1000),
	}
	w.push = server.New(server.WithHeartbeat(with.heartbeat), server.WithHooks(server.Hooks{
		Connected:    func(s *server.Session) { w.came <- s },
		Disconnected: func(_ *server.Session, reason error) { w.went <- reason },
	}))
	opts := slices.Concat(with.grpc, []grpc.ServerOption{grpc.StreamInterceptor(w.listen)})
	if with.more != nil {
		opts = append(opts, with.more(w.push))
	}
	g := grpc.NewServer(opts...)
	w.push.Register(g)
	healthgrpc.RegisterHealthServer(g, health.NewServer())
	l := listener(t)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		w.push.Close()
		g.Stop()
		<-served
	})
	w.plain, w.secure = freeAddr(t), freeAddr(t)
	config := w.config(t, l.Addr().String(), with.shutdown)
	if with.uncomment {
		config = commented.ReplaceAllString(config, "$1$2")
	}
	w.proxy = Start(t, binary, config, map[string][]byte{"server.crt": w.keys.cert, "server.key": w.keys.key})
	return w
}

// commented matches directives that are commented out.
var commented = regexp.MustCompile(`(?m)^(\s*)#(ssl_|grpc_)`)

// config is the configuration of deploy/nginx for this world.
func (w *world) config(t *testing.T, backend string, shutdown time.Duration) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/nginx/pushtunnel.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"worker_processes auto;", "worker_processes 2; daemon off;"},
		{"pid /run/nginx.pid;", "pid nginx.pid;"},
		{"error_log /var/log/nginx/error.log warn;", "error_log stderr notice;"},
		{"worker_shutdown_timeout 5m;", "worker_shutdown_timeout " + shutdown.String() + ";"},
		{"worker_rlimit_nofile 65536;", ""},
		{"worker_connections 32768;", "worker_connections 256;"},
		{"http {", "http { client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;"},
		{"server 127.0.0.1:50051;", "server " + backend + ";"},
		{"listen 443 ssl http2;", fmt.Sprintf("listen %s ssl http2; listen %s http2;", w.secure, w.plain)},
		{"/etc/nginx/tls/server.crt", "server.crt"},
		{"/etc/nginx/tls/server.key", "server.key"},
		{"/etc/nginx/tls/clients.crt", "server.crt"},
		{"60s;", silence.String() + ";"},
		{"grpc_read_timeout", "keepalive_timeout " + silence.String() + "; grpc_read_timeout"},
	} {
		if !strings.Contains(config, change[0]) {
			t.Fatalf("deploy/nginx/pushtunnel.conf has no %q", change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	if os.Geteuid() == 0 {
		config = "user root;\n" + config // the files are in a directory of the test's own
	}
	return config
}

// listen notes who comes, and when something is heard of clients.
func (w *world) listen(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	md, _ := metadata.FromIncomingContext(ss.Context())
	w.opened <- md
	return handler(srv, &heard{ss, w.heard})
}

type heard struct {
	grpc.ServerStream
	heard chan struct{}
}

func (h *heard) RecvMsg(m any) error {
	err := h.ServerStream.RecvMsg(m)
	if err == nil {
		h.heard <- struct{}{}
	}
	return err
}

// peer is a client under way.
type peer struct {
	*client.Client
	*service
	came chan tunnel.Peer
	went chan error
}

// dial returns a connection through nginx, without TLS.
func (w *world) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	return dial(t, w.plain, append(client.RecommendedOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

func dial(t *testing.T, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	quick := grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: time.Second,
	})
	cc, err := grpc.NewClient("passthrough:///"+addr, append(opts, quick)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// join makes a client serve, and waits until it is connected.
func (w *world) join(t *testing.T, cc grpc.ClientConnInterface, name string, opts ...client.Option) *peer {
	t.Helper()
	p := &peer{service: &service{hangs: make(chan struct{}, 10)}, came: make(chan tunnel.Peer, 1000), went: make(chan error, 1000)}
	p.Client = client.New(cc, name, append(opts, client.WithHooks(client.Hooks{
		Connected:    func(s tunnel.Peer) { p.came <- s },
		Disconnected: func(_ tunnel.Peer, err error) { p.went <- err },
	}))...)
	testgrpc.RegisterTestServiceServer(p.Client, p.service)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-served
	})
	receive(t, p.came, "the client to connect")
	return p
}

// receive waits for an event.
func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("waited for %s for %v", what, long)
		panic("unreachable")
	}
}

// none checks that there was no event.
func none[T any](t *testing.T, c <-chan T, what string) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("%s: %v, want none", what, v)
	default:
	}
}

func (w *world) stub(name string) testgrpc.TestServiceClient {
	return testgrpc.NewTestServiceClient(w.push.Client(name))
}

// ask makes a unary call.
func (w *world) ask(t *testing.T, name string, opts ...grpc.CallOption) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	if _, err := w.stub(name).UnaryCall(ctx, &testgrpc.SimpleRequest{}, opts...); err != nil {
		t.Fatalf("a call to %s: %v", name, err)
	}
}

// service is a client's service.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	hangs chan struct{} // gets something for each call that is not answered
}

// UnaryCall answers with as many bytes as it is asked for; -1: never.
func (s *service) UnaryCall(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	if r.GetResponseSize() < 0 {
		s.hangs <- struct{}{}
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: make([]byte, r.GetResponseSize())}}, nil
}

// StreamingOutputCall answers with messages, as many and at such times as it is asked
// for.
func (*service) StreamingOutputCall(r *testgrpc.StreamingOutputCallRequest, s testgrpc.TestService_StreamingOutputCallServer) error {
	for _, p := range r.GetResponseParameters() {
		if err := pause(s.Context(), time.Duration(p.GetIntervalUs())*time.Microsecond); err != nil {
			return err
		}
		if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, p.GetSize())}}); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall takes all messages.
func (*service) StreamingInputCall(s testgrpc.TestService_StreamingInputCallServer) error {
	for {
		if _, err := s.Recv(); err == io.EOF {
			return s.SendAndClose(&testgrpc.StreamingInputCallResponse{})
		} else if err != nil {
			return err
		}
	}
}

// FullDuplexCall answers each message.
func (*service) FullDuplexCall(s testgrpc.TestService_FullDuplexCallServer) error {
	for {
		if _, err := s.Recv(); err != nil {
			return nil //nolint:nilerr // the caller has ended it
		}
		if err := s.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// freeAddr is an address where nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l := listener(t)
	defer l.Close()
	return l.Addr().String()
}
