package tunnel

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

var errEmptyPiece = errors.New("an empty piece of a message")

// inbox is the receiving half of a call. The reader puts what has come, and
// never waits; the call's own goroutine takes.
type inbox struct {
	budget    *budget
	maxWindow int64
	maxSize   uint64 // of a message

	// mu guards what follows, and what the owner of the inbox says it guards.
	mu      sync.Mutex
	phase   phase
	win     recvWindow
	pieces  queue[piece]
	lacking uint64        // what the message under way still lacks, if phasePieces
	closed  error         // why no more pieces come: io.EOF or a status
	dropped bool          // nobody takes any more
	wake    chan struct{} // nil until the goroutine that takes has had to wait
	store   [1]piece      // the storage that pieces starts with

	partial  mem.BufferSlice // the pieces of a message that is not complete
	squeezed bool            // it is compressed
	size     int64           // of the partial message
	held     int64           // what it holds of the budget
	grown    int64           // what the window holds of the budget
	one      [1]mem.Buffer   // the storage that partial starts with
}

// piece is a message or a part of one.
type piece struct {
	data       mem.Buffer
	compressed bool
	first      bool
	last       bool
	blocked    bool
	oversize   uint64 // the size of a message above the limit; it has no data
}

func (in *inbox) init(cfg *Config, b *budget, start phase, maxSize int) {
	in.budget = b
	in.maxWindow = cfg.MaxCallWindow
	in.maxSize = uint64(maxSize) //nolint:gosec // checked by the options
	in.phase = start
	in.win = newRecvWindow(cfg.CallWindow)
	in.pieces.use(in.store[:])
}

// putMessage takes the message part of a frame. in.mu is held.
func (in *inbox) putMessage(f *wire.Frame, batch mem.Buffer) error {
	n := uint64(len(f.Message))
	p := piece{compressed: f.Compressed, blocked: f.Blocked}
	var e event
	switch {
	case in.phase == phasePieces:
		if n == 0 {
			return errEmptyPiece
		}
		if n > in.lacking || f.MessageSize != 0 {
			return errors.New("a piece that does not fit its message")
		}
		in.lacking -= n
		if e = eventPiece; in.lacking == 0 {
			e, p.last = eventLast, true
		}
	case f.MessageSize != 0:
		if n == 0 {
			return errEmptyPiece
		}
		e, p.first = eventFirst, true
		in.lacking = f.MessageSize - n
	default:
		e, p.first, p.last = eventWhole, true, true
	}
	next, err := in.phase.next(e)
	if err != nil {
		return err
	}
	in.phase = next
	if err := in.win.receive(cost(int(n), p.first)); err != nil { //nolint:gosec // at most MaxPiece
		return err
	}
	if in.dropped {
		return nil
	}
	if size := max(f.MessageSize, n); p.first && size > in.maxSize {
		p.oversize = size
		in.dropped = true
		in.pieces.push(p)
		return nil
	}
	p.data = keep(f.Message, batch, in.pieces.len() == 0 && in.size == 0)
	in.pieces.push(p)
	return nil
}

// keep returns data, a part of batch, as a buffer of its own: a reference if it
// will be taken soon, or is much of the batch. What waits behind other pieces is
// copied if it is small: it would keep a whole batch in memory. So a call that
// nobody reads holds one batch besides its window.
func keep(data []byte, batch mem.Buffer, soon bool) mem.Buffer {
	whole := batch.ReadOnlyData()
	if (soon && cap(whole) <= largeBuffer || len(data)*4 >= cap(whole)) && len(data) > 0 {
		start := cap(whole) - cap(data)
		return batch.Slice(start, start+len(data))
	}
	return mem.SliceBuffer(append([]byte(nil), data...))
}

// close says that no more comes: err is io.EOF for an end in order, or a status.
// What has come can still be taken. in.mu is held. The first close counts.
func (in *inbox) close(err error) {
	if in.closed == nil {
		in.closed = err
	}
}

