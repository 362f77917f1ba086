package main

import (
	"context"
	"fmt"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	otelcodes "go.opentelemetry.io/otel/codes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// running is a client that is being served.
type running struct {
	client *client.Client
	conn   *grpc.ClientConn
	ended  chan error
}

// startDisplay starts a client. To it a push is a call that it serves: it takes the
// stats handler of a server.
func startDisplay(addr string, d *display) (*running, error) {
	cc, err := grpc.NewClient(addr, append(client.RecommendedOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, err
	}
	c := client.New(cc, d.name, client.WithStatsHandlers(otelgrpc.NewServerHandler(d.options()...)))
	pb.RegisterNotifierServer(c, d)
	r := &running{client: c, conn: cc, ended: make(chan error, 1)}
	go func() { r.ended <- c.Serve(context.Background()) }()
	return r, nil
}

// stop ends the client when its calls have ended.
func (r *running) stop(ctx context.Context) error {
	defer r.conn.Close()
	err := r.client.Shutdown(ctx)
	if e := <-r.ended; err == nil {
		err = e
	}
	return err
}

// display implements Notifier, and makes a span of what it does.
type display struct {
	pb.UnimplementedNotifierServer
	*process
	full bool // its disk is
}

// Notify shows a text.
func (d *display) Notify(ctx context.Context, _ *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	_, span := d.tracer.Start(ctx, "show")
	defer span.End()
	return &pb.NotifyResponse{Display: d.name}, nil
}

// Install installs a version in four steps.
func (d *display) Install(_ *pb.InstallRequest, progress grpc.ServerStreamingServer[pb.InstallResponse]) error {
	_, span := d.tracer.Start(progress.Context(), "install")
	defer span.End()
	if d.full {
		err := status.Error(codes.FailedPrecondition, "the disk is full")
		span.SetStatus(otelcodes.Error, "the disk is full")
		return err
	}
	for percent := uint32(25); percent <= 100; percent += 25 {
		span.AddEvent(fmt.Sprintf("%d%%", percent))
		if err := progress.Send(&pb.InstallResponse{Percent: percent}); err != nil {
			return err
		}
	}
	return nil
}
