package tunnel

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

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
		c.out.talks.Store(false)
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

// Pending reports whether RecvMsg returns at once.
func (c *callerCall) Pending() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.pieces.len() > 0 {
		return c.in.pieces.front().last
	}
	return c.in.closed != nil
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
	over := err == nil && c.over
	if over {
		c.alone = c.s.table.forget(&c.out, 0)
	}
	detach := over && c.desc.ClientStreams
	c.in.signal()
	c.in.mu.Unlock() // the last of a unary call: it may be another call now
	if detach {
		c.s.out.detach(&c.out) // a SendMsg that waits is in vain
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
