package browser

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// display is what clients serve. Notify answers at once, but with the text "fail" it
// fails, and with "wait" it waits until it is given up.
type display struct {
	pb.UnimplementedNotifierServer
	name string
}

func (d display) Notify(ctx context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	switch r.GetText() {
	case "fail":
		return nil, status.Error(codes.FailedPrecondition, "the display is off")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &pb.NotifyResponse{Display: d.name}, nil
}

func (d display) Install(_ *pb.InstallRequest, s grpc.ServerStreamingServer[pb.InstallResponse]) error {
	<-s.Context().Done()
	return s.Context().Err()
}

// device is a client that is connected.
type device struct {
	leave func() // in order
	cut   func() // without a word
	mute  func() // what it says is lost from now on
}

// kind is how a client connects.
type kind struct {
	name, protocol string
	delay          time.Duration // of what comes to it
	opts           []client.Option
}

// connect connects a client, and returns when it is connected.
func (p *process) connect(t *testing.T, k kind) *device {
	t.Helper()
	path := &path{delay: k.delay}
	dial := path.dial
	cc, err := grpc.NewClient("passthrough:///"+p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{}, 1)
	opts := append([]client.Option{client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}})}, k.opts...)
	var c *client.Client
	switch k.protocol {
	case "native":
		c = client.NewDialer(native.Dialer(p.native, native.WithDialFunc(dial)), k.name, opts...)
	case "direct":
		opts = append(opts, client.WithDirectDialer(func(ctx context.Context) (net.Conn, error) { return dial(ctx, p.addr) }))
		fallthrough
	default:
		c = client.New(cc, k.name, opts...)
		pb.RegisterNotifierServer(c, display{name: k.name})
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Serve(ctx)
	}()
	d := &device{
		leave: func() { _ = c.Shutdown(ctx); cancel(); <-ended },
		cut:   func() { path.cut(); cancel(); <-ended; _ = cc.Close() },
		mute:  func() { path.muted.Store(true) },
	}
	t.Cleanup(d.cut)
	select {
	case <-connected:
	case <-t.Context().Done():
		t.Fatalf("%s does not connect", k.name)
	}
	return d
}

// path is the way of a client to the server.
type path struct {
	delay time.Duration // of what comes to the client
	muted atomic.Bool

	mu    sync.Mutex // guards what follows
	conns []net.Conn
	gone  bool
}

func (p *path) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		c.Close()
		return nil, net.ErrClosed
	}
	p.conns = append(p.conns, c)
	return &conn{c, p}, nil
}

// cut ends all connections, and lets no more begin.
func (p *path) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	for _, c := range p.conns {
		c.Close()
	}
}

// conn is a connection on a path.
type conn struct {
	net.Conn
	path *path
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.path.delay > 0 {
		time.Sleep(c.path.delay)
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if c.path.muted.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// caller returns a stub of callers, who name the client in the context.
func (p *process) caller(t *testing.T) pb.NotifierClient {
	t.Helper()
	cc, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return pb.NewNotifierClient(cc)
}

func to(ctx context.Context, name, namespace string) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, gateway.ClientKey, name)
	if namespace != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, gateway.NamespaceKey, namespace)
	}
	return ctx
}

// refused connects a client that is not let in, and returns when it was told.
func (p *process) refused(t *testing.T, name, namespace string) (end func()) {
	t.Helper()
	cc, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 1)
	c := client.New(cc, name, client.WithNamespace(namespace), client.WithHooks(client.Hooks{Retry: func(error, time.Duration) {
		select {
		case told <- struct{}{}:
		default:
		}
	}}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Serve(ctx)
	}()
	select {
	case <-told:
	case <-t.Context().Done():
		t.Fatal("the client was not refused")
	}
	return func() { cancel(); <-ended; cc.Close() }
}

// waiting makes a call wait for its client.
func waiting(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, gateway.WaitKey, "true")
}
