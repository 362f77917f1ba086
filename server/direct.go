package server

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"time"

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
// WithConnectInterceptors. Shutdown and Close end them; grpc.Server.Stop does not.
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
// or of several protocols. A TLS listener should offer tunnel.ALPN.
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
	if encrypted, ok := conn.(*tls.Conn); ok {
		timeout, cancel := context.WithTimeout(ctx, p.server.opts.tunnel.WithDefaults().HandshakeTimeout)
		err := encrypted.HandshakeContext(timeout)
		cancel()
		if err != nil {
			conn.Close()
			return err
		}
		secure := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
		c.auth = credentials.TLSInfo{State: encrypted.ConnectionState(), CommonAuthInfo: secure}
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
	go func() {
		defer s.handlers.Done()
		link, err := s.serveDirect(s.closing, c)
		if link == nil {
			s.refused(s.closing, "direct", c, err)
		}
	}()
}

// serveDirect lets a client in. It returns its session, nil if there is none. With
// interceptors it returns when the session has ended.
func (s *Server) serveDirect(ctx context.Context, c directConn) (link tunnel.Link, err error) {
	cfg := s.opts.tunnel.WithDefaults()
	cut := context.AfterFunc(ctx, func() { c.Close() })
	defer cut()
	c.SetDeadline(time.Now().Add(cfg.HandshakeTimeout)) //nolint:errcheck // what follows fails, too
	p := &peer.Peer{Addr: c.RemoteAddr(), LocalAddr: c.LocalAddr(), AuthInfo: c.auth}
	t, md, err := tunnel.AcceptDirect(c.Conn, cfg.MaxMetadata, p)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Time{}) //nolint:errcheck // likewise
	cut()                      // from now on the transport closes the connection

	ctx = metadata.NewIncomingContext(peer.NewContext(ctx, p), md)
	if s.opts.connect == nil {
		link, err = s.handshake(ctx, t, "direct")
	} else {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		info := &grpc.StreamServerInfo{FullMethod: tunnel.ConnectMethod, IsClientStream: true, IsServerStream: true}
		err = s.opts.connect(nil, newConnectStream(ctx), info, func(_ any, stream grpc.ServerStream) error {
			if link, err = s.handshake(stream.Context(), t, "direct"); err != nil {
				return err
			}
			<-link.Done()
			return link.Err()
		})
	}
	if link == nil {
		refuse(t, err)
	}
	return link, err
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
