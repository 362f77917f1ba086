package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/ratelimit"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/timeout"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// callerChain is what a server has around its pushes, the outermost first.
func callerChain(log *slog.Logger, m *grpcprom.ClientMetrics, allow interceptors.Policy) []interceptors.Caller {
	return []interceptors.Caller{
		{Unary: m.UnaryClientInterceptor(), Stream: m.StreamClientInterceptor()},
		interceptors.Logging(log),
		interceptors.Authorize(allow),
		// No push without a deadline, all its attempts together.
		{Unary: timeout.UnaryClientInterceptor(30 * time.Second)},
		interceptors.IdempotencyKey(),
		// What may have run is repeated, since the clients know the key. Streams are
		// not: Deduplicate is for unary pushes.
		{Unary: retry.UnaryClientInterceptor(retry.WithMax(3), retry.WithRetriable(lostOnTheWay),
			retry.WithBackoff(retry.BackoffExponentialWithJitter(200*time.Millisecond, 0.2)))},
		// What was never sent is repeated without a second thought.
		interceptors.RetryNotSent(interceptors.Retry{}),
		interceptors.LimitPerClient(interceptors.ClientLimit{InFlight: 100, Rate: 2, Burst: 5}),
	}
}

// lostOnTheWay reports whether a push was sent and its session lost: nobody knows
// whether its handler has run.
func lostOnTheWay(err error) bool {
	return tunnel.OutcomeOf(err) == tunnel.OutcomeUnknown && status.Code(err) == codes.Unavailable
}

// handlerChain is what a client has around its handlers, the outermost first.
func handlerChain(log *slog.Logger, m *grpcprom.ServerMetrics) []interceptors.Handler {
	busy := &rateLimit{rate.NewLimiter(1000, 1000)}
	// Without this the caller is told what the panic was, and the stack.
	panicked := recovery.WithRecoveryHandlerContext(func(ctx context.Context, v any) error {
		log.ErrorContext(ctx, "the handler has panicked", "panic", v) // and debug.Stack, in earnest
		return status.Error(codes.Internal, "the handler has panicked")
	})
	return []interceptors.Handler{
		{Unary: m.UnaryServerInterceptor(), Stream: m.StreamServerInterceptor()},
		interceptors.HandlerLogging(log),
		{Unary: ratelimit.UnaryServerInterceptor(busy), Stream: ratelimit.StreamServerInterceptor(busy)},
		interceptors.Deduplicate(interceptors.Window{}),
		{Unary: recovery.UnaryServerInterceptor(panicked), Stream: recovery.StreamServerInterceptor(panicked)},
	}
}

// rateLimit is golang.org/x/time/rate as the middleware wants it.
type rateLimit struct{ *rate.Limiter }

// Limit refuses what comes too soon.
func (l *rateLimit) Limit(context.Context) error {
	if !l.Allow() {
		return errors.New("the client is busy")
	}
	return nil
}
