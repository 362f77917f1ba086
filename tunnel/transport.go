package tunnel

import "google.golang.org/grpc/mem"

// Transport carries batches between the two ends of a session, in order and
// whole. A batch is an encoded pushtunnel.v1.Batch. Send and Flush are called by
// one goroutine at a time, and so is Recv; one may run beside the other and
// beside Close.
type Transport interface {
	// Send hands a batch over, and the reference to it. It may block, but not
	// while fewer than InlineBytes bytes are on their way and unconfirmed by
	// the peer. If more is true it has kept a part of the batch rather than
	// block: Flush comes before the next Send. An error means that the session is
	// over; part of what was sent may have arrived. io.EOF means that Recv will
	// tell why.
	Send(batch mem.Buffer) (more bool, err error)

	// Flush sends what Send has kept. It may block.
	Flush() error

	// Recv returns the next batch, in one piece. The caller frees it. It returns
	// io.EOF when the peer has ended the session in order, and a gRPC status
	// error when it ended with that status or the connection broke.
	Recv() (mem.Buffer, error)

	// Close ends the session. It does not block. A Send or Recv that is under way
	// returns soon. If err is nil the end is in order: what was sent before is
	// delivered. Otherwise it is what the peer is told, as far as the transport
	// can. Only the first Close counts.
	Close(err error)

	// BatchBytes says how large a batch should be at most, in bytes. It is a
	// constant of the transport.
	BatchBytes() int

	// InlineBytes says how many bytes may be on their way before Send may block.
	// It is a constant of the transport.
	InlineBytes() int
}
