package main

import (
	"context"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

type whoKey struct{}

// A client asks who pushes, by a token in the push's metadata. The native protocol
// has none, so that nobody is let in.
func TestAuthServing(t *testing.T) {
	check := func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err != nil {
			return nil, err
		}
		if token != "open sesame" {
			return nil, status.Error(codes.Unauthenticated, "that is not it")
		}
		return context.WithValue(ctx, whoKey{}, "alice"), nil
	}
	serving := interceptors.Handler{Unary: auth.UnaryServerInterceptor(check), Stream: auth.StreamServerInterceptor(check)}
	calls := 0
	handle := func(ctx context.Context, _ string) error {
		calls++
		if user, _ := ctx.Value(whoKey{}).(string); user != "alice" {
			return status.Error(codes.Internal, "the handler does not see who it is")
		}
		return nil
	}
	each(t, interceptors.Caller{}, serving, handle, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		calls = 0
		as := func(token string) context.Context {
			return metadata.AppendToOutgoingContext(within(t), "authorization", "bearer "+token)
		}
		wantCode(t, w.push(within(t), cc, ""), w.code(codes.Unauthenticated))
		wantCode(t, w.push(as("please"), cc, ""), w.code(codes.Unauthenticated))
		if calls != 0 {
			t.Errorf("the handler ran %d times, want never", calls)
		}
		wantCode(t, w.push(as("open sesame"), cc, ""), w.code(codes.OK)) // natively in vain
	})
}

// What an auth function can see in all protocols is the session.
func TestAuthServingByPeer(t *testing.T) {
	allowed := "c1"
	check := func(ctx context.Context) (context.Context, error) {
		if p, ok := tunnel.PeerFromContext(ctx); !ok || p.Name != allowed {
			return nil, status.Errorf(codes.PermissionDenied, "pushed to %q", p.Name)
		}
		return ctx, nil
	}
	serving := interceptors.Handler{Unary: auth.UnaryServerInterceptor(check), Stream: auth.StreamServerInterceptor(check)}
	each(t, interceptors.Caller{}, serving, nothing, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		allowed = "c1"
		wantCode(t, w.push(within(t), cc, ""), codes.OK)
		allowed = "c2"
		wantCode(t, w.push(within(t), cc, ""), w.code(codes.PermissionDenied))
	})
}
