package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/pushtunnel/pushtunnel/internal/logattr"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Serve accepts raw connections and lets the protocols make sessions of them. If
// there are several, the first bytes of a connection decide: the first protocol
// that knows them gets it. A connection that none knows is closed.
//
// Serve returns nil after Shutdown or Close, and otherwise an error; it closes
// the listener. Several may run at a time.
func (s *Server) Serve(l net.Listener, protocols ...tunnel.Protocol) error {
	if len(protocols) == 0 {
		l.Close()
		return errors.New("pushtunnel: Serve needs a protocol, for instance native.Protocol()")
	}
	if err := s.enter(); err != nil {
		l.Close()
		return nil //nolint:nilerr // after Shutdown, as if it had run before
	}
	defer s.handlers.Done()
	defer l.Close()
	s.warnOpen(l.Addr(), new(sync.Once))
	// Connections end when Close is called, new ones are refused before.
	ctx, cancel := context.WithCancel(s.closing)
	defer cancel()
	defer context.AfterFunc(s.draining, func() { l.Close() })()
	var conns sync.WaitGroup
	defer conns.Wait()
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
		case s.draining.Err() != nil:
			// Those that have sessions, or wait for an answer, go on until Close.
			conns.Wait()
			return nil
		case isTemporary(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.opts.logger.LogAttrs(ctx, levelInfo, "accept failed, will try again", logattr.Reason(err)...)
			if !sleep(ctx, pause) {
				return nil
			}
			continue
		default:
			cancel()
			return err
		}
		if !s.gate.connect() {
			s.gate.disconnect()
			conn.Close()
			s.tooMany(conn) //nolint:errcheck // there is nobody to be told
			continue
		}
		conns.Add(1)
		go s.serveConn(ctx, conn, protocols, &conns)
	}
}

// warnOpen says, once, what is not protected, unless the user has said that it is all
// right.
func (s *Server) warnOpen(at net.Addr, once *sync.Once) {
	if s.opts.identity != nil {
		return
	}
	if a, err := netip.ParseAddrPort(at.String()); err != nil || a.Addr().IsLoopback() {
		return // no others than this machine can connect
	}
	once.Do(func() { s.warn(at) })
}

func (s *Server) warn(at net.Addr) {
	logger := s.opts.logger
	if !logger.Enabled(s.closing, slog.LevelWarn) {
		logger = slog.Default() // nobody has asked for a log: this is for everybody
	}
	logger.LogAttrs(s.closing, slog.LevelWarn, "clients are not authenticated: whoever can connect may have any name. "+
		"Set server.WithIdentity; for a network that is trusted, server.WithIdentity(server.TrustClaims)", logattr.Addr(at))
}

// isTemporary reports whether Accept may do better later: the process has too
// many open files, or the peer has gone already.
func isTemporary(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Temporary() //nolint:staticcheck // deprecated for want of a definition; net/http does the same
}

// sleep waits, and reports false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serveConn serves one connection. It is there for as long as the connection, and
// most connections are idle: so it and what it calls there use little stack, and
// do what takes more in functions of their own.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, protocols []tunnel.Protocol, conns *sync.WaitGroup) {
	if p, ctx, conn := s.choose(ctx, conn, protocols); p != nil {
		if err := p.Serve(ctx, conn, acceptor{s, p.Name()}); err != nil {
			s.refused(ctx, p.Name(), conn, err)
		}
	}
	s.gate.disconnect()
	conns.Done()
}

// choose returns the protocol of a connection, the connection to use instead of
// this one, and a context in which gRPC's package peer finds it. If there is no
// protocol it closes the connection and returns nil.
//
//go:noinline
func (s *Server) choose(ctx context.Context, conn net.Conn, protocols []tunnel.Protocol) (p tunnel.Protocol, _ context.Context, _ net.Conn) {
	begun := conn
	stop := expire(ctx, begun, s.opts.tunnel.WithDefaults().HandshakeTimeout)
	auth, err := secured(ctx, conn)
	switch {
	case err != nil:
	case len(protocols) == 1:
		p = protocols[0]
	default:
		p, conn, err = recognise(conn, protocols)
	}
	if err = stop(err); err != nil {
		s.refused(ctx, "", conn, err)
		begun.Close()
		return nil, nil, nil
	}
	if auth != nil {
		ctx = peer.NewContext(ctx, &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr(), AuthInfo: auth})
	}
	return p, ctx, conn
}

// secured shakes hands with the peer of a TLS connection, and returns what it has
// proved. Other connections have nothing to prove.
func secured(ctx context.Context, conn net.Conn) (credentials.AuthInfo, error) {
	encrypted, ok := conn.(*tls.Conn)
	if !ok {
		return nil, nil
	}
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return tlsInfo(encrypted.ConnectionState()), nil
}

// connCandidate is a candidate of whom nothing but the connection is known.
func connCandidate(protocol string, conn net.Conn) Candidate {
	return Candidate{Protocol: protocol, Peer: &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr()}}
}

// tooMany refuses a connection because there are too many.
func (s *Server) tooMany(conn net.Conn) error {
	return s.reject(connCandidate("", conn), exceeded(tunnel.LimitConnections, "%d connections", s.gate.connections))
}

// refused logs why a connection has ended. The ends of sessions are logged apart.
//
//go:noinline
func (s *Server) refused(ctx context.Context, protocol string, conn net.Conn, err error) {
	s.opts.logger.LogAttrs(ctx, levelDebug, "connection ended",
		append(logattr.Conn(protocol, conn.RemoteAddr()), logattr.Reason(err)...)...)
}

// acceptor is the tunnel.Acceptor of a protocol.
type acceptor struct {
	server   *Server
	protocol string
}

// Config returns what the options say, for a connection without a session.
func (a acceptor) Config() tunnel.Config {
	cfg := a.server.opts.tunnel
	cfg.Workers = a.server.workers
	cfg.Remote.Protocol = a.protocol
	return cfg
}

// Identify asks who a client is.
func (a acceptor) Identify(ctx context.Context, remote tunnel.Peer) (tunnel.Peer, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		p = &peer.Peer{Addr: remote.Addr}
	}
	remote.Protocol = a.protocol
	return a.server.identify(ctx, remote, p)
}

// Accept admits a session that lives outside this package.
func (a acceptor) Accept(remote tunnel.Peer, open func(tunnel.Config) tunnel.Link) error {
	if remote.Claim == nil {
		var err error
		if remote, err = a.Identify(a.server.closing, remote); err != nil {
			return err
		}
	}
	in, cfg, err := a.server.prepare(remote, &peer.Peer{Addr: remote.Addr})
	if err != nil {
		return err
	}
	cfg.Workers = a.server.workers
	cfg.OnEnd = sync.OnceFunc(cfg.OnEnd)
	if err := in.admit(open(cfg)); err != nil {
		cfg.OnEnd() // nobody else may
		return err
	}
	return nil
}
