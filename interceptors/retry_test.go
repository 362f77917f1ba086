package interceptors_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// A push to a client that is away for a moment arrives, once.
func TestRetryReachesAClientThatComes(t *testing.T) {
	inBubble(t, func(t *testing.T, way string) {
		attempts := 0
		w := newWorld(t, callers(interceptors.RetryNotSent(interceptors.Retry{MaxAttempts: 50}), count(&attempts)))
		pushed := make(chan error, 1)
		go func() {
			got, err := receive(t.Context(), w.Client("c1"), "hello")
			if err == nil && got != "hello" {
				err = errors.New("got the answer " + got)
			}
			pushed <- err
		}()
		time.Sleep(time.Second)
		w.start(t, way, "c1", &service{}, nil)
		if err := <-pushed; err != nil {
			t.Fatal(err)
		}
		if attempts < 3 {
			t.Errorf("got %d attempts in more than a second, want 3 or more", attempts)
		}
	})
}

func TestRetryReachesAClientThatComesWithAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, callers(interceptors.RetryNotSent(interceptors.Retry{MaxAttempts: 50})))
		ended, finished := make(chan error, 1), make(chan error, 10)
		go func() {
			s, err := testgrpc.NewTestServiceClient(w.Client("c1")).FullDuplexCall(t.Context(), grpc.OnFinish(func(err error) { finished <- err }))
			if err == nil {
				_, err = s.Recv()
			}
			ended <- err
		}()
		time.Sleep(time.Second)
		w.start(t, "grpc", "c1", &service{duplex: func(testgrpc.TestService_FullDuplexCallServer) error {
			return status.Error(codes.NotFound, "the handler's")
		}}, nil)
		wantError(t, <-ended, codes.NotFound, tunnel.OutcomeAnswered)
		synctest.Wait()
		if len(finished) != 1 {
			t.Errorf("OnFinish was called %d times, want once", len(finished))
		}
	})
}

// What may have been sent is not repeated, and neither is what would fail again.
func TestRetryRepeatsOnlyWhatWasNotSent(t *testing.T) {
	failure := func(code codes.Code, outcome tunnel.Outcome) error {
		return tunnel.NewError(status.New(code, "because"), outcome, nil)
	}
	for _, kind := range kinds {
		for _, tc := range []struct {
			err  error
			want int
		}{
			{failure(codes.Unavailable, tunnel.OutcomeNotSent), 3},
			{failure(codes.ResourceExhausted, tunnel.OutcomeNotSent), 3},
			{failure(codes.InvalidArgument, tunnel.OutcomeNotSent), 1},
			{failure(codes.PermissionDenied, tunnel.OutcomeNotSent), 1},
			{failure(codes.Unavailable, tunnel.OutcomeUnknown), 1},
			{failure(codes.Unavailable, tunnel.OutcomeRefused), 1},
			{failure(codes.Unavailable, tunnel.OutcomeAnswered), 1},
			{status.Error(codes.Unavailable, "not of a tunnel"), 1},
		} {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				w := newWorld(t, callers(interceptors.RetryNotSent(interceptors.Retry{MaxAttempts: 3}), answer(func(context.Context, string) error {
					attempts++
					return tc.err
				})))
				finished := 0
				err := kind.begin(t.Context(), w.Client("c1"), grpc.OnFinish(func(error) { finished++ }))
				if err != tc.err || attempts != tc.want || finished != 1 {
					t.Errorf("%s, %v, %v: got %v after %d attempts, told %d times; want the same error after %d, told once",
						kind.name, tc.err, tunnel.OutcomeOf(tc.err), err, attempts, finished, tc.want)
				}
			})
		}
	}
}

func TestRetryWaits(t *testing.T) {
	busy := status.New(codes.ResourceExhausted, "busy")
	busy, err := busy.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	away := status.New(codes.Unavailable, "away")
	for _, tc := range []struct {
		name     string
		st       *status.Status
		deadline time.Duration
		cancel   time.Duration
		attempts int
		least    time.Duration
		most     time.Duration
		code     codes.Code
	}{
		{"its backoff", away, 0, 0, 3, 410 * time.Millisecond, 640 * time.Millisecond, codes.Unavailable},
		{"as long as it is asked to", busy, 0, 0, 3, 2 * time.Minute, 144 * time.Second, codes.ResourceExhausted},
		{"not beyond the deadline", busy, 90 * time.Second, 0, 2, time.Minute, 72 * time.Second, codes.ResourceExhausted},
		{"not at all for nothing", busy, 59 * time.Second, 0, 1, 0, 0, codes.ResourceExhausted},
		{"not when the context ends", busy, 0, 30 * time.Second, 1, 30 * time.Second, 30 * time.Second, codes.Canceled},
	} {
		for _, kind := range kinds {
			t.Run(tc.name+"/"+kind.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					attempts := 0
					w := newWorld(t, callers(interceptors.RetryNotSent(interceptors.Retry{MaxAttempts: 3}), answer(func(context.Context, string) error {
						attempts++
						return tunnel.NewError(tc.st, tunnel.OutcomeNotSent, nil)
					})))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tc.deadline > 0 {
						ctx, cancel = context.WithTimeout(ctx, tc.deadline)
						defer cancel()
					}
					if tc.cancel > 0 {
						time.AfterFunc(tc.cancel, cancel)
					}
					began := time.Now()
					err := kind.begin(ctx, w.Client("c1"))
					wantError(t, err, tc.code, tunnel.OutcomeNotSent)
					if took := time.Since(began); attempts != tc.attempts || took < tc.least || took > tc.most {
						t.Errorf("got %d attempts in %v, want %d in %v to %v", attempts, took, tc.attempts, tc.least, tc.most)
					}
				})
			})
		}
	}
}
