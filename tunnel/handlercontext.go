package tunnel

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// handlerContext is the context of a handler. It outlives its call where the
// handler gives it to somebody. What most handlers do not use it makes on demand:
// the channel, the timer, the values.
type handlerContext struct {
	s        *Session
	method   *method
	incoming metadata.MD
	deadline time.Time // zero: none

	// mu guards what follows.
	mu     sync.Mutex
	call   *handlerCall // nil when it is over and may serve as another
	err    error
	done   chan struct{}
	timer  *time.Timer
	values context.Context //nolint:containedctx // that is what it is for
	after  map[int]func()
	nextID int
}

var _ context.Context = (*handlerContext)(nil)

// Deadline returns the call's deadline.
func (c *handlerContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done returns a channel that is closed when the call ends.
func (c *handlerContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else {
			c.watch()
		}
	}
	return c.done
}

// watch starts the timer for the deadline. c.mu is held.
func (c *handlerContext) watch() {
	if c.timer == nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
	}
}

// Err tells why the call has ended, nil if it has not.
func (c *handlerContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.end(context.DeadlineExceeded)
		return context.DeadlineExceeded
	}
	return err
}

// end ends the context, once.
func (c *handlerContext) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for _, f := range after {
		go f()
	}
}

// release parts the context from its call, if nobody can reach the call through
// it: it reports whether that is so.
func (c *handlerContext) release() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values != nil {
		return false
	}
	c.call = nil
	return true
}

// AfterFunc lets package context derive contexts from this one without a
// goroutine each. f runs in its own goroutine when the context ends, unless stop
// is called before.
func (c *handlerContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.watch()
	if c.after == nil {
		c.after = make(map[int]func())
	}
	id := c.nextID
	c.nextID++
	c.after[id] = f
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.after[id]
		delete(c.after, id)
		return ok
	}
}

// Value returns what gRPC puts in a handler's context: incoming metadata, peer,
// the transport stream; and the tunnel's peer. Nothing of the context that the
// tunnel itself was opened with is in it.
func (c *handlerContext) Value(key any) any {
	if _, ok := key.(peerKey); ok {
		return &c.s.cfg.Remote
	}
	c.mu.Lock()
	if c.values == nil {
		md := c.incoming
		if md == nil {
			md = metadata.MD{}
		}
		ctx := metadata.NewIncomingContext(context.Background(), md)
		ctx = peer.NewContext(ctx, c.s.cfg.Peer)
		var stream grpc.ServerTransportStream = pastStream{c.method}
		if c.call != nil {
			stream = (*transportStream)(c.call)
		}
		c.values = grpc.NewContextWithServerTransportStream(ctx, stream)
	}
	values := c.values
	c.mu.Unlock()
	return values.Value(key)
}

// pastStream is what grpc.SetHeader, grpc.Method and their like find when the call
// is over.
type pastStream struct{ method *method }

var errPast = status.Error(codes.Internal, "pushtunnel: the call is over")

func (s pastStream) Method() string               { return s.method.name }
func (s pastStream) SetHeader(metadata.MD) error  { return errPast }
func (s pastStream) SendHeader(metadata.MD) error { return errPast }
func (s pastStream) SetTrailer(metadata.MD) error { return errPast }
