package conformance

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// chain is two interceptors of each kind that note when they run.
func chain(tr *transcript) setup {
	var s setup
	for _, name := range []string{"outer", "inner"} {
		s.unaryCaller = append(s.unaryCaller, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			tr.caller(name+" before", method)
			ctx = metadata.AppendToOutgoingContext(ctx, "interceptor", name)
			err := invoke(ctx, method, req, reply, cc, opts...)
			tr.caller(name+" reply", reply)
			tr.caller(name+" behind", err)
			return err
		})
		s.streamCaller = append(s.streamCaller, func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			tr.caller(name+" before", method)
			tr.caller(name+" desc", []bool{desc.ClientStreams, desc.ServerStreams})
			s, err := stream(metadata.AppendToOutgoingContext(ctx, "interceptor", name), desc, cc, method, opts...)
			tr.caller(name+" behind", err)
			return &wrappedClientStream{s, name, tr}, err
		})
		s.unaryHandler = append(s.unaryHandler, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			tr.handler(name+" before", info.FullMethod)
			tr.handler(name+" request", req)
			reply, err := handle(context.WithValue(ctx, interceptorKey{}, name), req)
			tr.handler(name+" reply", reply)
			tr.handler(name+" behind", err)
			return reply, err
		})
		s.streamHandler = append(s.streamHandler, func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			tr.handler(name+" before", *info)
			err := handle(srv, &wrappedServerStream{ss, name, tr})
			tr.handler(name+" behind", err)
			return err
		})
	}
	return s
}

type interceptorKey struct{}

type wrappedClientStream struct {
	grpc.ClientStream
	name string
	tr   *transcript
}

func (s *wrappedClientStream) SendMsg(m any) error {
	s.tr.caller(s.name+" sends", m)
	return s.ClientStream.SendMsg(m)
}

func (s *wrappedClientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	s.tr.caller(s.name+" receives", err)
	return err
}

type wrappedServerStream struct {
	grpc.ServerStream
	name string
	tr   *transcript
}

func (s *wrappedServerStream) Context() context.Context {
	return context.WithValue(s.ServerStream.Context(), interceptorKey{}, s.name)
}

func (s *wrappedServerStream) SendMsg(m any) error {
	s.tr.handler(s.name+" sends", m)
	return s.ServerStream.SendMsg(m)
}

func TestInterceptors(t *testing.T) {
	noting := func(tr *transcript) handlers {
		return handlers{
			unary: func(ctx context.Context, in *message) (*message, error) {
				tr.handler("value", ctx.Value(interceptorKey{}))
				incoming(ctx, tr)
				return in, nil
			},
			stream: func(s *served) error {
				tr.handler("value", s.Context().Value(interceptorKey{}))
				incoming(s.Context(), tr)
				return echo(s)
			},
		}
	}
	scenarios := map[string]scenario{
		"of a unary call": {
			intercept: chain, build: noting,
			call: func(ctx context.Context, c *call) { c.unary(ctx, text("a")) },
			want: "ok",
		},
		"of a unary call that can't begin": {
			intercept: chain, build: noting,
			call: func(ctx context.Context, c *call) {
				c.unary(ctx, text("a"), grpc.CallContentSubtype("no-such"), finishing(c.tr))
			},
			want: "Internal",
		},
		"that answer for the handler": {
			intercept: func(tr *transcript) setup {
				s := chain(tr)
				s.unaryHandler = append(s.unaryHandler, func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
					return nil, status.Error(codes.PermissionDenied, "no")
				})
				s.streamHandler = append(s.streamHandler, func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
					return status.Error(codes.PermissionDenied, "no")
				})
				return s
			},
			build: noting,
			call: func(ctx context.Context, c *call) {
				c.unary(ctx, text("a"))
				c.open(ctx, bidiMethod).finish()
			},
			want: "PermissionDenied",
		},
		"that do not make the call": {
			intercept: func(tr *transcript) setup {
				s := chain(tr)
				s.unaryCaller = append(s.unaryCaller, func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
					return status.Error(codes.PermissionDenied, "no")
				})
				return s
			},
			build: noting,
			call:  func(ctx context.Context, c *call) { c.unary(ctx, text("a"), finishing(c.tr)) },
			want:  "PermissionDenied",
		},
		"that make the call twice": {
			intercept: func(tr *transcript) setup {
				return setup{unaryCaller: []grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
					tr.caller("first", invoke(ctx, method, req, reply, cc, opts...))
					return invoke(ctx, method, req, reply, cc, opts...)
				}}}
			},
			build: noting,
			call:  func(ctx context.Context, c *call) { c.unary(ctx, text("a"), finishing(c.tr)) },
			want:  "ok",
		},
	}
	for _, method := range methods {
		if method != unaryMethod {
			scenarios["of "+method] = scenario{
				intercept: chain, build: noting,
				call: func(ctx context.Context, c *call) {
					s := c.open(ctx, method)
					s.send(text("a"))
					s.closeSend()
					s.finish()
				},
				want: map[string]string{clientStreamMethod: "EOF", serverStreamMethod: "EOF", bidiMethod: "EOF"}[method],
			}
		}
	}
	compare(t, scenarios)
}

// TestTunnelInterceptors is about what interceptors have of a tunnel: the name
// that is called, the peer, and no *grpc.ClientConn.
func TestTunnelInterceptors(t *testing.T) {
	tr := &transcript{}
	note := func(ctx context.Context, cc *grpc.ClientConn) {
		name, ok := server.TargetFromContext(ctx)
		tr.caller("target", []any{name, ok})
		tr.caller("no connection", cc == nil)
	}
	noteHandler := func(ctx context.Context) {
		p, ok := tunnel.PeerFromContext(ctx)
		tr.handler("peer", []any{p.Name, p.Protocol, p.Session != "", ok})
	}
	s := scenario{
		setup: setup{
			unaryCaller: []grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				note(ctx, cc)
				return invoke(ctx, method, req, reply, cc, opts...)
			}},
			streamCaller: []grpc.StreamClientInterceptor{func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				note(ctx, cc)
				return stream(ctx, desc, cc, method, opts...)
			}},
			unaryHandler: []grpc.UnaryServerInterceptor{func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
				noteHandler(ctx)
				return handle(ctx, req)
			}},
			streamHandler: []grpc.StreamServerInterceptor{func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
				noteHandler(ss.Context())
				return handle(srv, ss)
			}},
		},
		handlers: handlers{unary: echoUnary, stream: func(*served) error { return nil }},
		call: func(ctx context.Context, c *call) {
			c.cc.Invoke(ctx, unaryMethod, text("a"), &message{})
			if s, err := c.cc.NewStream(ctx, descs[bidiMethod], bidiMethod); err == nil {
				s.RecvMsg(&message{})
			}
		},
	}
	s.run(t, tunnelWay)
	target := []event{{"target", []any{target, true}}, {"no connection", true}}
	peer := event{"peer", []any{"x", "grpc", true, true}}
	want := &transcript{Caller: append(target, target...), Handler: []event{peer, peer}}
	if diff := diffTranscripts(want, tr); diff != "" {
		t.Errorf("what interceptors see: got a difference (-want +got):\n%s", diff)
	}
}
