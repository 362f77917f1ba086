package native

import (
	"context"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// unaryStream is a unary call in the form of a stream, for those that know only
// streams: proxies, and callers without generated code.
type unaryStream struct {
	ctx     context.Context //nolint:containedctx // a grpc.ClientStream has one
	link    *link
	method  string
	opts    []grpc.CallOption
	request any
	sent    bool          // request is there; SendMsg's
	closed  bool          // nothing more will be sent; SendMsg's and CloseSend's
	ready   chan struct{} // closed when one of the two is
	done    bool          // the answer has been taken; RecvMsg's
	made    atomic.Bool // the call was made, or never will be
	stop    func() bool // stops waiting for the end of ctx
}

func newUnaryStream(ctx context.Context, l *link, method string, opts []grpc.CallOption) *unaryStream {
	s := &unaryStream{ctx: ctx, link: l, method: method, opts: opts, ready: make(chan struct{})}
	s.stop = context.AfterFunc(ctx, s.abandoned)
	return s
}

// abandoned tells that the call has ended if ctx does before it was made: nobody else
// may.
func (s *unaryStream) abandoned() {
	if s.made.Swap(true) {
		return
	}
	err := s.tooLate()
	for _, o := range s.opts {
		if o, ok := o.(grpc.OnFinishCallOption); ok {
			o.OnFinish(err)
		}
	}
}

// Header returns no metadata: the protocol carries none.
func (s *unaryStream) Header() (metadata.MD, error) { return metadata.MD{}, nil }

// Trailer returns no metadata.
func (s *unaryStream) Trailer() metadata.MD { return metadata.MD{} }

// CloseSend tells RecvMsg not to wait for a request. There is nothing to send.
func (s *unaryStream) CloseSend() error {
	if !s.sent && !s.closed {
		s.closed = true
		close(s.ready)
	}
	return nil
}

// Context returns the context of the call.
func (s *unaryStream) Context() context.Context { return s.ctx }

// SendMsg keeps the request. It must not be changed until RecvMsg has returned.
func (s *unaryStream) SendMsg(m any) error {
	if s.sent {
		return status.Error(codes.Unimplemented, "pushtunnel: the native protocol has one request per call")
	}
	if s.closed {
		return status.Error(codes.Internal, "SendMsg called after CloseSend")
	}
	s.request, s.sent = m, true
	close(s.ready)
	return nil
}

// RecvMsg makes the call the first time, when the request has been sent, and returns
// io.EOF after that.
func (s *unaryStream) RecvMsg(m any) error {
	if s.done {
		return io.EOF
	}
	var request any
	select {
	case <-s.ready:
		request = s.request
	case <-s.ctx.Done():
	}
	switch {
	case s.ctx.Err() == nil && request == nil && s.closed:
		return refused(codes.Internal, "pushtunnel: the native protocol has one request per call, and there is none")
	case s.made.Swap(true):
		return s.tooLate() // it was abandoned
	}
	s.done = true
	s.stop()
	return s.link.Invoke(s.ctx, s.method, request, m, s.opts...)
}

// tooLate is the error of a call whose ctx ended before it was made.
func (s *unaryStream) tooLate() error {
	return tunnel.NewError(status.FromContextError(s.ctx.Err()), tunnel.OutcomeNotSent, s.ctx.Err())
}
