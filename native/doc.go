// Package native connects programs without gRPC: it speaks brpc-java's server push
// over raw TCP, with Java or Go at the other end.
//
// At the server it is a protocol for server.Server.Serve:
//
//	go push.Serve(listener, native.Protocol(native.WithPushes(&pb.UserPushApi_ServiceDesc)))
//	r, err := pb.NewUserPushApiClient(push.Client("c1")).ClientReceive(ctx, msg)
//
// At a client it is a Dialer:
//
//	c := client.NewDialer(native.Dialer("host:8012"), "c1")
//	pb.RegisterUserPushApiServer(c, impl)
//	err := c.Serve(ctx)
//
// Options in a service's .proto say how it looks to Java. docs/NATIVE.md says how,
// and what the protocol cannot carry: errors, metadata, deadlines, streams, null.
//
// # How it is built
//
// conn is one connection. One goroutine reads it, and hands on what has come:
// answers to the calls that wait (calls.go), calls of the peer to workers
// (serve.go). Who sends writes, too, and never waits for the peer (internal/netio).
// A link is a session: some connections to one peer (link.go). At the server a
// client is a link with what tells it from others (client.go); at a client dialed
// is one (dial.go), and an Endpoint the server as a whole. What a request looks
// like is in request.go, and in package mapping below.
package native
