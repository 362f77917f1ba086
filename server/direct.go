package server

import (
	"context"
	"crypto/tls"
	"net"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/netio"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Direct lets a gRPC server's port take direct connections, too: those of clients
// that have client.WithDirect. It stands in the place of grpc.Creds. tlsConfig is
// what the server would give to credentials.NewTLS, nil for plaintext.
//
// Direct connections do not pass the gRPC server: its interceptors, stats handlers
// and limits do not see them. What it does to let clients in must be repeated in
// WithConnectInterceptors. Their context does not end when a client gives up before
// they have let it in. Shutdown and Close end direct connections; Stop and
// GracefulStop of the gRPC server do not. A limit of the listener counts them.
//
// It needs grpc.Server.Serve: a gRPC server that is an http.Handler has no port.
func (s *Server) Direct(tlsConfig *tls.Config) grpc.ServerOption {
	return grpc.Creds(s.DirectCredentials(tlsConfig))
}

// DirectCredentials returns what Direct gives to grpc.Creds.
func (s *Server) DirectCredentials(tlsConfig *tls.Config) credentials.TransportCredentials {
	if tlsConfig == nil {
		return &directCreds{TransportCredentials: insecure.NewCredentials(), server: s}
	}
	return &directCreds{TransportCredentials: credentials.NewTLS(withALPN(tlsConfig)), server: s, encrypted: true}
}

// withALPN returns a configuration that knows the direct transport.
func withALPN(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	if !slices.Contains(cfg.NextProtos, tunnel.ALPN) {
		cfg.NextProtos = append([]string{tunnel.ALPN}, cfg.NextProtos...)
	}
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return chosen, err
			}
			return withALPN(chosen), nil
		}
	}
	return cfg
}

// directCreds takes the direct connections out of a gRPC server.
type directCreds struct {
	credentials.TransportCredentials
	server    *Server
	encrypted bool
}

// ServerHandshake tells what a connection is by its first byte, or by what the
// peers have agreed upon in the TLS handshake.
func (c *directCreds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, direct := raw, false
	if !c.encrypted {
		b, same, err := netio.First(raw)
		if err != nil {
			return nil, nil, err
		}
		conn, direct = same, b == tunnel.DirectPreface[0]
	}
	conn, auth, err := c.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		return nil, nil, err
	}
	if info, ok := auth.(credentials.TLSInfo); ok {
		direct = info.State.NegotiatedProtocol == tunnel.ALPN
	}
	if !direct {
		return conn, auth, nil
	}
	c.server.dispatch(directConn{conn, auth})
	return nil, nil, credentials.ErrConnDispatched
}

// Clone returns a copy.
func (c *directCreds) Clone() credentials.TransportCredentials {
	return &directCreds{c.TransportCredentials.Clone(), c.server, c.encrypted}
}

// directProtocol is the direct transport on a listener of its own.
type directProtocol struct{ server *Server }

// DirectProtocol returns the direct transport for Serve: on a listener of its own,
// or of several protocols. It goes before those that know their connections by less
// than a byte of their own, native.Protocol among them. A TLS listener must offer
// tunnel.ALPN.
func (s *Server) DirectProtocol() tunnel.Protocol { return directProtocol{s} }

// Name returns "direct".
func (directProtocol) Name() string { return "direct" }

// Match knows the preface by its first byte.
func (directProtocol) Match(prefix []byte) tunnel.Match {
	if prefix[0] == tunnel.DirectPreface[0] {
		return tunnel.MatchYes
	}
	return tunnel.MatchNo
}

// Serve serves a connection.
func (p directProtocol) Serve(ctx context.Context, conn net.Conn, _ tunnel.Acceptor) error {
	c := directConn{Conn: conn}
	if from, ok := peer.FromContext(ctx); ok {
		c.auth = from.AuthInfo
	}
	link, err := p.server.serveDirect(ctx, c)
	if link == nil {
		return err
	}
	link.Wait()
	return nil
}

// directConn is a direct connection that has come.
type directConn struct {
	net.Conn
	auth credentials.AuthInfo
}

