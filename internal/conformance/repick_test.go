package conformance

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// TestRepick: a call that the picked session can't take goes to another, and its
// options see one call.
func TestRepick(t *testing.T) {
	cases := map[string]struct {
		busy       int // sessions, of 2
		want       codes.Code
		wantHeader metadata.MD
	}{
		"another session takes it": {1, codes.OK, metadata.Pairs("key", "value")},
		"no session takes it":      {2, codes.ResourceExhausted, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc := busyClients(t, c.busy)
				for range 3 {
					var finished []codes.Code
					var header metadata.MD
					err := cc.Invoke(t.Context(), unaryMethod, text("a"), &message{},
						grpc.OnFinish(func(err error) { finished = append(finished, status.Code(err)) }), grpc.Header(&header))
					if got := status.Code(err); got != c.want {
						t.Errorf("the call: got %v, want %v", err, c.want)
					}
					if diff := cmp.Diff([]codes.Code{c.want}, finished); diff != "" {
						t.Errorf("OnFinish: got a difference (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(c.wantHeader, header); diff != "" {
						t.Errorf("the header: got a difference (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

// busyClients returns the connection to two clients that take one call at a
// time. So many of them have one, and those are picked first.
func busyClients(t *testing.T, busy int) grpc.ClientConnInterface {
	t.Helper()
	push := tunneltest.NewServer(t, server.WithPicker(func(p server.Pick) *server.Session { return p.Sessions[0] }))
	for range 2 {
		push.Connect(t, target, func(r grpc.ServiceRegistrar) {
			handlers{
				unary: func(ctx context.Context, in *message) (*message, error) {
					return in, grpc.SetHeader(ctx, metadata.Pairs("key", "value"))
				},
				stream: func(s *served) error {
					<-s.Context().Done()
					return nil
				},
			}.register(r, &transcript{})
		}, client.WithMaxConcurrentCalls(1))
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for session := range push.Sessions() {
		if busy == 0 {
			break
		}
		busy--
		if _, err := session.NewStream(ctx, descs[bidiMethod], bidiMethod); err != nil {
			t.Fatalf("a stream to keep a session busy: got %v, want no error", err)
		}
	}
	return push.Client(target)
}
