package native

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/internal/netio"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// piece is how many bytes of a body are read at a time. Room is made for as much
// again as has come, so that a peer can't make this end allocate what it does not
// send; firstPiece is how much it gets for sending nothing.
const (
	piece      = 128 << 10
	firstPiece = 16 << 10
)

// frames reads the frames of a connection, on one goroutine.
type frames struct {
	conn     net.Conn
	r        *netio.Reader
	head     HeadCodec
	max      int            // of a body, in bytes
	patience time.Duration  // for the rest of a frame that has begun, each piece of it; 0: for ever
	timed    bool           // the connection has a read deadline
	memory   *tunnel.Budget // what bodies that are not complete are counted in
	known    bool           // whose connection it is: strangers get less of all
	stranger int            // the largest body of a stranger
	received atomic.Uint64  // bytes of frames
}

// await waits until something has come, for as long as idle; 0: for ever. io.EOF
// means that the peer has closed the connection between two frames.
func (f *frames) await(idle time.Duration) error {
	if idle > 0 || f.timed {
		if err := f.within(idle); err != nil {
			return err
		}
	}
	return f.r.Await()
}

// next returns the next frame, of which something has come. The body is from the
// pool, and the caller's.
func (f *frames) next() (Head, *[]byte, error) {
	size := f.head.Size()
	b := f.r.Buffered()
	if len(b) < size {
		if err := f.within(f.patience); err != nil {
			return Head{}, nil, err
		}
		var err error
		if b, err = f.r.Peek(size); err != nil {
			return Head{}, nil, err
		}
	}
	h, err := f.head.Parse(b[:size])
	switch {
	case err != nil:
		return Head{}, nil, broken("bad head: %w", err)
	case h.Body < 0:
		return Head{}, nil, broken("a body of %d bytes", h.Body)
	case !f.known && h.Body > f.stranger:
		return Head{}, nil, tunnel.LimitMessage.Status("pushtunnel: a body of %d bytes, above the limit of %d for connections without a client name", h.Body, f.stranger).Err()
	case h.Body > f.max:
		return Head{}, nil, exceeded(tunnel.LimitMessage, "pushtunnel: a body of %d bytes, above the limit of %d", h.Body, f.max)
	}
	f.r.Discard(size)
	f.received.Add(uint64(size + h.Body)) //nolint:gosec // not negative
	body, err := f.body(h.Body)
	return h, body, err
}

// exceeded is the error of what has hit a limit of this end.
func exceeded(l tunnel.Limit, format string, args ...any) error {
	return tunnel.NewError(l.Status(format, args...), tunnel.OutcomeAnswered, l)
}

// broken is the error of a peer that breaks the protocol.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", tunnel.ErrProtocol, fmt.Errorf(format, args...))
}

// body reads a body.
func (f *frames) body(size int) (*[]byte, error) {
	if b := f.r.Buffered(); len(b) >= size {
		body := bufpool.Pool.Get(size)
		copy(*body, b)
		f.r.Discard(size)
		return body, nil
	}
	body := bufpool.Pool.Get(min(size, firstPiece))
	held := int64(0)
	defer func() { f.memory.Give(held) }()
	for have := 0; ; {
		if have == 0 || f.known { // a stranger has so long for all of it
			if err := f.within(f.patience); err != nil {
				return nil, err
			}
		}
		end := min(len(*body), have+piece)
		if err := f.r.ReadFull((*body)[have:end]); err != nil {
			bufpool.Pool.Put(body)
			return nil, err
		}
		if have = end; have == size {
			return body, nil
		}
		if have == len(*body) {
			next := min(size, 2*have)
			if !f.take(int64(next)-held, held) {
				bufpool.Pool.Put(body)
				return nil, exceeded(tunnel.LimitMemory, "pushtunnel: no room for a body of %d bytes: the limit %q is reached", size, string(tunnel.LimitMemory))
			}
			held = int64(next)
			more := bufpool.Pool.Get(next)
			copy(*more, *body)
			bufpool.Pool.Put(body)
			body = more
		}
	}
}

// take takes memory for a body.
func (f *frames) take(n, held int64) bool {
	if f.known {
		return f.memory.Take(n, held)
	}
	return f.memory.TakeSpare(n)
}

// within sets how long the next read may take; 0: for ever.
func (f *frames) within(d time.Duration) error {
	if d <= 0 {
		if !f.timed {
			return nil
		}
		f.timed = false
		return f.conn.SetReadDeadline(time.Time{})
	}
	f.timed = true
	return f.conn.SetReadDeadline(time.Now().Add(d))
}
