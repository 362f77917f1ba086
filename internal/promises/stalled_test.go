package promises_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
)

// freezable is an echo, with handlers that freeze when they are asked to: by a
// unary call with FillUsername, and by the first message of a stream. Of a stream
// that is to fill, the handler sends for ever.
func freezable() *service {
	s := echo()
	answer := s.unary
	s.unary = func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		if r.GetFillUsername() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return answer(ctx, r)
	}
	s.stream = func(s testgrpc.TestService_FullDuplexCallServer) error {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		if size := r.GetResponseParameters(); len(size) > 0 {
			for {
				if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: payload(int(size[0].GetSize()))}); err != nil {
					return err
				}
			}
		}
		<-s.Context().Done()
		return s.Context().Err()
	}
	return s
}

// stalls are the ways to stall. Each begins a call that stalls, and returns when
// ctx has ended.
var stalls = map[string]func(context.Context, testgrpc.TestServiceClient){
	"handlers that do not return": func(ctx context.Context, stub testgrpc.TestServiceClient) {
		r := request(100_000)
		r.FillUsername = true
		stub.UnaryCall(ctx, r) //nolint:errcheck // cancelled
	},
	"handlers that do not read": func(ctx context.Context, stub testgrpc.TestServiceClient) {
		s, err := stub.FullDuplexCall(ctx)
		for err == nil {
			err = s.Send(&testgrpc.StreamingOutputCallRequest{Payload: payload(10_000)})
		}
	},
	"handlers that do not read empty messages": func(ctx context.Context, stub testgrpc.TestServiceClient) {
		s, err := stub.FullDuplexCall(ctx)
		for err == nil {
			err = s.Send(&testgrpc.StreamingOutputCallRequest{})
		}
	},
	"callers that do not read": func(ctx context.Context, stub testgrpc.TestServiceClient) {
		fill(ctx, stub, 10_000)
	},
	"callers that do not read large messages": func(ctx context.Context, stub testgrpc.TestServiceClient) {
		fill(ctx, stub, 1_000_000)
	},
}

// fill makes a handler send messages of this size for ever, and reads none.
func fill(ctx context.Context, stub testgrpc.TestServiceClient, size int32) {
	s, err := stub.FullDuplexCall(ctx)
	if err == nil {
		err = s.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}}})
	}
	if err == nil {
		<-ctx.Done()
	}
}

// latencies makes many calls of this size at a time, some rounds of them, and returns
// how long each took, the shortest first.
func latencies(t *testing.T, stub testgrpc.TestServiceClient, size, calls, rounds int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, calls*rounds)
	var done sync.WaitGroup
	for i := range calls {
		done.Go(func() {
			for n := range rounds {
				start := time.Now()
				if _, err := stub.UnaryCall(t.Context(), request(size)); err != nil {
					t.Errorf("got %v, want an answer", err)
					return
				}
				took[i*rounds+n] = time.Since(start)
			}
		})
	}
	done.Wait()
	slices.Sort(took)
	return took
}

// One stalled call beside a thousand leaves the others as quick as they were, to
// the nanosecond; and so do fifty.
func TestAStalledCallDelaysNoOther(t *testing.T) {
	const latency, calls, rounds = 5 * time.Millisecond, 1000, 1
	for why, stall := range stalls {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, faultnet.Config{Latency: latency})
				w.connect(t, "c1", freezable(), client.WithMaxConcurrentCalls(calls+100))
				stub := w.stub("c1")
				latencies(t, stub, 2_000, calls, 4) // lets the windows grow, well beyond what follows
				before := latencies(t, stub, 100, calls, rounds)
				if before[0] != 2*latency || before[len(before)-1] != 2*latency {
					t.Errorf("got calls that took %v to %v, want all to take %v", before[0], before[len(before)-1], 2*latency)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var stalled sync.WaitGroup
				for _, more := range []int{1, 49} {
					for range more {
						stalled.Go(func() { stall(ctx, stub) })
					}
					time.Sleep(time.Second) // until they have all stalled
					beside := latencies(t, stub, 100, calls, rounds)
					if !slices.Equal(beside, before) {
						t.Errorf("beside %d more: got calls that took %v to %v, want them to take %v as before", more, beside[0], beside[len(beside)-1], before[0])
					}
				}
				if got := w.inFlight(); got != 50 {
					t.Errorf("got %d calls under way, want the 50 that stall", got)
				}
				cancel()
				stalled.Wait()
				synctest.Wait()
				if got := w.inFlight(); got != 0 {
					t.Errorf("got %d calls under way in the end, want none", got)
				}
			})
		})
	}
}

