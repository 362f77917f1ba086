package javapeer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/internal/javapeer/interoppb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

const long = time.Minute

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// each runs a test with each version of brpc-java.
func each(t *testing.T, f func(t *testing.T, version string)) {
	for _, v := range Versions(t) {
		t.Run(v, func(t *testing.T) { f(t, v) })
	}
}

// svc implements Svc, as the Java server does.
type svc struct {
	pb.UnimplementedSvcServer
	mu     sync.Mutex
	counts map[string]int
}

func (s *svc) count(method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = make(map[string]int)
	}
	s.counts[method]++
}

func (s *svc) counted(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

func (s *svc) Hi(_ context.Context, r *pb.TextRequest) (*wrapperspb.StringValue, error) {
	s.count("hi")
	return wrapperspb.String("hi " + r.GetText()), nil
}

func (s *svc) Boom(_ context.Context, r *pb.TextRequest) (*wrapperspb.StringValue, error) {
	s.count("boom")
	return nil, errors.New(r.GetText())
}

func (s *svc) Nul(context.Context, *pb.TextRequest) (*pb.NullableText, error) {
	s.count("nul")
	return &pb.NullableText{}, nil
}

func (s *svc) Vo(context.Context, *pb.TextRequest) (*emptypb.Empty, error) {
	s.count("vo")
	return &emptypb.Empty{}, nil
}

func (s *svc) Add(_ context.Context, r *pb.AddRequest) (*pb.Sum, error) {
	s.count("add")
	return &pb.Sum{Value: int64(r.GetA()) + r.GetB()}, nil
}

func (s *svc) EchoObject(_ context.Context, r *pb.ObjectRequest) (*pb.ObjectResult, error) {
	return &pb.ObjectResult{Value: r.GetValue()}, nil
}

func (s *svc) EchoHolder(_ context.Context, h *pb.Holder) (*pb.Holder, error) { return h, nil }

func (s *svc) EchoFixtures(_ context.Context, f *pb.Types_Fixtures) (*pb.Types_Fixtures, error) {
	return f, nil
}

func (s *svc) Zero(context.Context, *emptypb.Empty) (*wrapperspb.StringValue, error) {
	return wrapperspb.String("zero"), nil
}

func (s *svc) Types(_ context.Context, r *pb.TypesRequest) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(r.String()), nil
}

// pushApi implements PushApi, as the Java client does.
type pushApi struct {
	pb.UnimplementedPushApiServer
	label string
	svc
}

func (p *pushApi) PushHi(ctx context.Context, r *pb.TextRequest) (*wrapperspb.StringValue, error) {
	return p.Hi(ctx, r)
}

func (p *pushApi) PushBoom(ctx context.Context, r *pb.TextRequest) (*wrapperspb.StringValue, error) {
	return p.Boom(ctx, r)
}

func (p *pushApi) PushNul(ctx context.Context, r *pb.TextRequest) (*pb.NullableText, error) {
	return p.Nul(ctx, r)
}

func (p *pushApi) PushVo(ctx context.Context, r *pb.TextRequest) (*emptypb.Empty, error) {
	return p.Vo(ctx, r)
}

func (p *pushApi) PushAdd(ctx context.Context, r *pb.AddRequest) (*pb.Sum, error) {
	return p.Add(ctx, r)
}

func (p *pushApi) PushSlow(ctx context.Context, _ *pb.SlowRequest) (*wrapperspb.StringValue, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (p *pushApi) Who(context.Context, *pb.TextRequest) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(p.label), nil
}

func (p *pushApi) PushObject(ctx context.Context, r *pb.ObjectRequest) (*pb.ObjectResult, error) {
	return p.EchoObject(ctx, r)
}

func (p *pushApi) PushHolder(_ context.Context, h *pb.Holder) (*pb.Holder, error) { return h, nil }

func (p *pushApi) PushFixtures(_ context.Context, f *pb.Types_Fixtures) (*pb.Types_Fixtures, error) {
	return f, nil
}

// workers is how many worker threads the Java peers of the tests have.
const workers = 4

// startClient starts a Java client that must not lose a worker thread.
func startClient(t testing.TB, version string, c Client) *Peer {
	t.Helper()
	p := StartClient(t, version, c)
	t.Cleanup(func() { keptThreads(t, p) })
	return p
}

// startServer starts a Java server that must not lose a worker thread.
func startServer(t testing.TB, version string, idleSeconds int) *Server {
	t.Helper()
	s := StartServer(t, version, idleSeconds, workers)
	t.Cleanup(func() { keptThreads(t, s.Peer) })
	return s
}

// keptThreads checks that a Java peer has all its threads, unless it was killed.
func keptThreads(t testing.TB, p *Peer) {
	t.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	if n, err := p.Do(ctx, "threads"); err != nil || n != fmt.Sprint(workers) {
		t.Errorf("%s worker threads at the end, %v; want %d", n, err, workers)
	}
}

// kill ends a Java peer that has lost no thread.
func kill(t testing.TB, p *Peer) {
	t.Helper()
	keptThreads(t, p)
	p.Kill()
}

// goServer is a Go server that Java clients connect to.
type goServer struct {
	*server.Server
	svc  *svc
	addr string
	came chan *server.Session
	gone chan error
}

