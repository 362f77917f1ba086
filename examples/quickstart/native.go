package main

import (
	"context"
	"net"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
	"github.com/pushtunnel/pushtunnel/native"
)

// rawTCP calls a client that speaks no gRPC, through the same stub. Here it is a
// Go program; examples/native has the same for brpc-java.
func rawTCP(ctx context.Context, s *story) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go s.server.push.Serve(listener, native.Protocol(native.WithPushes(&pb.Notifier_ServiceDesc))) //nolint:errcheck // it ends with stop

	gate := client.NewDialer(native.Dialer(listener.Addr().String()), "gate")
	pb.RegisterNotifierServer(gate, &display{label: "gate"})
	ended := make(chan error, 1)
	go func() { ended <- gate.Serve(ctx) }()

	s.call("raw TCP", `gate: "Open"`)
	answer, err := s.notifier("gate").Notify(ctx, &pb.NotifyRequest{Text: "Open"}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	s.result("shown by %s", answer.GetDisplay())
	s.end()
	if err := gate.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-ended; err != nil {
		return err
	}
	if _, err := await(ctx, s.server.left, 1); err != nil {
		return err
	}
	return expect(answer.GetDisplay(), "gate")
}
