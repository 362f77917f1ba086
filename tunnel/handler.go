package tunnel

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// handlerCall is the handler's end of a call. It is the grpc.ServerStream of
// streaming handlers.
type handlerCall struct {
	s      *Session
	method *method
	format *format
	ctx    context.Context //nolint:containedctx // a grpc.ServerStream has one
	own    *handlerContext // what ctx is, or is derived from
	stats  *callStats      // nil without stats handlers
	decode func(any) error // RecvMsg, for unary handlers

	out outbound
	in  inbox

	// in.mu guards what follows.
	header     metadata.MD
	trailer    metadata.MD
	badTrailer error // why the trailer can't be sent
	headerSent bool
	answered   bool // the end has been sent

	received bool // a message has been taken; RecvMsg's
}

// handlerCalls has calls that are over, zero but for decode.
var handlerCalls = sync.Pool{New: func() any {
	c := new(handlerCall)
	c.decode = c.RecvMsg
	return c
}}

// recycle lets a call that is over be used again. The reader calls it, which alone
// may still have had it in its hands.
func (c *handlerCall) recycle() {
	*c = handlerCall{decode: c.decode}
	handlerCalls.Put(c)
}

// accept begins a call of the peer. The reader calls it.
func (s *Session) accept(f *wire.Frame, batch mem.Buffer) error {
	if bad := f.Parts &^ (wire.PartBegin | wire.PartMessage | wire.PartHalfClose | wire.PartCancel | wire.PartWindow); bad != 0 {
		return fmt.Errorf("parts (%v) that do not go with the begin of a call", bad)
	}
	if err := s.table.accept(f.CallID); err != nil {
		return err
	}
	if f.Parts&wire.PartCancel != 0 {
		return nil // begun and given up in one
	}
	md, bad, err := readMetadata(f.Begin.Metadata, s.cfg.MaxMetadata)
	if err != nil {
		return err
	}
	if bad != nil {
		return s.refuse(f, bad)
	}
	m, problem := s.cfg.Services.lookup(f.Begin.Method)
	if m == nil {
		return s.refuse(f, status.Error(codes.Unimplemented, problem))
	}
	form, err := formatOf(&f.Begin)
	if err != nil {
		return s.refuse(f, err)
	}
	if ok, _ := s.out.enter(s.cfg.MaxCalls); !ok {
		return s.refuse(f, LimitCalls.Status("pushtunnel: the limit %q is reached: %d calls at a time", string(LimitCalls), s.cfg.MaxCalls).Err())
	}
	c := handlerCalls.Get().(*handlerCall)
	c.s, c.method, c.format = s, m, form
	c.out.owner = c
	c.out.id = f.CallID
	c.out.begun = true
	c.out.win.left = s.remote.callWindow
	c.in.init(&s.cfg, &s.budget, phaseMessages, s.cfg.MaxRecvMsgSize)
	c.own = &handlerContext{s: s, method: m, incoming: md, call: c}
	if f.Begin.HasTimeout {
		c.own.deadline = time.Now().Add(timeout(f.Begin.Timeout))
	}
	c.ctx = c.own
	if err := c.receive(f, batch); err != nil || !s.table.enter(f.CallID, c) {
		c.in.drop(errDone)
		s.out.exit()
		return err
	}
	s.cfg.Workers.run(c)
	return nil
}

// timeout is a timeout of the wire; far enough if it is beyond all measure.
func timeout(us uint64) time.Duration {
	const most = uint64(1<<62) / uint64(time.Microsecond)
	return time.Duration(min(us, most)) * time.Microsecond //nolint:gosec // bounded
}

func formatOf(b *wire.Begin) (*format, error) {
	if len(b.Codec) == 0 && len(b.Compressor) == 0 {
		return plainFormat(), nil
	}
	f := &format{}
	f.subtype = string(b.Codec)
	if f.codec = codecFor(f.subtype); f.codec == nil {
		return nil, status.Errorf(codes.Unimplemented, "pushtunnel: no codec registered for content-subtype %q", f.subtype)
	}
	if name := string(b.Compressor); name != "" && name != encoding.Identity {
		if f.compressor = encoding.GetCompressor(name); f.compressor == nil {
			return nil, status.Errorf(codes.Unimplemented, "grpc: Decompressor is not installed for grpc-encoding %q", name)
		}
	}
	return f, nil
}

