package gateway_test

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/server"
)

// token is what the backend shows. A real one is not in the program.
const token = "Bearer secret"

// backends lets who has the token notify the clients whose names the request says.
func backends(ctx context.Context, r gateway.Request) error {
	shown := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(shown) != 1 || subtle.ConstantTimeCompare([]byte(shown[0]), []byte(token)) != 1 {
		return status.Error(codes.Unauthenticated, "no token, or a wrong one")
	}
	if r.Client == "" || r.Method != pb.Notifier_Notify_FullMethodName {
		return errors.New("backends may notify clients by name, and nothing else")
	}
	return nil
}

// screen is a client's service.
type screen struct{ pb.UnimplementedNotifierServer }

func (screen) Notify(_ context.Context, r *pb.NotifyRequest) (*pb.NotifyResponse, error) {
	fmt.Println("the kitchen's display shows:", r.GetText())
	return &pb.NotifyResponse{Display: "display 7"}, nil
}

// check ends the program if something is wrong.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func Example() {
	push := server.New()
	gw := gateway.New(push, backends)
	g := grpc.NewServer(append(server.RecommendedOptions(), gw.ServerOptions()...)...)
	push.Register(g)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() { _ = g.Serve(listener) }()
	defer g.Stop()
	defer push.Close()

	cc, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer cc.Close()
	kitchen := client.New(cc, "kitchen")
	pb.RegisterNotifierServer(kitchen, screen{})
	serving, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = kitchen.Serve(serving) }()

	// The backend: an ordinary stub. It may be in another program and language.
	ctx := metadata.AppendToOutgoingContext(context.Background(),
		"authorization", token, gateway.ClientKey, "kitchen", gateway.WaitKey, "true")
	answer, err := pb.NewNotifierClient(cc).Notify(ctx, &pb.NotifyRequest{Text: "Dinner is ready"})
	check(err)
	fmt.Println("shown by", answer.GetDisplay())
	// Output:
	// the kitchen's display shows: Dinner is ready
	// shown by display 7
}
