package server_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// crowd returns n sessions that are only good for being counted.
func crowd(n int) []*server.Session {
	sessions := make([]*server.Session, n)
	for i := range sessions {
		sessions[i] = new(server.Session)
	}
	return sessions
}

func TestFanoutCallsEachSessionOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		want := []string{"a", "b", "c", "d", "e"}
		for _, name := range want {
			push.Connect(t, name, answers("I am "+name))
		}
		push.Connect(t, "f", nil)
		var got []string
		for s, r := range server.Fanout(t.Context(), push.Sessions(), func(ctx context.Context, s *server.Session) (string, error) {
			return ask(ctx, s)
		}) {
			if s.Name() == "f" {
				wantCode(t, r.Err, codes.Unimplemented)
				continue
			}
			if want := "I am " + s.Name(); r.Value != want || r.Err != nil {
				t.Errorf("session %q: got %q, %v, want %q", s.Name(), r.Value, r.Err, want)
			}
			got = append(got, s.Name())
		}
		slices.Sort(got)
		wantSame(t, "sessions", got, want)
	})
}

func TestFanoutOfNothingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		for range server.Fanout(t.Context(), push.Sessions(), func(context.Context, *server.Session) (int, error) {
			t.Error("a call to nobody")
			return 0, nil
		}) {
			t.Error("a result of nobody")
		}
	})
}

func TestFanoutYieldsEachResultAsItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := crowd(5)
		start := time.Now()
		next := 5
		for s, r := range server.Fanout(t.Context(), slices.Values(sessions), func(_ context.Context, s *server.Session) (int, error) {
			i := slices.Index(sessions, s)
			time.Sleep(time.Duration(5-i) * time.Second)
			return i, nil
		}) {
			next--
			if r.Value != next || s != sessions[next] {
				t.Errorf("got the result of session %d, want that of %d, which is done first", r.Value, next)
			}
			if got, want := time.Since(start), time.Duration(5-next)*time.Second; got != want {
				t.Errorf("session %d: got a result after %v, want it after %v", next, got, want)
			}
		}
		if next != 0 {
			t.Errorf("got %d results, want 5", 5-next)
		}
	})
}

func TestFanoutIsBounded(t *testing.T) {
	for _, test := range []struct {
		why      string
		sessions int
		opts     []server.FanoutOption
		want     int64
		rounds   time.Duration
	}{
		{"by 64 if nothing is said", 200, nil, 64, 4},
		{"by what is said", 10, []server.FanoutOption{server.Parallel(3)}, 3, 4},
		{"by the sessions", 5, []server.FanoutOption{server.Parallel(100)}, 5, 1},
		{"by one at least", 4, []server.FanoutOption{server.Parallel(-1)}, 1, 4},
	} {
		t.Run(test.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int64
				start := time.Now()
				results := 0
				for range server.Fanout(t.Context(), slices.Values(crowd(test.sessions)), func(context.Context, *server.Session) (int, error) {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return 0, nil
				}, test.opts...) {
					results++
				}
				if got := most.Load(); got != test.want {
					t.Errorf("got %d calls at a time, want %d", got, test.want)
				}
				if results != test.sessions {
					t.Errorf("got %d results, want %d", results, test.sessions)
				}
				if got, want := time.Since(start), test.rounds*time.Second; got != want {
					t.Errorf("got an end after %v, want it after %v", got, want)
				}
			})
		})
	}
}

// A loop that is left early cancels what is under way, begins nothing more, and
// waits for what was under way.
func TestFanoutLeftEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		var cancelled atomic.Int64
		push.Connect(t, "quick", answers("quick"))
		for _, name := range []string{"slow1", "slow2", "slow3", "slow4"} {
			push.Connect(t, name, (&service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				<-ctx.Done()
				cancelled.Add(1)
				return nil, ctx.Err()
			}}).register)
		}
		var calls, returned atomic.Int64
		for s := range server.Fanout(t.Context(), push.Sessions(), func(ctx context.Context, s *server.Session) (string, error) {
			defer returned.Add(1)
			calls.Add(1)
			return ask(ctx, s)
		}, server.Parallel(3)) {
			if s.Name() != "quick" {
				t.Errorf("got the result of %q first, want that of quick", s.Name())
			}
			synctest.Wait() // until three are under way
			break
		}
		if got := calls.Load(); got != 4 {
			t.Errorf("got %d calls, want 4: the quick one and three beside it", got)
		}
		if got := returned.Load(); got != calls.Load() {
			t.Errorf("got %d calls that had returned, want all %d", got, calls.Load())
		}
		synctest.Wait()
		if got := cancelled.Load(); got != 3 {
			t.Errorf("got %d handlers that were cancelled, want 3", got)
		}
	})
}

func TestFanoutLeftEarlyLeavesNoGoroutine(t *testing.T) {
	// The bubble fails if a goroutine is left.
	for results := range 4 {
		synctest.Test(t, func(t *testing.T) {
			got := 0
			for range server.Fanout(t.Context(), slices.Values(crowd(1000)), func(context.Context, *server.Session) (int, error) { return 0, nil }, server.Parallel(7)) {
				if got++; got > results {
					break
				}
			}
		})
	}
}

func TestFanoutWhoseContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		sessions := crowd(10)
		var calls atomic.Int64
		done, failed := 0, 0
		for _, r := range server.Fanout(ctx, slices.Values(sessions), func(ctx context.Context, _ *server.Session) (int, error) {
			calls.Add(1)
			timer := time.NewTimer(time.Minute)
			defer timer.Stop()
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-timer.C:
				return 1, nil
			}
		}, server.Parallel(2)) {
			switch {
			case r.Err == nil && r.Value == 1:
				done++
			case errors.Is(r.Err, context.DeadlineExceeded):
				failed++
			default:
				t.Errorf("got %d, %v, want 1 or a deadline", r.Value, r.Err)
			}
		}
		if done != 2 || failed != 8 || calls.Load() != 4 {
			t.Errorf("got %d results, %d deadlines and %d calls, want 2, 8 and 4", done, failed, calls.Load())
		}
	})
}
