package native

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Endpoint is a server that speaks the native protocol, as a client sees it. It is
// a tunnel.Dialer, for client.NewDialer; and a grpc.ClientConnInterface, for
// ordinary calls to the server. These go over the connection of the client's
// session while there is one; otherwise over one that is opened for them, under
// no name, and kept until Close. All methods may be called by any goroutine.
type Endpoint struct {
	addr  string
	opts  *options
	calls *methods // of the server

	dialing chan struct{} // holds a token; who takes it may dial

	// mu guards what follows.
	mu      sync.Mutex
	session *link // of a client; nil if there is none
	own     *link // without a name; nil if there is none
	closed  bool
}

var (
	_ tunnel.Dialer            = (*Endpoint)(nil)
	_ tunnel.ServiceChecker    = (*Endpoint)(nil)
	_ grpc.ClientConnInterface = (*Endpoint)(nil)
)

// Dialer returns the Endpoint at an address: host:port. It does not connect yet.
// It panics if a service of WithCalls cannot be mapped to Java: see Check.
func Dialer(addr string, opts ...Option) *Endpoint {
	o := newOptions(opts)
	e := &Endpoint{addr: addr, opts: o, calls: methodsOf(o.pushes), dialing: make(chan struct{}, 1)}
	e.dialing <- struct{}{}
	return e
}

// CheckService reports what keeps a service from being served to the server.
func (e *Endpoint) CheckService(desc *grpc.ServiceDesc) error { return Check(desc) }

// Dial opens a session and registers its name.
func (e *Endpoint) Dial(ctx context.Context, cfg tunnel.Config) (tunnel.Link, error) {
	l, err := e.open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.session = l
	e.mu.Unlock()
	return l, nil
}

// Invoke makes a call to the server. If there is no connection it opens one; with
// grpc.WaitForReady(true) it tries until ctx ends.
func (e *Endpoint) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	l, err := e.link(ctx, opts)
	if err != nil {
		for _, o := range opts {
			if o, ok := o.(grpc.OnFinishCallOption); ok {
				o.OnFinish(err)
			}
		}
		return err
	}
	return l.Invoke(ctx, method, args, reply, opts...)
}

// NewStream begins a call of a unary method as a stream.
func (e *Endpoint) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	l, err := e.link(ctx, opts)
	if err != nil {
		return nil, err
	}
	return l.NewStream(ctx, desc, method, opts...)
}

// current returns the link to call on, nil if there is none.
func (e *Endpoint) current() (*link, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, refused(codes.Canceled, "pushtunnel: the endpoint is closed")
	case e.session != nil && !isDone(e.session.done):
		return e.session, nil
	case e.own != nil && !isDone(e.own.done):
		return e.own, nil
	}
	return nil, nil
}

// link returns a link to call on. If there is none it opens one.
func (e *Endpoint) link(ctx context.Context, opts []grpc.CallOption) (*link, error) {
	wait := false
	for _, o := range opts {
		if o, ok := o.(grpc.FailFastCallOption); ok {
			wait = !o.FailFast
		}
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		l, err := e.tryLink(ctx)
		if err == nil || !wait || status.Code(err) != codes.Unavailable {
			return l, err
		}
		t := time.NewTimer(pause + rand.N(pause)) //nolint:gosec // jitter needs no secrecy
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, tunnel.NewError(status.Newf(status.FromContextError(ctx.Err()).Code(),
				"pushtunnel: no connection to %s: %s", e.addr, status.Convert(err).Message()), tunnel.OutcomeNotSent, ctx.Err())
		}
	}
}

// tryLink is one attempt of link.
func (e *Endpoint) tryLink(ctx context.Context) (*link, error) {
	if l, err := e.current(); l != nil || err != nil {
		return l, err
	}
	select {
	case <-e.dialing:
		defer func() { e.dialing <- struct{}{} }()
	case <-ctx.Done():
		return nil, tunnel.NewError(status.FromContextError(ctx.Err()), tunnel.OutcomeNotSent, ctx.Err())
	}
	if l, err := e.current(); l != nil || err != nil {
		return l, err
	}
	l, err := e.open(ctx, tunnel.Config{})
	if err != nil {
		return nil, tunnel.NewError(status.Convert(err), tunnel.OutcomeNotSent, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		l.Close(nil)
		return nil, refused(codes.Canceled, "pushtunnel: the endpoint is closed")
	}
	e.own = l
	return l, nil
}

// Close closes the connection that was opened for calls. That of a client's
// session is the client's.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	own := e.own
	e.own, e.closed = nil, true
	e.mu.Unlock()
	if own != nil {
		own.Close(nil)
		own.readers.Wait()
	}
	return nil
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
