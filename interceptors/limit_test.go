package interceptors_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	pb "github.com/pushtunnel/pushtunnel/examples/native/userpushpb"
	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// wantLimit checks that a push was not sent because of this limit.
func wantLimit(t *testing.T, err error, want tunnel.Limit) {
	t.Helper()
	wantError(t, err, codes.ResourceExhausted, tunnel.OutcomeNotSent)
	if got, ok := tunnel.LimitOf(err); !ok || got != want {
		t.Fatalf("got the limit %q, %v, want %q", got, ok, want)
	}
	// The same holds where the error is passed on as a status.
	if got, _ := tunnel.LimitOf(status.Convert(err).Err()); got != want {
		t.Fatalf("as a status: got the limit %q, want %q", got, want)
	}
}

func TestLimitInFlight(t *testing.T) {
	inBubble(t, func(t *testing.T, way string) {
		w := newWorld(t, callers(interceptors.LimitPerClient(interceptors.ClientLimit{InFlight: 2})))
		release := make(chan struct{})
		hang := &service{receive: func(context.Context, *pb.ClientReceiveRequest) (*pb.PushResult, error) {
			<-release
			return &pb.PushResult{}, nil
		}}
		w.connect(t, way, "c1", hang, nil)
		w.connect(t, way, "c1", hang, nil)
		w.connect(t, way, "c2", &service{}, nil)
		pushed := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := receive(t.Context(), w.Client("c1"), "")
				pushed <- err
			}()
		}
		synctest.Wait()
		_, err := receive(t.Context(), w.Client("c1"), "")
		wantLimit(t, err, interceptors.LimitInFlight)
		for s := range w.Sessions("c1") {
			_, err := receive(t.Context(), s, "")
			wantLimit(t, err, interceptors.LimitInFlight)
		}
		if _, err := receive(t.Context(), w.Client("c2"), ""); err != nil {
			t.Fatal(err)
		}
		_, err = receive(t.Context(), w.Namespace("n").Client("c1"), "")
		wantError(t, err, codes.Unavailable, tunnel.OutcomeNotSent) // another client, who is not there
		close(release)
		for range 2 {
			if err := <-pushed; err != nil {
				t.Fatal(err)
			}
		}
		if _, err := receive(t.Context(), w.Client("c1"), ""); err != nil {
			t.Fatal(err)
		}
	})
}

// A stream counts until it has ended, even if nobody reads it, and one that could
// not begin does not count.
func TestLimitInFlightOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, callers(interceptors.LimitPerClient(interceptors.ClientLimit{InFlight: 1})))
		stub := testgrpc.NewTestServiceClient(w.Client("c1"))
		for range 3 {
			_, err := stub.FullDuplexCall(t.Context())
			wantError(t, err, codes.Unavailable, tunnel.OutcomeNotSent)
		}
		w.connect(t, "grpc", "c1", &service{duplex: func(s testgrpc.TestService_FullDuplexCallServer) error {
			_, err := s.Recv()
			return err
		}}, nil)
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := stub.FullDuplexCall(ctx); err != nil {
				t.Fatal(err)
			}
			_, err := stub.FullDuplexCall(ctx)
			wantLimit(t, err, interceptors.LimitInFlight)
			_, err = receive(t.Context(), w.Client("c1"), "")
			wantLimit(t, err, interceptors.LimitInFlight)
			cancel()
			synctest.Wait()
		}
		s, err := stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_, _ = s.Recv()
		if _, err := receive(t.Context(), w.Client("c1"), ""); err != nil {
			t.Fatal(err)
		}
	})
}

// One that another interceptor did not let begin does not count either.
func TestLimitInFlightOfStreamsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := status.Error(codes.NotFound, "no")
		w := newWorld(t, callers(interceptors.LimitPerClient(interceptors.ClientLimit{InFlight: 1}), answer(func(context.Context, string) error { return no })))
		for range 3 {
			if _, err := testgrpc.NewTestServiceClient(w.Client("c1")).FullDuplexCall(t.Context()); err != no {
				t.Fatalf("got %v, want the other interceptor's error", err)
			}
		}
	})
}

func TestLimitRate(t *testing.T) {
	inBubble(t, func(t *testing.T, way string) {
		w := newWorld(t, callers(interceptors.LimitPerClient(interceptors.ClientLimit{Rate: 2, Burst: 3})))
		w.connect(t, way, "c1", &service{}, nil)
		w.connect(t, way, "c2", &service{}, nil)
		push := func(want int) {
			t.Helper()
			for got := 0; ; got++ {
				_, err := receive(t.Context(), w.Client("c1"), "")
				if err == nil && got < 100 {
					continue
				}
				wantLimit(t, err, interceptors.LimitRate)
				if got != want {
					t.Fatalf("got %d pushes, want %d", got, want)
				}
				for _, d := range status.Convert(err).Details() {
					if info, ok := d.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() == 500*time.Millisecond {
						return
					}
				}
				t.Fatalf("got the details %v, want a RetryInfo of 500 ms", status.Convert(err).Details())
			}
		}
		push(3)
		if _, err := receive(t.Context(), w.Client("c2"), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		push(2)
		time.Sleep(time.Hour)
		push(3)
	})
}

// Inside of RetryNotSent a limit is waited for.
func TestLimitRateWithRetry(t *testing.T) {
	inBubble(t, func(t *testing.T, way string) {
		w := newWorld(t, callers(interceptors.RetryNotSent(interceptors.Retry{}), interceptors.LimitPerClient(interceptors.ClientLimit{Rate: 1})))
		w.connect(t, way, "c1", &service{}, nil)
		began := time.Now()
		for range 5 {
			if _, err := receive(t.Context(), w.Client("c1"), ""); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("5 pushes at 1 a second took %v, want 4 s to 5 s", took)
		}
	})
}
