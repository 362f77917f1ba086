package certs_test

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/pushtunnel/pushtunnel/certs"
	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
)

// A server that demands a certificate of each client, on one port for gRPC and the
// direct transport, and on another for the native protocol.
func ExampleWatcher_Server() {
	w, err := certs.Watch(certs.Files{
		Certificate: "server.crt", Key: "server.key", Authorities: "authority.crt",
	}, certs.WithLogger(slog.Default()))
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	push := server.New()
	g := grpc.NewServer(push.Direct(w.Server()))
	push.Register(g)

	l, err := net.Listen("tcp", ":8012")
	if err != nil {
		log.Print(err)
		return
	}
	go func() { _ = push.Serve(tls.NewListener(l, w.Server()), native.Protocol()) }()
}

// A client that shows a certificate, over the direct transport if the server has it.
func ExampleWatcher_Client() {
	w, err := certs.Watch(certs.Files{
		Certificate: "kitchen.crt", Key: "kitchen.key", Authorities: "authority.crt",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	const addr = "push.example.com:443"
	cfg := w.Client("push.example.com")
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		log.Print(err)
		return
	}
	defer cc.Close()
	c := client.New(cc, "kitchen", client.WithDirect(addr, cfg))
	if err := c.Serve(context.Background()); err != nil {
		log.Print(err)
	}
}

// A native client connects through TLS.
func ExampleWatcher_Client_native() {
	w, err := certs.Watch(certs.Files{Authorities: "authority.crt"})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	d := tls.Dialer{Config: w.Client("push.example.com")}
	endpoint := native.Dialer("push.example.com:8012",
		native.WithDialFunc(func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }))
	defer endpoint.Close()
	c := client.NewDialer(endpoint, "kitchen")
	if err := c.Serve(context.Background()); err != nil {
		log.Print(err)
	}
}
