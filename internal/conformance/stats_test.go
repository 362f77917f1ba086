package conformance

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// recorder is a stats handler that notes what it is told.
type recorder struct {
	note  func(what string, result any)
	conns bool // it notes connections, too
}

type tagKey struct{}

func (r *recorder) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	r.note("tag", *info)
	ctx = metadata.AppendToOutgoingContext(ctx, "tag", "sent")
	return context.WithValue(ctx, tagKey{}, "tagged")
}

func (r *recorder) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (r *recorder) HandleConn(_ context.Context, s stats.ConnStats) {
	if r.conns {
		r.note("connection", fmt.Sprintf("%T", s))
	}
}

// HandleRPC notes the fields that say something of a call. It uses the context in
// all ways that there are.
func (r *recorder) HandleRPC(ctx context.Context, s stats.RPCStats) {
	type missing struct{}
	_, _, _ = ctx.Err(), ctx.Value(missing{}), ctx.Done()
	ctx.Deadline()
	var fields any
	switch s := s.(type) {
	case *stats.Begin:
		fields = []any{s.FailFast, s.IsClientStream, s.IsServerStream, s.IsTransparentRetryAttempt, s.BeginTime.IsZero()}
	case *stats.OutHeader:
		fields = []any{s.FullMethod, seenMetadata(s.Header), s.Compression, s.RemoteAddr != nil, s.LocalAddr != nil}
	case *stats.InHeader:
		fields = []any{s.FullMethod, seenMetadata(s.Header), s.Compression, s.RemoteAddr != nil, s.LocalAddr != nil}
	case *stats.OutPayload:
		fields = []any{seen(s.Payload), s.Length, s.CompressedLength, s.WireLength, s.SentTime.IsZero()}
	case *stats.InPayload:
		fields = []any{seen(s.Payload), s.Length, s.CompressedLength, s.WireLength, s.RecvTime.IsZero()}
	case *stats.OutTrailer:
		fields = seenMetadata(s.Trailer)
	case *stats.InTrailer:
		fields = seenMetadata(s.Trailer)
	case *stats.End:
		fields = []any{seen(s.Error), seenMetadata(s.Trailer), s.BeginTime.IsZero(), s.EndTime.Before(s.BeginTime)}
	}
	r.note(fmt.Sprintf("%T, client %v, tag %v", s, s.IsClient(), ctx.Value(tagKey{})), fields)
}

func recording(tr *transcript) setup {
	return setup{callerStats: &recorder{note: tr.caller}, handlerStats: &recorder{note: tr.handler}}
}

// settle lets all else come to rest, so that events that cross come in one order.
func settle() { <-time.After(time.Millisecond) }

