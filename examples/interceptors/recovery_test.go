package main

import (
	"context"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/interceptors"
)

func panicking(_ context.Context, text string) error {
	if text == "panic" {
		panic("a secret of the client's")
	}
	return nil
}

// Without it the test would crash.
func TestRecoveryServing(t *testing.T) {
	opt := recovery.WithRecoveryHandler(func(any) error { return status.Error(codes.Internal, "the handler has panicked") })
	serving := interceptors.Handler{Unary: recovery.UnaryServerInterceptor(opt), Stream: recovery.StreamServerInterceptor(opt)}
	each(t, interceptors.Caller{}, serving, panicking, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		wantCode(t, w.push(within(t), cc, "panic"), w.code(codes.Internal))
		wantCode(t, w.push(within(t), cc, ""), codes.OK)
	})
}

// By itself it tells the caller the panic's value and its stack: so give it a
// handler.
func TestRecoveryByItself(t *testing.T) {
	serving := interceptors.Handler{Unary: recovery.UnaryServerInterceptor(), Stream: recovery.StreamServerInterceptor()}
	each(t, interceptors.Caller{}, serving, panicking, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		err := w.push(within(t), cc, "panic")
		wantCode(t, err, w.code(codes.Unknown))
		if text := err.Error(); !w.native && (!strings.Contains(text, "secret") || !strings.Contains(text, "goroutine")) {
			t.Errorf("got the error %q, want one with the value and the stack: the README's advice may be old", text)
		}
	})
}
