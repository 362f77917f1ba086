// Package admin shows operators who is connected to a server: a gRPC service that
// lists the sessions and watches them.
//
//	admin.Register(grpcServer, push, func(ctx context.Context, method string) error {
//		return mustBeOperator(ctx)
//	})
//
// A server has it only if it is registered. The service changes nothing, but it shows
// the ids of sessions, and a client that shows the id of another's session may take
// its place: so every call is authorised first. proto/pushtunnel/admin/v1/admin.proto
// is the contract, docs/PRESENCE.md has examples.
//
// Programs in the server's own process need none of it: see server.Server.All and
// server.Server.Watch.
package admin
