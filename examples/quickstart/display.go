package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// connect connects to the server under a name and serves the pushes, until ctx
// ends. It connects again by itself whenever the connection is lost.
func connect(ctx context.Context, addr, name string, impl pb.NotifierServer) error {
	cc, err := grpc.NewClient(addr, append(client.RecommendedOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return err
	}
	defer cc.Close()
	c := client.New(cc, name)
	pb.RegisterNotifierServer(c, impl)
	return c.Serve(ctx)
}

// display implements Notifier. It is an ordinary gRPC service.
type display struct {
	pb.UnimplementedNotifierServer
	label string
	step  time.Duration // what a quarter of an installation takes
	full  bool          // its disk is
}

// Notify shows a text.
func (d *display) Notify(context.Context, *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	return &pb.NotifyResponse{Display: d.label}, nil
}

// Install installs a version in four steps.
func (d *display) Install(_ *pb.InstallRequest, progress grpc.ServerStreamingServer[pb.InstallResponse]) error {
	if d.full {
		return status.Error(codes.FailedPrecondition, "the disk is full")
	}
	quarter := time.NewTicker(d.step)
	defer quarter.Stop()
	for percent := uint32(25); percent <= 100; percent += 25 {
		select {
		case <-quarter.C:
		case <-progress.Context().Done():
			return progress.Context().Err()
		}
		if err := progress.Send(&pb.InstallResponse{Percent: percent}); err != nil {
			return err
		}
	}
	return nil
}

// displays are the clients of this process.
type displays struct {
	cancel  context.CancelFunc
	running int
	ended   chan error
}

// startDisplays starts five clients. Three of them have the same name.
func startDisplays(ctx context.Context, addr string) *displays {
	ds := &displays{ended: make(chan error)}
	ctx, ds.cancel = context.WithCancel(ctx)
	start := func(name string, impl *display) {
		ds.running++
		go func() { ds.ended <- connect(ctx, addr, name, impl) }()
	}
	start("kitchen", &display{label: "kitchen", step: 50 * time.Millisecond})
	start("cellar", &display{label: "cellar", full: true})
	for _, label := range []string{"hall-1", "hall-2", "hall-3"} {
		start("hall", &display{label: label, step: 100 * time.Millisecond})
	}
	return ds
}

// stop stops the clients, and tells what has gone wrong with them.
func (ds *displays) stop() (all error) {
	ds.cancel()
	for range ds.running {
		if err := <-ds.ended; !errors.Is(err, context.Canceled) {
			all = errors.Join(all, err)
		}
	}
	return all
}
