package server_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// patient makes a call wait for its client.
var patient = grpc.WaitForReady(true)

// later calls f after d. The test calls what it returns to wait until f has ended,
// since a client may answer before Connect has returned.
func later(d time.Duration, f func()) func() {
	var wg sync.WaitGroup
	wg.Go(func() {
		time.Sleep(d)
		f()
	})
	return wg.Wait
}

func TestWaitForReadyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		connected := later(time.Minute, func() {
			push.Connect(t, "other", answers("other"))
			time.Sleep(time.Minute)
			push.Connect(t, "c1", answers("c1"))
		})
		defer connected()
		start := time.Now()
		got, err := ask(t.Context(), push.Client("c1"), patient)
		if got != "c1" || err != nil {
			t.Errorf("got an answer of %q, %v, want one of %q", got, err, "c1")
		}
		if got := time.Since(start); got != 2*time.Minute {
			t.Errorf("got the answer after %v, want it at once when the client is there, after 2m", got)
		}
		if _, _, waiters := push.RegistrySize(); waiters != 0 {
			t.Errorf("got %d names that are waited for, want none", waiters)
		}
	})
}

func TestWaitForReadyOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		connected := later(time.Minute, func() {
			push.Connect(t, "c1", (&service{stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
				return s.Send(&testgrpc.StreamingOutputCallResponse{})
			}}).register)
		})
		defer connected()
		stream, err := testgrpc.NewTestServiceClient(push.Client("c1")).FullDuplexCall(t.Context(), patient)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Errorf("got %v, want a message", err)
		}
	})
}

func TestWaitForReadyEndsWithItsContext(t *testing.T) {
	t.Run("by its deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			push := tunneltest.NewServer(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			_, err := ask(ctx, push.Client("c1"), patient)
			wantNotSent(t, err, codes.DeadlineExceeded, `pushtunnel: waiting for client "c1" to connect: context deadline exceeded`)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want it to wrap the context's error", err)
			}
			if got := time.Since(start); got != time.Minute {
				t.Errorf("got an end after %v, want it after 1m", got)
			}
			nobody(t, push)
		})
	})
	t.Run("when it is cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			push := tunneltest.NewServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Minute, cancel)
			_, err := ask(ctx, push.Client("c1"), patient)
			wantNotSent(t, err, codes.Canceled, `pushtunnel: waiting for client "c1" to connect: context canceled`)
			nobody(t, push)
		})
	})
	t.Run("before it begins", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			push := tunneltest.NewServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := ask(ctx, push.Client("c1"), patient)
			wantNotSent(t, err, codes.Canceled, `pushtunnel: waiting for client "c1" to connect: context canceled`)
			nobody(t, push)
		})
	})
}

func TestManyWaitForOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gaveUp, answered := make(chan error, 10), make(chan string, 10)
		for i := range 20 {
			go func() {
				if i%2 == 0 {
					_, err := ask(short, push.Client("c1"), patient)
					gaveUp <- err
					return
				}
				label, err := ask(t.Context(), push.Client("c1"), patient)
				if err != nil {
					t.Error(err)
				}
				answered <- label
			}()
		}
		for range 10 {
			wantCode(t, <-gaveUp, codes.DeadlineExceeded)
		}
		if _, _, waiters := push.RegistrySize(); waiters != 1 {
			t.Errorf("got %d names that are waited for, want 1", waiters)
		}
		push.Connect(t, "c1", answers("c1"))
		for range 10 {
			if got := <-answered; got != "c1" {
				t.Errorf("got an answer of %q, want %q", got, "c1")
			}
		}
		if _, _, waiters := push.RegistrySize(); waiters != 0 {
			t.Errorf("got %d names that are waited for, want none", waiters)
		}
	})
}

// A call that was never sent waits for another session, if it may wait.
func TestWaitForReadyWaitsForAnotherSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		picks := 0
		push := tunneltest.NewServer(t, server.WithPicker(func(p server.Pick) *server.Session {
			if picks++; picks == 1 {
				// It goes after it was chosen, before anything is sent.
				p.Sessions[0].Close("just now")
			}
			return p.Sessions[0]
		}))
		first := run(t, push.Dial(t), "c1", answers("first"))
		<-first.connected
		connected := later(time.Minute, func() { push.Connect(t, "c1", answers("second")) })
		defer connected()
		// It would come back by itself.
		stopped := make(chan error, 1)
		go func() { stopped <- first.Shutdown(t.Context()) }()
		got, err := ask(t.Context(), push.Client("c1"), patient)
		if got != "second" || err != nil {
			t.Errorf("got an answer of %q, %v, want one of %q", got, err, "second")
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// Waiting is for a client that is away, not for one that is busy.
func TestWaitForReadyDoesNotWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		began := make(chan struct{}, 1)
		push.Connect(t, "c1", hangs(began), client.WithMaxConcurrentCalls(1))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go ask(ctx, push.Client("c1"))
		<-began
		_, err := ask(t.Context(), push.Client("c1"), patient)
		wantCode(t, err, codes.ResourceExhausted)
		if !tunnel.NotSent(err) {
			t.Error("not sent: got false, want true")
		}
	})
}
