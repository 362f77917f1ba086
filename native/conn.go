package native

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/internal/netio"
	"github.com/pushtunnel/pushtunnel/internal/stack"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// role is what differs between the two ends.
type role struct {
	asks    FrameType // the type of the calls that this end makes
	answers FrameType // the type of its answers
	told    FrameType // the type of the answers that it gets
}

var (
	serverRole = role{asks: TypePush, answers: TypeResponse, told: TypePushResponse}
	clientRole = role{asks: TypeRequest, answers: TypePushResponse, told: TypeResponse}
)

// conn is one connection. One goroutine reads it; calls are made by anybody.
type conn struct {
	role
	nc     net.Conn
	opts   *options
	cfg    atomic.Pointer[tunnel.Config] // for handlers; nil until it is needed
	in     frames
	out    *netio.Writer
	calls  calls
	logID  int64         // sent with every frame; 0 for none
	served atomic.Int32  // calls of the peer that run
	sent   atomic.Uint64 // bytes of frames
	rate   *rate.Limiter // of calls of the peer; nil: any
	held   atomic.Int64  // bytes of their bodies
	heard  atomic.Int64  // when the last frame came, in ms of Unix time; the server's

	// ctx is that of handlers; it ends with the connection.
	ctx    context.Context //nolint:containedctx // the connection's life
	cancel context.CancelFunc

	closing sync.Once

	// take handles a frame, and owns the body; an error ends the connection. idle is
	// how long the next may take to begin; 0: for ever. Both are the reader's.
	take  func(Head, *[]byte) error
	idle  time.Duration
	taken time.Time // when frames were taken last

	// The server's; see client.go. client and spoken are the reader's; pushable is set before the connection joins a client.
	client   *client
	claimed  string    // the name that it has said, if it has a client
	spoken   bool      // it has sent something besides registrations
	pushable time.Time // when a Java peer is ready for pushes
}

// newConn returns a connection whose handlers find in their contexts what ctx has of
// the peer. Its life does not depend on ctx.
func newConn(ctx context.Context, nc net.Conn, r role, opts *options, cfg *tunnel.Config) *conn {
	c := &conn{role: r, nc: nc, opts: opts}
	c.cfg.Store(cfg)
	c.in = frames{conn: nc, r: netio.NewReader(nc), head: opts.head, max: opts.maxBody, stranger: min(opts.maxStranger, opts.maxBody), known: r.asks == TypeRequest, patience: opts.frameTimeout}
	c.out = netio.NewWriter(nc, func(err error) { c.close(c.lost(err)) })
	if r.asks == TypePush && opts.callRate > 0 {
		c.rate = rate.NewLimiter(rate.Limit(opts.callRate), max(opts.callBurst, 1))
	}
	base := context.Background()
	if p, ok := peer.FromContext(ctx); ok {
		base = peer.NewContext(base, p)
	}
	c.ctx, c.cancel = context.WithCancel(base)
	return c
}

// lost is the error of calls whose connection has gone.
func (c *conn) lost(err error) error {
	text := "pushtunnel: the connection to client " + c.name() + " was lost"
	if c.asks == TypeRequest {
		text = "pushtunnel: the connection to the server was lost"
	}
	if err == nil || errors.Is(err, io.EOF) {
		return tunnel.NewError(status.New(codes.Unavailable, text), tunnel.OutcomeUnknown, err)
	}
	return tunnel.NewError(status.Newf(codes.Unavailable, "%s: %v", text, err), tunnel.OutcomeUnknown, err)
}

// name is the client's name, empty if it has not told it.
func (c *conn) name() string {
	if cfg := c.cfg.Load(); cfg != nil {
		return cfg.Remote.Name
	}
	return ""
}

// close ends the connection: calls that wait get err, handlers a context that has
// ended. Only the first counts.
func (c *conn) close(err error) {
	c.closing.Do(func() {
		c.out.Close(err)
		c.calls.close(err)
		c.cancel()
		c.nc.Close()
	})
}

// part closes the connection when what waits to be sent has been, or after a
// while.
func (c *conn) part(err error) {
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	c.out.Drain(ctx)
	c.close(err)
}

// read reads frames and hands them to c.take until the connection ends. It returns
// nil if the peer closed it in order. Where it waits it uses little stack.
func (c *conn) read() error {
	for {
		if c.busy() {
			runtime.Gosched() // more comes meanwhile, and is read with it
		}
		if err := c.in.await(c.idle); err != nil {
			return c.ended(err)
		}
		if err := c.took(); err != nil {
			return c.ended(err)
		}
	}
}

// warm is how long after some frames the next are taken on the same stack.
const warm = time.Second

// took takes the frames that have come. A connection that is used little does that
// apart, since its own stack would grow and stay so.
//
//go:noinline
func (c *conn) took() (err error) {
	now := time.Now()
	cold := now.Sub(c.taken) > warm
	c.taken = now
	if !cold {
		return c.takeFrames()
	}
	stack.Apart(func() { err = c.takeFrames() })
	return err
}

