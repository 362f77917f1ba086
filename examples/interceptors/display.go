package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// display is a client.
type display struct {
	pb.UnimplementedNotifierServer
	name  string
	shown atomic.Int32
	began chan struct{} // gets one for each text that takes long
}

// Notify shows a text. "slow" takes half a second, and "bug" is one.
func (d *display) Notify(ctx context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	d.shown.Add(1)
	switch r.GetText() {
	case "bug":
		var none []string
		_ = none[7]
	case "slow":
		d.began <- struct{}{}
		t := time.NewTimer(500 * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &pb.NotifyResponse{Display: d.name}, nil
}

// Install installs a version at once.
func (d *display) Install(_ *pb.InstallRequest, s pb.Notifier_InstallServer) error {
	return s.Send(&pb.InstallResponse{Percent: 100})
}

// serve connects a display until ctx ends. connected is called whenever it is there.
func (d *display) serve(ctx context.Context, log *slog.Logger, addr string, connected func()) error {
	cc, err := grpc.NewClient(addr, append(client.RecommendedOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	metrics := grpcprom.NewServerMetrics() // register it with your prometheus.Registry
	unary, stream := interceptors.Handlers(handlerChain(log, metrics)...)
	c := client.New(cc, d.name, client.WithUnaryInterceptors(unary...), client.WithStreamInterceptors(stream...),
		client.WithBackoff(backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second}),
		client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) { connected() }}))
	pb.RegisterNotifierServer(c, d)
	return c.Serve(ctx)
}
