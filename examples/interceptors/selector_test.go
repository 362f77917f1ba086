package main

import (
	"context"
	"testing"
	"testing/synctest"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pushtunnel/pushtunnel/interceptors"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// selected is a method that a selector lets its interceptor see.
var selected string

var matchMethod = selector.MatchFunc(func(_ context.Context, c middleware.CallMeta) bool { return c.FullMethod() == selected })

// testSelector pushes while the method is selected, and while it is not.
func testSelector(t *testing.T, log *entries, calling interceptors.Caller, serving interceptors.Handler) {
	t.Helper()
	each(t, calling, serving, nothing, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		for method, want := range map[string]int{w.method: 1, "/other.Service/Method": 0} {
			selected, log.got = method, nil
			wantCode(t, w.push(within(t), cc, ""), codes.OK)
			synctest.Wait()
			if len(log.got) != want {
				t.Errorf("%s is selected: got the log %q, want %d lines", method, log.got, want)
			}
		}
	})
}

func TestSelectorCalling(t *testing.T) {
	log := &entries{}
	testSelector(t, log, interceptors.Caller{
		Unary:  selector.UnaryClientInterceptor(logging.UnaryClientInterceptor(log, onFinish), matchMethod),
		Stream: selector.StreamClientInterceptor(logging.StreamClientInterceptor(log, onFinish), matchMethod),
	}, interceptors.Handler{})
}

func TestSelectorServing(t *testing.T) {
	log := &entries{}
	testSelector(t, log, interceptors.Caller{}, interceptors.Handler{
		Unary:  selector.UnaryServerInterceptor(logging.UnaryServerInterceptor(log, onFinish), matchMethod),
		Stream: selector.StreamServerInterceptor(logging.StreamServerInterceptor(log, onFinish), matchMethod),
	})
}

// A selector can choose by the client, too: at the end that calls by the target.
func TestSelectorByTarget(t *testing.T) {
	chosen := ""
	log := &entries{}
	match := selector.MatchFunc(func(ctx context.Context, _ middleware.CallMeta) bool {
		target, ok := tunnel.TargetFromContext(ctx)
		return ok && target.Name == chosen
	})
	calling := interceptors.Caller{
		Unary:  selector.UnaryClientInterceptor(logging.UnaryClientInterceptor(log, onFinish), match),
		Stream: selector.StreamClientInterceptor(logging.StreamClientInterceptor(log, onFinish), match),
	}
	each(t, calling, interceptors.Handler{}, nothing, func(t *testing.T, w way, cc grpc.ClientConnInterface) {
		for name, want := range map[string]int{"c1": 1, "c2": 0} {
			chosen, log.got = name, nil
			wantCode(t, w.push(within(t), cc, ""), codes.OK)
			if len(log.got) != want {
				t.Errorf("%s is chosen: got the log %q, want %d lines", name, log.got, want)
			}
		}
	})
}
