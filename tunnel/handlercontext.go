package tunnel

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// handlerContext is the context of a handler. It is part of its call, and what
// most handlers do not use it makes on demand: the channel, the timer, the
// values. call.in.mu guards its fields.
type handlerContext struct {
	call     *handlerCall
	deadline time.Time // zero: none; never changes

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
	c.call.in.mu.Lock()
	defer c.call.in.mu.Unlock()
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

// watch starts the timer for the deadline. call.in.mu is held.
func (c *handlerContext) watch() {
	if c.timer == nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
	}
}

// Err tells why the call has ended, nil if it has not.
func (c *handlerContext) Err() error {
	c.call.in.mu.Lock()
	err := c.err
	c.call.in.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.end(context.DeadlineExceeded)
		return context.DeadlineExceeded
	}
	return err
}

// end ends the context, once.
func (c *handlerContext) end(err error) {
	c.call.in.mu.Lock()
	if c.err != nil {
		c.call.in.mu.Unlock()
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
	c.call.in.mu.Unlock()
	for _, f := range after {
		go f()
	}
}

// AfterFunc lets package context derive contexts from this one without a
// goroutine each. f runs in its own goroutine when the context ends, unless stop
// is called before.
func (c *handlerContext) AfterFunc(f func()) (stop func() bool) {
	c.call.in.mu.Lock()
	defer c.call.in.mu.Unlock()
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
		c.call.in.mu.Lock()
		defer c.call.in.mu.Unlock()
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
		return &c.call.s.cfg.Remote
	}
	c.call.in.mu.Lock()
	if c.values == nil {
		md := c.call.incoming
		if md == nil {
			md = metadata.MD{}
		}
		ctx := metadata.NewIncomingContext(context.Background(), md)
		ctx = peer.NewContext(ctx, c.call.s.cfg.Peer)
		c.values = grpc.NewContextWithServerTransportStream(ctx, (*transportStream)(c.call))
	}
	values := c.values
	c.call.in.mu.Unlock()
	return values.Value(key)
}
