package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Port is what the port of a gRPC server takes besides gRPC, told apart by the first
// bytes of a connection.
type Port struct {
	// TLS is what the server would give to credentials.NewTLS. Nil is a port without
	// TLS. ALPN tells gRPC ("h2") and the direct transport (tunnel.ALPN) apart; what
	// has agreed upon neither is of the Protocols.
	TLS *tls.Config

	// Protocols are those on the port besides gRPC and the direct transport: for
	// instance native.Protocol(). The first that knows a connection gets it, once none
	// before it can: the native one, which takes 48 bytes to tell, goes last. None must
	// begin as TLS does, as HTTP/2 does, or with the byte 0xd1. Their names differ. One
	// of the name "direct" takes the place of the direct transport: see AllowProtocol.
	Protocols []tunnel.Protocol

	// Plaintext has the names of those that may come without TLS, too, although there
	// is TLS: "grpc", "direct", or the Name of one of the Protocols.
	Plaintext []string
}

// OnePort lets a gRPC server's port take other connections, too: those of the direct
// transport (client.WithDirect), and those of other protocols. It stands in the place
// of grpc.Creds: leave that out. The listener must not speak TLS by itself.
//
//	grpc.NewServer(push.OnePort(server.Port{TLS: cfg, Protocols: []tunnel.Protocol{native.Protocol()}}))
//
// A connection has the time of WithHandshakeTimeout for TLS and for its first bytes;
// until it is known it counts for WithMaxConnections, as do those that are not gRPC's
// for as long as they live: if there are too many, nobody gets in. A connection that
// nobody knows is closed. One that is gRPC's has grpc.ConnectionTimeout from there on.
//
// What is no gRPC does not pass the gRPC server: its interceptors, stats handlers
// and limits do not see it. What it does to let clients in must be repeated in
// WithIdentity, or for the direct transport in WithConnectInterceptors, whose context
// does not end when a client gives up before they have let it in. Shutdown and Close
// end these connections; Stop and GracefulStop of the gRPC server do not. A limit of
// the listener counts them. Server.GracefulStop ends all of it.
//
// It needs grpc.Server.Serve: a gRPC server that is an http.Handler has no port. It
// panics if a name is not what the fields of Port say, or if there is Plaintext and no
// TLS.
func (s *Server) OnePort(p Port) grpc.ServerOption { return grpc.Creds(s.PortCredentials(p)) }

// Direct is OnePort without other protocols than the direct transport.
func (s *Server) Direct(tlsConfig *tls.Config) grpc.ServerOption {
	return s.OnePort(Port{TLS: tlsConfig})
}

// PortCredentials returns what OnePort gives to grpc.Creds.
func (s *Server) PortCredentials(p Port) credentials.TransportCredentials {
	if err := p.check(); err != nil {
		panic(err.Error()) //nolint:forbidigo // misuse at start-up
	}
	c := &portCreds{TransportCredentials: insecure.NewCredentials(), server: s, direct: s.DirectProtocol()}
	c.protocols = []matcher{grpcMatcher{}, c.direct}
	for _, protocol := range p.Protocols {
		if protocol.Name() == directName {
			c.direct, c.protocols[1] = protocol, protocol
		} else {
			c.protocols = append(c.protocols, protocol)
		}
	}
	c.first = c.protocols
	if p.TLS != nil {
		c.TransportCredentials = credentials.NewTLS(withALPN(p.TLS))
		c.plaintext = slices.Clone(p.Plaintext)
		c.first = append([]matcher{tlsMatcher{}}, c.protocols...)
		if c.encrypted = true; len(p.Protocols) > 0 {
			c.tls = withHTTP2(withALPN(p.TLS))
		}
	}
	return c
}

// check reports what is wrong with the names.
func (p *Port) check() error {
	known := map[string]bool{grpcName: true, directName: true}
	seen := map[string]bool{grpcName: true, tlsName: true}
	for _, protocol := range p.Protocols {
		name := protocol.Name()
		if seen[name] {
			return fmt.Errorf("pushtunnel: Port.Protocols has a second protocol of the name %q", name)
		}
		known[name], seen[name] = true, true
	}
	for _, name := range p.Plaintext {
		if !known[name] {
			return fmt.Errorf("pushtunnel: Port.Plaintext has %q, which is none of the port's protocols", name)
		}
	}
	if len(p.Plaintext) > 0 && p.TLS == nil {
		return errors.New("pushtunnel: Port.Plaintext is for a port with TLS, and Port.TLS is not set")
	}
	return nil
}

