package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Session is one live tunnel of a client. It is a grpc.ClientConnInterface:
// calls on it go to this session and no other. All methods may be called by any
// goroutine.
type Session struct {
	server *Server
	peer   tunnel.Peer
	link   tunnel.Link
	since  time.Time

	// The registry's.
	slot     int    // its place in the order
	previous string // the session that the client says this one follows
}

var _ grpc.ClientConnInterface = (*Session)(nil)

// Name returns the client's name.
func (s *Session) Name() string { return s.peer.Name }

// ID returns the session's id, which is never used again. A client that shows it
// takes this session's place, so keep it to operators.
func (s *Session) ID() string { return s.peer.Session }

// Peer returns who is at the other end.
func (s *Session) Peer() tunnel.Peer { return s.peer }

// Since returns when the session came.
func (s *Session) Since() time.Time { return s.since }

// InFlight returns how many calls are under way on the session.
func (s *Session) InFlight() int { return s.link.InFlight() }

// RoundTrip returns how long the last heartbeat took to come back, zero before
// the first.
func (s *Session) RoundTrip() time.Duration { return s.link.RoundTrip() }

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.link.Done() }

// Err tells why the session has ended: nil if it has not, or in order.
func (s *Session) Err() error { return s.link.Err() }

// Close ends the session at once. The client gets UNAVAILABLE with the reason,
// and may come back.
func (s *Session) Close(reason string) {
	s.link.Close(status.Error(codes.Unavailable, "pushtunnel: "+reason))
}

// Drain asks the client to open another session and then to end this one, with
// no call lost.
func (s *Session) Drain(reason string) {
	s.link.GoAway(tunnel.GoAway{Reason: reason, ReconnectAfter: s.server.opts.reconnectAfter})
}

// Invoke makes a unary call to this session.
func (s *Session) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx = s.server.opts.target(ctx, s.Name())
	if s.server.opts.unary == nil {
		return s.link.Invoke(ctx, method, args, reply, opts...)
	}
	invoke := func(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		return s.link.Invoke(ctx, method, req, reply, opts...)
	}
	return s.server.opts.unary(ctx, method, args, reply, nil, invoke, opts...)
}

// NewStream begins a streaming call to this session.
func (s *Session) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx = s.server.opts.target(ctx, s.Name())
	if s.server.opts.stream == nil {
		return s.link.NewStream(ctx, desc, method, opts...)
	}
	stream := func(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return s.link.NewStream(ctx, desc, method, opts...)
	}
	return s.server.opts.stream(ctx, desc, nil, method, stream, opts...)
}

type targetKey struct{}

// target adds the name of the client that a call is for, if anybody may look for
// it.
func (o *options) target(ctx context.Context, name string) context.Context {
	if o.unary == nil && o.stream == nil && len(o.tunnel.StatsHandlers) == 0 {
		return ctx
	}
	return context.WithValue(ctx, targetKey{}, name)
}

// TargetFromContext returns the name of the client that a call is for. It is for
// interceptors and stats handlers; it reports false outside them.
func TargetFromContext(ctx context.Context) (name string, ok bool) {
	name, ok = ctx.Value(targetKey{}).(string)
	return name, ok
}
