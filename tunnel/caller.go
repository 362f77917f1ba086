package tunnel

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// sendAhead is how many bytes of messages a call may have waiting before SendMsg
// waits, as in grpc-go. Each message counts as its size and outbox.go's waiting.
const sendAhead = 64 << 10

// maxMethod is the longest name of a method and its codec, in bytes: a frame must
// fit in a batch.
const maxMethod = 64 << 10

// Invoke makes a unary call. It is grpc.ClientConnInterface's.
func (s *Session) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	c, err := s.newCall(ctx, unaryDesc, method, opts)
	if err != nil {
		return err
	}
	if err := c.prepare(); err != nil {
		return c.finish(err, OutcomeNotSent)
	}
	if err := c.SendMsg(args); err != nil {
		return err
	}
	err = c.RecvMsg(reply)
	c.recycle()
	return err
}

// NewStream begins a call. It is grpc.ClientConnInterface's.
func (s *Session) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c, err := s.newCall(ctx, desc, method, opts)
	if err != nil {
		return nil, err
	}
	c.in.mu.Lock()
	c.stop = context.AfterFunc(ctx, func() {
		_ = c.finish(status.FromContextError(ctx.Err()).Err(), OutcomeUnknown) // RecvMsg returns it
	})
	c.in.mu.Unlock()
	if err := c.prepare(); err != nil {
		return nil, c.finish(err, OutcomeNotSent)
	}
	// Who may take long to send must not keep the handler waiting.
	if desc.ClientStreams && !s.out.add(&c.out, item{pre: c.begin()}) {
		return nil, c.finish(s.unavailable(OutcomeNotSent), OutcomeNotSent)
	}
	return c, nil
}

// callerCall is the caller's end of a call.
type callerCall struct {
	s      *Session
	ctx    context.Context //nolint:containedctx // a grpc.ClientStream has one
	method string
	desc   *grpc.StreamDesc
	opts   callOptions
	stats  *callStats // nil without stats handlers

	out outbound
	in  inbox

	// in.mu guards what follows.
	header     metadata.MD
	trailer    metadata.MD
	headerDone chan struct{}      // closed when the header is known; made on demand
	stop       func() bool        // stops waiting for the end of ctx; nil if nothing waits
	own        context.Context    //nolint:containedctx // what Context returns; made on demand
	cancel     context.CancelFunc // of own
	hasHeader  bool
	over       bool // the peer has sent its end
	alone      bool // and nobody but the caller knows the call any more
	told       bool // own has ended

	begun    bool        // the head has been written; SendMsg's
	sentAll  bool        // no message may follow; SendMsg's and CloseSend's
	finished atomic.Bool // end has run
	once     sync.Once   // for end
	result   error       // of end; to be read only after it

	md, creds metadata.MD // what is sent with the head
	head      [80]byte    // the storage of the head of most calls
}

// callerCalls has zeroed calls: most of what a small call would allocate.
var callerCalls = sync.Pool{New: func() any { return new(callerCall) }}

// recycle lets a call that RecvMsg has ended be used again, if nobody else may
// still hold it: not the session's end, which takes calls out of the table. It is
// for calls that the user's code never sees.
func (c *callerCall) recycle() {
	c.in.mu.Lock() // the reader may be ending the call at this moment
	alone := c.alone
	c.in.mu.Unlock()
	if !alone {
		return
	}
	*c = callerCall{} // in.wake too: a channel belongs to its bubble, in a test with synctest
	callerCalls.Put(c)
}

func (s *Session) newCall(ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) (*callerCall, error) {
	o, err := s.cfg.parseOptions(opts)
	if err != nil {
		err = NewError(status.Convert(err), OutcomeNotSent, nil)
		tellFinished(opts, err)
		return nil, err
	}
	c := callerCalls.Get().(*callerCall)
	c.s, c.ctx, c.method, c.desc, c.opts = s, ctx, method, desc, o
	if err := s.enterCall(c); err != nil {
		if ctx.Err() == nil { // grpc-go tells nothing of a call that comes too late
			s.cfg.TellUnsent(ctx, method, desc, o.wait, time.Now(), err)
		}
		tellFinished(opts, err)
		return nil, err
	}
	c.out.owner, c.out.reserved = c, true
	c.out.win.left = s.remote.callWindow
	c.in.init(&s.cfg, &s.budget, phaseHeader, o.maxRecv)
	if len(s.cfg.StatsHandlers) > 0 {
		c.stats, c.ctx = beginCallerStats(ctx, &s.cfg, method, desc, &c.opts, time.Now())
	}
	return c, nil
}

