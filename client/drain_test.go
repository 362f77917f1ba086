package client_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// worker is a service whose unary calls take this long. It counts those that it
// has answered.
type worker struct {
	testgrpc.UnimplementedTestServiceServer
	takes    time.Duration
	answered atomic.Int64
}

func (w *worker) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	t := time.NewTimer(w.takes)
	defer t.Stop()
	select {
	case <-t.C:
		w.answered.Add(1)
		return &testgrpc.SimpleResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *worker) register(r grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(r, w) }

// Calls arrive all the time while a client shuts down. Those that it got it
// answers; the others were never sent.
func TestShutdownLosesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		w := &worker{takes: 10 * time.Millisecond}
		c := push.Connect(t, "c1", w.register)
		stub := testgrpc.NewTestServiceClient(push.Client("c1"))
		var succeeded, notSent atomic.Int64
		var callers sync.WaitGroup
		for i := range 50 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 201 * time.Microsecond)
				for {
					_, err := stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{})
					if err == nil {
						succeeded.Add(1)
						continue
					}
					if !tunnel.NotSent(err) {
						t.Errorf("got %v, want an answer or that nothing was sent", err)
					}
					notSent.Add(1)
					return
				}
			})
		}
		time.Sleep(105 * time.Millisecond)
		start := time.Now()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if got := time.Since(start); got > w.takes {
			t.Errorf("got an end after %v, want it when the last call has ended, within %v", got, w.takes)
		}
		callers.Wait()
		if succeeded.Load() != w.answered.Load() || succeeded.Load() < 400 || notSent.Load() != 50 {
			t.Errorf("got %d answers of %d and %d calls that were not sent, want all answers and 50", succeeded.Load(), w.answered.Load(), notSent.Load())
		}
	})
}
