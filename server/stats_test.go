package server_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// ends is a stats handler that notes where calls go, and how they end after how
// long.
type ends struct{ got []string }

type targetKey struct{}

func (e *ends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	name, ok := server.TargetFromContext(ctx)
	if !ok {
		name = "nobody"
	}
	return context.WithValue(ctx, targetKey{}, name)
}

func (e *ends) HandleRPC(ctx context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.Begin:
		e.got = append(e.got, fmt.Sprintf("%v begins, streams %v", ctx.Value(targetKey{}), s.IsServerStream))
	case *stats.End:
		e.got = append(e.got, fmt.Sprintf("%v ends after %v: %v", ctx.Value(targetKey{}), s.EndTime.Sub(s.BeginTime), status.Code(s.Error)))
	}
}

func (*ends) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*ends) HandleConn(context.Context, stats.ConnStats)                       {}

// Stats handlers see which client a call is for, and calls that no session takes,
// too.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ends{}
		push := tunneltest.NewServer(t, server.WithStatsHandlers(e))
		want := func(what string, want ...string) {
			t.Helper()
			wantSame(t, what, e.got, want)
			e.got = nil
		}
		_, _ = ask(t.Context(), push.Client("c1"))
		want("of a client that is not connected", "c1 begins, streams false", "c1 ends after 0s: Unavailable")

		_, err := testgrpc.NewTestServiceClient(push.Client("c1")).FullDuplexCall(t.Context())
		if err == nil {
			t.Fatal("got a stream to nobody")
		}
		want("of a stream to it", "c1 begins, streams true", "c1 ends after 0s: Unavailable")

		soon, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, _ = ask(soon, push.Client("c1"), grpc.WaitForReady(true))
		cancel()
		want("of a call that waits for it in vain", "c1 begins, streams false", "c1 ends after 3s: DeadlineExceeded")

		_, _ = ask(soon, push.Client("c1"))
		want("of a context that has ended")

		began := make(chan struct{}, 1)
		push.Connect(t, "c1", hangs(began), client.WithMaxConcurrentCalls(1))
		session := only(t, push, "c1")
		hanging, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = ask(hanging, push.Client("c1"))
		}()
		<-began
		want("of a call under way", "c1 begins, streams false")
		_, _ = ask(t.Context(), push.Client("c1"))
		want("of a call above the limit", "c1 begins, streams false", "c1 ends after 0s: ResourceExhausted")
		cancel()
		<-done
		want("of a call that is cancelled", "c1 ends after 0s: Canceled")

		session.Close("enough")
		_, _ = ask(t.Context(), session)
		want("of a session that has ended", "c1 begins, streams false", "c1 ends after 0s: Unavailable")
	})
}
