// Package production has the tests of what an operator relies on: who a client is,
// what it may be called, and what the limits do, for clients that come as gRPC
// streams, as direct connections and as native ones. They use real connections on
// loopback.
package production