// enterCall counts a call in, if the session takes calls and ctx has not ended.
func (s *Session) enterCall(c *callerCall) error {
	if err := c.ctx.Err(); err != nil {
		return NewError(status.FromContextError(err), OutcomeNotSent, err)
	}
	if s.ended() {
		return s.unavailable(OutcomeNotSent)
	}
	switch ok, leaving := s.out.enter(min(s.remote.maxCalls, s.cfg.MaxOutgoingCalls)); {
	case leaving:
		return NewError(status.New(codes.Unavailable, s.label()+"the session is about to end"), OutcomeNotSent, nil)
	case !ok && s.remote.maxCalls <= s.cfg.MaxOutgoingCalls:
		return LimitCalls.exceeded(OutcomeNotSent, "%sthe limit %q is reached: %d calls at a time", s.label(), string(LimitCalls), s.remote.maxCalls)
	case !ok:
		return LimitOutgoingCalls.exceeded(OutcomeNotSent, "%sthe limit %q is reached: %d calls at a time",
			s.label(), string(LimitOutgoingCalls), s.cfg.MaxOutgoingCalls)
	}
	return nil
}

// prepare collects the metadata of the request.
func (c *callerCall) prepare() error {
	switch n := len(c.method) + len(c.opts.subtype); {
	case n > maxMethod:
		return LimitMetadata.exceeded(OutcomeNotSent, "%sthe method's name has %d bytes, above the limit of %d", c.s.label(), n, maxMethod)
	case !utf8.ValidString(c.method) || !utf8.ValidString(c.opts.subtype):
		return status.Errorf(codes.Internal, "%sthe method's name %q is not valid UTF-8", c.s.label(), c.method+c.opts.subtype)
	}
	md, _ := metadata.FromOutgoingContext(c.ctx)
	if err := checkMetadata(md); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	creds, err := c.opts.credentialsMetadata(c.ctx, &c.s.cfg, c.method)
	if err != nil {
		return err
	}
	c.md, c.creds = sendableMetadata(md), creds
	if size := metadataCost(c.md) + metadataCost(c.creds); size > c.s.remote.maxMetadata {
		return LimitMetadata.exceeded(OutcomeNotSent, "%sthe metadata has %d bytes, above the limit of %d",
			c.s.label(), size, c.s.remote.maxMetadata)
	}
	c.stats.outHeader(c.method, md)
	return nil
}

// begin encodes the request's head.
func (c *callerCall) begin() []byte {
	c.begun = true
	md := [...]metadata.MD{c.creds, c.md}
	h := wire.Head{Method: c.method, Metadata: md[:], Codec: c.opts.subtype, Compressor: c.opts.compressorName}
	if deadline, ok := c.ctx.Deadline(); ok {
		h.HasTimeout = true
		h.Timeout = uint64(max(time.Until(deadline), 0) / time.Microsecond) //nolint:gosec // not negative
	}
	return wire.AppendBegin(c.head[:0], h)
}

// SendMsg sends a message. It returns when the message is on its way or waits
// behind at most sendAhead bytes; m is not used after that. It returns io.EOF
// when the call has ended: RecvMsg tells why. As in grpc-go, it returns nil then
// if there is but one message to send.
func (c *callerCall) SendMsg(m any) error {
	if c.sentAll {
		return c.finish(status.Error(codes.Internal, "SendMsg called after CloseSend"), OutcomeAnswered)
	}
	e, err := c.opts.encode(m, c.opts.maxSend)
	if err != nil {
		return c.finish(err, OutcomeUnknown)
	}
	it := item{message: e.data, compressed: e.compressed}
	if !c.begun {
		it.pre = c.begin()
	}
	if !c.desc.ClientStreams {
		it.post = wire.HalfClose
		c.sentAll = true
	} else {
		it.more = c.out.talks.Swap(true)
		c.s.out.wait(c.ctx, &c.out, sendAhead)
		if c.isOver() || c.ctx.Err() != nil {
			e.data.Free()
			return io.EOF
		}
	}
	sent := e.data.Len()
	if limit := c.s.out.reserve(sent + waiting); limit != "" {
		e.data.Free()
		return c.finish(limit.exceeded(OutcomeUnknown, "%stoo much waits to be sent: the limit %q is reached", c.s.label(), string(limit)), OutcomeUnknown)
	}
	if !c.s.out.add(&c.out, it) {
		c.undelivered()
		if !c.desc.ClientStreams {
			return nil
		}
		return io.EOF
	}
	c.stats.outPayload(m, e.plain, sent)
	return nil
}

// CloseSend says that no message follows.
func (c *callerCall) CloseSend() error {
	if c.sentAll {
		return nil
	}
	c.sentAll = true
	if !c.begun {
		if !c.s.out.add(&c.out, item{pre: c.begin(), post: wire.HalfClose}) {
			c.undelivered()
		}
		return nil
	}
	c.s.out.finish(&c.out, wire.HalfClose)
	return nil
}

// undelivered ends the call because the session takes nothing more of it, unless
// it is over anyway.
func (c *callerCall) undelivered() {
	if !c.isOver() {
		c.lost(c.s.unavailable(OutcomeUnknown))
	}
}

// isOver reports whether the peer or finish has ended the call.
func (c *callerCall) isOver() bool {
	if c.finished.Load() {
		return true
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.over || c.in.closed != nil
}
