package tunnel

import (
	"errors"
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/pushtunnel/pushtunnel/tunnel/internal/wire"
)

var (
	errUnknownCall = errors.New("a frame of a call that was never begun")
	errCallID      = errors.New("a call id that is not the peer's to choose")
	errCallOrder   = errors.New("a call id that is not above those before it")
	errStray       = errors.New("frames of a call after its end")
)

// call is one end of a call, as the reader sees it.
type call interface {
	// receive takes a frame of the call. The batch that it lies in belongs to
	// the reader. It does not block. An error ends the session.
	receive(f *wire.Frame, batch mem.Buffer) error
	// lost ends the call because the session has ended.
	lost(err error)
}

// table knows the calls that are under way, and which ids there have been.
type table struct {
	odd  bool   // the ids of this end's calls are
	last uint64 // the id of the last call of the peer; the reader's

	// mu guards what follows. It may be taken while outbox.mu or a call's in.mu is
	// held.
	mu    sync.Mutex
	calls map[uint64]call
	next  uint64 // the id of the next call of this end
	stray int64  // the bytes that may still come for calls that this end gave up
	ended bool
}

const (
	// frameCost is what a frame for a call that is gone counts of table.stray,
	// besides its message.
	frameCost = 32
	// lateFrames is how many frames of a call that this end has ended may still be
	// under way, besides what fits in its window: a peer may give window back for
	// each message.
	lateFrames = 1024
	// maxStray bounds table.stray: a peer that has made many calls has no right
	// to flood this end. It is a few times what may be under way.
	maxStray = 4 * maxTransit
)

func (t *table) init(server bool) {
	t.odd = server
	t.next = 2
	if server {
		t.next = 1
	}
}

// mine reports whether an id is of a call of this end.
func (t *table) mine(id uint64) bool { return (id%2 == 1) == t.odd }

// begin gives a call of this end its id.
func (t *table) begin(c *outbound) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.id = t.next
	t.next += 2
	if !t.ended {
		t.enlist(c.id, c.owner)
	}
}

// begun returns how many calls of this end have got an id.
func (t *table) begun() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return (t.next - 1) / 2
}

// accept notes the id of a call of the peer.
func (t *table) accept(id uint64) error {
	if t.mine(id) {
		return errCallID
	}
	if id <= t.last {
		return errCallOrder
	}
	t.last = id
	return nil
}

// enter makes an accepted call findable. It reports false if the session has
// ended.
func (t *table) enter(id uint64, c call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	t.enlist(id, c)
	return true
}

// enlist makes a call findable. t.mu is held.
func (t *table) enlist(id uint64, c call) {
	if t.calls == nil {
		t.calls = make(map[uint64]call)
	}
	t.calls[id] = c
}

// forget forgets a call that is over. The peer may not know that yet: so many
// bytes of it may still come. It reports whether the call was there: it is not
// among those that end takes out, now or later.
func (t *table) forget(c *outbound, bytes int64) (known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known = t.calls[c.id]
	delete(t.calls, c.id)
	t.stray = min(t.stray+bytes, maxStray)
	return known
}

// allow lets so many bytes come for calls that are over.
func (t *table) allow(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stray = min(t.stray+bytes, maxStray)
}

// find returns the call that a frame belongs to; nil if that is over and the
// frame may be ignored.
func (t *table) find(f *wire.Frame) (call, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.calls[f.CallID]; ok {
		return c, nil
	}
	mine := t.mine(f.CallID)
	if mine && f.CallID >= t.next || !mine && f.CallID > t.last {
		return nil, errUnknownCall
	}
	t.stray -= int64(len(f.Message)) + frameCost
	if t.stray < 0 {
		return nil, errStray
	}
	return nil, nil //nolint:nilnil // both nil is the documented third answer
}

// end takes all calls out, for the last time.
func (t *table) end() []call {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	calls := make([]call, 0, len(t.calls))
	for _, c := range t.calls {
		calls = append(calls, c)
	}
	t.calls = nil
	return calls
}

// size returns how many calls are under way.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.calls)
}
