package tunnel

import (
	"bytes"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// socketPair returns the two ends of a TCP connection, on which a send does not wait.
func socketPair(t *testing.T) (dialled, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialled, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return dialled, accepted
}

// fill sends batches until the socket takes no more. It returns what was sent.
func fill(t *testing.T, transport Transport) []byte {
	t.Helper()
	batch := encodedBatch(&pb.Frame{CallId: 1, Message: filled(60_000)})
	var all []byte
	for more := false; !more; {
		var err error
		if more, err = transport.Send(mem.SliceBuffer(bytes.Clone(batch))); err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
	}
	return all
}

// A send to a socket never waits, and what it has kept arrives, before the last word.
func TestSendDoesNotWaitForTheSocket(t *testing.T) {
	client, conn := socketPair(t)
	transport := newDirect(conn, nil)
	transport.confirmed.Store(true)
	if transport.try == nil {
		t.Skip("there is no way to write without waiting here")
	}
	sent := fill(t, transport)
	var got []byte
	read := make(chan error, 1)
	go func() {
		var err error
		got, err = io.ReadAll(client)
		read <- err
	}()
	transport.Close(nil) // while a batch is under way
	flushed := make(chan error, 1)
	go func() { flushed <- transport.Flush() }()
	if err := <-read; err != nil || !bytes.HasPrefix(got, sent) {
		t.Errorf("got %d bytes, %v, want the %d that were sent", len(got), err, len(sent))
	}
	if rest := got[min(len(got), len(sent)):]; !isClose(rest) {
		t.Errorf("got %x at the end, want a close frame", rest)
	}
	if err := <-flushed; err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if more, err := transport.Send(mem.SliceBuffer{}); more || err != io.EOF {
		t.Errorf("after Close: got %v, want %v", err, io.EOF)
	}
	client.Close()
	if _, err := transport.Recv(); err != io.EOF {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

// The connection breaks while a part of a batch waits: who sends learns that the
// session is over, and who receives why.
func TestTheSocketBreaksWhileABatchWaits(t *testing.T) {
	client, conn := socketPair(t)
	transport := newDirect(conn, nil)
	transport.confirmed.Store(true)
	if transport.try == nil {
		t.Skip("there is no way to write without waiting here")
	}
	fill(t, transport)
	flushed := make(chan error, 1)
	go func() { flushed <- transport.Flush() }()
	client.Close() // with unread bytes: a reset
	if err := <-flushed; err != io.EOF {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
	if _, err := transport.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	transport.Close(nil) // too late, and harmless
}
