package server

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// ErrServerClosed is the cause of calls that fail because the Server was closed.
var ErrServerClosed = errors.New("pushtunnel: the server is closed")

// Server accepts sessions and finds one for a name. All methods may be called
// by any goroutine.
type Server struct {
	opts options
	gate gate
	reg  registry

	refusals *rate.Limiter // of the log
	openPort sync.Once     // tells that those of OnePort are not authenticated

	// closing ends when Close is called.
	closing context.Context //nolint:containedctx // used as a signal
	stop    context.CancelFunc

	// draining ends when Shutdown or Close is called.
	draining context.Context //nolint:containedctx // used as a signal
	drain    context.CancelFunc

	// shaking ends when GracefulStop is called: with it the handshakes of OnePort.
	shaking   context.Context //nolint:containedctx // used as a signal
	stopShake context.CancelFunc

	workers *tunnel.Workers // for calls of clients, where a protocol has those

	// mu keeps handlers from growing when draining has ended.
	mu       sync.Mutex
	handlers sync.WaitGroup // of sessions and listeners
}

// New returns a Server without sessions.
func New(opts ...Option) *Server {
	s := &Server{opts: defaults(), workers: tunnel.NewWorkers(), refusals: newRefusalLimiter()}
	for _, o := range opts {
		o.apply(&s.opts)
	}
	s.opts.chain()
	s.draining, s.drain = context.WithCancel(context.Background())
	s.closing, s.stop = context.WithCancel(context.Background())
	s.shaking, s.stopShake = context.WithCancel(context.Background())
	s.gate.init(&s.opts)
	s.reg.init(&s.opts, s.closing.Done())
	for _, h := range s.opts.hooks {
		if h.Created != nil {
			h.Created(s)
		}
	}
	return s
}

// RecommendedOptions returns the options that a grpc.Server with many tunnels
// should have: static HTTP/2 windows of 1 MiB for each stream and 4 MiB for each
// connection. Without them grpc-go measures the bandwidth with pings, which
// doubles the system calls of sporadic traffic. The client's counterpart is
// client.RecommendedOptions.
func RecommendedOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.StaticStreamWindowSize(1 << 20), grpc.StaticConnWindowSize(4 << 20)}
}

// Register adds the tunnel's service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	pb.RegisterPushTunnelServer(r, &service{server: s})
}

// Client returns the connection to the clients of a name, in the default
// namespace. It is bound at the
// time of each call: the name need not be connected, now or ever.
func (s *Server) Client(name string) *Conn { return s.Namespace("").Client(name) }

// Session returns the session of this id, if it is connected.
func (s *Server) Session(id string) (*Session, bool) { return s.reg.byID(id) }

// Sessions returns the sessions of these names, or all if there are no names, in
// the default namespace: those that are connected when the iteration begins and take calls, in the
// order of the names and then the oldest first.
func (s *Server) Sessions(names ...string) iter.Seq[*Session] {
	return s.Namespace("").Sessions(names...)
}

// Memory returns how many bytes of messages all sessions hold together, and how many
// they may: see WithMaxMemory. Both are 0 if there is no limit.
func (s *Server) Memory() (used, limit int64) {
	return s.opts.tunnel.Memory.Used(), s.opts.tunnel.Memory.Size()
}

// Shutdown parts from all clients without loss. New sessions are refused. Each
// client is asked to move; until it does, it takes calls as before, and those
// under way then end. Shutdown returns nil when all sessions have ended. If ctx
// ends first, the rest are closed as by Close, and Shutdown returns ctx's error.
//
// The gRPC server goes on. To stop it, too, use GracefulStop: a client whose session is
// a gRPC stream may have no other server to go to until its connection is told to end.
func (s *Server) Shutdown(ctx context.Context) error {
	s.refuse()
	for _, session := range s.reg.all() {
		session.Drain(shutdownReason)
	}
	s.reg.empty(ctx)
	var err error
	if len(s.reg.all()) > 0 {
		err = ctx.Err()
	}
	return errors.Join(err, s.Close())
}

const (
	shutdownReason = "the server shuts down"
	closedReason   = "the server is closed"
)

// Close ends all sessions at once and refuses new ones. Calls that wait for an
// answer get UNAVAILABLE. It returns when the hooks of all sessions have
// returned; a hook must not call it.
func (s *Server) Close() error {
	s.refuse()
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	for _, session := range s.reg.all() {
		session.link.Close(because(ErrServerClosed, unavailable(s.opts.reconnectAfter, closedReason)))
	}
	s.handlers.Wait()
	s.workers.Close()
	return nil
}

// refuse takes no more sessions.
func (s *Server) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
}

// enter counts a session's handler in, unless no more are taken.
func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Err() != nil {
		return unavailable(s.opts.reconnectAfter, shutdownReason)
	}
	s.handlers.Add(1)
	return nil
}

// track counts a connection without a session in, unless the server is closed.
func (s *Server) track() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return false
	}
	s.handlers.Add(1)
	return true
}

// state reports whether Shutdown or Close, and Close, have been called.
func (s *Server) state() (draining, closed bool) {
	return s.draining.Err() != nil, s.closing.Err() != nil
}

// unavailable is the status that tells a client to come back later.
func unavailable(after time.Duration, text string) error {
	st := status.New(codes.Unavailable, "pushtunnel: "+text)
	if after > 0 {
		if hinted, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); err == nil {
			st = hinted
		}
	}
	return st.Err()
}
