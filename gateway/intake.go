package gateway

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// patience is how long a call waits for all that its caller sends at once, before it
// is made as a stream. It is enough for a request that came with the call itself, and
// short beside a round trip.
const patience = 200 * time.Microsecond

// intake receives what a caller sends, on a goroutine of its own. It keeps one
// message. Once it knows the call's other end it sends all there, one message after
// the other: while one waits to be sent, the next is not received.
//
// The goroutine ends when the caller has said all, or the call has ended. It may
// outlast the call's handler by a moment: gRPC ends the RecvMsg of a handler's stream
// only when the handler has returned.
type intake struct {
	caller grpc.ServerStream
	cancel context.CancelCauseFunc // gives the call up
	ready  chan struct{}           // closed when there is more than can be kept
	passed chan struct{}           // closed by pass and leave
	callee grpc.ClientStream       // set by pass, before that

	// mu guards what follows.
	mu      sync.Mutex
	first   *frame // the message that is kept
	end     error  // why there are no more: io.EOF if the caller has said all
	passing bool   // no message is kept any more
}

// listen begins to receive what caller sends. leave must be called in the end.
func listen(caller grpc.ServerStream, cancel context.CancelCauseFunc) *intake {
	in := &intake{caller: caller, cancel: cancel, ready: make(chan struct{}), passed: make(chan struct{})}
	go in.receive()
	return in
}

func (in *intake) receive() {
	for {
		m := new(frame) // the callee may keep it until it has answered
		err := in.caller.RecvMsg(m)
		if in.keep(m, err) {
			if err != nil {
				return
			}
			continue
		}
		<-in.passed
		switch {
		case in.callee == nil:
			return
		case errors.Is(err, io.EOF):
			in.callee.CloseSend() //nolint:errcheck // RecvMsg says more
			return
		case err != nil:
			in.cancel(err)
			return
		}
		switch err := in.callee.SendMsg(m); {
		case errors.Is(err, io.EOF):
			return // the call has ended: RecvMsg says why
		case err != nil:
			in.cancel(err)
			return
		}
	}
}

// keep keeps a message or the end, if it can.
func (in *intake) keep(m *frame, end error) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.passing:
		return false
	case end == nil && in.first == nil:
		in.first = m
		return true
	}
	in.end = end
	close(in.ready)
	return end != nil
}

// opening waits a little for all that the caller sends. If that is no more than one
// message, whole is true and first is the message, nil if there is none: the caller of
// opening frees it. An error means that the call's caller has given up.
func (in *intake) opening(ctx context.Context) (first *frame, whole bool, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-in.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.end == nil:
		return nil, false, nil
	case !errors.Is(in.end, io.EOF):
		return nil, false, in.end
	case in.first != nil:
		first, in.first = in.first, nil
		first.shared = true
	}
	return first, true, nil
}

// pass sends to callee what was kept, and has all that comes sent there. It does not
// block: a call takes one message at least.
func (in *intake) pass(callee grpc.ClientStream) {
	in.mu.Lock()
	first, end := in.first, in.end
	in.first, in.passing = nil, true
	in.mu.Unlock()
	if first != nil {
		if err := callee.SendMsg(first); err != nil && !errors.Is(err, io.EOF) {
			in.cancel(err)
		}
	}
	switch {
	case errors.Is(end, io.EOF):
		callee.CloseSend() //nolint:errcheck // RecvMsg says more
	case end != nil:
		in.cancel(end)
	}
	in.callee = callee
	close(in.passed)
}

// leave lets the goroutine end, if nothing was passed.
func (in *intake) leave() {
	if in.callee == nil {
		close(in.passed)
	}
}