// refuse ends a call of the peer before its handler runs.
func (s *Session) refuse(f *wire.Frame, err error) error {
	st := status.Convert(err)
	s.table.allow(s.cfg.CallWindow + lateFrames*frameCost) // more of it may be under way
	end := wire.AppendEnd(nil, wire.Tail{Code: uint32(st.Code()), Message: st.Message(), Details: statusDetails(st), Refused: true})
	return s.out.queue(wire.AppendCallFrame(nil, f.CallID, nil, nil, end))
}

// receive takes a frame of the call.
func (c *handlerCall) receive(f *wire.Frame, batch mem.Buffer) error {
	if bad := f.Parts &^ (wire.PartBegin | wire.PartMessage | wire.PartHalfClose | wire.PartCancel | wire.PartWindow); bad != 0 {
		return fmt.Errorf("parts (%v) that do not go with a call of the peer", bad)
	}
	if f.Parts&wire.PartWindow != 0 {
		if err := c.s.out.credit(&c.out, f.Window); err != nil {
			return err
		}
	}
	if f.Parts&(wire.PartMessage|wire.PartHalfClose) != 0 {
		if err := c.put(f, batch); err != nil {
			return err
		}
	}
	if f.Parts&wire.PartCancel != 0 {
		c.s.out.detach(&c.out)
		c.s.table.forget(&c.out, 0) // nothing follows a cancel
		c.own.end(context.Canceled)
	}
	return nil
}

func (c *handlerCall) put(f *wire.Frame, batch mem.Buffer) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.signal()
	if f.Parts&wire.PartMessage != 0 {
		if err := c.in.putMessage(f, batch); err != nil {
			return err
		}
	}
	if f.Parts&wire.PartHalfClose != 0 {
		next, err := c.in.phase.next(eventHalfClose)
		if err != nil {
			return err
		}
		c.in.phase = next
		c.in.close(io.EOF)
	}
	return nil
}

// lost ends the call because the session has ended.
func (c *handlerCall) lost(error) {
	c.s.out.detach(&c.out)
	c.own.end(context.Canceled)
}

// run runs the handler, and answers. A panic of the handler is not caught, as
// in grpc-go: recovery is an interceptor's work.
func (c *handlerCall) run() {
	if len(c.s.cfg.StatsHandlers) > 0 {
		c.stats, c.ctx = beginHandlerStats(c.ctx, &c.s.cfg, c.method, c.own.incoming, c.format.name())
	}
	reply, err := c.handle()
	c.finish(reply, err)
}

func (c *handlerCall) handle() (reply any, err error) {
	m := c.method
	if m.unary != nil {
		return m.unary(m.impl, c.ctx, c.decode, c.s.cfg.UnaryInterceptor)
	}
	if c.s.cfg.StreamInterceptor == nil {
		return nil, m.stream.Handler(m.impl, c)
	}
	info := &grpc.StreamServerInfo{FullMethod: m.name, IsClientStream: m.stream.ClientStreams, IsServerStream: m.stream.ServerStreams}
	return nil, c.s.cfg.StreamInterceptor(m.impl, c, info, m.stream.Handler)
}

// finish sends the reply of a unary handler and the status. Without stats handlers
// the call may be another one then.
func (c *handlerCall) finish(reply any, err error) {
	s, stats := c.s, c.stats
	var m encoded
	if err == nil && c.method.unary != nil {
		m, err = c.format.encode(reply, c.s.cfg.MaxSendMsgSize)
	}
	if !c.answer(reply, m, err, true) {
		s.out.exit()
	}
	stats.end(err, nil)
}

