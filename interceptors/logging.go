package interceptors

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/internal/finish"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Logging writes a line for each push when it has ended, with the keys client,
// namespace (if it is not the default one), session (that of the last attempt, if
// one was found), method, code, outcome (see tunnel.Outcome), reason (of an error)
// and duration. A stream has ended when its context is over or the caller has read
// its end, whichever is first. Fields of logging.InjectFields are added.
//
// It is go-grpc-middleware's interceptor, and takes its options; but there is no
// other event than the end of a call. The level is that of
// logging.DefaultServerCodeToLevel: INFO for OK and for what is the caller's or the
// client's business, WARN for what load or absence can cause, ERROR for the rest.
// logging.WithLevels changes it.
func Logging(l *slog.Logger, opts ...logging.Option) Caller {
	opts = logOptions(opts)
	unary := logging.UnaryClientInterceptor(lines(l, "push ended"), opts...)
	stream := logging.StreamClientInterceptor(lines(l, "push ended"), opts...)
	return Caller{
		Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			c, ctx := newLogged(ctx, method)
			_ = unary(ctx, method, req, reply, cc, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
				c.err = invoke(ctx, method, req, reply, cc, opts...)
				return plain(c.err)
			}, opts...)
			return c.err
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			// The middleware hears of a stream's end from its reader. This one is
			// told by gRPC, for streams that nobody reads to their end, and then
			// reads from what the middleware has.
			c, ctx := newLogged(ctx, method)
			watched, err := stream(ctx, desc, cc, method, func(inner context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
				ctx = inner
				return c, nil
			})
			if err != nil {
				return nil, err
			}
			held, opts := finish.Hold(append(slices.Clip(opts), grpc.OnFinish(func(err error) {
				c.err = err
				_ = watched.RecvMsg(nil)
			})))
			s, err := next(ctx, desc, cc, method, opts...)
			held.Settle(err)
			return s, err
		},
	}
}

// HandlerLogging is Logging for the end that serves: a line for each push when its
// handler has returned. client and namespace are this end's own; there is no outcome,
// and no session at a native client, which does not know its id.
func HandlerLogging(l *slog.Logger, opts ...logging.Option) Handler {
	opts = logOptions(opts)
	unary := logging.UnaryServerInterceptor(lines(l, "push served"), opts...)
	stream := logging.StreamServerInterceptor(lines(l, "push served"), opts...)
	return Handler{
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			c, ctx := newLogged(ctx, info.FullMethod)
			reply, _ := unary(ctx, req, info, func(ctx context.Context, req any) (reply any, err error) {
				reply, c.err = handler(ctx, req)
				return reply, plain(c.err)
			})
			return reply, c.err
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			c, ctx := newLogged(ss.Context(), info.FullMethod)
			_ = stream(srv, &streamIn{ss, ctx}, info, func(srv any, ss grpc.ServerStream) error {
				c.err = handler(srv, ss)
				return plain(c.err)
			})
			return c.err
		},
	}
}

// streamIn is a stream with another context.
type streamIn struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // what Context returns
}

func (s *streamIn) Context() context.Context { return s.ctx }

func logOptions(opts []logging.Option) []logging.Option {
	mine := []logging.Option{logging.WithLevels(logging.DefaultServerCodeToLevel)}
	return append(append(mine, opts...), logging.WithLogOnEvents(logging.FinishCall), logging.WithDurationField(durationField))
}

// logged is a call that is to be logged. To the middleware it also is a stream that
// has nothing but an end.
type logged struct {
	grpc.ClientStream
	method string
	err    error // set when the call has ended
}

type loggedKey struct{}

func newLogged(ctx context.Context, method string) (*logged, context.Context) {
	c := &logged{method: method}
	return c, context.WithValue(ctx, loggedKey{}, c)
}

// RecvMsg returns the end.
func (c *logged) RecvMsg(any) error {
	if c.err == nil {
		return io.EOF
	}
	return plain(c.err)
}

// plain returns an error of the status that the other end is told, or this end's
// caller: to the middleware all that has io.EOF as a cause is a success.
func plain(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	return tunnel.NewError(st, tunnel.OutcomeOf(err), nil)
}
