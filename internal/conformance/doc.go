// Package conformance shows that a call through a tunnel behaves as a plain
// gRPC call does. It has tests only.
//
// Each case runs twice: over a grpc.ClientConn to a grpc.Server, and over
// push.Client("x") through a tunnel to a client of that name. What the caller
// and the handler see is written down each time, and the two must be equal.
// Where they are not meant to be, differences_test.go says why.
package conformance
