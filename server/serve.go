package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
			s.opts.logger.LogAttrs(ctx, levelInfo, "accept failed, will try again", reasonAttrs(err)...)
			if !sleep(ctx, pause) {
				return nil
			}
			continue
		default:
			cancel()
			return err
		}
		conns.Add(1)
		go s.serveConn(ctx, conn, protocols, &conns)
	}
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
	if p, conn := s.choose(ctx, conn, protocols); p != nil {
		if err := p.Serve(ctx, conn, acceptor{s, p.Name()}); err != nil {
			s.refused(ctx, p.Name(), conn, err)
		}
	}
	conns.Done()
}

// choose returns the protocol of a connection, and the connection to use instead of
// this one. If there is none it closes the connection and returns nil.
//
//go:noinline
func (s *Server) choose(ctx context.Context, conn net.Conn, protocols []tunnel.Protocol) (tunnel.Protocol, net.Conn) {
	if len(protocols) == 1 {
		return protocols[0], conn
	}
	p, conn, err := sniff(ctx, conn, protocols, s.opts.tunnel.WithDefaults().HandshakeTimeout)
	if err != nil {
		s.refused(ctx, "", conn, err)
		conn.Close()
		return nil, nil
	}
	return p, conn
}

// refused logs why a connection has ended. The ends of sessions are logged apart.
//
//go:noinline
func (s *Server) refused(ctx context.Context, protocol string, conn net.Conn, err error) {
	s.opts.logger.LogAttrs(ctx, levelDebug, "connection ended",
		append(connAttrs(protocol, conn.RemoteAddr()), reasonAttrs(err)...)...)
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

// Accept admits a session that lives outside this package.
func (a acceptor) Accept(remote tunnel.Peer, open func(tunnel.Config) tunnel.Link) error {
	if err := tunnel.CheckName(remote.Name); err != nil {
		return status.Error(codes.InvalidArgument, "pushtunnel: "+err.Error())
	}
	remote.Protocol = a.protocol
	in, cfg, err := a.server.prepare(remote)
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
