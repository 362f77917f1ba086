package interceptors

import (
	"container/list"
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// answerID is what the pushes have in common that get one answer.
type answerID struct {
	clientKey
	method, key string
}

// answerCost is about how many bytes an answer takes besides its message and its
// key.
const answerCost = 500

// answers are those of a Deduplicate.
type answers struct {
	Window

	// mu guards what follows, and the fields of each answer that say so.
	mu    sync.Mutex
	all   map[answerID]*answer
	done  list.List // those that are there, the oldest first
	bytes int       // of those
}

// answer is what a handler answers, or will.
type answer struct {
	of      *answers
	id      answerID
	request uint64 // its fingerprint

	// ended is closed when the handler has returned. reply and err are the
	// handler's goroutine's until then, and do not change after that.
	ended chan struct{}
	reply any
	err   error

	// Guarded by answers.mu.
	cancel  context.CancelFunc // ends the handler's context; nil when it has returned
	callers int                // calls that wait for the handler
	grace   *time.Timer        // runs when there are none
	size    int
	at      time.Time // when the handler returned
}

func newAnswers(w Window) *answers { return &answers{Window: w, all: make(map[answerID]*answer)} }

// errNoAnswer is the answer of a handler that panics.
var errNoAnswer = status.Error(codes.Internal, "pushtunnel: the handler of this idempotency key has not returned")

// get returns the answer to a push and counts its caller. handlerCtx is not nil if
// the caller is the first, which has to run the handler. It returns no answer if the
// key is of another request.
func (as *answers) get(ctx context.Context, id answerID, request uint64) (a *answer, handlerCtx context.Context) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.expire(time.Now())
	a = as.all[id]
	switch {
	case a == nil:
		a = &answer{of: as, id: id, request: request, ended: make(chan struct{}), err: errNoAnswer}
		handlerCtx, a.cancel = context.WithCancel(context.WithoutCancel(ctx))
		as.all[id] = a
	case a.request != request:
		return nil, nil
	}
	a.callers++
	if a.grace != nil {
		a.grace.Stop()
	}
	return a, handlerCtx
}

// run runs the handler for the first caller, and all that come meanwhile.
func (a *answer) run(ctx, handlerCtx context.Context, req any, handler grpc.UnaryHandler) (any, error) {
	defer context.AfterFunc(ctx, a.leave)()
	returned := false
	defer func() { a.of.end(a, returned) }()
	a.reply, a.err = handler(handlerCtx, req)
	returned = true
	return a.reply, a.err
}

// wait waits for the answer on behalf of another caller.
func (a *answer) wait(ctx context.Context) (any, error) {
	select {
	case <-a.ended:
		return a.reply, a.err
	case <-ctx.Done():
		a.leave()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// leave counts off a caller that does not wait any more.
func (a *answer) leave() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.callers--
	switch {
	case a.callers > 0 || a.cancel == nil:
	case a.of.Grace <= 0:
		a.cancel()
	default:
		a.grace = time.AfterFunc(a.of.Grace, a.giveUp)
	}
}

// giveUp ends the context of a handler that nobody waits for.
func (a *answer) giveUp() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if a.callers == 0 && a.cancel != nil {
		a.cancel()
	}
}

// end notes that the handler is over. What it has answered is remembered if it has
// returned and there can be room.
func (as *answers) end(a *answer, returned bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a.cancel()
	a.cancel = nil
	if a.grace != nil {
		a.grace.Stop()
	}
	close(a.ended)
	a.size = answerCost + len(a.id.key) + sizeOf(a.reply, a.err)
	if !returned || a.size > as.MaxBytes {
		delete(as.all, a.id)
		return
	}
	a.at = time.Now()
	as.done.PushBack(a)
	as.bytes += a.size
	as.shrink()
}

// expire forgets the answers that are older than the window.
func (as *answers) expire(now time.Time) {
	for e := as.done.Front(); e != nil && now.Sub(e.Value.(*answer).at) >= as.Lasts; e = as.done.Front() {
		as.forget(e)
	}
}

// shrink forgets the oldest answers until the limits are kept, or only handlers that
// run are left.
func (as *answers) shrink() {
	for e := as.done.Front(); e != nil && (as.bytes > as.MaxBytes || len(as.all) > as.MaxAnswers); e = as.done.Front() {
		as.forget(e)
	}
}

func (as *answers) forget(e *list.Element) {
	a := as.done.Remove(e).(*answer)
	as.bytes -= a.size
	delete(as.all, a.id)
}

// sizeOf is how many bytes an answer has, as far as one can tell.
func sizeOf(reply any, err error) int {
	if err != nil {
		return proto.Size(status.Convert(err).Proto())
	}
	if m, ok := reply.(proto.Message); ok {
		return proto.Size(m)
	}
	return 0
}
