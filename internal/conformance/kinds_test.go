package conformance

import (
	"context"
	"io"
	"testing"
)

// TestKinds is about the four kinds of calls when all goes well.
func TestKinds(t *testing.T) {
	compare(t, map[string]scenario{
		"unary": {
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
			want:     "ok",
		},
		"unary with an empty message": {
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, &message{}) },
			want:     "ok",
		},
		"unary with nil for a message": {
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, nil) },
			want:     "ok",
		},
		"unary with a nil message": {
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, (*message)(nil)) },
			want:     "ok",
		},
		"unary answered with nil for a message": {
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) { return nil, nil }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
			want:     "ok",
		},
		"unary answered with a nil message": {
			handlers: handlers{unary: func(context.Context, *message) (*message, error) { return nil, nil }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
			want:     "ok",
		},
		"unary whose handler does not read": {
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) { return text("unread"), nil }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
			want:     "ok",
		},
		"unary whose handler does not read a large message": {
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) { return text("unread"), nil }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, size(1<<20)) },
			want:     "ok",
		},
		"unary whose handler reads twice": {
			handlers: handlers{rawUnary: func(_ context.Context, read func(any) error) (any, error) {
				first, second := &message{}, &message{}
				if err := read(first); err != nil {
					return nil, err
				}
				if err := read(second); err != io.EOF {
					return nil, err
				}
				return first, nil
			}},
			call: func(ctx context.Context, c *call) { c.unary(ctx, text("hello")) },
			want: "ok",
		},
		"client streaming": {
			handlers: handlers{stream: func(s *served) error {
				for {
					if _, ok := s.recv(); !ok {
						break
					}
				}
				s.recv()
				s.send(text("that is all"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, clientStreamMethod)
				s.send(text("a"))
				s.send(&message{})
				s.send(nil)
				s.send(size(100_000))
				s.closeSend()
				s.closeSend()
				s.recv()
				s.finish()
			},
			want: "EOF",
		},
		"client streaming without messages": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				s.send(text("nothing came"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, clientStreamMethod)
				s.closeSend()
				s.recv()
				s.finish()
			},
			want: "EOF",
		},
		"server streaming": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				s.recv()
				s.send(text("a"))
				s.send(&message{})
				s.send(nil)
				s.send(size(100_000))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				s.send(text("go"))
				s.closeSend()
				s.finish()
				s.recv()
			},
			want: "EOF",
		},
		"server streaming with zero responses": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				s.send(text("go"))
				s.closeSend()
				s.finish()
			},
			want: "EOF",
		},
		"server streaming whose handler does not read": {
			handlers: handlers{stream: func(s *served) error {
				s.send(text("unread"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				s.send(text("go"))
				s.closeSend()
				s.finish()
			},
			want: "EOF",
		},
		"bidirectional streaming, in turns": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				for _, m := range []*message{text("a"), {}, nil, size(100_000)} {
					s.send(m)
					s.recv()
				}
				s.closeSend()
				s.finish()
			},
			want: "EOF",
		},
		"bidirectional streaming, one after the other": {
			handlers: handlers{stream: func(s *served) error {
				var all []*message
				for {
					in, ok := s.recv()
					if !ok {
						break
					}
					all = append(all, in)
				}
				for _, m := range all {
					s.send(m)
				}
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				for i := range 100 {
					s.send(size(i))
				}
				s.closeSend()
				s.finish()
			},
			want: "EOF",
		},
		"bidirectional streaming without messages": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.closeSend()
				s.finish()
			},
			want: "EOF",
		},
		"bidirectional streaming without half-close": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				s.send(text("enough"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.send(text("a"))
				s.finish()
			},
			want: "EOF",
		},
	})
}
