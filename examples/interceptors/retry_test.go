package main

import (
	"context"
	"testing"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/interceptors"
)

// It repeats what has run, and so the handler runs again. Over the native protocol
// there is no other way to fail than not to answer.
func TestRetryCalling(t *testing.T) {
	opts := []retry.CallOption{
		retry.WithMax(3), retry.WithCodes(codes.Unavailable, codes.DeadlineExceeded), retry.WithPerRetryTimeout(time.Minute),
		retry.WithBackoff(retry.BackoffLinear(time.Second)),
	}
	calling := interceptors.Caller{Unary: retry.UnaryClientInterceptor(opts...), Stream: retry.StreamClientInterceptor(opts...)}
	calls := 0
	handle := func(context.Context, string) error {
		calls++
		if calls < 3 {
			return status.Error(codes.Unavailable, "not yet")
		}
		return nil
	}
	each(t, calling, interceptors.Handler{}, handle, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		calls = 0
		if w.native {
			// A method that has never been answered is not pushed for ever:
			// native.WithMaxUnanswered.
			calls = 2
			wantCode(t, w.push(within(t), cc, ""), codes.OK)
			calls = 0
		}
		wantCode(t, w.push(within(t), cc, ""), codes.OK)
		if calls != 3 {
			t.Errorf("the handler ran %d times, want 3 times", calls)
		}
	})
}

// Of streams it takes only those with one request.
func TestRetryCallingRefusesClientStreams(t *testing.T) {
	stream := retry.StreamClientInterceptor(retry.WithMax(3))
	push := start(t, ways[0], interceptors.Caller{Stream: stream}, interceptors.Handler{}, nothingDesc, nil)
	_, err := push.Client("c1").NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/a.B/C")
	wantCode(t, err, codes.Unimplemented)
}

var nothingDesc = &grpc.ServiceDesc{ServiceName: "nothing"}
