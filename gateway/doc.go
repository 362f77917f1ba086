// Package gateway lets a backend in any language push: an ordinary gRPC call to the
// server that carries the metadata key "pushtunnel-client" is forwarded to the
// connected client of that name, as it is.
//
//	push := server.New()
//	gw := gateway.New(push, authorize)
//	g := grpc.NewServer(gw.ServerOptions()...)
//	push.Register(g)
//
// Any method and any message go through, unary and streaming, without their .proto:
// messages are bytes to the gateway. Metadata, deadline, cancellation, header,
// trailer, status and its details are those of the two ends. A backend needs its
// ordinary stub and one header.
//
// An authorizer decides about every call before anything else is looked at. Without
// one there is no gateway.
//
// A server can have services of its own whose handlers call the client that the call
// names: Services and Conn.
//
// docs/GATEWAY.md has the keys, what is forwarded and what differs from a call
// without a gateway.
package gateway
