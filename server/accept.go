package server

import (
	"context"
	"crypto/rand"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// service is the gRPC service that clients connect to.
type service struct {
	pb.UnimplementedPushTunnelServer
	server *Server
}

// Connect serves one session, on the goroutine of its gRPC stream.
func (s *service) Connect(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	ctx := stream.Context()
	md, _ := metadata.FromIncomingContext(ctx)
	name, err := tunnel.NameFromMetadata(md)
	if err != nil {
		return status.Error(codes.InvalidArgument, "pushtunnel: "+err.Error())
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		p = &peer.Peer{}
	}
	remote := tunnel.Peer{Name: name, Session: rand.Text(), Protocol: "grpc", Addr: p.Addr}
	return s.server.serve(ctx, tunnel.AcceptStream(stream), remote, p)
}

// serve serves a session until it ends, and returns why.
func (s *Server) serve(ctx context.Context, t tunnel.Transport, remote tunnel.Peer, p *peer.Peer) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.handlers.Done()
	session := &Session{server: s, peer: remote, since: time.Now()}
	// The handshake takes more stack than waiting for the end does, and stacks
	// are most of what an idle session costs: so it gets a goroutine of its own.
	admitted := make(chan error, 1)
	go func() { admitted <- s.handshake(t, session, p) }()
	if err := <-admitted; err != nil {
		return err
	}
	s.greet(ctx, session)
	<-session.link.Done()
	s.farewell(ctx, session)
	return session.link.Err()
}

// handshake waits for the client's hello and admits its session.
func (s *Server) handshake(t tunnel.Transport, session *Session, p *peer.Peer) error {
	cfg := s.opts.tunnel
	cfg.Remote, cfg.Peer = session.peer, p
	cfg.OnGoAway = func(tunnel.GoAway) { s.reg.retire(session) }
	cfg.OnEnd = func() { s.reg.remove(session) }
	accepted, err := tunnel.Accept(s.closing, t, cfg)
	if err != nil {
		if s.closing.Err() != nil {
			return unavailable(s.opts.reconnectAfter, closedReason)
		}
		return err
	}
	session.link = accepted
	if err := s.admit(session); err != nil {
		session.link.Close(err)
		return err
	}
	return nil
}

// greet tells the hooks that a session has come.
func (s *Server) greet(ctx context.Context, session *Session) {
	s.opts.logger.LogAttrs(ctx, levelInfo, "client connected", attrs(session)...)
	for _, h := range s.opts.hooks {
		if h.Connected != nil {
			h.Connected(session)
		}
	}
}

// farewell tells the hooks that a session has ended.
func (s *Server) farewell(ctx context.Context, session *Session) {
	s.reg.remove(session) // OnEnd may be on its way yet
	reason := session.link.Err()
	s.opts.logger.LogAttrs(ctx, levelInfo, "client disconnected", append(attrs(session), reasonAttrs(reason)...)...)
	for _, h := range s.opts.hooks {
		if h.Disconnected != nil {
			h.Disconnected(session, reason)
		}
	}
}

// admit enters a session under its name, says hello, and ends those that it
// takes the place of.
func (s *Server) admit(session *Session) error {
	own, _ := session.link.(*tunnel.Session) // nil for other protocols, which have no such handshake
	var previous string
	var lost bool
	if own != nil {
		previous, lost = own.PreviousSession()
	}
	replaced, err := s.reg.add(session, s.opts.duplicates, previous, lost)
	if err != nil {
		return err
	}
	for _, old := range replaced {
		old.link.Close(status.Errorf(codes.Aborted, "pushtunnel: a newer session of client %q has taken over", session.Name()))
	}
	// Shutdown and Close may have listed the sessions before this one was among
	// them.
	draining, closed := s.state()
	if closed {
		s.reg.remove(session)
		return unavailable(s.opts.reconnectAfter, closedReason)
	}
	if own != nil {
		own.Welcome()
	}
	select {
	case <-session.link.Done():
		// It may have been forgotten before it was entered.
		s.reg.remove(session)
	default:
	}
	if draining {
		session.Drain(shutdownReason)
	}
	return nil
}
