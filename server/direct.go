package server

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// directProtocol is the direct transport on a listener of its own.
type directProtocol struct{ server *Server }

// DirectProtocol returns the direct transport for Serve: on a listener of its own,
// or of several protocols. It goes before those that know their connections by less
// than a byte of their own, native.Protocol among them. A TLS listener must offer
// tunnel.ALPN.
func (s *Server) DirectProtocol() tunnel.Protocol { return directProtocol{s} }

// Name returns "direct".
func (directProtocol) Name() string { return directName }

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

// startDirect serves a connection that the port of a gRPC server has got. It returns when
// the client has a session: that has its own goroutines.
func (s *Server) startDirect(c directConn) {
	link, err := s.serveDirect(s.closing, c)
	if link == nil {
		s.refused(s.closing, "direct", c, err)
	}
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
