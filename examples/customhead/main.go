// Command customhead shows how a program replaces the head of the native protocol's
// frames and keeps all the rest. Its head is that of brpc-java 2.5.0, in
// brpc250.go; the program finds it by its name, as one does that reads its
// configuration from a file.
//
//	go run ./examples/customhead
//	go run ./examples/customhead -head brpc
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/server"
)

func main() {
	head := flag.String("head", "brpc-2.5.0", "the layout of the heads, by name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *head, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "customhead:", err)
		os.Exit(1)
	}
}

// run connects a client to a server that both use the head of this name, and
// pushes once.
func run(ctx context.Context, name string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	head, ok := native.HeadCodecByName(name)
	if !ok {
		return fmt.Errorf("no head is called %q", name)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	push := server.New()
	defer push.Close()
	go push.Serve(l, native.Protocol(native.WithHeadCodec(head), native.WithPushes(&pb.UserPushApi_ServiceDesc))) //nolint:errcheck // it ends with push

	c := client.NewDialer(native.Dialer(l.Addr().String(), native.WithHeadCodec(head)), "c1")
	pb.RegisterUserPushApiServer(c, receiver{})
	go c.Serve(ctx) //nolint:errcheck // it ends with ctx

	r, err := pb.NewUserPushApiClient(push.Client("c1")).ClientReceive(ctx,
		&pb.ClientReceiveRequest{Data: &pb.PushData{Data: "hello"}}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "over frames with a head of %d bytes: %s\n", head.Size(), r.GetResult())
	return nil
}

// receiver is the client's service.
type receiver struct {
	pb.UnimplementedUserPushApiServer
}

// ClientReceive answers.
func (receiver) ClientReceive(_ context.Context, r *pb.ClientReceiveRequest) (*pb.PushResult, error) {
	return &pb.PushResult{Result: "c1 has " + r.GetData().GetData()}, nil
}
