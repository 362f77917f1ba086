package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	otelcodes "go.opentelemetry.io/otel/codes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// call makes three calls to the server, of which the last fails. It is an ordinary
// gRPC client, and knows nothing of tunnels.
func call(ctx context.Context, addr string, p *process) error {
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(p.options()...)))
	if err != nil {
		return err
	}
	defer cc.Close()
	n := pb.NewNotifierClient(cc)

	err = p.step(ctx, "a push", "kitchen", func(ctx context.Context) error {
		_, err := n.Notify(ctx, &pb.NotifyRequest{Text: "Dinner is ready"})
		return err
	})
	if err != nil {
		return err
	}
	if err := p.step(ctx, "a stream", "kitchen", func(ctx context.Context) error { return install(ctx, n) }); err != nil {
		return err
	}
	err = p.step(ctx, "a failure", "cellar", func(ctx context.Context) error { return install(ctx, n) })
	if got := status.Code(err); got != codes.FailedPrecondition {
		return fmt.Errorf("the call that should fail with FailedPrecondition ended with %w", err)
	}
	return nil
}

// step makes a call to a display, in a span that is the first of its trace.
func (p *process) step(ctx context.Context, name, display string, call func(context.Context) error) error {
	ctx, span := p.tracer.Start(ctx, name)
	defer span.End()
	err := call(metadata.AppendToOutgoingContext(ctx, displayKey, display))
	if err != nil {
		span.SetStatus(otelcodes.Error, status.Convert(err).Message())
	}
	return err
}

// install reads an installation's progress to its end.
func install(ctx context.Context, n pb.NotifierClient) error {
	installation, err := n.Install(ctx, &pb.InstallRequest{Version: "2.0"})
	for err == nil {
		_, err = installation.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