// takeFrames takes the frames that have come, and the rest of one that has begun.
//
//go:noinline
func (c *conn) takeFrames() error {
	for {
		h, body, err := c.in.next()
		if err == nil {
			err = c.take(h, body)
		}
		if err != nil || len(c.in.r.Buffered()) == 0 {
			return err
		}
	}
}

// ended closes the connection that has ended because of err.
//
//go:noinline
func (c *conn) ended(err error) error {
	c.in.r.Release()
	c.close(c.lost(err))
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// complete takes an answer.
func (c *conn) complete(h Head, body *[]byte) {
	if !c.calls.complete(h.CorrelationID, body) {
		bufpool.Pool.Put(body) // late, or nobody's
	}
}

// maxSent is the largest body that Java peers take; they close the connection when a
// larger one comes.
const maxSent = 512 << 20

// fits reports whether a frame may be sent.
func (c *conn) fits(b []byte) error {
	if n := len(b) - c.opts.head.Size(); n > maxSent {
		return exceeded(tunnel.LimitMessage, "pushtunnel: a body of %d bytes; the native protocol has %d at most", n, maxSent)
	}
	return nil
}

// send sends a frame whose body begins at the head's size in b: it fills in the
// head. b remains the caller's, to be sent again or freed. An error means that
// nothing of it was or will be sent.
func (c *conn) send(t FrameType, id int64, b *[]byte) error {
	if err := c.fits(*b); err != nil {
		return err
	}
	size := c.opts.head.Size()
	c.opts.head.Append((*b)[:0], Head{Type: t, CorrelationID: id, LogID: c.logID, Body: len(*b) - size})
	if err := c.out.Send(*b, c.busy()); err != nil {
		// Who has found out may not have closed the connection yet.
		c.close(c.lost(err))
		return c.calls.why()
	}
	c.sent.Add(uint64(len(*b)))
	return nil
}

// sendLast sends a frame and frees it.
func (c *conn) sendLast(t FrameType, id int64, b *[]byte) error {
	defer bufpool.Pool.Put(b)
	return c.send(t, id, b)
}

// tell makes a call that nobody waits for. The rest is as in roundTrip.
func (c *conn) tell(ctx context.Context, t FrameType, b *[]byte, wait time.Duration) error {
	if err := c.room(ctx, wait); err != nil {
		return err
	}
	if err := c.send(t, c.calls.id(), b); err != nil {
		return notSent(err)
	}
	return nil
}

// room waits until little waits to be sent: a peer that does not read shall not
// fill the memory. wait is as in roundTrip.
func (c *conn) room(ctx context.Context, wait time.Duration) error {
	if c.out.Waiting() < sendAhead {
		return nil
	}
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	c.out.Wait(ctx, sendAhead)
	if err := ctx.Err(); err != nil {
		return tunnel.NewError(status.Newf(status.FromContextError(err).Code(),
			"pushtunnel: the peer does not read: %v", err), tunnel.OutcomeNotSent, err)
	}
	return nil
}

// busy reports whether several calls are under way: others may be about to send.
func (c *conn) busy() bool { return c.served.Load() > 1 || c.calls.busy() }

// roundTrip makes a call: it sends the frame in b, as send does, and waits for the
// body of the answer. If wait is not 0 it is a limit besides that of ctx.
// came is called if the answer comes when nobody waits any more.
func (c *conn) roundTrip(ctx context.Context, t FrameType, b *[]byte, wait time.Duration, came func()) (*[]byte, error) {
	if err := c.room(ctx, wait); err != nil {
		return nil, err
	}
	call, err := c.calls.begin(wait, came)
	if err != nil {
		return nil, notSent(err)
	}
	if err := c.send(t, call.id, b); err != nil {
		if !c.calls.giveUp(call) {
			if a := <-call.answer; a.body != nil {
				bufpool.Pool.Put(a.body) // the peer has guessed the id
			}
		}
		return nil, notSent(err)
	}
	var a answer
	select {
	case a = <-call.answer:
	case <-ctx.Done():
		if c.calls.giveUp(call) {
			return nil, tunnel.NewError(status.FromContextError(ctx.Err()), tunnel.OutcomeUnknown, ctx.Err())
		}
		a = <-call.answer
	}
	if a.err == errExpired { //nolint:errorlint // it is never wrapped
		return nil, tunnel.NewError(status.Newf(codes.DeadlineExceeded,
			"pushtunnel: no answer within %v; the native protocol has no errors, so the call may have failed", wait),
			tunnel.OutcomeUnknown, context.DeadlineExceeded)
	}
	return a.body, a.err
}

// notSent turns the error of a call that never left into one that says so.
func notSent(err error) error {
	return tunnel.NewError(status.Convert(err), tunnel.OutcomeNotSent, err)
}

// newFrame returns a buffer of the size of a head, with room for a body of that
// size.
func (o *options) newFrame(body int) *[]byte {
	b := bufpool.Pool.Get(o.head.Size() + body + frameRoom)
	*b = (*b)[:o.head.Size()]
	return b
}

// frameRoom is enough for what stands around the arguments or the result.
const frameRoom = 256
