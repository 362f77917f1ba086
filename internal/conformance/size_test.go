package conformance

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// limit is gRPC's default limit of a received message.
const limit = 4 << 20

// sized returns a message that is encoded in n bytes: 0, or 3 and more.
func sized(n int) *message {
	m := size(n)
	for proto.Size(m) > n {
		m.Value = m.Value[:len(m.Value)-(proto.Size(m)-n)]
	}
	return m
}

// answering is handlers that answer with a message of n bytes.
func answering(n int) handlers {
	return handlers{
		unary: func(context.Context, *message) (*message, error) { return sized(n), nil },
		stream: func(s *served) error {
			s.recv()
			s.send(text("before"))
			s.send(sized(n))
			s.send(text("behind"))
			return nil
		},
	}
}

func TestMessageSize(t *testing.T) {
	accepting := handlers{
		unary: func(_ context.Context, in *message) (*message, error) { return text(seenBytes(in.GetValue())), nil },
		stream: func(s *served) error {
			for {
				if _, ok := s.recv(); !ok {
					return nil
				}
			}
		},
	}
	ask := func(opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) { c.unary(ctx, text("go"), opts...) }
	}
	askStream := func(opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			s := c.open(ctx, serverStreamMethod, opts...)
			s.send(text("go"))
			s.closeSend()
			s.finish()
		}
	}
	send := func(n int, opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) { c.unary(ctx, sized(n), opts...) }
	}
	sendStream := func(n int, opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			s := c.open(ctx, bidiMethod, opts...)
			s.send(text("before"))
			synctest.Wait() // a call that fails may overtake what it has sent
			s.send(sized(n))
			s.closeSend()
			s.finish()
		}
	}
	compare(t, map[string]scenario{
		"an answer at the limit":                     {handlers: answering(limit), call: ask(), want: "ok"},
		"an answer above the limit":                  {handlers: answering(limit + 1), call: ask(), want: "ResourceExhausted"},
		"an answer in a stream at the limit":         {handlers: answering(limit), call: askStream(), want: "EOF"},
		"an answer in a stream above the limit":      {handlers: answering(limit + 1), call: askStream(), want: "ResourceExhausted"},
		"an answer above the limit, that is allowed": {handlers: answering(limit + 1), call: ask(grpc.MaxCallRecvMsgSize(limit + 1)), want: "ok"},
		"an answer at a limit of the call's own":     {handlers: answering(100), call: ask(grpc.MaxCallRecvMsgSize(100)), want: "ok"},
		"an answer above a limit of the call's own":  {handlers: answering(101), call: ask(grpc.MaxCallRecvMsgSize(100)), want: "ResourceExhausted"},
		"an answer that is empty, with no room":      {handlers: answering(0), call: ask(grpc.MaxCallRecvMsgSize(0)), want: "ok"},
		"an answer of 3 bytes, with no room":         {handlers: answering(3), call: ask(grpc.MaxCallRecvMsgSize(0)), want: "ResourceExhausted"},

		"a request at the limit":                {handlers: accepting, call: send(limit), want: "ok"},
		"a request above the limit":             {handlers: accepting, call: send(limit + 1), want: "ResourceExhausted"},
		"a request in a stream at the limit":    {handlers: accepting, call: sendStream(limit), want: "EOF"},
		"a request in a stream above the limit": {handlers: accepting, call: sendStream(limit + 1), want: "ResourceExhausted"},
		"a request above the limit, that is allowed": {
			setup: setup{maxRecv: limit + 1}, handlers: accepting, call: send(limit + 1), want: "ok",
		},
		"a request above the handler's own limit": {
			setup: setup{maxRecv: 100}, handlers: accepting, call: send(101), want: "ResourceExhausted",
		},

		"a request at the limit of sending":             {handlers: accepting, call: send(100, grpc.MaxCallSendMsgSize(100)), want: "ok"},
		"a request above the limit of sending":          {handlers: accepting, call: send(101, grpc.MaxCallSendMsgSize(100)), want: "ResourceExhausted"},
		"a stream's request above the limit of sending": {handlers: accepting, call: sendStream(101, grpc.MaxCallSendMsgSize(100)), want: "ResourceExhausted"},
		"an answer at the handler's limit of sending": {
			setup: setup{maxSend: 100}, handlers: answering(100), call: ask(), want: "ok",
		},
		"an answer above the handler's limit of sending": {
			setup: setup{maxSend: 100}, handlers: answering(101), call: ask(), want: "ResourceExhausted",
		},
		"a stream's answer above the handler's limit of sending": {
			setup: setup{maxSend: 100}, handlers: answering(101), call: askStream(), want: "ResourceExhausted",
		},
		"large both ways": {
			setup: setup{maxRecv: 8 << 20}, handlers: handlers{unary: echoUnary},
			call: send(8<<20, grpc.MaxCallRecvMsgSize(8<<20)), want: "ok",
		},
	})
}
