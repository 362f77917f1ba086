package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// display implements the service, as for any gRPC server.
type display struct{ pb.UnimplementedNotifierServer }

func (display) Notify(ctx context.Context, msg *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	fmt.Println("the display shows:", msg.GetText())
	return &pb.NotifyResponse{Display: "display 7"}, nil
}

// A client connects to the server, under its name, and serves the calls that the
// server makes. Serve connects again by itself whenever the connection is lost.
func Example() {
	addr, push, stop := listenTCP()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		tell(push, "kitchen", "Dinner is ready")
		cancel()
	}()

	cc, err := grpc.NewClient(addr, append(client.RecommendedOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		log.Fatal(err)
	}
	c := client.New(cc, "kitchen")
	pb.RegisterNotifierServer(c, display{}) // as on a grpc.Server
	err = c.Serve(ctx)                      // until ctx ends or the server wants nothing of it

	fmt.Println(errors.Is(err, context.Canceled))
	_ = cc.Close()
	stop()
	// Output:
	// the display shows: Dinner is ready
	// true
}

// The interceptors of a client are server interceptors, since it is the end that
// serves: those that a grpc.Server takes.
func ExampleWithUnaryInterceptors() {
	addr, push, stop := listenTCP()
	defer stop()
	cc := dialTCP(addr)
	defer cc.Close()

	note := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		peer, _ := tunnel.PeerFromContext(ctx)
		answer, err := handler(ctx, req)
		fmt.Println(peer.Name, info.FullMethod, status.Code(err))
		return answer, err
	}
	c := client.New(cc, "kitchen", client.WithUnaryInterceptors(note))
	pb.RegisterNotifierServer(c, display{})
	go func() { _ = c.Serve(context.Background()) }()
	tell(push, "kitchen", "Dinner is ready")
	_ = c.Shutdown(context.Background())

	// Output:
	// the display shows: Dinner is ready
	// kitchen /examples.notifier.v1.Notifier/Notify OK
}

// Health and reflection register on a client as they are. The server can ask
// each client what it serves and how it is.
func ExampleClient_RegisterService() {
	addr, push, stop := listenTCP()
	defer stop()
	cc := dialTCP(addr)
	defer cc.Close()

	c := client.New(cc, "kitchen")
	pb.RegisterNotifierServer(c, display{})
	healthpb.RegisterHealthServer(c, health.NewServer())
	reflection.Register(c)
	go func() { _ = c.Serve(context.Background()) }()

	ctx, kitchen := context.Background(), push.Client("kitchen")
	h, err := healthpb.NewHealthClient(kitchen).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	fmt.Println(h.GetStatus(), err)
	for _, name := range reflected(ctx, kitchen) {
		fmt.Println(name)
	}
	_ = c.Shutdown(ctx)

	// Output:
	// SERVING <nil>
	// examples.notifier.v1.Notifier
	// grpc.health.v1.Health
	// grpc.reflection.v1.ServerReflection
	// grpc.reflection.v1alpha.ServerReflection
}

// Shutdown lets the calls that are under way end and loses none. Serve then
// returns nil.
func ExampleClient_Shutdown() {
	addr, push, stop := listenTCP()
	defer stop()
	cc := dialTCP(addr)
	defer cc.Close()

	c := client.New(cc, "kitchen")
	pb.RegisterNotifierServer(c, display{})
	served := make(chan error)
	go func() { served <- c.Serve(context.Background()) }()
	tell(push, "kitchen", "Dinner is ready")

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // then it cuts off
	defer cancel()
	fmt.Println(c.Shutdown(ctx))
	fmt.Println(<-served)

	// Output:
	// the display shows: Dinner is ready
	// <nil>
	// <nil>
}

// Serve returns an error only if trying again is of no use. Here the server lets
// nobody else have a name that is in use.
func ExamplePermanent() {
	addr, push, stop := listenTCP(server.WithDuplicates(server.RefuseDuplicates))
	defer stop()
	cc := dialTCP(addr)
	defer cc.Close()

	first := client.New(cc, "kitchen")
	pb.RegisterNotifierServer(first, display{})
	go func() { _ = first.Serve(context.Background()) }()
	tell(push, "kitchen", "Dinner is ready")

	err := client.New(cc, "kitchen").Serve(context.Background())
	fmt.Println(status.Convert(err).Message())
	fmt.Println(client.Permanent(err))
	_ = first.Shutdown(context.Background())

	// Output:
	// the display shows: Dinner is ready
	// pushtunnel: client name "kitchen" is in use
	// true
}

// The rest helps the examples.

// listenTCP starts a server that can call its clients.
func listenTCP(opts ...server.Option) (addr string, push *server.Server, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	push = server.New(opts...)
	g := grpc.NewServer()
	push.Register(g)
	go func() { _ = g.Serve(listener) }()
	return listener.Addr().String(), push, func() {
		_ = push.Close()
		g.Stop()
	}
}

func dialTCP(addr string) *grpc.ClientConn {
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	return cc
}

// tell calls a client, when it is there.
func tell(push *server.Server, name, text string) {
	_, err := pb.NewNotifierClient(push.Client(name)).Notify(context.Background(), &pb.NotifyRequest{Text: text}, grpc.WaitForReady(true))
	if err != nil {
		log.Fatal(err)
	}
}

// reflected returns what a client serves, by reflection.
func reflected(ctx context.Context, cc grpc.ClientConnInterface) (names []string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	err = stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		return []string{err.Error()}
	}
	answer, err := stream.Recv()
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}
