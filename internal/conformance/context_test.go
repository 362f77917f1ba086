package conformance

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"
)

// deadline notes how long a context has.
func deadline(ctx context.Context, tr *transcript) {
	d, ok := ctx.Deadline()
	tr.handler("has a deadline", ok)
	if ok {
		// gRPC rounds to what fits in 8 digits, a tunnel to microseconds.
		tr.handler("time left", time.Until(d).Round(time.Millisecond))
	}
}

// untilDone waits for the end of a handler's context and notes it.
func untilDone(ctx context.Context, tr *transcript) error {
	began := time.Now()
	<-ctx.Done()
	tr.handler("waited", time.Since(began).Round(time.Millisecond))
	// The handler's own clock and the caller's cancel, sent at the deadline, come
	// at the same instant, in any order.
	err := ctx.Err()
	if _, ok := ctx.Deadline(); ok && errors.Is(err, context.Canceled) {
		err = context.DeadlineExceeded
	}
	tr.handler("context", err)
	return err
}

// waiting are handlers that wait for the end of their context.
func waiting(tr *transcript) handlers {
	return handlers{
		unary: func(ctx context.Context, _ *message) (*message, error) {
			deadline(ctx, tr)
			return nil, untilDone(ctx, tr)
		},
		stream: func(s *served) error {
			deadline(s.Context(), tr)
			return untilDone(s.Context(), tr)
		},
	}
}

func TestDeadline(t *testing.T) {
	// after makes a call with this time left.
	after := func(d time.Duration, f func(ctx context.Context, c *call)) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			began := time.Now()
			f(ctx, c)
			c.tr.caller("took", time.Since(began).Round(time.Millisecond))
		}
	}
	noting := func(tr *transcript) handlers {
		return handlers{unary: func(ctx context.Context, in *message) (*message, error) {
			deadline(ctx, tr)
			return in, nil
		}}
	}
	unary := func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) }
	scenarios := map[string]scenario{
		"none":            {build: noting, call: unary, want: "ok"},
		"of a unary call": {build: waiting, call: after(time.Second, unary), want: "DeadlineExceeded"},
		"of a long time":  {build: noting, call: after(100*24*time.Hour, unary), want: "ok"},
		"of an odd time":  {build: noting, call: after(12345678*time.Microsecond, unary), want: "ok"},
		"has passed":      {build: waiting, call: after(-time.Second, unary), want: "DeadlineExceeded"},
		"is now":          {build: waiting, call: after(0, unary), want: "DeadlineExceeded"},
		"of a call that ends before": {
			build: noting, call: after(time.Second, unary), want: "ok",
		},
		"of a handler that does not care": {
			handlers: handlers{unary: func(_ context.Context, in *message) (*message, error) {
				<-time.After(time.Minute)
				return in, nil
			}},
			call: func(ctx context.Context, c *call) {
				after(time.Second, unary)(ctx, c)
				<-time.After(time.Minute)
			},
			want: "DeadlineExceeded",
		},
		"passes before a stream begins": {
			build: waiting,
			call:  after(-time.Second, func(ctx context.Context, c *call) { c.open(ctx, bidiMethod) }),
			want:  "DeadlineExceeded",
		},
		"passes while nobody reads": {
			build: waiting,
			call: after(time.Second, func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				for s.SendMsg(size(50_000)) == nil {
				}
				s.finish()
			}),
			want: "DeadlineExceeded",
		},
		"passes while the handler sends and nobody reads": {
			build: func(tr *transcript) handlers {
				return handlers{stream: func(s *served) error {
					for s.SendMsg(size(50_000)) == nil {
					}
					return untilDone(s.Context(), tr)
				}}
			},
			call: after(time.Second, func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				<-ctx.Done()
				synctest.Wait()
				// What has come may be read or not: look at the end only.
				var err error
				for err == nil {
					err = s.RecvMsg(&message{})
				}
				c.tr.caller("recv", err)
			}),
			want: "DeadlineExceeded",
		},
	}
	for _, method := range methods {
		scenarios["of "+method] = scenario{
			build: waiting,
			call: after(time.Second, func(ctx context.Context, c *call) {
				s := c.open(ctx, method)
				s.send(text("a"))
				s.finish()
			}),
			want: "DeadlineExceeded",
		}
		scenarios["of a header of "+method] = scenario{
			build: waiting,
			call: after(time.Second, func(ctx context.Context, c *call) {
				s := c.open(ctx, method)
				s.send(text("a"))
				s.header()
				s.finish()
			}),
			want: "DeadlineExceeded",
		}
	}
	compare(t, scenarios)
}

