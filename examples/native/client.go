package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/native"
)

// receiver is what the server calls.
type receiver struct {
	pb.UnimplementedUserPushApiServer
	name string
	out  io.Writer
}

// ClientReceive prints what has come.
func (r *receiver) ClientReceive(_ context.Context, in *pb.ClientReceiveRequest) (*pb.PushResult, error) {
	fmt.Fprintf(r.out, "%s got a push: %s %s\n", r.name, in.GetExtra(), in.GetData().GetData())
	return &pb.PushResult{Result: r.name + " (Go) has " + in.GetData().GetData()}, nil
}

// runClient serves pushes under a name until ctx ends, and calls the server every
// two seconds.
func runClient(ctx context.Context, addr, name string, out io.Writer) error {
	endpoint := native.Dialer(addr, native.WithCalls(&pb.EchoService_ServiceDesc))
	defer endpoint.Close()
	c := client.NewDialer(endpoint, name)
	pb.RegisterUserPushApiServer(c, &receiver{name: name, out: out})

	var calls sync.WaitGroup
	defer calls.Wait()
	calls.Go(func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			r, err := pb.NewEchoServiceClient(endpoint).Echo(ctx, &pb.EchoRequest{Message: "hello from " + name})
			if err != nil {
				fmt.Fprintf(out, "echo failed: %v\n", err)
				continue
			}
			fmt.Fprintf(out, "echo: %s\n", r.GetMessage())
		}
	})
	if err := c.Serve(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}
