package client

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/logattr"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

const (
	// directPatience is how long a connection may take, and then the server to show
	// that it knows the direct transport; less if the connect timeout is short.
	directPatience = 5 * time.Second
	// directRetry is how long a client that has found no direct transport is content
	// with gRPC streams.
	directRetry = 10 * time.Minute
)

// WithDirect makes the client connect with the direct transport: the same frames
// straight on TCP, or TLS if tlsConfig is not nil, without HTTP/2. That is faster
// and takes less memory. addr is the server's "host:port", the same as that of the
// gRPC connection if the server has Server.Direct.
//
// If the server, or a proxy before it, does not know the direct transport, the
// session is a gRPC stream, and so are those of the next 10 minutes; the log tells.
// A session stays on what it began with. So the gRPC connection should be no less
// secure than tlsConfig: somebody in between can bring it about.
//
// It connects straight to addr, and not through the proxy that HTTPS_PROXY names: the
// gRPC connection does, where that is the only way. WithDirectDialer can, too.
//
// WithMetadata and the grpc.PerRPCCredentials of WithCallOptions work as usual; the
// gRPC connection's own dial options do not, credentials and interceptors among them.
func WithDirect(addr string, tlsConfig *tls.Config) Option {
	authority := addr
	if tlsConfig != nil && tlsConfig.ServerName != "" {
		authority = tlsConfig.ServerName
	}
	dial := directDial(addr, tlsConfig)
	return optionFunc(func(o *options) { o.direct = &directDialer{authority: authority, dial: dial} })
}

// WithDirectDialer is WithDirect for connections that dial makes, within its
// context. It returns one on which the frames can be sent, after a TLS handshake if
// there is one: as a *tls.Conn then, so that handlers see the certificates. The
// client closes it. A write of 16 KiB to it must not wait for the server to read.
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
	until time.Time // when to try the direct transport again
	trust bool      // the last attempt has shown that the server knows it
}

// verdict is what an attempt tells about the server.
type verdict int

const (
	knows    verdict = iota // it knows the direct transport
	ignorant                // it does not, or a proxy in between
	unclear                 // one or the other, or it is down
)

// Dial opens a session.
func (d *directDialer) Dial(ctx context.Context, cfg tunnel.Config) (tunnel.Link, error) {
	if d.content() {
		return d.stream.Dial(ctx, cfg)
	}
	link, found, err := d.direct(ctx, cfg)
	if trusted := d.learn(found); found == knows {
		return link, err
	} else if found == unclear && trusted {
		// That was bad luck, more likely than a change of mind.
		return nil, status.Error(codes.Unavailable, "pushtunnel: no direct connection: "+status.Convert(err).Message())
	}
	d.stream.opts.logger.LogAttrs(ctx, slog.LevelInfo, "no direct transport, the client opens a gRPC stream",
		append(logattr.Client(cfg.Remote), logattr.Reason(err)...)...)
	if found == ignorant {
		return d.stream.Dial(ctx, cfg)
	}
	// If the server is down, it shall be asked for the direct transport first when it
	// is there again: so nothing waits for it here.
	link, err = d.stream.dial(ctx, cfg, false)
	if err == nil {
		d.beContent() // it was not down
	}
	return link, err
}

// content reports whether gRPC streams are good enough for now.
func (d *directDialer) content() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.until)
}

// learn takes in what an attempt has told. It reports whether the one before it
// had shown that the server knows the direct transport.
func (d *directDialer) learn(found verdict) (trusted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	trusted, d.trust = d.trust, found == knows
	if found == ignorant {
		d.until = time.Now().Add(directRetry)
	}
	return trusted
}

// beContent lets gRPC streams be good enough for a while.
func (d *directDialer) beContent() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = time.Now().Add(directRetry)
}

// patience is how long each of the two steps may take. It leaves time for a gRPC
// stream within the connect timeout.
func (d *directDialer) patience() time.Duration {
	return min(directPatience, d.stream.opts.connectTimeout/4)
}

// direct opens a session on the direct transport.
func (d *directDialer) direct(ctx context.Context, cfg tunnel.Config) (tunnel.Link, verdict, error) {
	patience, cancel := context.WithTimeout(ctx, d.patience())
	conn, err := d.dial(patience)
	cancel()
	switch {
	case errors.Is(err, errNoALPN):
		return nil, ignorant, err
	case err != nil:
		return nil, unclear, err
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
		return nil, knows, err // it would fail on a gRPC stream, too
	}
	cfg.Remote.Protocol = "direct"
	timer := time.AfterFunc(d.patience(), func() {
		if !confirmed(t) {
			conn.Close()
		}
	})
	defer timer.Stop()
	s, err := tunnel.Dial(ctx, t, cfg)
	if err == nil {
		return s, knows, nil
	}
	conn.Close() // there is nothing to wait for
	switch {
	case errors.Is(err, tunnel.ErrNotDirect):
		return nil, ignorant, err
	case !confirmed(t):
		return nil, unclear, err
	default:
		return nil, knows, err
	}
}

// confirmed reports whether the server has shown that it knows the transport.
func confirmed(t tunnel.Transport) bool {
	c, ok := t.(interface{ Confirmed() bool })
	return ok && c.Confirmed()
}
