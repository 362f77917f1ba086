package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
)

// A contender is one way for a server to call its connected clients by name.
type contender struct {
	name    string
	streams bool // it has streaming calls, on its stubs
	dials   bool // the end that dials makes the calls, rather than the one that listens

	// listen starts the end that accepts connections, on a port of 127.0.0.1
	// that it picks itself.
	listen func(link) (*end, error)

	// connect connects one client for each name to the end that listens at
	// addr, and returns when its own end of every connection is up.
	connect func(l link, addr string, names []string) (*end, error)
}

// A link is what may differ in the connections of one contender.
type link struct {
	tls         bool // TLS 1.3 with a self-signed certificate
	recommended bool // gRPC connections have pushtunnel's RecommendedOptions
}

// An end is one end of a contender's connections. Which of the two can make
// calls depends on the contender: plain gRPC calls from the end that dialled.
type end struct {
	addr      string       // where it listens; empty if it does not
	connected func() int   // how many clients have arrived; nil if all have when connect returns
	call      callFunc     // nil if this end makes no calls
	stub      stubFunc     // nil if this end makes no calls, or has no stubs
	fanout    fanoutFunc   // nil if it has no way of its own to call all clients
	close     func() error // ends every connection and everything that was started
}

// A callFunc looks a client up by name, sends it data and returns its answer.
// It may be called concurrently.
type callFunc func(ctx context.Context, name string, data []byte) ([]byte, error)

// A stubFunc looks a client up by name and returns a stub that calls it. It may
// be called concurrently.
type stubFunc func(name string) benchpb.EchoClient

// A fanoutFunc calls all clients, of which there are so many, and returns when the
// last has answered.
type fanoutFunc func(ctx context.Context, clients int, data []byte) error

// dialsAtOnce is how many connections are made at a time.
const dialsAtOnce = 32

// callStub makes a callFunc of stubs, as a user would write it.
func callStub(stub stubFunc) callFunc {
	return func(ctx context.Context, name string, data []byte) ([]byte, error) {
		reply, err := stub(name).Call(ctx, &benchpb.Payload{Data: data})
		return reply.GetData(), err
	}
}

// awaitClients returns when as many clients are connected as asked for.
func awaitClients(e *end, clients int) error {
	if e.connected == nil {
		return nil
	}
	const patience = 30 * time.Second
	for deadline := time.Now().Add(patience); e.connected() < clients; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d clients connected after %v", e.connected(), clients, patience)
		}
	}
	return nil
}

// clientNames returns count names, from the one numbered first.
func clientNames(first, count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("client-%05d", first+i)
	}
	return names
}
