// Package tunnel runs one session: many gRPC calls over one ordered transport,
// with the stubs and handlers that generated code has. It knows no roles beyond
// who dialled, and no networks; package server and package client give it those.
//
// The words of the project, used everywhere in this sense:
//
//   - client: a named peer that dialled in and serves calls
//   - server: the end that accepts clients and calls them
//   - session: one live tunnel of one client; a name may have many
//   - call: one RPC in a session; it has a call id
//   - caller, handler: the end that began a call, and the other one
//   - frame: the unit on the wire; a batch is some frames in one write
//   - transport: what carries batches
//   - protocol: what turns an accepted byte connection into a session
//   - push: a call from the server to a client
//
// # How it is built
//
// A session has one goroutine that reads. It owns nothing that a user's code
// could hold up: it puts what arrives where the call's own goroutine finds it,
// and goes on. There is no goroutine that writes: whoever has something to send
// and finds nobody sending does it, for the others too. Only if that might
// block does a goroutine take over, for as long as it takes. So a dead network
// holds up no caller beyond its deadline.
//
// Three mutexes guard the shared state: outbox.mu all that waits to be sent,
// table.mu which calls there are, inbox.mu what one call has received. They are
// never held across a send, a receive or a user's code. table.mu may be taken
// while another is held; otherwise they are held one at a time.
//
// The files follow that: session*.go the session and its life, outbox.go and
// transit.go its sending side, outbound.go and inbox.go the two halves of a call,
// caller*.go and handler*.go its two ends, window.go its flow control,
// transport.go, stream.go and pipe.go what carries batches. The frames themselves
// are in internal/wire.
package tunnel