// portCreds takes out of a gRPC server the connections that are not gRPC's. It does
// not change.
type portCreds struct {
	credentials.TransportCredentials // of gRPC
	server                           *Server

	first     []matcher       // what a connection may begin as
	protocols []matcher       // the same without TLS
	direct    tunnel.Protocol // the one among them that ALPN has a name for
	encrypted bool            // there is TLS
	plaintext []string        // those that need none
	tls       *tls.Config     // for TLS without ALPN, nil if there is no use for that
}

// Clone returns a copy.
func (c *portCreds) Clone() credentials.TransportCredentials {
	clone := *c
	clone.TransportCredentials = c.TransportCredentials.Clone()
	return &clone
}

// ServerHandshake finds out what a connection is, and keeps it if it is not gRPC's.
func (c *portCreds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	s := c.server
	if !s.gate.connect() {
		s.gate.disconnect()
		return nil, nil, s.tooMany(raw)
	}
	stop := expire(s.shaking, raw, s.opts.tunnel.WithDefaults().HandshakeTimeout)
	who, conn, auth, err := c.shake(raw)
	if err = stop(err); err != nil {
		s.gate.disconnect()
		s.refused(s.closing, "", raw, err)
		if errors.Is(err, io.EOF) {
			return nil, nil, io.EOF // which grpc-go takes for what it is: an ordinary event
		}
		return nil, nil, fmt.Errorf("pushtunnel: %w", err)
	}
	if p, ok := who.(tunnel.Protocol); ok {
		s.dispatch(p, raw, directConn{conn, auth}) // which counts it out
		return nil, nil, credentials.ErrConnDispatched
	}
	s.gate.disconnect() // it is gRPC's to count
	return conn, auth, nil
}

// shake finds out what a connection is.
func (c *portCreds) shake(raw net.Conn) (matcher, net.Conn, credentials.AuthInfo, error) {
	who, conn := matcher(tlsMatcher{}), raw
	if !c.encrypted || len(c.plaintext) > 0 {
		var err error
		if who, conn, err = recognise(raw, c.first); err != nil {
			return nil, nil, nil, err
		}
	}
	switch {
	case who == matcher(tlsMatcher{}):
		return c.decrypt(conn)
	case c.encrypted && !slices.Contains(c.plaintext, who.Name()):
		return nil, nil, nil, c.server.reject(connCandidate(who.Name(), raw),
			status.Errorf(codes.PermissionDenied, "pushtunnel: %s without TLS is not allowed here", who.Name()))
	}
	conn, auth, err := insecure.NewCredentials().ServerHandshake(conn)
	return who, conn, auth, err
}

// dispatch serves a connection that is not gRPC's, on a goroutine of its own. It is
// counted in already. raw is what grpc-go knows of it.
func (s *Server) dispatch(p tunnel.Protocol, raw net.Conn, c directConn) {
	if !s.track() {
		c.Close()
		s.gate.disconnect()
		return
	}
	if s.opts.connect == nil || p.Name() != directName {
		s.warnOpen(c.LocalAddr(), &s.openPort)
	}
	serve := s.startDirect
	if p != s.DirectProtocol() { // which cares for itself
		h := letGo(raw, c.Conn)
		serve = func(c directConn) { s.servePort(p, h, c.auth) }
	}
	go func() {
		defer s.handlers.Done()
		defer s.gate.disconnect() // a direct one is counted among the sessions now
		serve(c)
	}()
}

// servePort serves a connection of one of the Protocols, until it ends.
func (s *Server) servePort(p tunnel.Protocol, h handover, auth credentials.AuthInfo) {
	ctx := s.closing
	conn, err := h.finish(ctx)
	if draining, _ := s.state(); draining || err != nil {
		conn.Close()
		return
	}
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr(), AuthInfo: auth})
	if err := p.Serve(ctx, conn, acceptor{s, p.Name()}); err != nil {
		s.refused(ctx, p.Name(), conn, err)
	}
}
