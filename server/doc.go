// Package server accepts clients' tunnels and calls the clients by name.
//
//	push := server.New()
//	push.Register(grpcServer)
//	c1 := pb.NewNotifierClient(push.Client("c1"))
//	ack, err := c1.Notify(ctx, msg)
//
// A call goes to exactly one session of the name, which the Picker chooses at
// the time of the call. If the name has none the call fails at once, with
// UNAVAILABLE; with grpc.WaitForReady(true) it waits until the client connects or
// ctx ends. Fanout calls many. An error tells how far the call came: see
// tunnel.OutcomeOf. A call of which nothing was sent is tried once more on
// another session, by itself; any other is not.
//
// Give the gRPC server static HTTP/2 windows for the best speed:
//
//	grpc.NewServer(server.RecommendedOptions()...)
//
// Clients that speak another protocol are under the same names: Serve accepts them
// on a listener of their own, and OnePort on the gRPC server's. Package native has
// brpc-java's.
package server
