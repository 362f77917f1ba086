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
	sent    bool        // request is there; SendMsg's
	done    bool        // the answer has been taken; RecvMsg's
	made    atomic.Bool // the call was made, or never will be
	stop    func() bool // stops waiting for the end of ctx
}

func newUnaryStream(ctx context.Context, l *link, method string, opts []grpc.CallOption) *unaryStream {
	s := &unaryStream{ctx: ctx, link: l, method: method, opts: opts}
	s.stop = context.AfterFunc(ctx, s.abandoned)
	return s
}

// abandoned tells that the call has ended if ctx does before it was made: nobody else
// may.
func (s *unaryStream) abandoned() {
	if s.made.Swap(true) {
		return
	}
	err := tunnel.NewError(status.FromContextError(s.ctx.Err()), tunnel.OutcomeNotSent, s.ctx.Err())
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

// CloseSend has nothing to do: there is one request.
func (s *unaryStream) CloseSend() error { return nil }

// Context returns the context of the call.
func (s *unaryStream) Context() context.Context { return s.ctx }

// SendMsg keeps the request. It must not be changed until RecvMsg has returned.
func (s *unaryStream) SendMsg(m any) error {
	if s.sent {
		return status.Error(codes.Unimplemented, "pushtunnel: the native protocol has one request per call")
	}
	s.request, s.sent = m, true
	return nil
}

// RecvMsg makes the call the first time, and returns io.EOF after that.
func (s *unaryStream) RecvMsg(m any) error {
	switch {
	case s.done:
		return io.EOF
	case !s.sent && s.ctx.Err() == nil:
		return status.Error(codes.Internal, "pushtunnel: RecvMsg before SendMsg")
	case s.made.Swap(true):
		return status.FromContextError(s.ctx.Err()).Err() // it was abandoned
	}
	s.done = true
	s.stop()
	return s.link.Invoke(s.ctx, s.method, s.request, m, s.opts...)
}
