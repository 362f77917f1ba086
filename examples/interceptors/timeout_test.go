package main

import (
	"context"
	"testing"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/timeout"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/interceptors"
)

// It is for unary calls only. The handler sees the deadline, too, but for a native
// one.
func TestTimeoutCalling(t *testing.T) {
	calling := interceptors.Caller{Unary: timeout.UnaryClientInterceptor(3 * time.Second)}
	handle := func(ctx context.Context, _ string) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
			return nil
		}
	}
	each(t, calling, interceptors.Handler{}, handle, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		began := time.Now()
		err := w.push(within(t), cc, "")
		code, took := codes.DeadlineExceeded, 3*time.Second
		if w.name == "stream" {
			code, took = codes.OK, 5*time.Second
		}
		wantCode(t, err, code)
		if got := time.Since(began); got != took {
			t.Errorf("the push took %v, want %v", got, took)
		}
		time.Sleep(10 * time.Second) // let the handler end
	})
}
