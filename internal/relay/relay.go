// Package relay is what tunnels and those who forward calls through them know of each
// other.
package relay

import "google.golang.org/grpc/mem"

// Message is a message in its encoded form. A codec moves its buffers and copies
// nothing.
type Message interface {
	// Give hands the bytes over, and a reference to them.
	Give() (mem.BufferSlice, error)
	// Take takes a reference of its own to the bytes, in the place of those that it
	// has. data belongs to the caller.
	Take(data mem.BufferSlice)
}

// Pending reports whether RecvMsg of a stream is known to return at once. It is false
// for streams that do not say.
func Pending(stream any) bool {
	s, ok := stream.(interface{ Pending() bool })
	return ok && s.Pending()
}
