package client

import (
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestPermanent(t *testing.T) {
	permanent := map[codes.Code]bool{
		codes.InvalidArgument: true, codes.AlreadyExists: true, codes.PermissionDenied: true, codes.Unauthenticated: true,
		codes.FailedPrecondition: true, codes.Unimplemented: true, codes.Aborted: true,
	}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if got, want := Permanent(status.Error(code, "because")), permanent[code]; got != want {
			t.Errorf("%v: got %v, want %v", code, got, want)
		}
	}
	if Permanent(errors.New("not a status")) {
		t.Error("an error without a status: got true, want false")
	}
}

func TestCeilingGrowsToTheMost(t *testing.T) {
	c := backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: 10 * time.Second}
	for failures, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if got := ceiling(c, failures); got != want*time.Second {
			t.Errorf("after %d failures: got %v, want %v", failures, got, want*time.Second)
		}
	}
	if got := ceiling(c, math.MaxInt32); got != 10*time.Second {
		t.Errorf("after very many failures: got %v, want 10s", got)
	}
	if got := ceiling(backoff.Config{}, 5); got != 0 {
		t.Errorf("without a backoff: got %v, want 0", got)
	}
}

// A few connections that end soon are left soon. If there are more it takes longer
// and longer, until a session has lasted.
func TestMoveIsQuickAtFirst(t *testing.T) {
	r := retry{config: backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: 10 * time.Second}}
	for round := range 2 {
		for n, want := range []time.Duration{1, 1, 1, 1, 1, 2, 4, 8, 10, 10} {
			most := time.Duration(0)
			for range 200 {
				again := r
				most = max(most, again.move())
			}
			r.move()
			if want *= time.Second; most >= want || most < want*9/10 {
				t.Errorf("round %d, move %d: got up to %v, want almost %v", round, n, most, want)
			}
		}
		r.reset()
	}
}

func withRetryInfo(d time.Duration) error {
	st, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	if err != nil {
		return err
	}
	return st.Err()
}

// All of the wait is random, between nothing and the ceiling.
func TestNextHasFullJitter(t *testing.T) {
	lost := status.Error(codes.Unavailable, "lost")
	for why, err := range map[string]error{
		"no word of the server's":          lost,
		"a word that says nothing":         withRetryInfo(0),
		"a word that says less":            withRetryInfo(-time.Second),
		"an error without a status":        errors.New("lost"),
		"no error, since the server moves": nil,
	} {
		r := retry{config: backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: 10 * time.Second, Jitter: 0.2}}
		for failures, ceiling := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			ceiling *= time.Second
			least, most, sum := ceiling, time.Duration(0), time.Duration(0)
			const n = 2000
			for range n {
				r.failures = failures
				d := r.next(err)
				least, most, sum = min(least, d), max(most, d), sum+d
			}
			if least < 0 || least > ceiling/50 || most < ceiling-ceiling/50 || most >= ceiling {
				t.Errorf("%s, %d failures: got waits from %v to %v, want all of 0s to %v", why, failures, least, most, ceiling)
			}
			if mean := sum / n; mean < ceiling*2/5 || mean > ceiling*3/5 {
				t.Errorf("%s, %d failures: got a mean of %v, want about %v", why, failures, mean, ceiling/2)
			}
		}
	}
}

func TestNextCountsFailures(t *testing.T) {
	r := retry{config: backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: 10 * time.Second}}
	for range 3 {
		r.next(withRetryInfo(time.Second))
	}
	if r.failures != 3 {
		t.Errorf("got %d failures, want 3", r.failures)
	}
	if r.reset(); r.failures != 0 {
		t.Errorf("after a reset: got %d failures, want 0", r.failures)
	}
}

// The server's word goes before the backoff; nobody is early, and not all come
// at the same time.
func TestNextHonoursRetryInfo(t *testing.T) {
	for _, test := range []struct{ asked, least, most time.Duration }{
		{time.Millisecond, time.Millisecond, 2 * time.Millisecond},
		{time.Minute, time.Minute, 2 * time.Minute},
		{24 * time.Hour, time.Hour, 2 * time.Hour},
	} {
		r := retry{config: backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: 10 * time.Second}}
		least, most := 10*test.most, time.Duration(0)
		for range 1000 {
			d := r.next(withRetryInfo(test.asked))
			least, most = min(least, d), max(most, d)
		}
		slack := (test.most - test.least) / 20
		if least < test.least || least > test.least+slack || most >= test.most || most < test.most-slack {
			t.Errorf("asked for %v: got waits from %v to %v, want all of %v to %v", test.asked, least, most, test.least, test.most)
		}
	}
}
