package server

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/logattr"
	"github.com/pushtunnel/pushtunnel/internal/stack"
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
	link, err := s.server.open(stream.Context(), tunnel.AcceptStream(stream), "grpc")
	if err != nil {
		return err
	}
	<-link.Done()
	return link.Err()
}

// open opens the session of a transport whose client has sent what is in ctx. The
// handshake takes more stack than waiting for the end does, and stacks are most
// of what an idle session costs: so it gets a goroutine of its own.
func (s *Server) open(ctx context.Context, t tunnel.Transport, protocol string) (link tunnel.Link, err error) {
	stack.Apart(func() { link, err = s.handshake(ctx, t, protocol) })
	return link, err
}

// handshake waits for the client's hello and admits its session.
func (s *Server) handshake(ctx context.Context, t tunnel.Transport, protocol string) (tunnel.Link, error) {
	a, cfg, err := s.expect(ctx, protocol)
	if err != nil {
		return nil, err
	}
	return a.receive(t, cfg)
}

// expect prepares for the session of the client whose metadata are in ctx. The
// admission that it returns must receive that.
func (s *Server) expect(ctx context.Context, protocol string) (*admission, tunnel.Config, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		p = &peer.Peer{}
	}
	md, _ := metadata.FromIncomingContext(ctx)
	claim, err := tunnel.ClaimFromMetadata(md)
	if err != nil {
		c := Candidate{Claim: claim, Protocol: protocol, Peer: p}
		return nil, tunnel.Config{}, s.reject(c, status.Error(codes.InvalidArgument, "pushtunnel: "+err.Error()))
	}
	remote := tunnel.Peer{Name: claim.Name, Namespace: claim.Namespace, Labels: claim.Labels, Protocol: protocol, Addr: p.Addr}
	if remote, err = s.identify(ctx, remote, p); err != nil {
		return nil, tunnel.Config{}, err
	}
	a, cfg, err := s.prepare(remote, p)
	cfg.Peer = p
	return a, cfg, err
}

// receive waits for the client's hello and admits its session. The transport
// belongs to the session, also if it fails.
func (a *admission) receive(t tunnel.Transport, cfg tunnel.Config) (tunnel.Link, error) {
	s := a.server
	link, err := tunnel.Accept(s.closing, t, cfg)
	if err != nil {
		a.refused()
		if s.closing.Err() != nil {
			return nil, unavailable(s.opts.reconnectAfter, closedReason)
		}
		return nil, err
	}
	if err := a.admit(link); err != nil {
		link.Close(err)
		return nil, err
	}
	return link, nil
}

// admission is how a session comes in and goes, whatever its protocol. Its hooks
// get a goroutine when it comes and one when it goes, and none in between: an idle
// session shall cost little.
type admission struct {
	server  *Server
	session *Session
	peer    *peer.Peer
	stage   atomic.Int32
}

// The stages of an admission. It is settled once and its link ends once, in either
// order: whoever comes second does what is left to do.
const (
	stageOpen    = iota
	stageGreeted // settled: the hooks have returned
	stageRefused // settled: there is no session for them
	stageOver    // the link has ended before it was settled
)

// prepare prepares for the session of a client, and returns what its link has to
// know. The admission must be admitted or refused.
func (s *Server) prepare(remote tunnel.Peer, p *peer.Peer) (*admission, tunnel.Config, error) {
	if err := s.enter(); err != nil {
		return nil, tunnel.Config{}, err
	}
	if remote.Session == "" {
		remote.Session = rand.Text()
	}
	a := &admission{server: s, peer: p, session: &Session{server: s, peer: remote, since: time.Now(), rate: s.opts.newRate()}}
	if err := s.gate.enter(remote.Subject); err != nil {
		s.handlers.Done()
		return nil, tunnel.Config{}, s.reject(candidate(a.session, p), err)
	}
	cfg := s.opts.tunnel
	cfg.Remote = remote
	cfg.OnGoAway = func(tunnel.GoAway) { s.reg.retire(a.session) }
	cfg.OnEnd = a.ended
	return a, cfg, nil
}

// admit enters the session under its name, and makes it known.
func (a *admission) admit(link tunnel.Link) error {
	a.session.link = link
	if err := a.server.admit(a.session); err != nil {
		a.refused()
		return a.server.reject(candidate(a.session, a.peer), err)
	}
	go func() {
		a.server.greet(a.session)
		if !a.stage.CompareAndSwap(stageOpen, stageGreeted) {
			a.farewell()
		}
	}()
	return nil
}

// refused says that there will be no session.
func (a *admission) refused() {
	if !a.stage.CompareAndSwap(stageOpen, stageRefused) {
		a.server.handlers.Done()
	}
}

// ended is called when the link has ended, once.
func (a *admission) ended() {
	a.server.reg.remove(a.session)
	a.server.gate.leave(a.session.peer.Subject)
	switch {
	case a.stage.CompareAndSwap(stageOpen, stageOver):
	case a.stage.Load() == stageGreeted:
		go a.farewell()
	default:
		a.server.handlers.Done()
	}
}

func (a *admission) farewell() {
	defer a.server.handlers.Done()
	a.server.farewell(a.session)
}

// greet tells the hooks that a session has come.
func (s *Server) greet(session *Session) {
	s.opts.logger.LogAttrs(context.Background(), levelInfo, "client connected", logattr.Client(session.peer)...)
	for _, h := range s.opts.hooks {
		if h.Connected != nil {
			h.Connected(session)
		}
	}
}

// farewell tells the hooks that a session has ended.
func (s *Server) farewell(session *Session) {
	s.reg.remove(session) // it may have been entered too late for its end
	reason := session.link.Err()
	s.opts.logger.LogAttrs(context.Background(), levelInfo, "client disconnected", append(logattr.Client(session.peer), logattr.Reason(reason)...)...)
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
	replaced, err := s.reg.add(session, previous, lost)
	if err != nil {
		return err
	}
	for _, old := range replaced {
		old.link.Close(status.Errorf(codes.Aborted, "pushtunnel: a newer session of %v has taken over", session.key()))
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
