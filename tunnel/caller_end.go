package tunnel

import (
	"io"

	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

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
		c.s.table.forget(&c.out, left+lateFrames*frameCost)
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
	e, ok := err.(*Error)
	if ok && e.outcome != OutcomeAnswered {
		if begun || e.outcome != OutcomeUnknown {
			return err
		}
		return NewError(e.status, OutcomeNotSent, e.cause)
	}
	if !begun {
		outcome = OutcomeNotSent
	}
	switch {
	case outcome == OutcomeAnswered:
		return err
	case ok:
		return NewError(e.status, outcome, e.cause)
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
