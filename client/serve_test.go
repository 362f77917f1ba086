package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
)

func TestServeEndsWithItsContext(t *testing.T) {
	type state struct {
		why  string
		play func(int, stream) error
		opts []client.Option
	}
	states := []state{
		{"while it serves", serve, nil},
		{"while it waits for a hello", func(_ int, s stream) error { return finish(s) }, nil},
		{
			"while it waits before it tries again", func(int, stream) error { return status.Error(codes.Unavailable, "away") },
			[]client.Option{client.WithBackoff(backoff.Config{BaseDelay: 1000 * time.Hour, MaxDelay: 1000 * time.Hour, Multiplier: 1})},
		},
	}
	for _, state := range states {
		t.Run(state.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc := play(t, state.play)
				for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if want == context.Canceled {
						time.AfterFunc(time.Second/2, cancel)
					}
					if err := client.New(cc, "c1", state.opts...).Serve(ctx); !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
					if want == context.Canceled {
						elapsed(t, start, time.Second/2)
					} else {
						elapsed(t, start, time.Second)
					}
					cancel()
					if err := client.New(cc, "c1", state.opts...).Serve(ctx); !errors.Is(err, want) {
						t.Errorf("a context that has ended before: got %v, want %v", err, want)
					}
				}
			})
		})
	}
}

// The client stops at once on a status that does not heal, whenever it comes.
func TestServeStopsOnWhatDoesNotHeal(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		for when, connected := range map[string]bool{"as an answer to its hello": false, "in the middle": true} {
			t.Run(code.String()+" "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					refused := status.Error(code, "because")
					retries := newRetries()
					start := time.Now()
					c := run(t, play(t, func(n int, s stream) error {
						switch {
						case n > 0:
							return serve(n, s)
						case connected:
							if _, err := welcome(n, s); err != nil {
								return err
							}
						}
						return refused
					}), retries.option())
					if !client.Permanent(refused) {
						<-retries.times
						if got := status.Convert(retries.errs[0]); got.Code() != code || got.Message() != "because" {
							t.Errorf("the Retry hook: got %v, want %v", retries.errs[0], refused)
						}
						return
					}
					<-c.served
					elapsed(t, start, 0)
					if got := status.Convert(c.err); got.Code() != code || got.Message() != "because" {
						t.Errorf("Serve: got %v, want %v", c.err, refused)
					}
					if got := len(retries.at); got != 0 {
						t.Errorf("got %d retries, want none", got)
					}
				})
			})
		}
	}
}

func TestServeStopsAtAServerWithoutTunnels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := client.New(listen(t, func(*grpc.Server) {}), "c1").Serve(t.Context())
		wantCode(t, err, codes.Unimplemented)
	})
}

func TestOnlyOneServeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		came := newConnections()
		c := run(t, play(t, serve), came.option())
		<-came.came
		if err := c.Serve(t.Context()); !errors.Is(err, client.ErrServing) {
			t.Errorf("got %v, want ErrServing", err)
		}
		c.cancel()
		c.wantServed(t, context.Canceled)

		// One after the other is fine.
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-came.came
			cancel()
		}()
		if err := c.Serve(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the next Serve: got %v, want %v", err, context.Canceled)
		}
	})
}

// A server that accepts connections and never says a word does not hold up the
// client for longer than it is allowed.
func TestConnectingTakesOnlySoLong(t *testing.T) {
	for _, test := range []struct {
		why  string
		play func(int, stream) error
		opts []client.Option
		want time.Duration
		code codes.Code
	}{
		{
			"the connect timeout", func(_ int, s stream) error { return finish(s) },
			[]client.Option{client.WithConnectTimeout(3 * time.Second)},
			3 * time.Second, codes.Unavailable,
		},
		{"the handshake's", func(_ int, s stream) error { return finish(s) }, nil, 10 * time.Second, codes.DeadlineExceeded},
	} {
		t.Run(test.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				retries := newRetries()
				start := time.Now()
				run(t, play(t, test.play), append(test.opts, retries.option())...)
				<-retries.times
				elapsed(t, start, test.want)
				wantCode(t, retries.errs[0], test.code)
			})
		})
	}
	t.Run("the connect timeout, though nobody answers the dial", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			retries := newRetries()
			start := time.Now()
			run(t, connection(t, hangingDial), retries.option())
			<-retries.times
			elapsed(t, start, 20*time.Second)
			wantCode(t, retries.errs[0], codes.Unavailable)
		})
	})
}
