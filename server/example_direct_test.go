package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pushtunnel/pushtunnel/client"
	userpb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// The direct transport takes one option at each end. Interceptors that decide about
// clients are given for both transports: direct connections do not pass the gRPC
// server.
func ExampleServer_Direct() {
	ctx := context.Background()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr := listener.Addr().String()
	var serverTLS, clientTLS *tls.Config // what credentials.NewTLS would get; nil: plaintext
	authenticate := func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, stream) // what it must do for both transports
	}

	push := server.New(server.WithConnectInterceptors(authenticate))
	g := grpc.NewServer(push.Direct(serverTLS), grpc.StreamInterceptor(authenticate))
	push.Register(g)
	go func() { _ = g.Serve(listener) }()

	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	c := client.New(cc, "kitchen", client.WithDirect(addr, clientTLS)) // cc is for servers that do not know it
	pb.RegisterNotifierServer(c, labelled{label: "the display"})
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()

	answer, err := pb.NewNotifierClient(push.Client("kitchen")).Notify(ctx, &pb.NotifyRequest{}, grpc.WaitForReady(true))
	fmt.Println(answer.GetDisplay(), err)
	for session := range push.Sessions("kitchen") {
		fmt.Println(session.Peer().Protocol)
	}

	_ = c.Shutdown(ctx)
	fmt.Println(<-served)
	_ = cc.Close()
	_ = push.Close() // ends direct connections, which Stop does not
	g.Stop()

	// Output:
	// the display <nil>
	// direct
	// <nil>
}

// One port takes gRPC and the native protocol. With Port.TLS it takes either inside
// TLS; Port.Plaintext names what needs none.
func ExampleServer_OnePort() {
	ctx := context.Background()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr := listener.Addr().String()

	push := server.New()
	g := grpc.NewServer(push.OnePort(server.Port{
		Protocols: []tunnel.Protocol{native.Protocol(native.WithPushes(&userpb.UserPushApi_ServiceDesc))},
	}))
	push.Register(g)
	go func() { _ = g.Serve(listener) }()

	c := client.NewDialer(native.Dialer(addr), "kitchen") // a Java client is no different
	userpb.RegisterUserPushApiServer(c, user{})
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx) }()

	answer, err := userpb.NewUserPushApiClient(push.Client("kitchen")).ClientReceive(ctx, &userpb.ClientReceiveRequest{}, grpc.WaitForReady(true))
	fmt.Println(answer.GetResult(), err)

	_ = c.Shutdown(ctx)
	fmt.Println(<-served)
	_ = push.Close()
	g.Stop()

	// Output:
	// native <nil>
	// <nil>
}
