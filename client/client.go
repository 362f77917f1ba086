package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/metadata"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// ErrServing is what Serve returns while another Serve of the same Client runs.
var ErrServing = errors.New("pushtunnel: the client is serving already")

// Client serves calls under a name. It is a grpc.ServiceRegistrar. Register
// services before Serve; the other methods may be called by any goroutine at any
// time.
type Client struct {
	dialer   tunnel.Dialer
	name     string
	opts     options
	services tunnel.Services

	// leaving ends when Shutdown is called, patience when its context ends.
	leaving  context.Context //nolint:containedctx // used as a signal
	shutdown context.CancelFunc
	patience context.Context //nolint:containedctx // used as a signal
	cutOff   context.CancelFunc

	// mu guards what follows.
	mu      sync.Mutex
	serving bool
	stopped chan struct{} // closed when Serve has returned
}

// New returns a Client of this name that connects through cc. The name is
// checked by Serve: 1 to 255 bytes of UTF-8 without control characters.
//
// If cc is a *grpc.ClientConn, or embeds one, the client notices when its connection
// is about to end: a server's MaxConnectionAge, a proxy that is reloaded, an address
// that is gone. It opens its next session on another connection first, and then
// leaves this one, so that no call is lost.
func New(cc grpc.ClientConnInterface, name string, opts ...Option) *Client {
	d := &streamDialer{cc: cc}
	c := NewDialer(d, name, opts...)
	d.opts = &c.opts
	if c.opts.direct != nil {
		c.opts.direct.stream = d
		c.dialer = c.opts.direct
	}
	return c
}

// NewDialer returns a Client of this name that connects through d, for instance
// a native.Dialer. The options of the gRPC stream, WithMetadata, WithCallOptions
// and WithDirect, mean nothing then.
func NewDialer(d tunnel.Dialer, name string, opts ...Option) *Client {
	c := &Client{dialer: d, name: name, opts: defaults()}
	c.leaving, c.shutdown = context.WithCancel(context.Background())
	c.patience, c.cutOff = context.WithCancel(context.Background())
	for _, o := range opts {
		o.apply(&c.opts)
	}
	c.opts.chain()
	c.opts.claim.Name = name
	c.opts.metadata = metadata.Join(c.opts.metadata, c.opts.claim.Metadata())
	c.opts.tunnel.Services = &c.services
	c.services.HandleUnknown(c.opts.unknown)
	return c
}

// RecommendedOptions returns the options that a grpc.ClientConn with a tunnel
// should have: static HTTP/2 windows of 1 MiB for each stream and 4 MiB for the
// connection, so that grpc-go does not measure the bandwidth with pings; and no
// more than 10 s between two attempts to connect, where grpc-go lets it become two
// minutes. The Client's backoff is for sessions, and adds to that of their
// connection. The server's counterpart is server.RecommendedOptions.
func RecommendedOptions() []grpc.DialOption {
	// There is grpc.ClientConn.ResetConnectBackoff, but calling it while the
	// connection's state changes can crash the process: grpc/grpc-go#9155.
	connect := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 20 * time.Second}
	connect.Backoff.MaxDelay = 10 * time.Second
	return []grpc.DialOption{
		grpc.WithStaticStreamWindowSize(1 << 20), grpc.WithStaticConnWindowSize(4 << 20), grpc.WithConnectParams(connect),
	}
}

// RegisterService registers a service, as grpc.Server.RegisterService does. It
// panics on misuse: twice the same service, after Serve, or a service that the
// protocol of a Dialer cannot serve.
func (c *Client) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if d, ok := c.dialer.(tunnel.ServiceChecker); ok {
		if err := d.CheckService(desc); err != nil {
			panic(err.Error()) //nolint:forbidigo // misuse at start-up
		}
	}
	c.services.RegisterService(desc, impl)
}

// GetServiceInfo returns what is registered, by service name. Stock reflection
// asks for it.
func (c *Client) GetServiceInfo() map[string]grpc.ServiceInfo { return c.services.GetServiceInfo() }

// Name returns the client's name.
func (c *Client) Name() string { return c.name }

// Serve keeps a session open and serves the calls on it. It returns:
//
//   - ctx's error when ctx ends; handlers that run have their contexts
//     cancelled, and calls without an answer fail;
//   - nil after Shutdown;
//   - a gRPC status error when the server refuses the client in a way that does
//     not heal: see Permanent.
//
// All other ends of a session are followed by another session.
func (c *Client) Serve(ctx context.Context) error {
	if err := c.opts.claim.Check(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.serving {
		c.mu.Unlock()
		return ErrServing
	}
	c.serving = true
	stopped := make(chan struct{})
	c.stopped = stopped
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.serving = false
		c.mu.Unlock()
		close(stopped)
	}()
	r := newRun(ctx, c)
	defer r.end()
	return r.serve()
}

// Shutdown parts from the server without loss: it asks for no more calls, lets
// those under way end, and makes Serve return nil. It returns nil when that is
// done. A session that is being opened gets 100 ms for it. If ctx ends first the
// session is cut off, and Shutdown returns ctx's error. A Client that was shut down
// does not serve again.
func (c *Client) Shutdown(ctx context.Context) error {
	c.shutdown()
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	if stopped == nil {
		return nil
	}
	defer context.AfterFunc(ctx, c.cutOff)()
	<-stopped
	return ctx.Err()
}