// answer sends the end of the call, once, behind a message unless m has none:
// when the handler returns, or before, when a send or receive has failed. It
// reports false if that has been done before.
func (c *handlerCall) answer(reply any, m encoded, err error, returned bool) bool {
	c.in.mu.Lock()
	again := c.answered
	c.answered = true
	trailer := c.trailer
	if c.badTrailer != nil {
		err, trailer = c.badTrailer, nil
	}
	if m.data != nil && (again || err != nil) {
		m.data.Free()
		m = encoded{}
	}
	if again {
		c.in.mu.Unlock()
		return false
	}
	it := item{message: m.data, compressed: m.compressed, final: true, returned: returned}
	sends := !c.headerSent && (m.data != nil || len(c.header) > 0)
	it.pre = c.sendHeader()
	c.in.mu.Unlock()

	it.post = c.tail(err, trailer)
	sent := 0
	if m.data != nil {
		sent = m.data.Len()
	}
	c.own.end(context.Canceled)
	c.out.late = c.in.drop(errDone) + lateFrames*frameCost
	stats := c.stats
	it.spent = returned && c.method.unary != nil && stats == nil && c.own.release()
	if !c.s.out.add(&c.out, it) || stats == nil {
		return true
	}
	if sends {
		c.stats.outHeader(c.method.name, c.header)
	}
	if m.data != nil {
		c.stats.outPayload(reply, m.plain, sent)
	}
	c.stats.outTrailer(trailer)
	return true
}

// tail encodes the end of the call. What is too large becomes an error.
func (c *handlerCall) tail(err error, trailer metadata.MD) []byte {
	if err == nil && len(trailer) == 0 {
		return wire.EndOK
	}
	t := wire.Tail{Trailer: trailer}
	if err != nil {
		st, ok := status.FromError(err)
		if !ok {
			st = status.FromContextError(err)
		}
		t.Code, t.Message, t.Details = uint32(st.Code()), st.Message(), statusDetails(st)
	}
	if n := metadataCost(trailer) + len(t.Message) + len(t.Details); n > c.s.remote.maxMetadata {
		st := LimitMetadata.Status("pushtunnel: the handler's status and trailer have %d bytes, above the limit of %d", n, c.s.remote.maxMetadata)
		t = wire.Tail{Code: uint32(st.Code()), Message: st.Message(), Details: statusDetails(st)}
	}
	return wire.AppendEnd(nil, t)
}

// Context returns the call's context. It ends when the caller cancels, the
// deadline passes, the session ends or the handler returns.
func (c *handlerCall) Context() context.Context { return c.ctx }

