package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

const (
	// directPatience is how long the server may take to show that it knows the
	// direct transport.
	directPatience = 5 * time.Second
	// directRetry is how long a client that has found out that it does not is
	// content with gRPC streams.
	directRetry = 10 * time.Minute
)

// WithDirect makes the client connect with the direct transport: the same frames
// straight on TCP, or TLS if tlsConfig is not nil, without HTTP/2. That is faster
// and takes less memory. addr is the server's "host:port", the same as that of the
// gRPC connection if the server has Server.Direct. If the server, or a proxy before
// it, does not know the direct transport, the client uses a gRPC stream.
//
// WithMetadata and the grpc.PerRPCCredentials of WithCallOptions work as usual;
// the gRPC connection's own dial options do not.
func WithDirect(addr string, tlsConfig *tls.Config) Option {
	return optionFunc(func(o *options) { o.direct = &directDialer{authority: addr, dial: directDial(addr, tlsConfig)} })
}

// WithDirectDialer is WithDirect for connections that dial makes. It returns one on
// which the frames can be sent, after a TLS handshake if there is one: as a
// *tls.Conn then, so that handlers see the certificates.
func WithDirectDialer(dial func(context.Context) (net.Conn, error)) Option {
	return optionFunc(func(o *options) { o.direct = &directDialer{dial: dial} })
}

// errNoALPN is why a TLS connection is of no use.
var errNoALPN = errors.New("pushtunnel: the server's TLS does not know the direct transport")

// directDial returns a function that connects to addr.
func directDial(addr string, cfg *tls.Config) func(context.Context) (net.Conn, error) {
	if cfg == nil {
		var d net.Dialer
		return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	cfg = cfg.Clone()
	// A server that knows only HTTP/2 says so, rather than end the handshake.
	cfg.NextProtos = []string{tunnel.ALPN, "h2"}
	d := tls.Dialer{Config: cfg}
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		if c, ok := conn.(*tls.Conn); !ok || c.ConnectionState().NegotiatedProtocol != tunnel.ALPN {
			conn.Close()
			return nil, errNoALPN
		}
		return conn, nil
	}
}

// directDialer opens sessions on the direct transport, or on gRPC streams where
// there is none.
type directDialer struct {
	stream    *streamDialer
	authority string
	dial      func(context.Context) (net.Conn, error)

	// mu guards what follows.
	mu    sync.Mutex
	until time.Time // when to try again whether the server knows the transport
}

// Dial opens a session.
func (d *directDialer) Dial(ctx context.Context, cfg tunnel.Config) (tunnel.Link, error) {
	d.mu.Lock()
	wait := time.Now().Before(d.until)
	d.mu.Unlock()
	if wait {
		return d.stream.Dial(ctx, cfg)
	}
	link, err := d.direct(ctx, cfg)
	if err == nil || !errors.Is(err, errNotDirect) {
		return link, err
	}
	if errors.Is(err, errUnknown) {
		d.mu.Lock()
		d.until = time.Now().Add(directRetry)
		d.mu.Unlock()
		return d.stream.Dial(ctx, cfg)
	}
	// The server may be down. It shall be asked for the direct transport first when
	// it is there again: so nothing waits for it here.
	return d.stream.dial(ctx, cfg, false)
}

// Errors of direct. Nobody outside sees them.
var (
	errNotDirect = errors.New("no direct transport")                // for any reason
	errUnknown   = errors.New("the server does not know of direct") // and that is the reason
)

// direct opens a session on the direct transport.
func (d *directDialer) direct(ctx context.Context, cfg tunnel.Config) (tunnel.Link, error) {
	patience, cancel := context.WithTimeout(ctx, directPatience)
	conn, err := d.dial(patience)
	cancel()
	if err != nil {
		if errors.Is(err, errNoALPN) {
			return nil, errors.Join(errNotDirect, errUnknown)
		}
		return nil, errors.Join(errNotDirect, err)
	}
	p := &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr()}
	if c, ok := conn.(*tls.Conn); ok {
		secure := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
		p.AuthInfo = credentials.TLSInfo{State: c.ConnectionState(), CommonAuthInfo: secure}
	}
	t, err := tunnel.DialDirect(ctx, conn, tunnel.DirectOptions{
		Name: cfg.Remote.Name, Metadata: d.stream.opts.metadata, CallOptions: d.stream.opts.callOptions, Authority: d.authority, Peer: p,
	})
	if err != nil {
		return nil, err
	}
	cfg.Remote.Protocol = "direct"
	timer := time.AfterFunc(directPatience, func() {
		if !confirmed(t) {
			conn.Close()
		}
	})
	defer timer.Stop()
	s, err := tunnel.Dial(ctx, t, cfg)
	switch {
	case err == nil:
		return s, nil
	case !confirmed(t) && ctx.Err() == nil:
		return nil, errors.Join(errNotDirect, errUnknown)
	default:
		return nil, err
	}
}

// confirmed reports whether the server has shown that it knows the transport.
func confirmed(t tunnel.Transport) bool {
	c, ok := t.(interface{ Confirmed() bool })
	return ok && c.Confirmed()
}