// What a stalled call holds is bounded by the options: at the end that does not
// read it is the window, at the end that sends it is what SendMsg lets wait.
func TestWhatAStalledCallHoldsIsBounded(t *testing.T) {
	const (
		sendAhead = 64 << 10 // what may wait at the sender, see tunnel
		waiting   = 512      // what a message counts for there, besides its size
		per       = 64       // what it costs of a window, besides its size
	)
	for _, window := range []int64{0, 16 << 10, 256 << 10} {
		for _, size := range []int{0, 1, 1000, 10_000} {
			t.Run(fmt.Sprintf("window %d, messages of %d", window, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, faultnet.Config{Latency: time.Millisecond}, server.WithCallWindow(window, 0))
					var sentByHandler atomic.Int64
					s := freezable()
					counting := s.stream
					s.stream = func(s testgrpc.TestService_FullDuplexCallServer) error {
						return counting(countingStream{s, &sentByHandler})
					}
					w.connect(t, "c1", s, client.WithCallWindow(window, 0))
					ctx, cancel := context.WithCancel(t.Context())
					var sentByCaller atomic.Int64
					var done sync.WaitGroup
					done.Go(func() {
						s, err := w.stub("c1").FullDuplexCall(ctx)
						for err == nil && sentByCaller.Load() < 200_000 {
							err = s.Send(&testgrpc.StreamingOutputCallRequest{Payload: payload(size)})
							sentByCaller.Add(1)
						}
						<-ctx.Done()
					})
					done.Go(func() { fill(ctx, w.stub("c1"), int32(size)) }) //nolint:gosec // small
					time.Sleep(time.Minute)
					room := window
					if room == 0 {
						room = 64 << 10
					}
					encoded := int64(size)
					if size > 0 {
						encoded += 4 // at least: the payload's head
					}
					most := room/(encoded+per) + sendAhead/(encoded+waiting) + 4
					for who, sent := range map[string]*atomic.Int64{"the caller": &sentByCaller, "the handler": &sentByHandler} {
						if got := sent.Load(); got > most || got < most/4 {
							t.Errorf("%s: got %d messages that nobody reads, want no more than %d", who, got, most)
						}
					}
					cancel()
					done.Wait()
				})
			})
		}
	}
}

// countingStream counts the messages that a handler sends.
type countingStream struct {
	testgrpc.TestService_FullDuplexCallServer
	sent *atomic.Int64
}

func (s countingStream) Send(m *testgrpc.StreamingOutputCallResponse) error {
	if s.sent.Load() >= 200_000 {
		<-s.Context().Done()
	}
	s.sent.Add(1)
	return s.TestService_FullDuplexCallServer.Send(m)
}

// Fifty calls of each kind that stall, at both ends, hold what their windows
// allow and not much more. Both ends are in this process.
func TestTheMemoryOfStalledCallsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 50
		w := newWorld(t, faultnet.Config{Latency: time.Millisecond})
		w.connect(t, "c1", freezable())
		stub := w.stub("c1")
		latencies(t, stub, 100, 10, 10)
		before := heap()
		ctx, cancel := context.WithCancel(t.Context())
		var stalled sync.WaitGroup
		for why, stall := range stalls {
			if why == "callers that do not read large messages" {
				continue // what they hold is the messages
			}
			for range each {
				stalled.Go(func() { stall(ctx, stub) })
			}
		}
		time.Sleep(time.Minute)
		held := heap() - before
		cancel()
		stalled.Wait()
		// A window and what may wait at its sender, 64 KiB each, in buffers that
		// may be four times as large as what is in them.
		count := int64(each * (len(stalls) - 1))
		if most := count * 4 * (64<<10 + 64<<10); held > most {
			t.Errorf("got %d bytes in the heap, want no more than %d", held, most)
		}
		time.Sleep(time.Second)
		left := heap() - before
		if left > 2<<20 {
			t.Errorf("got %d bytes in the heap when they have ended, want almost none", left)
		}
		t.Logf("%d stalled calls hold %d bytes, and leave %d", count, held, left)
	})
}
