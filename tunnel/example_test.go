package tunnel_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// notifier is the handler's side: an ordinary gRPC service.
type notifier struct{ pb.UnimplementedNotifierServer }

func (notifier) Notify(_ context.Context, msg *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	if msg.GetText() == "" {
		return nil, status.Error(codes.InvalidArgument, "there is nothing to show")
	}
	return &pb.NotifyResponse{Display: "display 7"}, nil
}

// One session over a transport in memory. Package server and package client do
// this for you, and give sessions names and a life.
func Example() {
	session, stop := pipeSession(nil)
	defer stop()

	answer, err := pb.NewNotifierClient(session).Notify(context.Background(), &pb.NotifyRequest{Text: "Dinner is ready"})
	fmt.Println(answer.GetDisplay(), err)

	// Output: display 7 <nil>
}

// NotSent tells whether it is safe to try a call again elsewhere. The server
// does so by itself, once, when the client has another session.
func ExampleNotSent() {
	push := server.New()
	ctx := context.Background()

	kitchen := pb.NewNotifierClient(push.Client("kitchen"))
	_, err := kitchen.Notify(ctx, &pb.NotifyRequest{Text: "Dinner is ready"})
	if tunnel.NotSent(err) {
		fmt.Println("nothing was sent:", status.Convert(err).Message())
	}

	// Output: nothing was sent: pushtunnel: client "kitchen" is not connected
}

// OutcomeOf tells how far a failed call came. The status is gRPC's, as usual.
func ExampleOutcomeOf() {
	session, stop := pipeSession(nil)
	defer stop()
	ctx := context.Background()

	_, err := pb.NewNotifierClient(session).Notify(ctx, &pb.NotifyRequest{})
	fmt.Println(tunnel.OutcomeOf(err), status.Code(err)) // the handler's own answer

	err = session.Invoke(ctx, "/other.Service/Method", &pb.NotifyRequest{}, &pb.NotifyResponse{})
	fmt.Println(tunnel.OutcomeOf(err), status.Code(err)) // the client has no such method

	session.Close(nil)
	_, err = pb.NewNotifierClient(session).Notify(ctx, &pb.NotifyRequest{Text: "Dinner is ready"})
	fmt.Println(tunnel.OutcomeOf(err), status.Code(err))

	// Output:
	// answered InvalidArgument
	// refused Unimplemented
	// not sent Unavailable
}

// Handlers and interceptors learn as whom they were called, and what carries the
// call.
func ExamplePeerFromContext() {
	note := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if peer, ok := tunnel.PeerFromContext(ctx); ok {
			fmt.Println("called as", peer.Name, "through a", peer.Protocol)
		}
		return handler(ctx, req)
	}
	session, stop := pipeSession(note)
	defer stop()

	_, err := pb.NewNotifierClient(session).Notify(context.Background(), &pb.NotifyRequest{Text: "Dinner is ready"})
	fmt.Println(err)

	// Output:
	// called as kitchen through a pipe
	// <nil>
}

// pipeSession returns a session with a display, from the side that calls it.
func pipeSession(i grpc.UnaryServerInterceptor) (s *tunnel.Session, stop func()) {
	ctx := context.Background()
	here, there := tunnel.Pipe()

	services := &tunnel.Services{}
	pb.RegisterNotifierServer(services, notifier{})
	dialled := make(chan *tunnel.Session)
	go func() {
		remote := tunnel.Peer{Name: "kitchen", Protocol: "pipe"}
		s, err := tunnel.Dial(ctx, there, tunnel.Config{Services: services, UnaryInterceptor: i, Remote: remote})
		if err != nil {
			log.Fatal(err)
		}
		dialled <- s
	}()

	remote := tunnel.Peer{Name: "kitchen", Session: "an id that nobody can guess"}
	s, err := tunnel.Accept(ctx, here, tunnel.Config{Remote: remote})
	if err != nil {
		log.Fatal(err)
	}
	s.Welcome()
	client := <-dialled
	return s, func() {
		s.Close(nil)
		<-client.Done()
	}
}
