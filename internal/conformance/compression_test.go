package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
)

// broken is a compressor that fails where its name says. A bomb is decompressed
// without end.
type broken string

func init() {
	for _, name := range []broken{"broken-compress", "broken-write", "broken-decompress", "broken-read", "bomb"} {
		encoding.RegisterCompressor(name)
	}
}

var errBroken = errors.New("broken on purpose")

func (b broken) Name() string { return string(b) }

type brokenWriter struct{ io.Writer }

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error  { return nil }
func (brokenWriter) Close() error { return nil }

func (b broken) Compress(w io.Writer) (io.WriteCloser, error) {
	switch b {
	case "broken-compress":
		return nil, errBroken
	case "broken-write":
		return brokenWriter{w}, nil
	}
	return plainWriter{w}, nil
}

func (b broken) Decompress(r io.Reader) (io.Reader, error) {
	switch b {
	case "broken-decompress":
		return nil, errBroken
	case "broken-read":
		return io.MultiReader(bytes.NewReader([]byte("half")), errReader{}), nil
	}
	if b == "bomb" {
		return zeros{}, nil
	}
	return r, nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

func TestCompression(t *testing.T) {
	zip := grpc.UseCompressor(gzip.Name)
	all := func(opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			s := c.open(ctx, bidiMethod, opts...)
			for _, m := range []*message{text("a"), {}, size(1 << 20)} {
				s.send(m)
				s.recv()
			}
			s.closeSend()
			s.finish()
		}
	}
	unary := func(m *message, opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) { c.unary(ctx, m, opts...) }
	}
	failing := func(name string) scenario {
		return scenario{handlers: handlers{unary: echoUnary, stream: quietEcho}, want: "Internal", call: func(ctx context.Context, c *call) {
			c.unary(ctx, text("hello"), grpc.UseCompressor(name))
			if s := c.open(ctx, serverStreamMethod, grpc.UseCompressor(name)); s != nil {
				s.send(text("hello"))
				s.closeSend()
				s.finish()
			}
		}}
	}
	compare(t, map[string]scenario{
		"of a unary call":          {handlers: handlers{unary: echoUnary}, call: unary(size(1<<20), zip), want: "ok"},
		"of an empty message":      {handlers: handlers{unary: echoUnary}, call: unary(&message{}, zip), want: "ok"},
		"of a stream":              {handlers: handlers{stream: echo}, call: all(zip), want: "EOF"},
		"by the name of identity":  {handlers: handlers{stream: echo}, call: all(grpc.UseCompressor(encoding.Identity)), want: "EOF"},
		"by an empty name":         {handlers: handlers{stream: echo}, call: all(grpc.UseCompressor("")), want: "EOF"},
		"the last option counts":   {handlers: handlers{stream: echo}, call: all(grpc.UseCompressor("broken-write"), zip), want: "EOF"},
		"by an unknown compressor": failing("no-such"),
		"that can't begin":         failing("broken-compress"),
		"that fails":               failing("broken-write"),
		"that can't be undone":     failing("broken-decompress"),
		"that is undone half":      failing("broken-read"),
		"of an answer at the limit": {
			handlers: answering(10_000), call: unary(text("go"), zip, grpc.MaxCallRecvMsgSize(10_000)), want: "ok",
		},
		"of an answer above the limit": {
			handlers: answering(10_001), call: unary(text("go"), zip, grpc.MaxCallRecvMsgSize(10_000)), want: "ResourceExhausted",
		},
		"of a request at the limit": {
			setup: setup{maxRecv: 10_000}, handlers: handlers{unary: echoUnary}, call: unary(sized(10_000), zip), want: "ok",
		},
		"of a request above the limit": {
			setup: setup{maxRecv: 10_000}, handlers: handlers{unary: echoUnary}, call: unary(sized(10_001), zip), want: "ResourceExhausted",
		},
		"of an answer that is a bomb": {
			// The handler's end does not decompress what it does not read.
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) { return text("small"), nil }},
			call:     unary(text("go"), grpc.UseCompressor("bomb")), want: "ResourceExhausted",
		},
		"of a request that is a bomb": {
			handlers: handlers{unary: echoUnary},
			call:     unary(text("small"), grpc.UseCompressor("bomb")), want: "ResourceExhausted",
		},
		"of a request in a stream that is a bomb": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod, grpc.UseCompressor("bomb"))
				s.send(text("small"))
				s.closeSend()
				s.finish()
			},
			want: "ResourceExhausted",
		},
		"counts against the limit of sending when it is done": {
			handlers: handlers{unary: echoUnary}, call: unary(size(1<<20), zip, grpc.MaxCallSendMsgSize(10_000)), want: "ok",
		},
		"is above the limit of sending all the same": {
			handlers: handlers{unary: echoUnary}, call: unary(size(1<<20), zip, grpc.MaxCallSendMsgSize(100)), want: "ResourceExhausted",
		},
		"of an error": {
			handlers: handlers{unary: func(context.Context, *message) (*message, error) { return nil, status.Error(5, "no") }},
			call:     unary(text("go"), zip), want: "NotFound",
		},
	})
}
