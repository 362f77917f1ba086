// Package rawmsg is how codecs of this module know messages that are bytes already.
package rawmsg

import "google.golang.org/grpc/mem"

// Message is a message in its encoded form. A codec moves its buffers and copies
// nothing.
type Message interface {
	// Give hands the bytes over, and the reference to them. It can be done once.
	Give() (mem.BufferSlice, error)
	// Take takes a reference of its own to the bytes, in the place of those that it
	// has. data belongs to the caller.
	Take(data mem.BufferSlice)
}
