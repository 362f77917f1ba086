package conformance

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestStreamOrder is about calls of a stream's methods in orders that are not the
// usual ones.
func TestStreamOrder(t *testing.T) {
	failed := status.Error(codes.Aborted, "no")
	var ended chan struct{}
	compare(t, map[string]scenario{
		"the caller sends after half-close": {
			handlers: handlers{stream: func(s *served) error {
				in, _ := s.recv()
				s.send(in)
				<-s.Context().Done() // so that only the caller's mistake can end the call
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.send(text("a"))
				s.recv()
				s.closeSend()
				s.send(text("b"))
				s.finish()
			},
			want: "Internal",
		},
		"the caller sends twice in a server stream": {
			handlers: handlers{stream: func(*served) error { return nil }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				s.send(text("a"))
				s.header() // the handler has ended the call
				s.send(text("b"))
				s.finish()
			},
			want: "EOF", differs: sendAfterEnd, wantTunnel: "Internal",
		},
		"the caller receives after the end": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.closeSend()
				s.finish()
				s.recv()
				s.recv()
			},
			want: "EOF",
		},
		"the caller receives after an error": {
			handlers: handlers{stream: func(*served) error { return failed }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.finish()
				s.recv()
				s.recv()
			},
			want: "Aborted",
		},
		"the caller sends after the end": {
			handlers: handlers{stream: func(*served) error { return nil }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				synctest.Wait()
				s.send(text("a"))
				s.send(text("b"))
				s.closeSend()
				s.send(text("c"))
				s.finish()
			},
			want: "EOF", differs: sendAfterEnd, wantTunnel: "Internal",
		},
		"the caller sends after an error": {
			handlers: handlers{stream: func(*served) error { return failed }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				synctest.Wait()
				s.send(text("a"))
				s.send(text("b"))
				s.closeSend()
				s.finish()
			},
			want: "Aborted",
		},
		"the caller of a server stream sends after an error": {
			handlers: handlers{stream: func(*served) error { return failed }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				synctest.Wait()
				s.send(text("a"))
				s.closeSend()
				s.finish()
			},
			want: "Aborted",
		},
		"the handler of a client stream answers early": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				s.send(text("enough"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, clientStreamMethod)
				s.send(text("a"))
				synctest.Wait()
				s.send(text("b"))
				s.recv()
				s.finish()
			},
			want: "EOF",
		},
		"the handler of a client stream fails early": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				return failed
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, clientStreamMethod)
				s.send(text("a"))
				synctest.Wait()
				s.send(text("b"))
				s.finish()
			},
			want: "Aborted",
		},
		"the handler goes while the caller sends without end": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				return failed
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				for s.SendMsg(size(10_000)) == nil {
					synctest.Wait()
				}
				s.finish()
			},
			want: "Aborted",
		},
		"the handler receives after half-close": {
			handlers: handlers{stream: func(s *served) error {
				for range 3 {
					s.recv()
				}
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.closeSend()
				s.finish()
			},
			want: "EOF",
		},
		"the handler sends after it has returned": {
			build: func(tr *transcript) handlers {
				ended = make(chan struct{})
				return handlers{stream: func(s *served) error {
					go func() {
						<-s.Context().Done()
						tr.handler("context", s.Context().Err())
						<-ended
						s.send(text("late"))
						s.setHeader(metadata.Pairs("key", "late"))
						s.sendHeader(metadata.Pairs("key", "late"))
						s.recv()
					}()
					return nil
				}}
			},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				s.finish()
				close(ended)
			},
			want: "EOF",
		},
		"nobody half-closes, and the caller leaves": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				s.recv()
				s.send(text("a"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				s := c.open(ctx, bidiMethod)
				s.send(text("a"))
				synctest.Wait()
				cancel()
				s.finish()
				s.send(text("b"))
			},
			want: "EOF",
		},
	})
}

// TestCardinality is about ends that do not agree on the kind of a method.
func TestCardinality(t *testing.T) {
	both := &grpc.StreamDesc{StreamName: "Both", ClientStreams: true, ServerStreams: true}
	compare(t, map[string]scenario{
		"no answer to a unary call": {
			handlers: handlers{stream: func(*served) error { return nil }},
			call:     func(ctx context.Context, c *call) { c.invoke(ctx, bidiMethod, text("hello")) },
			want:     "Internal",
		},
		"two answers to a unary call": {
			handlers: handlers{stream: func(s *served) error {
				s.send(text("a"))
				s.send(text("b"))
				return nil
			}},
			call: func(ctx context.Context, c *call) { c.invoke(ctx, bidiMethod, text("hello")) },
			want: "Internal",
		},
		"an answer to a unary call, and an error": {
			handlers: handlers{stream: func(s *served) error {
				s.send(text("a"))
				return status.Error(codes.Aborted, "no")
			}},
			call: func(ctx context.Context, c *call) { c.invoke(ctx, bidiMethod, text("hello")) },
			want: "Aborted",
		},
		"no answer to a client stream": {
			handlers: handlers{stream: func(*served) error { return nil }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, clientStreamMethod)
				s.closeSend()
				s.recv()
				s.finish()
			},
			want: "Internal",
		},
		"two answers to a client stream": {
			handlers: handlers{stream: func(s *served) error {
				s.send(text("a"))
				s.send(text("b"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, clientStreamMethod)
				s.closeSend()
				s.recv()
			},
			want: "Internal",
		},
		"no request of a unary call": {
			handlers: handlers{unary: echoUnary},
			call: func(ctx context.Context, c *call) {
				s := c.openAs(ctx, both, unaryMethod)
				s.closeSend()
				s.finish()
			},
			want: "Internal",
		},
		"two requests of a unary call": {
			handlers: handlers{unary: echoUnary},
			call: func(ctx context.Context, c *call) {
				s := c.openAs(ctx, both, unaryMethod)
				s.send(text("a"))
				s.send(text("b"))
				s.closeSend()
				s.finish()
			},
			want: "Internal",
		},
		"a request of a unary call without half-close": {
			handlers: handlers{unary: echoUnary},
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				s := c.openAs(ctx, both, unaryMethod)
				s.send(text("a"))
				synctest.Wait()
				cancel()
				s.finish()
			},
			want: "Canceled",
		},
		"no request of a server stream": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				s.closeSend()
				s.finish()
			},
			want: "Internal",
		},
		"two requests of a server stream": {
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.openAs(ctx, both, serverStreamMethod)
				s.send(text("a"))
				s.send(text("b"))
				s.closeSend()
				s.finish()
			},
			want: "Internal",
		},
		"a unary method called as a stream": {
			handlers: handlers{unary: echoUnary},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, unaryMethod)
				s.send(text("a"))
				s.closeSend()
				s.recv()
				s.recv()
				s.header()
				s.trailer()
			},
			want: "EOF",
		},
	})
}