func TestStats(t *testing.T) {
	odd := metadata.Pairs("key", "value", "key-bin", "\xff")
	failed := status.Error(codes.Aborted, "no")
	answering := handlers{unary: func(ctx context.Context, in *message) (*message, error) {
		settle()
		grpc.SetHeader(ctx, odd)
		grpc.SetTrailer(ctx, odd)
		return in, nil
	}}
	unary := func(opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			c.unary(metadata.AppendToOutgoingContext(ctx, "mine", "too"), text("a"), opts...)
		}
	}
	slowEcho := func(s *served) error {
		s.setTrailer(odd)
		for {
			in, ok := s.recv()
			if !ok {
				return nil
			}
			settle()
			s.send(in)
			settle()
		}
	}
	scenarios := map[string]scenario{
		"of a unary call":            {intercept: recording, handlers: answering, call: unary(), want: "ok"},
		"of a unary call that waits": {intercept: recording, handlers: answering, call: unary(grpc.WaitForReady(true)), want: "ok"},
		"of a compressed unary call": {intercept: recording, handlers: answering, call: unary(grpc.UseCompressor("gzip")), want: "ok"},
		"of a unary call that fails": {
			intercept: recording,
			handlers: handlers{unary: func(context.Context, *message) (*message, error) {
				settle()
				return nil, failed
			}},
			call: unary(), want: "Aborted",
		},
		"of a unary call that fails with a header": {
			intercept: recording,
			handlers: handlers{unary: func(ctx context.Context, _ *message) (*message, error) {
				settle()
				grpc.SetHeader(ctx, odd)
				grpc.SetTrailer(ctx, odd)
				return nil, failed
			}},
			call: unary(), want: "Aborted",
		},
		"of a unary call whose handler returns a plain error": {
			intercept: recording,
			handlers: handlers{unary: func(context.Context, *message) (*message, error) {
				settle()
				return nil, context.DeadlineExceeded
			}},
			call: unary(), want: "DeadlineExceeded",
		},
		"of a unary call whose handler does not read": {
			intercept: recording,
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) {
				settle()
				return text("unread"), nil
			}},
			call: unary(), want: "ok",
		},
		"of a unary call whose answer can't be encoded": {
			intercept: recording,
			handlers: handlers{rawUnary: func(context.Context, func(any) error) (any, error) {
				settle()
				return "not a message", nil
			}},
			call: unary(), want: "Internal",
		},
		"of a unary call whose answer is too large": {
			intercept: recording, handlers: answering, want: "ResourceExhausted",
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, unaryMethod, grpc.MaxCallRecvMsgSize(1))
				s.send(text("a"))
				<-time.After(time.Second)
				s.finish()
			},
		},
		"of a call with an unknown subtype": {
			intercept: recording, handlers: answering, call: unary(grpc.CallContentSubtype("no-such")), want: "Internal",
		},
		"of a call whose credentials fail": {
			intercept: recording, handlers: answering, call: unary(refusing(failed)), want: "Internal",
		},
		"of a call with a context that has ended": {
			intercept: recording, handlers: answering, want: "Canceled",
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				c.unary(ctx, text("a"))
			},
		},
		"of a call that is cancelled": {
			intercept: recording, want: "Canceled",
			build: waiting,
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				go func() {
					settle()
					cancel()
				}()
				c.unary(ctx, text("a"))
			},
		},
		"of a call whose metadata is bad": {
			intercept: recording, handlers: answering, want: "Internal", differs: badMetadataStats,
			call: func(ctx context.Context, c *call) {
				c.unary(metadata.AppendToOutgoingContext(ctx, "key", "\x01"), text("a"))
			},
		},
		"of a request that can't be encoded": {
			intercept: recording, handlers: answering, want: "Internal", differs: oneFrame,
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				synctest.Wait()
				s.send("not a message")
			},
		},
		"of an unknown method": {
			intercept: recording, handlers: answering, want: "Unimplemented", differs: refusedStats,
			call: func(ctx context.Context, c *call) { c.invoke(ctx, "/conformance.Service/None", text("a")) },
		},
		"of connections": {
			intercept: func(tr *transcript) setup {
				return setup{callerStats: &recorder{note: tr.caller, conns: true}, handlerStats: &recorder{note: tr.handler, conns: true}}
			},
			handlers: answering, call: unary(), want: "ok", differs: connStats,
		},
		"of a stream in turns": {
			intercept: recording, handlers: handlers{stream: slowEcho}, want: "EOF",
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				for _, m := range []*message{text("a"), {}, size(100)} {
					s.send(m)
					s.recv()
				}
				s.closeSend()
				s.finish()
			},
		},
		"of a stream with a header first": {
			intercept: recording, want: "Aborted",
			handlers: handlers{stream: func(s *served) error {
				settle()
				s.sendHeader(odd)
				settle()
				return failed
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				<-time.After(time.Second)
				s.header()
				s.finish()
			},
		},
		"of a server stream": {
			intercept: recording, want: "EOF",
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				for range 3 {
					settle()
					s.send(text("a"))
				}
				settle()
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				s.send(text("go"))
				s.closeSend()
				s.finish()
			},
		},
		"of a server stream without answers": {
			intercept: recording, want: "EOF",
			handlers: handlers{stream: func(s *served) error {
				s.recv()
				settle()
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, serverStreamMethod)
				s.send(text("go"))
				s.closeSend()
				s.finish()
			},
		},
		"of a client stream": {
			intercept: recording, want: "EOF",
			handlers: handlers{stream: func(s *served) error {
				for {
					if _, ok := s.recv(); !ok {
						break
					}
				}
				settle()
				s.send(text("all"))
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, clientStreamMethod)
				for range 3 {
					s.send(text("a"))
					settle()
				}
				s.closeSend()
				s.recv()
				s.finish()
			},
		},
		"of a stream whose context tells the tag": {
			intercept: recording, want: "EOF",
			handlers: handlers{stream: func(s *served) error {
				s.tr.handler("tag", s.Context().Value(tagKey{}))
				incoming(s.Context(), s.tr)
				settle()
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod)
				c.tr.caller("tag", s.Context().Value(tagKey{}))
				synctest.Wait()
				s.finish()
			},
		},
	}
	for name, s := range scenarios {
		// grpc-go tells of a trailer when it comes, which is before, between or
		// behind what is read meanwhile.
		s.unordered = "*stats.InTrailer"
		scenarios[name] = s
	}
	compare(t, scenarios)
}

// TestStatsOrder says the events of a unary call, so that it does not rest on
// what grpc-go does alone.
func TestStatsOrder(t *testing.T) {
	tr := scenario{
		intercept: recording,
		handlers:  handlers{unary: echoUnary},
		call:      func(ctx context.Context, c *call) { c.unary(ctx, text("a")) },
	}.run(t, tunnelWay)
	got := [2][]string{}
	for i, events := range [][]event{tr.Caller, tr.Handler} {
		for _, e := range events {
			var kind string
			if n, _ := fmt.Sscanf(e.What, "*stats.%s", &kind); n == 1 {
				got[i] = append(got[i], kind[:len(kind)-1])
			}
		}
	}
	want := [2][]string{
		{"Begin", "OutHeader", "OutPayload", "InHeader", "InPayload", "InTrailer", "End"},
		{"InHeader", "Begin", "InPayload", "OutHeader", "OutPayload", "OutTrailer", "End"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the events at caller and handler: got a difference (-want +got):\n%s", diff)
	}
}
