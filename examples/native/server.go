package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
)

// echo is the service that clients call. A gRPC server could register the same.
type echo struct {
	pb.UnimplementedEchoServiceServer
}

// Echo answers with the message that it got.
func (echo) Echo(_ context.Context, r *pb.EchoRequest) (*pb.EchoResponse, error) {
	return &pb.EchoResponse{Message: r.GetMessage()}, nil
}

// runServer serves native clients at an address until ctx ends, and pushes to
// each of them every two seconds.
func runServer(ctx context.Context, addr string, out io.Writer) error {
	push := server.New(server.WithHooks(server.Hooks{
		Connected: func(s *server.Session) { fmt.Fprintf(out, "%s has come from %v\n", s.Name(), s.Peer().Addr) },
	}))
	defer push.Close()

	// What clients call, and what is called at clients.
	var services native.Services
	pb.RegisterEchoServiceServer(&services, echo{})
	protocol := native.Protocol(native.WithServices(&services), native.WithPushes(&pb.UserPushApi_ServiceDesc))

	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on %v\n", l.Addr())
	served := make(chan error, 1)
	go func() { served <- push.Serve(l, protocol) }()

	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case err := <-served:
			return err
		case <-ctx.Done():
			return nil
		}
		// The stub does not care whether the client is Java, Go or gRPC.
		for s := range push.Sessions() {
			r, err := pb.NewUserPushApiClient(s).ClientReceive(ctx,
				&pb.ClientReceiveRequest{Extra: "from Go", Data: &pb.PushData{Data: fmt.Sprintf("push %d", n)}})
			if err != nil {
				fmt.Fprintf(out, "push to %s failed: %v\n", s.Name(), err)
				continue
			}
			fmt.Fprintln(out, r.GetResult())
		}
	}
}
