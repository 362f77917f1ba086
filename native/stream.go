package native

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// unaryStream is a unary call in the form of a stream, for those that know only
// streams: proxies, and callers without generated code.
type unaryStream struct {
	ctx     context.Context //nolint:containedctx // a grpc.ClientStream has one
	link    *link
	method  string
	opts    []grpc.CallOption
	request any
	sent    bool // request is there; SendMsg's
	done    bool // the answer has been taken; RecvMsg's
}

func newUnaryStream(ctx context.Context, l *link, method string, opts []grpc.CallOption) *unaryStream {
	return &unaryStream{ctx: ctx, link: l, method: method, opts: opts}
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
	case !s.sent:
		return status.Error(codes.Internal, "pushtunnel: RecvMsg before SendMsg")
	}
	s.done = true
	return s.link.Invoke(s.ctx, s.method, s.request, m, s.opts...)
}
