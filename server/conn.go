package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Conn is the connection to the clients of a name, for the stubs. Each call
// goes to one session that the name has at that moment. If it has none the call
// fails with UNAVAILABLE, or waits for one, if made with grpc.WaitForReady(true).
type Conn struct {
	server *Server
	key    key
}

var _ grpc.ClientConnInterface = (*Conn)(nil)

// Namespace returns the clients' namespace.
func (c *Conn) Namespace() string { return c.key.namespace }

// Name returns the clients' name.
func (c *Conn) Name() string { return c.key.name }

// Invoke makes a unary call to one of the clients.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx = c.withTarget(ctx)
	if c.server.opts.unary == nil {
		return c.invoke(ctx, method, args, reply, nil, opts...)
	}
	return c.server.opts.unary(ctx, method, args, reply, nil, c.invoke, opts...)
}

// NewStream begins a streaming call to one of the clients.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx = c.withTarget(ctx)
	if c.server.opts.stream == nil {
		return c.newStream(ctx, desc, nil, method, opts...)
	}
	return c.server.opts.stream(ctx, desc, nil, method, c.newStream, opts...)
}

func (c *Conn) invoke(ctx context.Context, method string, args, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	return c.try(ctx, method, unaryDesc, opts, func(s *Session, opts []grpc.CallOption) error {
		return s.invoke(ctx, method, args, reply, nil, opts...)
	})
}

func (c *Conn) newStream(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (stream grpc.ClientStream, err error) {
	err = c.try(ctx, method, desc, opts, func(s *Session, opts []grpc.CallOption) error {
		stream, err = s.newStream(ctx, desc, nil, method, opts...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// unaryDesc describes all unary calls.
var unaryDesc = &grpc.StreamDesc{}

// try makes a call on a session, and once more on another if nothing was sent. The
// session tells the stats handlers; try does for a call that finds none.
func (c *Conn) try(ctx context.Context, method string, desc *grpc.StreamDesc, opts []grpc.CallOption, call func(*Session, []grpc.CallOption) error) error {
	wait, finish, opts := readOptions(opts)
	var began time.Time
	if tells := len(c.server.opts.tunnel.StatsHandlers) > 0 && ctx.Err() == nil; tells {
		began = time.Now()
	}
	s, err := c.pick(ctx, method, wait, nil)
	switch {
	case err != nil && !began.IsZero():
		c.server.opts.tunnel.TellUnsent(ctx, method, desc, wait, began, err)
	case err == nil:
		if err = call(s, opts); retriable(err) && ctx.Err() == nil {
			finish.discard()
			other, pickErr := c.pick(ctx, method, wait && status.Code(err) == codes.Unavailable, s)
			if pickErr == nil {
				err = call(other, opts)
			}
		}
	}
	finish.settle(err)
	return err
}

// retriable reports whether a call may fare better on another session.
func retriable(err error) bool {
	if err == nil || !tunnel.NotSent(err) {
		return false
	}
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.ResourceExhausted
}

// pick finds a session for a call, other than avoid.
func (c *Conn) pick(ctx context.Context, method string, wait bool, avoid *Session) (*Session, error) {
	for {
		if g := c.server.reg.find(c.key); g != nil {
			sessions := g.sessions
			if avoid != nil {
				sessions = without(sessions, avoid)
			}
			if len(sessions) > 0 {
				return c.choose(ctx, method, g, sessions)
			}
		}
		_, closed := c.server.state()
		switch {
		case closed:
			return nil, notSent(codes.Unavailable, ErrServerClosed.Error(), ErrServerClosed)
		case !wait:
			return nil, notSent(codes.Unavailable, fmt.Sprintf("pushtunnel: %v is not connected", c.key), nil)
		case c.server.reg.wait(ctx, c.key, avoid) == nil && ctx.Err() != nil:
			return nil, notSent(status.FromContextError(ctx.Err()).Code(),
				fmt.Sprintf("pushtunnel: waiting for %v to connect: %v", c.key, ctx.Err()), ctx.Err())
		}
	}
}

func (c *Conn) choose(ctx context.Context, method string, g *group, sessions []*Session) (*Session, error) {
	s := c.server.opts.picker(Pick{Context: ctx, Name: c.key.name, Method: method, Sessions: sessions, Sequence: g.picks.Add(1) - 1})
	if s == nil {
		return nil, notSent(codes.Unavailable, fmt.Sprintf("pushtunnel: the picker chose no session of %v", c.key), nil)
	}
	if t, ok := c.target(ctx); ok {
		t.Pick(&s.peer)
	}
	return s, nil
}

// withTarget says whom a call is for, if anybody may look for that.
func (c *Conn) withTarget(ctx context.Context) context.Context {
	if !c.server.opts.watched() {
		return ctx
	}
	return tunnel.WithTarget(ctx, &tunnel.Target{Namespace: c.key.namespace, Name: c.key.name})
}

// target returns what the interceptors of a call know it by, if there are any.
func (c *Conn) target(ctx context.Context) (*tunnel.Target, bool) {
	if !c.server.opts.watched() {
		return nil, false
	}
	t, ok := tunnel.TargetFromContext(ctx)
	return t, ok && t.Namespace == c.key.namespace && t.Name == c.key.name
}

// tellFinished tells a call's options that it has ended before it began.
func tellFinished(opts []grpc.CallOption, err error) {
	for _, o := range opts {
		if o, ok := o.(grpc.OnFinishCallOption); ok {
			o.OnFinish(err)
		}
	}
}

func notSent(code codes.Code, text string, cause error) error {
	return tunnel.NewError(status.New(code, text), tunnel.OutcomeNotSent, cause)
}

// readOptions reads what concerns the choice of a session. Options that want to
// know when the call finishes are held back until it is clear that it does.
func readOptions(opts []grpc.CallOption) (wait bool, f *finisher, rest []grpc.CallOption) {
	rest = opts
	for i, o := range opts {
		switch o := o.(type) {
		case grpc.FailFastCallOption:
			wait = !o.FailFast
		case grpc.OnFinishCallOption:
			if f == nil {
				f = &finisher{}
				rest = append([]grpc.CallOption(nil), opts...)
			}
			f.funcs = append(f.funcs, o.OnFinish)
			rest[i] = grpc.EmptyCallOption{}
		}
	}
	if f != nil {
		rest = append(rest, grpc.OnFinish(f.finish))
	}
	return wait, f, rest
}

// finisher runs the OnFinish functions of a call once, though it may have had
// two attempts. A nil finisher has no functions.
type finisher struct {
	funcs []func(error)

	// mu guards what follows.
	mu       sync.Mutex
	settled  bool // the attempt under way is the last
	finished bool // it has finished
	err      error
}

// finish notes that the attempt has finished.
func (f *finisher) finish(err error) {
	f.mu.Lock()
	f.finished, f.err = true, err
	settled := f.settled
	f.mu.Unlock()
	if settled {
		f.run(err)
	}
}

// discard forgets the attempt.
func (f *finisher) discard() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finished = false
}

// settle says that there is no further attempt. err is what the user is told
// now.
func (f *finisher) settle(err error) {
	if f == nil {
		return
	}
	f.mu.Lock()
	f.settled = true
	finished := f.finished || err != nil
	f.finished = true
	if err == nil {
		err = f.err
	}
	f.mu.Unlock()
	if finished {
		f.run(err)
	}
}

func (f *finisher) run(err error) {
	for _, fn := range f.funcs {
		fn(err)
	}
}
