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
	rate   rateLimiter

	// The registry's.
	slot     int    // its place in the order
	came     uint64 // the revision with which it came into the order
	previous string // the session that the client says this one follows
}

var _ grpc.ClientConnInterface = (*Session)(nil)

// Name returns the client's name.
func (s *Session) Name() string { return s.peer.Name }

// Namespace returns the client's namespace; the default one is empty.
func (s *Session) Namespace() string { return s.peer.Namespace }

// Labels returns the labels that the server has granted the client. The map must
// not be changed. What the client has claimed is in Peer.
func (s *Session) Labels() map[string]string { return s.peer.Labels }

func (s *Session) key() key { return key{s.peer.Namespace, s.peer.Name} }

// ID returns the session's id, which is never used again. A client that shows it
// takes this session's place, so keep it to operators.
func (s *Session) ID() string { return s.peer.Session }

// Peer returns who is at the other end.
func (s *Session) Peer() tunnel.Peer { return s.peer }

// Since returns when the session came.
func (s *Session) Since() time.Time { return s.since }

// Revision returns the revision with which the session began to take calls: that of
// its Change. It is greater for one that came later, and no two have the same.
func (s *Session) Revision() uint64 { return s.came }

// InFlight returns how many calls are under way on the session.
func (s *Session) InFlight() int { return s.link.InFlight() }

// RoundTrip returns how long the last heartbeat took to come back, zero before
// the first.
func (s *Session) RoundTrip() time.Duration { return s.link.RoundTrip() }

// Traffic returns what the session has carried so far: nothing if its protocol does
// not count.
func (s *Session) Traffic() tunnel.Traffic {
	if l, ok := s.link.(interface{ Traffic() tunnel.Traffic }); ok {
		return l.Traffic()
	}
	return tunnel.Traffic{}
}

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.link.Done() }

// Err tells why the session has ended: nil if it has not, or in order.
func (s *Session) Err() error { return s.link.Err() }

// Close ends the session at once. The client gets UNAVAILABLE with the reason,
// and may come back.
func (s *Session) Close(reason string) {
	s.link.Close(because(errClosed, status.Error(codes.Unavailable, "pushtunnel: "+reason)))
}

// Drain asks the client to open another session and then to end this one, with
// no call lost.
func (s *Session) Drain(reason string) {
	s.link.GoAway(tunnel.GoAway{Reason: reason, ReconnectAfter: s.server.opts.reconnectAfter})
}

// Invoke makes a unary call to this session.
func (s *Session) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx = s.withTarget(ctx)
	if s.server.opts.unary == nil {
		return s.invoke(ctx, method, args, reply, nil, opts...)
	}
	return s.server.opts.unary(ctx, method, args, reply, nil, s.invoke, opts...)
}

// NewStream begins a streaming call to this session.
func (s *Session) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx = s.withTarget(ctx)
	if s.server.opts.stream == nil {
		return s.newStream(ctx, desc, nil, method, opts...)
	}
	return s.server.opts.stream(ctx, desc, nil, method, s.newStream, opts...)
}

func (s *Session) invoke(ctx context.Context, method string, args, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	if err := s.allow(ctx, unaryDesc, method, opts); err != nil {
		return err
	}
	return s.link.Invoke(ctx, method, args, reply, opts...)
}

func (s *Session) newStream(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := s.allow(ctx, desc, method, opts); err != nil {
		return nil, err
	}
	return s.link.NewStream(ctx, desc, method, opts...)
}

// allow reports why a call may not be made now, and tells whom that concerns.
func (s *Session) allow(ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) error {
	err := s.rate.allow()
	if err != nil {
		s.server.opts.tunnel.TellUnsent(ctx, method, desc, false, time.Now(), err)
		tellFinished(opts, err)
	}
	return err
}

// withTarget says that a call is for the session, if anybody may look for that.
func (s *Session) withTarget(ctx context.Context) context.Context {
	if !s.server.opts.watched() {
		return ctx
	}
	t := &tunnel.Target{Namespace: s.Namespace(), Name: s.Name()}
	t.Pick(&s.peer)
	return tunnel.WithTarget(ctx, t)
}

// TargetFromContext returns the name of the client that a call is for. It is for
// interceptors and stats handlers; it reports false outside them.
// tunnel.TargetFromContext tells more.
func TargetFromContext(ctx context.Context) (name string, ok bool) {
	t, ok := tunnel.TargetFromContext(ctx)
	if !ok {
		return "", false
	}
	return t.Name, true
}
