package client

import (
	"context"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// streamDialer opens sessions on gRPC streams.
type streamDialer struct {
	cc   grpc.ClientConnInterface
	opts *options
}

// Dial opens the stream and says hello.
func (d *streamDialer) Dial(ctx context.Context, cfg tunnel.Config) (tunnel.Link, error) {
	return d.dial(ctx, cfg, !cfg.FailFast)
}

// dial is Dial; wait says whether to wait for the gRPC connection.
func (d *streamDialer) dial(ctx context.Context, cfg tunnel.Config, wait bool) (tunnel.Link, error) {
	cfg.Remote.Protocol = "grpc"
	opts := append([]grpc.CallOption{grpc.WaitForReady(wait)}, d.opts.callOptions...)
	t, err := tunnel.DialStream(ctx, d.cc, cfg.Remote.Name, d.opts.metadata, opts...)
	if err != nil {
		return nil, err
	}
	var w *watch
	if conn, ok := d.cc.(stater); ok {
		w = newWatch(conn)
	}
	s, err := tunnel.Dial(ctx, t, cfg)
	switch {
	case err == nil && w != nil:
		return &streamLink{s, w}, nil
	case err == nil:
		return s, nil
	case w != nil:
		w.stop()
	}
	return nil, err // and no Link that is a nil *Session
}