// signal wakes the goroutine that takes. in.mu is held.
func (in *inbox) signal() {
	if in.wake == nil {
		return
	}
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// take returns the next message, which the caller frees before it takes again.
// It waits for it until ctx ends; then it returns errDone. At the end it returns
// what close was given, again and again. The owner is told, without a lock, what
// the peer may send more. One goroutine takes at a time.
func (in *inbox) take(ctx context.Context, owner granter) (msg mem.BufferSlice, compressed bool, err error) {
	for {
		in.mu.Lock()
		msg, more := in.absorb()
		compressed, closed := in.squeezed, in.closed
		if msg == nil && closed == nil && in.wake == nil {
			in.wake = make(chan struct{}, 1)
		}
		wake := in.wake
		in.mu.Unlock()
		if more > 0 && closed == nil {
			owner.grant(more)
		}
		if msg != nil {
			return msg, compressed, nil
		}
		if closed != nil {
			return nil, false, closed
		}
		done := ctx.Done()
		if done == nil {
			<-wake // much cheaper than a select
			continue
		}
		select {
		case <-wake:
		case <-done:
			return nil, false, errDone
		}
	}
}

// granter lets the peer send more.
type granter interface{ grant(n uint64) }

// errDone is what take returns when it stops waiting. Nobody outside sees it.
var errDone = errors.New("pushtunnel: done")

// absorb moves pieces to the message under way. If that completes it, it
// returns the message. grant is what the peer may send more. in.mu is held.
func (in *inbox) absorb() (msg mem.BufferSlice, grant uint64) {
	for in.pieces.len() > 0 {
		p := *in.pieces.front()
		if p.oversize > 0 {
			in.fail(LimitMessage.exceeded(OutcomeAnswered,
				"grpc: received message larger than max (%d vs. %d)", p.oversize, in.maxSize))
			return nil, grant
		}
		if p.first {
			in.partial, in.squeezed = in.one[:0], p.compressed
		}
		n := int64(p.data.Len())
		in.size += n
		if need := in.size - in.win.size - in.held; !p.last && need > 0 {
			if limit := in.budget.take(need); limit != "" {
				in.fail(limit.exceeded(OutcomeAnswered, "pushtunnel: no room for a message of this size: the limit %q is reached", string(limit)))
				return nil, grant
			}
			in.held += need
		}
		in.partial = append(in.partial, p.data)
		in.pieces.pop()
		grant += in.win.consume(cost(int(n), p.first))
		if in.pieces.len() == 0 {
			grant += in.grow(p)
		}
		if p.last {
			msg = in.partial
			in.budget.give(in.held)
			in.partial, in.size, in.held = nil, 0, 0
			return msg, grant
		}
	}
	return nil, grant
}

// fail ends the receiving half because what has come can't be taken. in.mu is
// held.
func (in *inbox) fail(err error) {
	in.free()
	in.closed = err
}

// grow makes the window larger when the reader has taken all there was, p last: for
// the rest of a message that does not fit, or because the sender had to stop. It
// returns what to give to the peer.
func (in *inbox) grow(p piece) uint64 {
	var n int64
	if p.blocked {
		n = in.win.size
	}
	if !p.last {
		n = max(n, int64(in.lacking)-in.win.left-in.win.owed) //nolint:gosec // at most maxSize
	}
	if n <= 0 {
		return 0
	}
	n = min(n, in.maxWindow-in.win.size)
	if n > 0 && in.budget.take(n) == "" {
		in.grown += n
		in.win.grow(n)
	}
	return in.win.flush()
}

// drop frees what has come and all that comes; err is what take returns from
// now on. It returns how much more the peer may have under way.
func (in *inbox) drop(err error) (left int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.free()
	if in.closed == nil {
		in.closed = err
	}
	in.signal()
	if in.phase == phaseClosed {
		return 0
	}
	return in.win.left
}

// free frees what has come and all that comes. in.mu is held.
func (in *inbox) free() {
	in.dropped = true
	for _, p := range in.pieces.all() {
		if p.data != nil {
			p.data.Free()
		}
	}
	in.partial.Free()
	in.budget.give(in.held + in.grown)
	in.pieces.drop()
	in.partial, in.size, in.held, in.grown = nil, 0, 0, 0
}
