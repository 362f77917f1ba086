package conformance

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
)

// TestMetadataSize is about metadata below and above what a tunnel takes by
// default, which grpc-go takes either way.
func TestMetadataSize(t *testing.T) {
	const fits, tooLarge = 60 << 10, 100 << 10
	of := func(n int) metadata.MD { return metadata.Pairs("key", strings.Repeat("x", n)) }
	request := func(n int) scenario {
		return scenario{
			build: func(tr *transcript) handlers {
				return handlers{unary: func(ctx context.Context, in *message) (*message, error) {
					incoming(ctx, tr)
					return in, nil
				}}
			},
			call: func(ctx context.Context, c *call) { c.unary(metadata.NewOutgoingContext(ctx, of(n)), text("a")) },
			want: "ok",
		}
	}
	answer := func(want string, f func(ctx context.Context) error) scenario {
		return scenario{
			handlers: handlers{unary: func(ctx context.Context, in *message) (*message, error) { return in, f(ctx) }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("a")) },
			want:     want,
		}
	}
	refused := func(s scenario) scenario {
		s.differs, s.wantTunnel = metadataLimit, "ResourceExhausted"
		return s
	}
	header := func(n int) scenario {
		return answer("ok", func(ctx context.Context) error { return grpc.SendHeader(ctx, of(n)) })
	}
	trailer := func(n int) scenario {
		return answer("ok", func(ctx context.Context) error { return grpc.SetTrailer(ctx, of(n)) })
	}
	details := func(n int) scenario {
		return answer("FailedPrecondition", func(context.Context) error {
			return detailed("d", &errdetails.DebugInfo{Detail: strings.Repeat("x", n)})
		})
	}
	compare(t, map[string]scenario{
		"of a request":            request(fits),
		"of a request, large":     refused(request(tooLarge)),
		"of a header":             header(fits),
		"of a header, large":      refused(header(tooLarge)),
		"of a trailer":            trailer(fits),
		"of a trailer, large":     refused(trailer(tooLarge)),
		"of status details":       details(fits),
		"of large status details": refused(details(tooLarge)),
	})
}

// TestTooManyCalls is about a call more than the handler's end takes.
func TestTooManyCalls(t *testing.T) {
	compare(t, map[string]scenario{"one more": {
		setup:    setup{maxCalls: 1},
		handlers: handlers{unary: echoUnary, stream: quietEcho},
		call: func(ctx context.Context, c *call) {
			s := c.open(ctx, bidiMethod)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			c.unary(ctx, text("a"))
			s.CloseSend()
		},
		want: "DeadlineExceeded", differs: noQueue, wantTunnel: "ResourceExhausted",
	}})
}

// TestWhatTunnelsLack is about functions of package grpc that know grpc-go's own
// streams only. They say so.
func TestWhatTunnelsLack(t *testing.T) {
	compare(t, map[string]scenario{
		"the handler's choice of a compressor": {
			build: func(tr *transcript) handlers {
				return handlers{unary: func(ctx context.Context, in *message) (*message, error) {
					_, err := grpc.ClientSupportedCompressors(ctx)
					tr.handler("the caller's compressors are known", err == nil)
					tr.handler("a compressor can be set", grpc.SetSendCompressor(ctx, gzip.Name) == nil)
					return in, nil
				}}
			},
			call: func(ctx context.Context, c *call) { c.unary(ctx, text("a")) },
			want: "ok", differs: ownStreams,
		},
		"prepared messages": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				m := &grpc.PreparedMsg{}
				c.tr.caller("prepare", m.Encode(s.ClientStream, text("a")))
				s.closeSend()
				s.finish()
			},
			want: "EOF", differs: ownStreams,
		},
	})
}
