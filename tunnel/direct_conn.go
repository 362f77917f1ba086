package tunnel

import (
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/internal/netio"
	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

// blockingBytes is what any connection takes before it blocks.
const blockingBytes = 16 << 10

// direct is either end of a direct transport.
type direct struct {
	conn      net.Conn
	peer      *peer.Peer
	in        *netio.Reader
	try       *netio.TryWriter // nil if the connection can't be written to without waiting
	confirmed atomic.Bool      // the peer's preface has come

	// The sender's.
	opening []byte     // goes before the first batch; nil once it has gone
	kept    mem.Buffer // what Send has kept
	rest    []byte     // the part of it that is to be sent

	// mu guards what follows.
	mu      sync.Mutex
	sending bool        // a batch is being sent
	closed  bool        // Close has been called
	bidden  bool        // the peer has said its last word
	ended   bool        // Recv has closed the connection
	last    []byte      // what goes last
	cut     *time.Timer // closes the connection; nil while it may live
	parting sync.WaitGroup
}

func newDirect(conn net.Conn, p *peer.Peer) *direct {
	if p == nil {
		p = &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr()}
	}
	return &direct{conn: conn, peer: p, in: netio.NewReader(conn), try: netio.NewTryWriter(conn)}
}

// Peer returns the other end.
func (t *direct) Peer() (*peer.Peer, bool) { return t.peer, true }

// Confirmed reports whether the peer has shown that it knows the transport.
func (t *direct) Confirmed() bool { return t.confirmed.Load() }

// BatchBytes is the size of a pooled buffer.
func (t *direct) BatchBytes() int { return bufpool.Huge }

// InlineBytes has no bound where Send never blocks.
func (t *direct) InlineBytes() int {
	if t.try != nil {
		return math.MaxInt
	}
	return blockingBytes
}

func (t *direct) Send(batch mem.Buffer) (more bool, err error) {
	if !t.begin() {
		batch.Free()
		return false, io.EOF
	}
	if t.opening != nil {
		whole := mem.SliceBuffer(slices.Concat(t.opening, batch.ReadOnlyData()))
		batch.Free()
		batch, t.opening = whole, nil
	}
	if t.try == nil {
		_, err = t.conn.Write(batch.ReadOnlyData())
	} else if t.rest, err = t.try.Write(batch.ReadOnlyData()); err == nil && len(t.rest) > 0 {
		t.kept = batch
		return true, nil
	}
	batch.Free()
	return false, t.end(err)
}

func (t *direct) Flush() error {
	_, err := t.conn.Write(t.rest)
	t.kept.Free()
	t.kept, t.rest = nil, nil
	return t.end(err)
}

// begin begins to send a batch. It reports false after Close.
func (t *direct) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sending = !t.closed
	return t.sending
}

// end ends the sending of a batch. If Close was called meanwhile, it does what was
// left to do.
func (t *direct) end(err error) error {
	t.mu.Lock()
	t.sending = false
	last, bidden := t.last, t.bidden
	if err != nil {
		t.hasten()
	}
	t.mu.Unlock()
	switch {
	case err != nil:
		return io.EOF // Recv tells
	case last != nil:
		t.part(last, bidden)
	}
	return nil
}

// hasten lets the connection live no longer than partingTime. A timer sees to
// that and no deadline: grpc-go, from which a connection may have come, resets its
// deadlines once more when it has handed it over. t.mu is held.
func (t *direct) hasten() {
	if t.cut == nil && !t.ended {
		t.cut = time.AfterFunc(partingTime, func() { t.conn.Close() })
	}
}

// Wait waits until something has come, with little stack. It reports false if that is
// not possible.
func (t *direct) Wait() bool { return t.in.Wait() }

// Recv returns what has come in whole frames. When the connection has ended, by
// the peer or by Close, it closes it.
func (t *direct) Recv() (mem.Buffer, error) {
	if !t.confirmed.Load() {
		if err := t.readPreface(); err != nil {
			return nil, t.over(err)
		}
	}
	for {
		b := t.in.Buffered()
		n, last, malformed := wholeFrames(b)
		switch {
		case n > 0:
			if isClose(b[last:n]) {
				t.mu.Lock()
				t.bidden = true
				t.mu.Unlock()
			}
			return t.in.Cut(n), nil
		case malformed:
			t.in.Discard(len(b))
			return notFrames, nil
		}
		var err error
		if len(b) == 0 {
			err = t.in.Await()
		} else {
			_, err = t.in.Peek(len(b) + 1)
		}
		if err != nil {
			return nil, t.over(err)
		}
	}
}

// over ends the connection.
func (t *direct) over(err error) error {
	t.conn.Close()
	t.in.Release()
	t.mu.Lock()
	closed := t.closed
	t.ended = true
	if t.cut != nil {
		t.cut.Stop()
	}
	t.mu.Unlock()
	t.parting.Wait()
	switch {
	case closed:
		return io.EOF
	case err == ErrNotDirect:
		return err
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		// An end in order begins with a close frame.
		return status.Error(codes.Unavailable, "the connection was cut off")
	default:
		return status.Error(codes.Unavailable, "the connection was lost: "+err.Error())
	}
}

// Close tells the peer why, and ends the sending half; the peer does the same
// then. If it does not in time, the connection is cut off.
func (t *direct) Close(err error) {
	st := status.Convert(err)
	reason, _ := proto.Marshal(&pb.Status{Code: uint32(st.Code()), Message: []byte(st.Message()), Details: statusDetails(st)})
	last := wire.AppendSessionFrame(nil, wire.AppendClose(nil, reason))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	if t.ended {
		return
	}
	t.hasten()
	if t.sending {
		t.last = last // who sends does the rest
		return
	}
	if t.opening != nil {
		last, t.opening = append(t.opening, last...), nil
	}
	bidden := t.bidden
	if t.try != nil {
		t.part(last, bidden)
		return
	}
	t.parting.Go(func() { t.part(last, bidden) })
}

// part sends the last words, as far as the connection takes them. Then it is the
// peer's turn to end the connection, after its own last words; if they have come
// already, nothing is left to wait for.
func (t *direct) part(last []byte, bidden bool) {
	if t.try != nil {
		t.try.Write(last) //nolint:errcheck // that was it
	} else {
		t.conn.Write(last) //nolint:errcheck // that was it
	}
	if bidden {
		t.conn.Close()
	} else if c, ok := t.conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite() //nolint:errcheck // the peer closes, or Recv does
	}
}