// RecvMsg receives a message into m, io.EOF after the last.
func (c *handlerCall) RecvMsg(m any) error {
	data, compressed, err := c.in.take(c.own, c)
	switch {
	case err == errDone:
		return c.fail(status.FromContextError(c.own.Err()).Err())
	case err == io.EOF && !c.received && !c.method.stream.ClientStreams:
		return c.fail(status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC"))
	case err == io.EOF:
		return io.EOF
	case err != nil:
		return c.fail(err)
	}
	c.received = true
	size := data.Len()
	plain, err := c.format.decode(data, compressed, c.s.cfg.MaxRecvMsgSize, m, codes.Unimplemented)
	if err != nil {
		return c.fail(err)
	}
	c.stats.inPayload(m, plain, size)
	if c.method.stream.ClientStreams {
		c.out.talks.Store(false)
		return nil
	}
	// The half-close follows the only message.
	switch data, _, err := c.in.take(c.own, c); {
	case err == io.EOF:
		return nil
	case err == nil:
		data.Free()
		return c.fail(status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC"))
	case err == errDone:
		return c.fail(status.FromContextError(c.own.Err()).Err())
	default:
		return c.fail(err)
	}
}

// SendMsg sends a message. It returns when the message is on its way or waits
// behind at most sendAhead bytes; m is not used after that.
func (c *handlerCall) SendMsg(m any) error {
	e, err := c.format.encode(m, c.s.cfg.MaxSendMsgSize)
	if err != nil {
		return c.fail(err)
	}
	it := item{message: e.data, compressed: e.compressed, more: c.out.talks.Swap(true)}
	c.in.mu.Lock()
	sends := !c.headerSent
	it.pre = c.sendHeader()
	c.in.mu.Unlock()
	sent := e.data.Len()
	c.s.out.wait(c.own, &c.out, sendAhead)
	if err := c.own.Err(); err != nil {
		it.message.Free()
		return c.fail(status.FromContextError(err).Err())
	}
	if !c.s.out.add(&c.out, it) {
		return c.fail(status.Error(codes.Canceled, context.Canceled.Error()))
	}
	if sends {
		c.stats.outHeader(c.method.name, c.header)
	}
	c.stats.outPayload(m, e.plain, sent)
	return nil
}

// fail ends the call because its stream has failed. As in grpc-go the caller is
// told at once, and what the handler returns does not matter any more.
func (c *handlerCall) fail(err error) error {
	c.answer(nil, encoded{}, err, false)
	return err
}

// grant gives the peer more window.
func (c *handlerCall) grant(n uint64) {
	c.s.out.grant(&c.out, n)
}

// SetHeader adds to the header that goes with the first message.
func (c *handlerCall) SetHeader(md metadata.MD) error {
	return c.setHeader(md, checkMetadata(md), false)
}

// SendHeader sends the header at once.
func (c *handlerCall) SendHeader(md metadata.MD) error {
	return c.setHeader(md, checkMetadata(md), true)
}

func (c *handlerCall) setHeader(md metadata.MD, bad error, send bool) error {
	if bad != nil {
		return status.Error(codes.Internal, bad.Error())
	}
	if md.Len() == 0 && !send {
		return nil
	}
	c.in.mu.Lock()
	if c.headerSent {
		ended := c.answered && send
		c.in.mu.Unlock()
		if ended {
			return status.Error(codes.Canceled, context.Canceled.Error())
		}
		return status.Error(codes.Internal, "transport: SendHeader called multiple times")
	}
	header := metadata.Join(c.header, sendableMetadata(md))
	if n := metadataCost(header); n > c.s.remote.maxMetadata {
		c.in.mu.Unlock()
		return c.fail(LimitMetadata.Status("pushtunnel: the header has %d bytes, above the limit of %d", n, c.s.remote.maxMetadata).Err())
	}
	c.header = header
	var pre []byte
	if send {
		pre = c.sendHeader()
	}
	c.in.mu.Unlock()
	if send {
		if pre == nil {
			pre = wire.AppendHeader(nil, nil)
		}
		if c.s.out.add(&c.out, item{pre: pre}) {
			c.stats.outHeader(c.method.name, header)
		}
	}
	return nil
}

// sendHeader returns the encoded header if it is yet to be sent and not empty.
// c.in.mu is held.
func (c *handlerCall) sendHeader() []byte {
	if c.headerSent {
		return nil
	}
	c.headerSent = true
	if len(c.header) == 0 {
		return nil
	}
	return wire.AppendHeader(nil, c.header)
}

// SetTrailer adds to the trailer. Pairs that can't be sent fail the call, as they
// do in grpc-go.
func (c *handlerCall) SetTrailer(md metadata.MD) {
	if md.Len() == 0 {
		return
	}
	bad := checkReceived(md)
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if bad != nil && c.badTrailer == nil {
		c.badTrailer = status.Error(codes.Internal, "pushtunnel: the handler's trailer: "+bad.Error())
	}
	c.trailer = metadata.Join(c.trailer, sendableMetadata(md))
}

// transportStream is a handlerCall as grpc.SetHeader, grpc.Method and their like
// want it. As in grpc-go it lets more through than a grpc.ServerStream does.
type transportStream handlerCall

func (t *transportStream) Method() string { return t.method.name }

func (t *transportStream) SetHeader(md metadata.MD) error {
	return (*handlerCall)(t).setHeader(md, checkReceived(md), false)
}

func (t *transportStream) SendHeader(md metadata.MD) error {
	return (*handlerCall)(t).setHeader(md, checkReceived(md), true)
}

func (t *transportStream) SetTrailer(md metadata.MD) error {
	(*handlerCall)(t).SetTrailer(md)
	return nil
}
