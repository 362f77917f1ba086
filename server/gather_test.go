package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// The clients of a gathering answer after as many seconds as their name has
// letters, and fail if it begins with x.
func gathering(t *testing.T, names ...string) (push *tunneltest.Server, call func(context.Context, *server.Session) (string, error), running *atomic.Int32) {
	push = tunneltest.NewServer(t)
	for _, name := range names {
		push.Connect(t, name, nil)
	}
	running = &atomic.Int32{}
	call = func(ctx context.Context, s *server.Session) (string, error) {
		running.Add(1)
		defer running.Add(-1)
		select {
		case <-time.After(time.Duration(len(s.Name())) * time.Second):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if s.Name()[0] == 'x' {
			return "", status.Error(codes.DataLoss, s.Name()+" has failed")
		}
		return s.Name(), nil
	}
	return push, call, running
}

func TestGather(t *testing.T) {
	type result struct {
		answers []string
		after   time.Duration
		err     string // what the error's text begins with; empty: none
	}
	type gather func(context.Context, *tunneltest.Server, func(context.Context, *server.Session) (string, error), ...server.FanoutOption) ([]server.Answer[string], error)
	first := gather(func(ctx context.Context, push *tunneltest.Server, call func(context.Context, *server.Session) (string, error), opts ...server.FanoutOption) ([]server.Answer[string], error) {
		a, err := server.First(ctx, push.Sessions(), call, opts...)
		if err != nil {
			return nil, err
		}
		return []server.Answer[string]{a}, nil
	})
	firstN := func(n int) gather {
		return func(ctx context.Context, push *tunneltest.Server, call func(context.Context, *server.Session) (string, error), opts ...server.FanoutOption) ([]server.Answer[string], error) {
			return server.FirstN(ctx, n, push.Sessions(), call, opts...)
		}
	}
	quorum := gather(func(ctx context.Context, push *tunneltest.Server, call func(context.Context, *server.Session) (string, error), opts ...server.FanoutOption) ([]server.Answer[string], error) {
		return server.Quorum(ctx, push.Sessions(), call, opts...)
	})
	all := gather(func(ctx context.Context, push *tunneltest.Server, call func(context.Context, *server.Session) (string, error), opts ...server.FanoutOption) ([]server.Answer[string], error) {
		return server.All(ctx, push.Sessions(), call, opts...)
	})
	for _, test := range []struct {
		what    string
		gather  gather
		opts    []server.FanoutOption
		clients string
		want    result
	}{
		{"the first", first, nil, "aaa b cc", result{[]string{"b"}, time.Second, ""}},
		{"the first, though one has failed before", first, nil, "aaa x cc", result{[]string{"cc"}, 2 * time.Second, ""}},
		{"the first, one by one", first, []server.FanoutOption{server.Parallel(1)}, "xxx aa b", result{[]string{"aa"}, 5 * time.Second, ""}},
		{"the first of none", first, nil, "", result{nil, 0, "pushtunnel: 0 of 0 sessions have answered, 1 were wanted"}},
		{"the first of those that fail", first, nil, "xx x", result{nil, 2 * time.Second, "pushtunnel: 0 of 2 sessions have answered, 1 were wanted: x has failed"}},
		{"two", firstN(2), nil, "aaa b cc dddd", result{[]string{"b", "cc"}, 2 * time.Second, ""}},
		{"two of one", firstN(2), nil, "a", result{nil, 0, "pushtunnel: 0 of 1 sessions have answered, 2 were wanted"}},
		{"two as soon as they can't be had", firstN(2), nil, "x xx aaa", result{nil, 2 * time.Second, "pushtunnel: 0 of 3 sessions have answered, 2 were wanted: x has failed"}},
		{"none", firstN(0), nil, "a", result{nil, 0, ""}},
		{"more than half of four", quorum, nil, "a bb ccc dddd", result{[]string{"a", "bb", "ccc"}, 3 * time.Second, ""}},
		{"more than half of five", quorum, nil, "a bb xxx x eeeee", result{[]string{"a", "bb", "eeeee"}, 5 * time.Second, ""}},
		{"more than half of three that fail", quorum, nil, "a xx xxx", result{[]string{"a"}, 3 * time.Second, "pushtunnel: 1 of 3 sessions have answered, 2 were wanted: xx has failed"}},
		{"more than half of none", quorum, nil, "", result{nil, 0, "pushtunnel: 0 of 0 sessions have answered, 1 were wanted"}},
		{"all", all, nil, "aaa b cc", result{[]string{"b", "cc", "aaa"}, 3 * time.Second, ""}},
		{"all, of whom one fails", all, nil, "aaa x cc", result{[]string{"cc", "aaa"}, 3 * time.Second, "pushtunnel: 2 of 3 sessions have answered, 3 were wanted: x has failed"}},
		{"all of none", all, nil, "", result{nil, 0, ""}},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				push, call, running := gathering(t, strings.Fields(test.clients)...)
				start := time.Now()
				answers, err := test.gather(t.Context(), push, call, test.opts...)
				if got := time.Since(start); got != test.want.after {
					t.Errorf("it took %v, want %v", got, test.want.after)
				}
				if n := running.Load(); n != 0 {
					t.Errorf("%d calls run on", n)
				}
				got := []string{}
				for _, a := range answers {
					if a.Session.Name() != a.Value {
						t.Errorf("%q has answered for %q", a.Session.Name(), a.Value)
					}
					got = append(got, a.Value)
				}
				wantSame(t, "answers", got, append([]string{}, test.want.answers...))
				if text := fmt.Sprint(err); test.want.err == "" && err != nil || test.want.err != "" && text != test.want.err {
					t.Errorf("got the error %v, want %q", err, test.want.err)
				}
			})
		})
	}
}

func TestTheErrorOfAGathering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push, call, _ := gathering(t, "a", "xx", "x")
		_, err := server.All(t.Context(), push.Sessions(), call)
		var short *server.ShortError
		if !errors.As(err, &short) || short.Want != 3 || short.Got != 1 || short.Asked != 3 || len(short.Failed) != 2 {
			t.Fatalf("got %#v", err)
		}
		wantCode(t, err, codes.DataLoss)
		_, err = server.First(t.Context(), push.Sessions("nobody"), call)
		wantCode(t, err, codes.Unavailable)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err = server.Quorum(ctx, push.Sessions(), call)
		wantCode(t, err, codes.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, which is not the context's error", err)
		}
	})
}
