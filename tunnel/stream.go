package tunnel

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// NameKey and NameBinKey are the metadata keys that carry the client's name. See
// PushTunnel.Connect in proto/pushtunnel.proto.
const (
	NameKey    = "clientname"
	NameBinKey = "clientname-bin"
)

// ConnectMethod is the full name of PushTunnel.Connect.
const ConnectMethod = "/pushtunnel.v1.PushTunnel/Connect"

// streamBatch is how large a batch is on a gRPC stream, in bytes: with gRPC's 5-byte
// prefix it fills one HTTP/2 DATA frame.
const streamBatch = 16<<10 - 5

// streamBytes is how many bytes a gRPC stream takes before it blocks: grpc-go
// lets a stream have 64 KiB in its own queue, whatever the windows are.
const streamBytes = 48 << 10

// partingTime is how long a client waits for the server to end the stream.
const partingTime = time.Second

// DialStream opens the gRPC stream of a session for the client of this name. The
// stream lives until the transport is closed or ctx ends. md is sent along.
func DialStream(ctx context.Context, cc grpc.ClientConnInterface, name string, md metadata.MD, opts ...grpc.CallOption) (Transport, error) {
	md = md.Copy()
	setName(md, name)
	out, _ := metadata.FromOutgoingContext(ctx)
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, metadata.Join(out, md)))
	opts = append(opts[:len(opts):len(opts)], grpc.ForceCodecV2(codec{}), grpc.StaticMethod(),
		grpc.MaxCallRecvMsgSize(maxStreamMessage), grpc.MaxCallSendMsgSize(maxStreamMessage))
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{StreamName: "Connect", ServerStreams: true, ClientStreams: true}, ConnectMethod, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	return &clientStream{stream: stream, cancel: cancel, turn: make(chan struct{}, 1)}, nil
}

// maxStreamMessage leaves it to the session to complain of large batches.
const maxStreamMessage = 4 << 20

// clientStream is the dialling end of a gRPC stream.
type clientStream struct {
	stream grpc.ClientStream
	cancel context.CancelFunc
	in     packet        // what Recv receives into
	turn   chan struct{} // holds a token while a send or the end of sending is under way
	once   sync.Once
}

func (t *clientStream) Send(batch mem.Buffer) (more bool, err error) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	return false, sendPacket(t.stream, batch)
}

func (t *clientStream) Flush() error { return nil }

func (t *clientStream) Recv() (mem.Buffer, error) {
	batch, err := recvPacket(t.stream, &t.in)
	if err != nil {
		t.cancel()
	}
	return batch, err
}

// Close ends the sending half, so that what was sent arrives, and cuts the
// stream off if the server does not end it in time.
func (t *clientStream) Close(error) {
	t.once.Do(func() {
		select {
		case t.turn <- struct{}{}:
			t.stream.CloseSend() //nolint:errcheck // always nil
			<-t.turn
			timer := time.AfterFunc(partingTime, t.cancel)
			context.AfterFunc(t.stream.Context(), func() { timer.Stop() })
		default:
			t.cancel()
		}
	})
}

// Peer returns the server, once something has been received.
func (t *clientStream) Peer() (*peer.Peer, bool) { return peer.FromContext(t.stream.Context()) }

func (t *clientStream) BatchBytes() int  { return streamBatch }
func (t *clientStream) InlineBytes() int { return streamBytes }

// serverStream is the accepting end of a gRPC stream.
type serverStream struct {
	stream grpc.ServerStream
	in     packet // what Recv receives into
}

// AcceptStream makes a transport of a stream that a gRPC server has accepted. The
// stream's handler must wait for the end of the session and return Session.Err:
// that is what closes the transport.
func AcceptStream(stream grpc.ServerStream) Transport { return &serverStream{stream: stream} }

func (t *serverStream) Send(batch mem.Buffer) (more bool, err error) {
	return false, sendPacket(t.stream, batch)
}

func (t *serverStream) Flush() error { return nil }

func (t *serverStream) Recv() (mem.Buffer, error) {
	batch, err := recvPacket(t.stream, &t.in)
	if status.Code(err) == codes.Canceled {
		// All that gRPC says when a connection or a stream is cut off.
		err = status.Error(codes.Unavailable, "the client's stream was cut off")
	}
	return batch, err
}

func (t *serverStream) Close(error) {}

func (t *serverStream) BatchBytes() int  { return streamBatch }
func (t *serverStream) InlineBytes() int { return streamBytes }