// dispatch serves a connection on a goroutine of its own.
func (s *Server) dispatch(c directConn) {
	if !s.track() {
		c.Close()
		return
	}
	if s.opts.connect == nil {
		s.openDirect.Do(func() { s.warnOpen(c.LocalAddr()) })
	}
	if !s.gate.connect() {
		s.gate.disconnect()
		s.reject(connCandidate("direct", c), exceeded(tunnel.LimitConnections, "%d connections", s.gate.connections)) //nolint:errcheck // there is nobody to be told
		c.Close()
		s.handlers.Done()
		return
	}
	go func() {
		defer s.handlers.Done()
		defer s.gate.disconnect() // it is counted among the sessions now
		link, err := s.serveDirect(s.closing, c)
		if link == nil {
			s.refused(s.closing, "direct", c, err)
		}
	}()
}

// serveDirect lets a client in. It returns its session, nil if there is none. With
// interceptors it returns when the session has ended.
func (s *Server) serveDirect(ctx context.Context, c directConn) (link tunnel.Link, err error) {
	p := &peer.Peer{Addr: c.RemoteAddr(), LocalAddr: c.LocalAddr(), AuthInfo: c.auth}
	t, md, err := s.acceptDirect(ctx, c, p)
	if err != nil {
		return nil, err
	}
	taken := false // the transport is a session's
	open := func(ctx context.Context) error {
		a, cfg, err := s.expect(ctx, "direct")
		if err != nil {
			return err
		}
		taken = true
		link, err = a.receive(t, cfg)
		return err
	}
	ctx = metadata.NewIncomingContext(peer.NewContext(ctx, p), md)
	if s.opts.connect == nil {
		err = open(ctx)
	} else {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		info := &grpc.StreamServerInfo{FullMethod: tunnel.ConnectMethod, IsClientStream: true, IsServerStream: true}
		err = s.opts.connect(nil, newConnectStream(ctx), info, func(_ any, stream grpc.ServerStream) error {
			if err := open(stream.Context()); err != nil {
				return err
			}
			<-link.Done()
			return link.Err()
		})
	}
	if !taken {
		refuse(t, err)
	}
	return link, err
}

// acceptDirect waits for what a client says first, for as long as it may take.
func (s *Server) acceptDirect(ctx context.Context, c directConn, p *peer.Peer) (tunnel.Transport, metadata.MD, error) {
	cfg := s.opts.tunnel.WithDefaults()
	// The deadline of the connection would not do: grpc-go resets it, once more,
	// when it has handed the connection over.
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.HandshakeTimeout,
		status.Errorf(codes.DeadlineExceeded, "pushtunnel: the client did not send its metadata within %v", cfg.HandshakeTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	t, md, err := tunnel.AcceptDirect(c.Conn, cfg.MaxMetadata, p)
	stop()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return t, md, err
}

var errNotServed = status.Error(codes.Unavailable, "pushtunnel: an interceptor has not let the client in")

// refuse tells the client why it gets no session, and ends its transport.
func refuse(t tunnel.Transport, err error) {
	if err == nil {
		err = errNotServed
	}
	t.Close(status.Convert(err).Err())
	for {
		batch, err := t.Recv()
		if err != nil {
			return
		}
		batch.Free()
	}
}

// connectStream is what WithConnectInterceptors see of a direct connection.
type connectStream struct{ ctx context.Context } //nolint:containedctx // a grpc.ServerStream has one

func newConnectStream(ctx context.Context) grpc.ServerStream {
	return connectStream{grpc.NewContextWithServerTransportStream(ctx, connectTransport{})}
}

var errNoMessages = status.Error(codes.Unimplemented, "pushtunnel: an interceptor of the direct transport sees no messages")

func (s connectStream) Context() context.Context   { return s.ctx }
func (connectStream) SetHeader(metadata.MD) error  { return nil }
func (connectStream) SendHeader(metadata.MD) error { return nil }
func (connectStream) SetTrailer(metadata.MD)       {}
func (connectStream) SendMsg(any) error            { return errNoMessages }
func (connectStream) RecvMsg(any) error            { return errNoMessages }

// connectTransport is the same for grpc.Method, grpc.SetTrailer and their like.
type connectTransport struct{}

func (connectTransport) Method() string               { return tunnel.ConnectMethod }
func (connectTransport) SetHeader(metadata.MD) error  { return nil }
func (connectTransport) SendHeader(metadata.MD) error { return nil }
func (connectTransport) SetTrailer(metadata.MD) error { return nil }
