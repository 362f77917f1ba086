// Package client keeps a tunnel to a server open and serves the calls that the
// server makes on it.
//
//	c := client.New(cc, "c1")
//	pb.RegisterNotifierServer(c, impl)
//	err := c.Serve(ctx)
//
// cc is your grpc.ClientConn. Serve connects, and connects again whenever the
// tunnel is lost, with jittered backoff, until ctx ends, Shutdown is called or
// the server says that it is of no use. It also moves to another connection, without
// loss, when cc is told that the one it has is about to end.
//
// Give the gRPC connection static HTTP/2 windows for the best speed:
//
//	grpc.NewClient(target, append(client.RecommendedOptions(), yours...)...)
package client
