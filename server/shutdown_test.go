package server_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/proto"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// counts is a service whose unary calls take this long. It counts the calls that
// its handler has answered.
func counts(d time.Duration, answered *atomic.Int64) *service {
	return &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			answered.Add(1)
			return &testgrpc.SimpleResponse{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		var answered atomic.Int64
		push.Connect(t, "c1", counts(time.Minute, &answered).register)
		errs := make(chan error, 5)
		for range cap(errs) {
			go func() {
				_, err := ask(t.Context(), push.Client("c1"))
				errs <- err
			}()
		}
		synctest.Wait()
		start := time.Now()
		if err := push.Shutdown(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if got := time.Since(start); got != time.Minute {
			t.Errorf("got an end of Shutdown after %v, want it when the calls have ended, after 1m", got)
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Errorf("a call under way: got %v, want an answer", err)
			}
		}
		nobody(t, push)
		_, err := ask(t.Context(), push.Client("c1"))
		wantNotSent(t, err, codes.Unavailable, "pushtunnel: the server is closed")
		if !errors.Is(err, server.ErrServerClosed) {
			t.Errorf("got %v, want it to wrap ErrServerClosed", err)
		}
	})
}

// Each call that arrives while the server drains succeeds or was never sent.
func TestShutdownLosesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithReconnectAfter(10*time.Millisecond))
		var handled atomic.Int64
		for range 3 {
			push.Connect(t, "c1", counts(7*time.Millisecond, &handled).register)
		}
		var succeeded, notSent, lost atomic.Int64
		stop := make(chan struct{})
		var callers sync.WaitGroup
		for i := range 40 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				for {
					select {
					case <-stop:
						return
					default:
					}
					switch _, err := ask(t.Context(), push.Client("c1")); {
					case err == nil:
						succeeded.Add(1)
					case tunnel.NotSent(err):
						notSent.Add(1)
						time.Sleep(time.Millisecond)
					default:
						t.Errorf("got %v, want an answer or that nothing was sent", err)
						lost.Add(1)
					}
				}
			})
		}
		time.Sleep(100*time.Millisecond + 333*time.Microsecond)
		before := succeeded.Load()
		start := time.Now()
		if err := push.Shutdown(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		took := time.Since(start)
		time.Sleep(50 * time.Millisecond)
		close(stop)
		callers.Wait()
		if took > 27*time.Millisecond {
			t.Errorf("got an end of Shutdown after %v, want it when clients have moved and calls have ended", took)
		}
		if before < 400 || succeeded.Load() == before || notSent.Load() < 1000 {
			t.Errorf("got %d answers before, %d later, %d not sent, want many of each", before, succeeded.Load()-before, notSent.Load())
		}
		if got := handled.Load(); got != succeeded.Load() {
			t.Errorf("got %d answers of %d calls that were handled, want all", succeeded.Load(), got)
		}
	})
}

func TestShutdownWhoseContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log hookLog
		push := tunneltest.NewServer(t, log.option())
		began := make(chan struct{}, 1)
		push.Connect(t, "c1", hangs(began))
		failed := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), push.Client("c1"))
			failed <- err
		}()
		<-began
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := push.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if got := time.Since(start); got != time.Minute {
			t.Errorf("got an end after %v, want it after 1m", got)
		}
		wantCode(t, <-failed, codes.Unavailable)
		wantCode(t, <-log.reasons, codes.Unavailable)
		nobody(t, push)
	})
}

func TestShutdownOfAnIdleServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		for range 2 {
			if err := push.Shutdown(t.Context()); err != nil {
				t.Errorf("got %v, want nil", err)
			}
			if err := push.Close(); err != nil {
				t.Errorf("got %v, want nil", err)
			}
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log hookLog
		push := tunneltest.NewServer(t, log.option())
		began := make(chan struct{}, 2)
		push.Connect(t, "c1", hangs(began))
		push.Connect(t, "c2", hangs(began))
		failed, waited := make(chan error, 2), make(chan error, 1)
		for _, name := range []string{"c1", "c2"} {
			go func() {
				_, err := ask(t.Context(), push.Client(name))
				failed <- err
			}()
			<-began
		}
		go func() {
			_, err := ask(t.Context(), push.Client("c3"), patient)
			waited <- err
		}()
		synctest.Wait()
		start := time.Now()
		if err := push.Close(); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if got := len(log.reasons); got != 2 {
			t.Errorf("got %d hooks that had returned when Close did, want 2", got)
		}
		for range 2 {
			err := <-failed
			wantCode(t, err, codes.Unavailable)
			if got := tunnel.OutcomeOf(err); got != tunnel.OutcomeUnknown {
				t.Errorf("a call under way: got the outcome %v, want %v", got, tunnel.OutcomeUnknown)
			}
		}
		wantNotSent(t, <-waited, codes.Unavailable, "pushtunnel: the server is closed")
		_, err := ask(t.Context(), push.Client("c1"), patient)
		wantNotSent(t, err, codes.Unavailable, "pushtunnel: the server is closed")
		if got := time.Since(start); got != 0 {
			t.Errorf("got %v for all this, want no time", got)
		}
		nobody(t, push)
	})
}

// A server that drains refuses new sessions and says when to come back.
func TestADrainingServerRefusesSessions(t *testing.T) {
	for _, after := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			push := tunneltest.NewServer(t, server.WithReconnectAfter(after))
			began := make(chan struct{}, 1)
			push.Connect(t, "c1", hangs(began))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go ask(ctx, push.Client("c1"))
			<-began
			done := make(chan error, 1)
			go func() { done <- push.Shutdown(t.Context()) }()
			synctest.Wait()
			for _, state := range []string{"draining", "closed"} {
				err := dialRaw(t, push.Dial(t), "clientname", "c2").end()
				wantCode(t, err, codes.Unavailable)
				var got time.Duration
				for _, d := range status.Convert(err).Details() {
					if info, ok := d.(*errdetails.RetryInfo); ok {
						got = info.GetRetryDelay().AsDuration()
					}
				}
				if got != after {
					t.Errorf("%s: got a RetryInfo of %v, want %v", state, got, after)
				}
				cancel()
				if state == "draining" {
					if err := <-done; err != nil {
						t.Errorf("got %v, want nil", err)
					}
				}
			}
		})
	}
}

// The clients of a server that drains are told to come back later, and take
// calls until they go.
func TestADrainingServerCallsItsClientsUntilTheyGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithReconnectAfter(3*time.Second))
		r := dialRaw(t, push.Dial(t), "clientname", "c1")
		r.hello(&pb.Hello{})
		done := make(chan error, 1)
		go func() { done <- push.Shutdown(t.Context()) }()
		batch, err := r.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := batch.GetFrames()[0].GetGoAway(); got.GetReconnectAfterMs() != 3000 || got.GetReason() != "the server shuts down" {
			t.Fatalf("got %v, want a go_away with its reason and 3000 ms", batch)
		}
		wantSame(t, "sessions that take calls", names(push), []string{"c1"})
		answered := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), push.Client("c1"))
			answered <- err
		}()
		batch, err = r.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		frames := batch.GetFrames()
		call := frames[len(frames)-1]
		if call.GetBegin() == nil {
			t.Fatalf("got %v, want a call", batch)
		}
		r.send(&pb.Frame{GoAway: &pb.GoAway{}})
		synctest.Wait()
		wantSame(t, "sessions after the client's go_away", names(push), []string{})
		r.send(&pb.Frame{CallId: call.GetCallId(), Message: []byte{}, End: &pb.End{Status: &pb.Status{}}})
		if err := <-answered; err != nil {
			t.Errorf("the call under way: got %v, want an answer", err)
		}
		if err := r.stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}

// Close does not wait for those who have not said hello.
func TestCloseDoesNotWaitForHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		r := dialRaw(t, push.Dial(t), "clientname", "c1")
		synctest.Wait()
		start := time.Now()
		if err := push.Close(); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("got an end after %v, want it at once", got)
		}
		r.wantEnd(codes.Unavailable)
	})
}
