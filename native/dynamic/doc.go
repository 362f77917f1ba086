// Package dynamic calls Java clients without a .proto from wherever gRPC is: it has
// the service pushtunnel.dynamic.v1.Dynamic, which stands for native.Invoke.
//
// At a server with a gateway, which knows whom a call is for and who may call:
//
//	gw := gateway.New(push, authorize)
//	g := grpc.NewServer(gw.ServerOptions()...)
//	dynamic.Register(gw.Services(g), gw.Conn())
//
// At a backend, whose call names the client in its metadata:
//
//	ctx = metadata.AppendToOutgoingContext(ctx, "pushtunnel-client", "c1")
//	result, err := dynamic.Invoke(ctx, conn, "demo.Svc", "hi", []any{"bob", int32(7)})
//
// Backends in other languages have the stub that is generated from
// proto/pushtunnel/dynamic/v1/dynamic.proto. Values are those of package java, in a
// message that says the type of each: ToProto and FromProto convert them.
package dynamic
