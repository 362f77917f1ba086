package main

import (
	"context"
	"errors"
	"io"
	"net"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	tunnelpb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
)

// house is a gRPC server that passes calls on to its clients.
type house struct {
	push *server.Server
	grpc *grpc.Server
	addr string
}

// startServer starts a gRPC server with two kinds of spans: those of the calls that
// it serves, and those of its pushes.
func startServer(p *process) (*house, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &house{addr: listener.Addr().String()}
	h.push = server.New(server.WithStatsHandlers(otelgrpc.NewClientHandler(p.options()...), nameClient{}))
	h.grpc = grpc.NewServer(append(server.RecommendedOptions(),
		grpc.StatsHandler(otelgrpc.NewServerHandler(p.options(otelgrpc.WithFilter(notTunnels))...)))...)
	h.push.Register(h.grpc)
	pb.RegisterNotifierServer(h.grpc, relay{push: h.push})
	go h.grpc.Serve(listener) //nolint:errcheck // it ends with stop
	return h, nil
}

// notTunnels leaves the tunnels themselves out: to the gRPC server each is a call,
// and its span would last for as long as the client is connected.
var notTunnels = filters.Not(filters.ServiceName(tunnelpb.PushTunnel_ServiceDesc.ServiceName))

// nameClient is a stats handler that puts the name of the client into the span of a
// push. It stands behind the handler that begins the span. The address that
// OpenTelemetry's handler puts there is no name: it changes with each connection.
type nameClient struct{}

// TagRPC finds the span of the push in the context.
func (nameClient) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	if name, ok := server.TargetFromContext(ctx); ok {
		trace.SpanFromContext(ctx).SetAttributes(attribute.String("pushtunnel.client", name))
	}
	return ctx
}

func (nameClient) HandleRPC(context.Context, stats.RPCStats)                         {}
func (nameClient) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (nameClient) HandleConn(context.Context, stats.ConnStats)                       {}

// stop ends the server when its calls have ended.
func (h *house) stop(ctx context.Context) error {
	err := h.push.Shutdown(ctx)
	h.grpc.GracefulStop()
	return err
}

// relay serves Notifier at the server: it calls the display that the caller names
// in the metadata. The context of the call that comes in is that of the push, so
// the push is in the same trace.
type relay struct {
	pb.UnimplementedNotifierServer
	push *server.Server
}

// displayKey is the key of the display's name in the metadata.
const displayKey = "display"

func (r relay) display(ctx context.Context) (pb.NotifierClient, error) {
	names := metadata.ValueFromIncomingContext(ctx, displayKey)
	if len(names) != 1 {
		return nil, status.Errorf(codes.InvalidArgument, "which display? Say so in the metadata, as %q", displayKey)
	}
	return pb.NewNotifierClient(r.push.Client(names[0])), nil
}

// Notify makes a unary push.
func (r relay) Notify(ctx context.Context, in *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	d, err := r.display(ctx)
	if err != nil {
		return nil, err
	}
	return d.Notify(ctx, in, grpc.WaitForReady(true))
}

// Install makes a streaming push.
func (r relay) Install(in *pb.InstallRequest, progress grpc.ServerStreamingServer[pb.InstallResponse]) error {
	d, err := r.display(progress.Context())
	if err != nil {
		return err
	}
	installation, err := d.Install(progress.Context(), in, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		p, err := installation.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := progress.Send(p); err != nil {
			return err
		}
	}
}
