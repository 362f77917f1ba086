package tunnel

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/pushtunnel/pushtunnel/proto"
)

// Handlers run beside each other, however many; no more than maxParked
// goroutines are kept when they are done, and none after Close.
func TestWorkers(t *testing.T) {
	const calls = 2 * maxParked
	bubble(t, func(t *testing.T) {
		w := NewWorkers()
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services(), Workers: w})
		var want []*pb.Frame
		for i := range uint64(calls) {
			p.send(request(2*i+1, "x"))
			want = append(want, answer(2*i+1, "done"))
		}
		if got := len(s.running); got != calls {
			t.Errorf("got %d handlers that run, want all %d", got, calls)
		}
		s.release()
		p.wantAll("they are done", want...)
		if got := len(w.parked); got != maxParked {
			t.Errorf("got %d goroutines that wait, want %d", got, maxParked)
		}
		p.send(request(2*calls+1, "x"))
		p.want("one of them runs it", answer(2*calls+1, "done"))
		if got := len(w.parked); got != maxParked {
			t.Errorf("got %d goroutines that wait, want %d", got, maxParked)
		}
		w.Close()
		w.Close() // does nothing
		synctest.Wait()
		p.send(request(2*calls+3, "x"))
		p.want("a handler that comes later runs, too", answer(2*calls+3, "done"))
	})
}

// A handler that runs when its Workers are closed goes on.
func TestWorkersClosedWhileAHandlerRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := NewWorkers()
		s := newStall()
		defer s.release()
		p := dialled(t, Config{Services: s.services(), Workers: w})
		p.send(request(1, "x"))
		w.Close()
		s.release()
		p.want("it is done", answer(1, "done"))
	})
}

// What a handler of one call leaves behind, another on the same goroutine does
// not see.
func TestWorkersKeepCallsApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := NewWorkers()
		defer w.Close()
		var contexts []context.Context
		p := dialled(t, Config{Workers: w, Services: testService{stream: func(stream grpc.ServerStream) error {
			contexts = append(contexts, stream.Context())
			return nil
		}}.services()})
		for id := uint64(1); id < 6; id += 2 {
			p.send(begin(id, bidiMethod))
			p.want("it ends at once", end(id))
		}
		for i, ctx := range contexts {
			if ctx.Err() != context.Canceled {
				t.Errorf("call %d: got the context's error %v, want %v", i, ctx.Err(), context.Canceled)
			}
		}
		p.send(begin(7, bidiMethod), begin(7, bidiMethod))
		p.wantEnded(codes.Internal, "a call id that is not above those before it")
	})
}
