package tunnel

import (
	"errors"
	"math"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

const (
	// wholePiece is the size in bytes up to which a message is not split.
	wholePiece = 24 << 10
	// chunk is the size of the pieces of a larger one: with its frame and one that
	// confirms it fills a batch, which fills an HTTP/2 DATA frame.
	chunk = streamBatch - wire.FrameOverhead - ackSize
	// sliver is the size below which a piece waits for more window rather than
	// be cut smaller. An unread window of MinCallWindow leaves more than this.
	sliver = 256
)

// maxWindow is the largest window that can be announced, in bytes.
const maxWindow = 1 << 30

var (
	errSmallWindow    = errors.New("a call window below the protocol's least")
	errWindowExceeded = errors.New("the peer sent more than the window of a call allows")
	errWindowOverflow = errors.New("the peer opened a window beyond all measure")
)

// cost is what a piece costs of its call's window.
func cost(n int, first bool) int64 {
	if first {
		return int64(n) + wire.MessageOverhead
	}
	return int64(n)
}

// sendWindow is how much this end may still send on one call.
type sendWindow struct{ left int64 }

// next returns how many of the remaining bytes of a message the next piece may
// have, and whether there may be a piece at all.
func (w *sendWindow) next(remaining int, first bool) (n int, ok bool) {
	room := w.left
	if first {
		room -= wire.MessageOverhead
	}
	n = remaining
	if n > wholePiece {
		n = chunk
	}
	if int64(n) > room {
		n = int(room)
		return n, n >= sliver
	}
	return n, true
}

func (w *sendWindow) spend(n int, first bool) { w.left -= cost(n, first) }

func (w *sendWindow) add(n uint64) error {
	if n > math.MaxInt32 || w.left+int64(n) > math.MaxInt32 {
		return errWindowOverflow
	}
	w.left += int64(n)
	return nil
}

// recvWindow is how much the peer may still send on one call, and how that
// grows. Its memory is what the call may make this end hold: size bytes.
type recvWindow struct {
	size int64 // what the peer may have under way and unread
	left int64 // what it may send now
	owed int64 // what has been read and not yet been given back
}

func newRecvWindow(size int64) recvWindow { return recvWindow{size: size, left: size} }

// receive notes a piece that has arrived.
func (w *recvWindow) receive(c int64) error {
	if c > w.left {
		return errWindowExceeded
	}
	w.left -= c
	return nil
}

// consume notes that a piece has been read. It returns what to give back to the
// peer now; 0 means not yet, since small change is not worth a frame.
func (w *recvWindow) consume(c int64) uint64 {
	w.owed += c
	if w.owed < w.size/2 {
		return 0
	}
	return w.flush()
}

// flush returns all that is owed.
func (w *recvWindow) flush() uint64 {
	grant := w.owed
	w.left += grant
	w.owed = 0
	return uint64(grant)
}

// grow makes the window larger by n bytes; the peer learns of it with the next
// flush.
func (w *recvWindow) grow(n int64) {
	w.size += n
	w.owed += n
}
