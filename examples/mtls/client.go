package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/certs"
	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// display is what the server calls.
type display struct {
	pb.UnimplementedNotifierServer
	program
	name string
}

// Notify prints the text, and the certificate of the server.
func (d *display) Notify(ctx context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	from, _ := peer.FromContext(ctx)
	fmt.Fprintf(d.out, "%s shows %s; the server's certificate: %s\n", d.name, r.GetText(), describe(certificate(from)))
	return &pb.NotifyResponse{Display: d.name}, nil
}

// client serves pushes under a name until ctx ends. Its certificate is that of the
// name.
func (p program) client(ctx context.Context, name, addr string) error {
	return p.clientWith(ctx, name, addr, certs.Files{
		Certificate: p.file("client-" + name + ".crt"), Key: p.file("client-" + name + ".key"), Authorities: p.file("authority.crt"),
	})
}

func (p program) clientWith(ctx context.Context, name, addr string, files certs.Files) error {
	w, err := certs.Watch(files, certs.WithInterval(p.interval), certs.WithLogger(slog.New(slog.NewTextHandler(p.out, nil))))
	if err != nil {
		return err
	}
	defer w.Close()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	cfg := w.Client(host) // the name that must be in the server's certificate

	cc, err := grpc.NewClient(addr, append(client.RecommendedOptions(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))...)
	if err != nil {
		return err
	}
	defer cc.Close()
	c := client.New(cc, name,
		client.WithDirect(addr, cfg), // without it: a gRPC stream
		client.WithHooks(client.Hooks{
			Connected: func(to tunnel.Peer) { fmt.Fprintf(p.out, "%s has connected: %s\n", name, to.Protocol) },
			Retry: func(err error, _ time.Duration) {
				fmt.Fprintf(p.out, "%s cannot connect: %s\n", name, status.Convert(err).Message())
			},
		}))
	pb.RegisterNotifierServer(c, &display{program: p, name: name})
	if err := c.Serve(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}
