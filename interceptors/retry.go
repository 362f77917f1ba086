package interceptors

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/finish"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Retry sets up RetryNotSent. The zero value has the defaults.
type Retry struct {
	// MaxAttempts is how often a push is tried in all. If zero, 5.
	MaxAttempts int
	// Backoff says how long to wait before the next attempt. If its BaseDelay is
	// zero, it is 200 ms, 1.6 times as much each time, 5 s at most, and a fifth of
	// it at random.
	Backoff backoff.Config
}

func (r Retry) withDefaults() Retry {
	if r.MaxAttempts == 0 {
		r.MaxAttempts = 5
	}
	if r.Backoff.BaseDelay == 0 {
		r.Backoff = backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}
	}
	return r
}

// RetryNotSent repeats a push that failed with UNAVAILABLE or RESOURCE_EXHAUSTED and
// of which nothing has left this end: tunnel.NotSent. So no handler runs twice. It
// bridges the moment in which a client is between two sessions, and limits of this
// end. All else is the caller's to repeat: see IdempotencyKey.
//
// An error that says when to come back, by a RetryInfo, is not tried before that.
// An attempt that could only begin after the context's deadline is not made. The
// error is that of the last attempt, with its outcome; if the context ends while
// the push waits, it is the context's, and not sent.
//
// Of a stream the beginning is repeated, no more: once NewStream has returned a
// stream, its errors are the caller's.
func RetryNotSent(r Retry) Caller {
	r = r.withDefaults()
	return Caller{
		Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return r.run(ctx, opts, func(opts []grpc.CallOption) error {
				return invoke(ctx, method, req, reply, cc, opts...)
			})
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (stream grpc.ClientStream, err error) {
			err = r.run(ctx, opts, func(opts []grpc.CallOption) error {
				stream, err = next(ctx, desc, cc, method, opts...)
				return err
			})
			if err != nil {
				return nil, err
			}
			return stream, nil
		},
	}
}

// run makes attempts until one is the last.
func (r Retry) run(ctx context.Context, opts []grpc.CallOption, attempt func([]grpc.CallOption) error) error {
	held, opts := finish.Hold(opts)
	var err error
	for failures := 0; ; {
		if err = attempt(opts); err == nil || !repeatable(err) {
			break
		}
		failures++
		wait := delay(r.Backoff, failures, askedDelay(err), rand.Float64()) //nolint:gosec // jitter needs no secrecy
		if failures >= r.MaxAttempts || !inTime(ctx, wait) {
			break
		}
		if stop := pause(ctx, wait); stop != nil {
			err = tunnel.NewError(status.FromContextError(stop), tunnel.OutcomeNotSent, err)
			break
		}
		held.Discard()
	}
	held.Settle(err)
	return err
}

// repeatable reports whether a push that failed with err may be made again, and
// may fare better.
func repeatable(err error) bool {
	if !tunnel.NotSent(err) {
		return false
	}
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.ResourceExhausted
}

// inTime reports whether ctx lasts for longer than d.
func inTime(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > d
}

// pause waits for d. It returns ctx's error if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
