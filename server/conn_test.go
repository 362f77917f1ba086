package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestConnIsBoundAtTheTimeOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		c1 := push.Client("c1")
		if got := c1.Name(); got != "c1" {
			t.Errorf("Name: got %q, want %q", got, "c1")
		}
		const text = `pushtunnel: client "c1" is not connected`
		_, err := ask(t.Context(), c1)
		wantNotSent(t, err, codes.Unavailable, text)
		_, err = testgrpc.NewTestServiceClient(c1).FullDuplexCall(t.Context())
		wantNotSent(t, err, codes.Unavailable, text)

		first := push.Connect(t, "c1", answers("first"))
		wantAnswer(t, c1, "first")
		if err := first.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = ask(t.Context(), c1)
		wantNotSent(t, err, codes.Unavailable, text)

		push.Connect(t, "c1", answers("second"))
		wantAnswer(t, c1, "second")
	})
}

func TestACallOnASessionGoesThereAndNowhereElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		a := push.Connect(t, "c1", answers("a"))
		push.Connect(t, "c1", answers("b"))
		var sessions []*server.Session
		for s := range push.Sessions() {
			sessions = append(sessions, s)
		}
		for range 3 {
			wantAnswer(t, sessions[0], "a")
			wantAnswer(t, sessions[1], "b")
		}
		if err := a.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, err := ask(t.Context(), sessions[0])
		wantNotSent(t, err, codes.Unavailable, `pushtunnel: client "c1": the session has ended`)
	})
}

// A call of which nothing was sent is tried once more. Here the first session is
// full: that is found before anything is sent.
func TestACallThatWasNeverSentIsTriedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var picked []string
		push := tunneltest.NewServer(t, server.WithPicker(func(p server.Pick) *server.Session {
			picked = append(picked, p.Sessions[0].ID())
			return p.Sessions[0]
		}))
		began := make(chan struct{}, 10)
		for range 3 {
			push.Connect(t, "c1", hangs(began), client.WithMaxConcurrentCalls(1))
		}
		var ids []string
		for s := range push.Sessions() {
			ids = append(ids, s.ID())
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var finished atomic.Int32
		call := func() error {
			_, err := ask(ctx, push.Client("c1"), grpc.OnFinish(func(error) { finished.Add(1) }))
			return err
		}
		go call()
		<-began
		go call()
		<-began
		want := []string{ids[0], ids[0], ids[1]}
		wantSame(t, "picks", picked, want)

		// The first two are full now. The third is not tried: once more is once.
		err := call()
		wantNotSent(t, err, codes.ResourceExhausted, `pushtunnel: client "c1": the limit "calls" is reached: 1 calls at a time`)
		wantSame(t, "picks", picked, append(want, ids[0], ids[1]))
		if got := finished.Load(); got != 1 {
			t.Errorf("got %d runs of OnFinish, want 1", got)
		}
		cancel()
		synctest.Wait()
		if got := finished.Load(); got != 3 {
			t.Errorf("got %d runs of OnFinish for three calls, want 3", got)
		}
	})
}

// A call that may have reached a handler is never tried again.
func TestACallThatWasSentIsNotTriedAgain(t *testing.T) {
	fail := func(code codes.Code) func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			return nil, statusOf(code)
		}
	}
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Aborted} {
		t.Run("the handler answers "+code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push := tunneltest.NewServer(t)
				push.Connect(t, "c1", (&service{unary: fail(code)}).register)
				push.Connect(t, "c1", (&service{unary: fail(codes.DataLoss)}).register)
				_, err := ask(t.Context(), push.Client("c1"))
				wantCode(t, err, code)
			})
		})
	}
	t.Run("the client refuses it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			push := tunneltest.NewServer(t)
			push.Connect(t, "c1", nil)
			push.Connect(t, "c1", answers("second"))
			_, err := ask(t.Context(), push.Client("c1"))
			wantCode(t, err, codes.Unimplemented)
		})
	})
	t.Run("the session ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			push := tunneltest.NewServer(t)
			began := make(chan struct{}, 1)
			first := run(t, push.Dial(t), "c1", hangs(began))
			<-first.connected
			push.Connect(t, "c1", answers("second"))
			go func() {
				<-began
				first.cancel()
			}()
			_, err := ask(t.Context(), push.Client("c1"))
			wantCode(t, err, codes.Unavailable)
		})
	})
}

func TestOnFinishRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		var got []codes.Code
		finish := grpc.OnFinish(func(err error) { got = append(got, codeOf(err)) })
		want := func(why string, want ...codes.Code) {
			t.Helper()
			synctest.Wait()
			wantSame(t, why, got, want)
			got = nil
		}

		ask(t.Context(), push.Client("c1"), finish)
		want("a name without session", codes.Unavailable)

		push.Connect(t, "c1", (&service{
			unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
				if _, err := s.Recv(); err != nil {
					return err
				}
				return statusOf(codes.NotFound)
			},
		}).register)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		ask(ctx, push.Client("c1"), finish)
		want("a call that takes too long", codes.DeadlineExceeded)

		ask(ctx, push.Client("c1"), finish)
		want("a context that has ended", codes.DeadlineExceeded)
		cancel()

		ask(t.Context(), push.Client("c1"), finish, grpc.CallAuthority("x"))
		want("an option that is refused", codes.Unimplemented)

		stream, err := testgrpc.NewTestServiceClient(push.Client("c1")).FullDuplexCall(t.Context(), finish, finish)
		if err != nil {
			t.Fatal(err)
		}
		want("a stream that goes on")
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantCode(t, err, codes.NotFound)
		want("two functions", codes.NotFound, codes.NotFound)
	})
}
