package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/pushtunnel/pushtunnel/certs"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
)

// server serves clients at an address until ctx ends, and pushes to each of them
// again and again.
func (p program) server(ctx context.Context, addr string) error {
	w, err := certs.Watch(certs.Files{
		Certificate: p.file("server.crt"), Key: p.file("server.key"), Authorities: p.file("authority.crt"),
	}, certs.WithInterval(p.interval), certs.WithLogger(slog.New(slog.NewTextHandler(p.out, nil))))
	if err != nil {
		return err
	}
	defer w.Close()

	push := server.New(
		// A client may have the names in its certificate, and no others.
		server.WithIdentity(server.CertificateIdentity),
		server.WithHooks(server.Hooks{
			Connected: func(s *server.Session) { fmt.Fprintf(p.out, "%s has come\n", s.Name()) },
			Disconnected: func(s *server.Session, _ error) {
				fmt.Fprintf(p.out, "%s has gone\n", s.Name())
			},
		}),
	)
	// One port for gRPC and for the direct transport, both with TLS.
	g := grpc.NewServer(append(server.RecommendedOptions(), push.Direct(w.Server()))...)
	push.Register(g)

	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "listening on %v\n", l.Addr())
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	err = p.pushes(ctx, push, served)
	push.Close()
	g.Stop()
	return err
}

// pushes pushes to all clients until ctx ends or the server has.
func (p program) pushes(ctx context.Context, push *server.Server, served <-chan error) error {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case err := <-served:
			return err
		case <-ctx.Done():
			return nil
		}
		for s := range push.Sessions() {
			var from peer.Peer
			_, err := pb.NewNotifierClient(s).Notify(ctx, &pb.NotifyRequest{Text: fmt.Sprintf("push %d", n)}, grpc.Peer(&from))
			if err != nil {
				fmt.Fprintf(p.out, "push to %s failed: %v\n", s.Name(), err)
				continue
			}
			fmt.Fprintf(p.out, "%s has shown push %d; its certificate: %s\n", s.Name(), n, describe(certificate(&from)))
		}
	}
}
