package pythonpeer

import (
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/server"
)

// world is a server.
type world struct {
	push      *server.Server
	grpc      *grpc.Server
	listener  *listener
	addr      string
	connected chan *server.Session
	gone      chan error
	served    chan error
}

// newWorld starts a server at addr, or somewhere if that is empty.
func newWorld(t *testing.T, addr string, opts ...server.Option) *world {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		listener:  &listener{Listener: l},
		addr:      l.Addr().String(),
		connected: make(chan *server.Session, 100),
		gone:      make(chan error, 100),
		served:    make(chan error, 1),
	}
	hooks := server.Hooks{
		Connected:    func(s *server.Session) { w.connected <- s },
		Disconnected: func(_ *server.Session, reason error) { w.gone <- reason },
	}
	w.push = server.New(append(opts, server.WithHooks(hooks))...)
	w.grpc = grpc.NewServer(server.RecommendedOptions()...)
	w.push.Register(w.grpc)
	go func() { w.served <- w.grpc.Serve(w.listener) }()
	t.Cleanup(w.stop)
	return w
}

// stop stops the server without a word. It may be called again.
func (w *world) stop() {
	w.grpc.Stop()
	w.push.Close()
}

// session returns the next session that is connected.
func (w *world) session(t *testing.T) *server.Session { return await(t, w.connected, "session") }

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-within(t, long).Done():
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// connect starts a server and a client of it, called c1.
func connect(t *testing.T, o options, opts ...server.Option) (*world, *peer, testgrpc.TestServiceClient) {
	t.Helper()
	w := newWorld(t, "", opts...)
	p := startPeer(t, w.addr, "c1", o)
	w.session(t)
	return w, p, testgrpc.NewTestServiceClient(w.push.Client("c1"))
}

// listener keeps what it has accepted.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns []*conn
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	kept := &conn{Conn: c, frozen: make(chan struct{}), closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, kept)
	return kept, nil
}

// take returns the connections, and forgets them.
func (l *listener) take() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	conns := l.conns
	l.conns = nil
	return conns
}

// cut closes all connections.
func (l *listener) cut() {
	for _, c := range l.take() {
		c.Conn.Close()
	}
}

// freeze makes a dead network of all connections: nothing arrives any more, and
// nobody is told.
func (l *listener) freeze() {
	for _, c := range l.take() {
		close(c.frozen)
	}
}

type conn struct {
	net.Conn
	frozen, closed chan struct{}
	once           sync.Once
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	select {
	case <-c.frozen:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (c *conn) Write(b []byte) (int, error) {
	select {
	case <-c.frozen:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// Close leaves a frozen connection open for the other end, until that has enough.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	select {
	case <-c.frozen:
		return nil
	default:
		return c.Conn.Close()
	}
}
