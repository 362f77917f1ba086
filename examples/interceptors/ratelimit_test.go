package main

import (
	"context"
	"testing"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/ratelimit"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/interceptors"
)

// testRateLimit pushes with a limit of two at once.
func testRateLimit(calling interceptors.Caller, serving interceptors.Handler, l *rateLimit, t *testing.T) {
	t.Helper()
	calls := 0
	handle := func(context.Context, string) error {
		calls++
		return nil
	}
	each(t, calling, serving, handle, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		calls = 0
		l.Limiter = rate.NewLimiter(rate.Every(24*time.Hour), 2)
		wantCode(t, w.push(within(t), cc, ""), codes.OK)
		wantCode(t, w.push(within(t), cc, ""), codes.OK)
		want := codes.ResourceExhausted
		if calling.Unary == nil {
			want = w.code(want)
		}
		wantCode(t, w.push(within(t), cc, ""), want)
		if calls != 2 {
			t.Errorf("the handler ran %d times, want twice", calls)
		}
	})
}

func TestRateLimitCalling(t *testing.T) {
	l := &rateLimit{}
	testRateLimit(interceptors.Caller{Unary: ratelimit.UnaryClientInterceptor(l), Stream: ratelimit.StreamClientInterceptor(l)}, interceptors.Handler{}, l, t)
}

func TestRateLimitServing(t *testing.T) {
	l := &rateLimit{}
	testRateLimit(interceptors.Caller{}, interceptors.Handler{Unary: ratelimit.UnaryServerInterceptor(l), Stream: ratelimit.StreamServerInterceptor(l)}, l, t)
}
