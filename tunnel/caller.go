package tunnel

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
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
	return c.RecvMsg(reply)
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
	told       bool // own has ended

	begun    bool        // the head has been written; SendMsg's
	sentAll  bool        // no message may follow; SendMsg's and CloseSend's
	finished atomic.Bool // end has run
	once     sync.Once   // for end
	result   error       // of end; to be read only after it

	md, creds metadata.MD // what is sent with the head
	head      [80]byte    // the storage of the head of most calls
}

func (s *Session) newCall(ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) (*callerCall, error) {
	o, err := s.cfg.parseOptions(opts)
	if err != nil {
		err = NewError(status.Convert(err), OutcomeNotSent, nil)
		tellFinished(opts, err)
		return nil, err
	}
	c := &callerCall{s: s, ctx: ctx, method: method, desc: desc, opts: o}
	if err := s.enterCall(c); err != nil {
		tellFinished(opts, err)
		return nil, err
	}
	c.out.owner = c
	c.out.win.left = s.remote.callWindow
	c.in.init(&s.cfg, &s.budget, phaseHeader, o.maxRecv)
	if len(s.cfg.StatsHandlers) > 0 {
		c.stats, c.ctx = beginCallerStats(ctx, s, method, desc, &c.opts)
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
	switch ok, leaving := s.out.enter(s.remote.maxCalls); {
	case leaving:
		return NewError(status.New(codes.Unavailable, s.label()+"the session is about to end"), OutcomeNotSent, nil)
	case !ok:
		return NewError(status.Newf(codes.ResourceExhausted, "%sthe limit of %d calls at a time is reached",
			s.label(), s.remote.maxCalls), OutcomeNotSent, nil)
	}
	return nil
}

// prepare collects the metadata of the request.
func (c *callerCall) prepare() error {
	switch n := len(c.method) + len(c.opts.subtype); {
	case n > maxMethod:
		return status.Errorf(codes.ResourceExhausted, "%sthe method's name has %d bytes, above the limit of %d", c.s.label(), n, maxMethod)
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
		return status.Errorf(codes.ResourceExhausted, "%sthe metadata has %d bytes, above the limit of %d",
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
		c.s.out.wait(c.ctx, &c.out, sendAhead)
		if c.isOver() || c.ctx.Err() != nil {
			e.data.Free()
			return io.EOF
		}
	}
	sent := e.data.Len()
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

// RecvMsg receives a message into m. It returns io.EOF when the call has ended
// well, and the call's status otherwise.
func (c *callerCall) RecvMsg(m any) error {
	if c.finished.Load() {
		if c.result == nil {
			return io.EOF
		}
		return c.result
	}
	err := c.recv(m)
	if err == io.EOF {
		if c.desc.ServerStreams {
			c.finish(nil, OutcomeAnswered) //nolint:errcheck // that was it
			return io.EOF
		}
		return c.finish(status.Error(codes.Internal, "cardinality violation: received no response message from non-server-streaming RPC"), OutcomeAnswered)
	}
	if err != nil {
		return c.finish(err, OutcomeUnknown)
	}
	if c.desc.ServerStreams {
		return nil
	}
	// The status follows the only message.
	switch data, _, err := c.in.take(c.ctx, c); {
	case err == nil:
		data.Free()
		return c.finish(status.Error(codes.Internal, "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message"), OutcomeAnswered)
	case err == io.EOF:
		return c.finish(nil, OutcomeAnswered)
	default:
		return c.finish(c.cause(err), OutcomeUnknown)
	}
}

func (c *callerCall) recv(m any) error {
	data, compressed, err := c.in.take(c.ctx, c)
	if err != nil {
		return c.cause(err)
	}
	c.stats.inHeader(c)
	size := data.Len()
	plain, err := c.opts.decode(data, compressed, c.opts.maxRecv, m, codes.Internal)
	if err != nil {
		return err
	}
	c.stats.inPayload(m, plain, size)
	return nil
}

// cause translates the end of waiting.
func (c *callerCall) cause(err error) error {
	if err == errDone {
		return status.FromContextError(c.ctx.Err()).Err()
	}
	return err
}

// grant gives the peer more window.
func (c *callerCall) grant(n uint64) {
	c.s.out.grant(&c.out, n)
}

// Context returns the call's context: it knows the peer, and ends with the call.
func (c *callerCall) Context() context.Context {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.own == nil {
		c.own, c.cancel = context.WithCancel(peer.NewContext(c.ctx, c.s.cfg.Peer))
		if c.told {
			c.cancel()
		}
	}
	return c.own
}

// Header waits for the response header. Both results are nil if the call ends
// without one: RecvMsg tells why. As in grpc-go, the error is always nil.
func (c *callerCall) Header() (metadata.MD, error) {
	c.in.mu.Lock()
	if !c.hasHeader && c.in.closed == nil && c.headerDone == nil {
		c.headerDone = make(chan struct{})
	}
	done, known := c.headerDone, c.hasHeader || c.in.closed != nil
	c.in.mu.Unlock()
	var ended error
	if !known {
		select {
		case <-done:
		case <-c.ctx.Done():
			ended = c.cause(errDone)
		}
	}
	c.in.mu.Lock()
	hasHeader, header := c.hasHeader, c.header
	if ended == nil {
		ended = c.in.closed
	}
	c.in.mu.Unlock()
	if hasHeader {
		c.stats.inHeader(c)
		return header.Copy(), nil
	}
	if ended != io.EOF {
		c.finish(ended, OutcomeUnknown) //nolint:errcheck // RecvMsg returns it
	}
	return nil, nil
}

// Trailer returns the trailing metadata. It is there when RecvMsg has returned
// an error, io.EOF among them.
func (c *callerCall) Trailer() metadata.MD {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.trailer.Copy()
}

// receive takes a frame of the call.
func (c *callerCall) receive(f *wire.Frame, batch mem.Buffer) error {
	if bad := f.Parts &^ (wire.PartHeader | wire.PartMessage | wire.PartEnd | wire.PartWindow); bad != 0 {
		return fmt.Errorf("a part of a request (%v) on a call of this end", bad)
	}
	if f.Parts&wire.PartWindow != 0 {
		if err := c.s.out.credit(&c.out, f.Window); err != nil {
			return err
		}
		if f.Parts == wire.PartWindow {
			return nil
		}
	}
	c.in.mu.Lock()
	err := c.put(f, batch)
	over := c.over
	c.in.signal()
	c.in.mu.Unlock()
	if err == nil && over {
		c.s.table.remove(&c.out)
		if c.desc.ClientStreams {
			c.s.out.detach(&c.out) // a SendMsg that waits is in vain
		}
	}
	return err
}

// put takes the parts of a response. c.in.mu is held.
func (c *callerCall) put(f *wire.Frame, batch mem.Buffer) error {
	if f.Parts&wire.PartHeader != 0 {
		next, err := c.in.phase.next(eventHeader)
		if err != nil {
			return err
		}
		c.in.phase = next
		md, bad, err := readMetadata(f.Header, c.s.cfg.MaxMetadata)
		if err != nil {
			return err
		}
		if bad != nil {
			c.in.fail(bad)
			c.wakeHeader()
		} else {
			c.header = md
			c.headerKnown()
		}
	}
	if f.Parts&wire.PartMessage != 0 {
		if err := c.in.putMessage(f, batch); err != nil {
			return err
		}
		if c.in.closed == nil {
			c.headerKnown()
		}
	}
	if f.Parts&wire.PartEnd != 0 {
		return c.putEnd(f)
	}
	return nil
}

func (c *callerCall) headerKnown() {
	if c.hasHeader {
		return
	}
	c.hasHeader = true
	c.wakeHeader()
}

func (c *callerCall) wakeHeader() {
	if c.headerDone != nil {
		close(c.headerDone)
		c.headerDone = nil
	}
}

// putEnd takes the end of a response. c.in.mu is held.
func (c *callerCall) putEnd(f *wire.Frame) error {
	e := eventEnd
	if f.End.Code != 0 {
		e = eventFail
	}
	next, err := c.in.phase.next(e)
	if err != nil {
		return err
	}
	c.in.phase = next
	trailer, bad, err := readMetadata(f.End.Trailer, c.s.cfg.MaxMetadata)
	if err != nil {
		return err
	}
	c.over = true
	c.trailer = trailer
	switch {
	case bad != nil:
		c.in.close(bad)
	case e == eventEnd:
		c.in.close(io.EOF)
	default:
		c.in.close(endError(&f.End))
	}
	c.wakeHeader()
	return nil
}

// endError makes an error of a status that came in.
func endError(e *wire.End) error {
	st := statusOf(e.Code, e.Message, e.Details)
	if e.Refused {
		return NewError(st, OutcomeRefused, nil)
	}
	return st.Err()
}

// lost ends the call because the session has ended.
func (c *callerCall) lost(err error) {
	c.s.out.detach(&c.out)
	c.in.mu.Lock()
	c.in.close(err)
	c.wakeHeader()
	c.in.signal()
	c.in.mu.Unlock()
}

// finish ends the call at this end, once: nil for an end in order. It returns
// the call's error, which is that of the first finish. What is under way is
// cancelled. outcome is that of err, unless err knows its own or nothing was
// sent.
func (c *callerCall) finish(err error, outcome Outcome) error {
	first := false
	c.once.Do(func() {
		c.end(err, outcome)
		first = true
	})
	if first {
		c.tell()
	}
	return c.result
}

func (c *callerCall) end(err error, outcome Outcome) {
	c.in.mu.Lock()
	over, stop := c.over, c.stop
	c.wakeHeader()
	c.in.mu.Unlock()
	if stop != nil {
		stop()
	}
	var last []byte
	if !over {
		last = wire.Cancel
	}
	begun := c.s.out.leave(&c.out, last)
	c.result = withOutcome(err, outcome, begun, over)
	ended := c.result
	if ended == nil {
		ended = io.EOF
	}
	left := c.in.drop(ended)
	if begun && !over {
		c.s.table.abandon(&c.out, left+lateFrames*frameCost)
	}
	c.stats.endCaller(c, c.result)
	c.report()
	c.finished.Store(true)
}

// tell tells the user's code that the call has ended. It may use the call.
func (c *callerCall) tell() {
	for _, f := range c.opts.onFinish {
		f(c.result)
	}
	if c.stop == nil {
		return // a unary call has no Context method
	}
	c.in.mu.Lock()
	c.told = true
	cancel := c.cancel
	c.in.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// withOutcome adds the outcome to the error of a call that its peer did not end.
func withOutcome(err error, outcome Outcome, begun, over bool) error {
	if err == nil || over {
		return err
	}
	if e, ok := err.(*Error); ok {
		if begun || e.outcome != OutcomeUnknown {
			return err
		}
		return NewError(e.status, OutcomeNotSent, e.cause)
	}
	if !begun {
		outcome = OutcomeNotSent
	}
	if outcome == OutcomeAnswered {
		return err
	}
	return NewError(status.Convert(err), outcome, err)
}

// report fills in what the call's options point to.
func (c *callerCall) report() {
	if c.opts.header != nil || c.opts.trailer != nil {
		c.in.mu.Lock()
		hasHeader, header, trailer := c.hasHeader, c.header, c.trailer
		c.in.mu.Unlock()
		if c.opts.header != nil {
			*c.opts.header = nil
			if hasHeader {
				*c.opts.header = header.Copy()
			}
		}
		if c.opts.trailer != nil {
			*c.opts.trailer = trailer.Copy()
		}
	}
	if c.opts.peer != nil {
		*c.opts.peer = *c.s.cfg.Peer
	}
}