func TestCancel(t *testing.T) {
	// whenHandled calls, and cancels when the handler waits.
	whenHandled := func(f func(ctx context.Context, c *call, cancel func())) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			ctx, cancel := context.WithCancel(ctx)
			f(ctx, c, func() {
				synctest.Wait()
				<-time.After(time.Second)
				cancel()
			})
		}
	}
	scenarios := map[string]scenario{
		"of a unary call": {
			build: waiting,
			call: whenHandled(func(ctx context.Context, c *call, cancel func()) {
				go cancel()
				c.unary(ctx, text("hello"))
			}),
			want: "Canceled",
		},
		"before a unary call": {
			build: waiting,
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				c.unary(ctx, text("hello"))
			},
			want: "Canceled",
		},
		"with a cause": {
			build: waiting,
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancelCause(ctx)
				s := c.open(ctx, bidiMethod)
				synctest.Wait()
				cancel(errors.New("the cause"))
				s.finish()
			},
			want: "Canceled",
		},
		"after the end": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				s := c.open(ctx, bidiMethod)
				s.closeSend()
				s.finish()
				cancel()
				s.recv()
			},
			want: "EOF",
		},
		"when the handler has answered and the caller has not looked": {
			handlers: handlers{stream: func(s *served) error {
				s.send(text("a"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				s := c.open(ctx, bidiMethod)
				synctest.Wait()
				s.recv()
				cancel()
				synctest.Wait()
				s.recv()
			},
			want: "EOF", differs: cancelDrops, wantTunnel: "Canceled",
		},
	}
	for _, method := range methods {
		scenarios["of "+method] = scenario{
			build: waiting,
			call: whenHandled(func(ctx context.Context, c *call, cancel func()) {
				s := c.open(ctx, method)
				s.send(text("a"))
				cancel()
				s.finish()
			}),
			want: "Canceled",
		}
	}
	compare(t, scenarios)
}

// TestHandlerContextEnds: a handler's context ends when it returns.
func TestHandlerContextEnds(t *testing.T) {
	noting := func(ctx context.Context, tr *transcript) {
		derived, cancel := context.WithCancel(ctx)
		tr.handler("context while it runs", ctx.Err())
		stop := context.AfterFunc(ctx, func() { tr.handler("after", context.Cause(ctx)) })
		context.AfterFunc(derived, func() {
			<-time.After(time.Second)
			defer cancel()
			tr.handler("derived", derived.Err())
			tr.handler("too late to stop", stop())
		})
	}
	compare(t, map[string]scenario{
		"of a unary call": {
			build: func(tr *transcript) handlers {
				return handlers{unary: func(ctx context.Context, in *message) (*message, error) {
					noting(ctx, tr)
					return in, nil
				}}
			},
			call: func(ctx context.Context, c *call) {
				c.unary(ctx, text("hello"))
				<-time.After(time.Minute)
			},
			want: "ok",
		},
		"of a stream": {
			build: func(tr *transcript) handlers {
				return handlers{stream: func(s *served) error {
					noting(s.Context(), tr)
					return nil
				}}
			},
			call: func(ctx context.Context, c *call) {
				c.open(ctx, bidiMethod).finish()
				<-time.After(time.Minute)
			},
			want: "EOF",
		},
	})
}

// TestCallerStreamContext is about the context of a caller's stream.
func TestCallerStreamContext(t *testing.T) {
	type key struct{}
	compare(t, map[string]scenario{
		"values, and its end": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				ctx = context.WithValue(metadata.AppendToOutgoingContext(ctx, "key", "value"), key{}, "mine")
				s := c.open(ctx, bidiMethod)
				sctx := s.Context()
				c.tr.caller("value", sctx.Value(key{}))
				md, _ := metadata.FromOutgoingContext(sctx)
				c.tr.caller("outgoing metadata", md)
				c.tr.caller("context while it runs", sctx.Err())
				s.closeSend()
				s.finish()
				<-sctx.Done()
				c.tr.caller("context at the end", sctx.Err())
				c.tr.caller("the caller's context", ctx.Err())
			},
			want: "EOF",
		},
		"asked for at the end": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.closeSend()
				s.finish()
				<-s.Context().Done()
				c.tr.caller("context at the end", s.Context().Err())
			},
			want: "EOF",
		},
	})
}
