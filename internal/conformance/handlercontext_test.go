package conformance

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/tunnel"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// TestHandlerContext is about what a handler's context has of gRPC's.
func TestHandlerContext(t *testing.T) {
	type key struct{}
	note := func(ctx context.Context, tr *transcript) {
		method, ok := grpc.Method(ctx)
		tr.handler("method", []any{method, ok})
		method, ok = grpc.Method(context.WithoutCancel(ctx))
		tr.handler("method, of a derived context", []any{method, ok})
		tr.handler("transport stream", grpc.ServerTransportStreamFromContext(ctx).Method())
		p, ok := peer.FromContext(ctx)
		tr.handler("peer", []any{ok, p.Addr.String(), p.LocalAddr != nil})
		incoming(ctx, tr)
		tr.handler("one key", metadata.ValueFromIncomingContext(ctx, "Mine"))
		_, ok = metadata.FromOutgoingContext(ctx)
		tr.handler("outgoing metadata", ok)
		tr.handler("another value", ctx.Value(key{}))
		tr.handler("nothing", ctx.Value(nil))
		tr.handler("context", ctx.Err())
		tr.handler("cause", context.Cause(ctx))
	}
	build := func(tr *transcript) handlers {
		return handlers{
			unary: func(ctx context.Context, in *message) (*message, error) {
				note(ctx, tr)
				return in, nil
			},
			stream: func(s *served) error {
				note(s.Context(), tr)
				method, ok := grpc.MethodFromServerStream(s)
				tr.handler("method of the stream", []any{method, ok})
				return nil
			},
		}
	}
	withKey := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(context.WithValue(ctx, key{}, "stays"), "mine", "1", "mine", "2")
	}
	compare(t, map[string]scenario{
		"of a unary call": {
			build: build, want: "ok",
			call: func(ctx context.Context, c *call) { c.unary(withKey(ctx), text("a")) },
		},
		"of a stream": {
			build: build, want: "EOF",
			call: func(ctx context.Context, c *call) { c.open(withKey(ctx), bidiMethod).finish() },
		},
		// A handler that calls on sends its own metadata only.
		"of a handler that calls on": {
			build: func(tr *transcript) handlers {
				return handlers{unary: func(ctx context.Context, in *message) (*message, error) {
					ctx = metadata.AppendToOutgoingContext(ctx, "next", "x")
					md, ok := metadata.FromOutgoingContext(ctx)
					tr.handler("outgoing metadata", []any{md, ok})
					return in, nil
				}}
			},
			call: func(ctx context.Context, c *call) { c.unary(withKey(ctx), text("a")) },
			want: "ok",
		},
	})
}

// TestHandlerContextOfTunnel: nothing of the tunnel's own call is in a handler's
// context, and the tunnel's peer is.
func TestHandlerContextOfTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		got := map[string]any{}
		push.Connect(t, target, func(r grpc.ServiceRegistrar) {
			handlers{unary: func(ctx context.Context, in *message) (*message, error) {
				out, ok := metadata.FromOutgoingContext(ctx)
				got["outgoing"] = []any{len(out), ok}
				got["incoming"], _ = metadata.FromIncomingContext(ctx)
				_, got["deadline"] = ctx.Deadline()
				p, ok := tunnel.PeerFromContext(ctx)
				got["peer"] = []any{p.Name, p.Protocol, p.Addr.String(), ok}
				session, ok := push.Session(p.Session)
				got["session"] = ok && session.Name() == target
				return in, nil
			}}.register(r, nil)
		}, client.WithMetadata(metadata.Pairs("of-the-tunnel", "secret")))
		ctx := metadata.AppendToOutgoingContext(t.Context(), "of-the-call", "value")
		if err := push.Client(target).Invoke(ctx, unaryMethod, text("a"), &message{}); err != nil {
			t.Fatalf("a call: got %v, want no error", err)
		}
		want := map[string]any{
			"outgoing": []any{0, false},
			"incoming": metadata.Pairs("of-the-call", "value"),
			"deadline": false,
			"peer":     []any{target, "grpc", "bufconn", true},
			"session":  true,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("a handler's context: got a difference (-want +got):\n%s", diff)
		}
		if p, ok := tunnel.PeerFromContext(t.Context()); ok {
			t.Errorf("the peer outside of a handler: got %v, want none", p)
		}
	})
}