func startGoServer(t testing.TB, opts ...native.Option) *goServer {
	t.Helper()
	g := newGoServer()
	g.addr = g.listen(t, "127.0.0.1:0", opts...)
	return g
}

func newGoServer() *goServer {
	g := &goServer{svc: &svc{}, came: make(chan *server.Session, 100), gone: make(chan error, 100)}
	g.Server = server.New(server.WithHooks(server.Hooks{
		Connected:    func(s *server.Session) { g.came <- s },
		Disconnected: func(_ *server.Session, err error) { g.gone <- err },
	}))
	return g
}

// protocol is the native protocol with the services of the tests.
func (g *goServer) protocol(opts ...native.Option) tunnel.Protocol {
	var services native.Services
	pb.RegisterSvcServer(&services, g.svc)
	return native.Protocol(append([]native.Option{native.WithPushes(&pb.PushApi_ServiceDesc), native.WithServices(&services)}, opts...)...)
}

func (g *goServer) listen(t testing.TB, addr string, opts ...native.Option) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(l, g.protocol(opts...)) }()
	t.Cleanup(func() {
		g.Close()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func (g *goServer) push(name string) pb.PushApiClient { return pb.NewPushApiClient(g.Client(name)) }

// endpoint is a Java or Go server as a Go client sees it.
func endpoint(addr string, opts ...native.Option) *native.Endpoint {
	return native.Dialer(addr, append([]native.Option{native.WithCalls(&pb.Svc_ServiceDesc)}, opts...)...)
}

// goClient serves pushes until the test ends, or stop is called.
func goClient(t testing.TB, e *native.Endpoint, name string, impl *pushApi, opts ...client.Option) (connected chan struct{}, stop func()) {
	t.Helper()
	return serveClient(t, client.NewDialer(e, name, append(opts, hooks(&connected))...), impl, &connected)
}

func hooks(connected *chan struct{}) client.Option {
	c := make(chan struct{}, 100)
	*connected = c
	return client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { c <- struct{}{} }})
}

func serveClient(t testing.TB, c *client.Client, impl *pushApi, connected *chan struct{}) (chan struct{}, func()) {
	t.Helper()
	pb.RegisterPushApiServer(c, impl)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.Serve(ctx) })
	stop := sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return *connected, stop
}

func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(long):
		t.Fatalf("no %s", what)
	}
	return v
}

// recorder is a proxy that keeps what goes through it.
type recorder struct {
	addr  string
	conns atomic.Int32
	chop  bool // hands on one byte at a time

	all sync.Map // its connections that are open: from each that came, that which was made for it

	mu       sync.Mutex
	up, down []byte // of all connections, in the order in which it came
}

// record starts a recorder in front of an address.
func record(t testing.TB, to string) *recorder {
	t.Helper()
	return startRecorder(t, to, &recorder{})
}

func startRecorder(t testing.TB, to string, r *recorder) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			r.all.Store(in, out)
			pipe := func(dst, src net.Conn, keep *[]byte) {
				defer r.all.Delete(in)
				defer dst.Close()
				var w io.Writer = dst
				if r.chop {
					w = writerFunc(func(b []byte) {
						for i := range b {
							dst.Write(b[i : i+1]) //nolint:errcheck // then the next fails, too
						}
					})
				}
				io.Copy(io.MultiWriter(w, writerFunc(func(b []byte) {
					r.mu.Lock()
					*keep = append(*keep, b...)
					r.mu.Unlock()
				})), src)
			}
			wg.Go(func() { pipe(out, in, &r.up) })
			wg.Go(func() { pipe(in, out, &r.down) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.cut(true)
		wg.Wait()
	})
	return r
}

// cut cuts one of the connections, whichever, or all.
func (r *recorder) cut(all bool) {
	r.all.Range(func(in, out any) bool {
		r.all.Delete(in)
		in.(net.Conn).Close()
		out.(net.Conn).Close()
		return all
	})
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// take returns what has gone through since the last time.
func (r *recorder) take() (up, down []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up, down, r.up, r.down = r.up, r.down, nil, nil
	return up, down
}

// frames splits what was recorded.
func frames(t testing.TB, b []byte) (heads []native.Head, bodies []java.Body) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 48 {
			t.Fatalf("%d bytes at the end", len(b))
		}
		h, err := native.BRPC.Parse(b[:48])
		if err != nil || len(b) < 48+h.Body {
			t.Fatalf("%+v, %v", h, err)
		}
		body, err := java.ParseBody(b[48 : 48+h.Body])
		if err != nil {
			t.Fatal(err)
		}
		heads, bodies = append(heads, h), append(bodies, body)
		b = b[48+h.Body:]
	}
	return heads, bodies
}

// rawFrame is a frame that the test sends itself.
func rawFrame(t testing.TB, typ native.FrameType, id int64, service, method string, args ...any) []byte {
	t.Helper()
	params, err := java.AppendArgs(nil, args)
	if err != nil {
		t.Fatal(err)
	}
	b := (&java.Body{Service: service, Method: method, Parameters: params}).Append(nil)
	return append(native.BRPC.Append(nil, native.Head{Type: typ, CorrelationID: id, Body: len(b)}), b...)
}

// dialRaw opens a connection that the test speaks on itself.
func dialRaw(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	return c
}

func fields(s string) []string { return strings.Fields(s) }
