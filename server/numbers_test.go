package server_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

// Numbers counts what there is at each moment, and a session counts the calls to it.
func TestNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t, server.WithHeartbeat(-1))
		want := func(what string, want server.Numbers) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, push.Numbers()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		want("at first", server.Numbers{})
		began := make(chan struct{}, 1)
		leaves := push.Connect(t, "a", hangs(began))
		push.Connect(t, "b", answers("b"))
		push.Connect(t, "b", answers("b"))
		push.Connect(t, "b", answers("b"), client.WithNamespace("acme"))
		want("connected", server.Numbers{Sessions: 4, Names: 3})

		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for _, name := range []string{"later", "later", "never", "a"} {
			calls.Go(func() { _, _ = ask(ctx, push.Client(name), grpc.WaitForReady(true)) })
		}
		<-began
		want("some wait", server.Numbers{Sessions: 4, Names: 3, Waiting: 3})
		session := only(t, push, "a")
		calls.Go(func() { _ = leaves.Shutdown(ctx) })
		want("one leaves, with a call", server.Numbers{Sessions: 3, Ending: 1, Names: 2, Waiting: 3})
		if got := session.Traffic().Calls; got != 1 {
			t.Errorf("got %d calls to a, want 1", got)
		}
		cancel()
		calls.Wait()
		for range 3 {
			wantAnswer(t, push.Namespace("acme").Client("b"), "b")
		}
		for s := range push.Namespace("acme").Sessions("b") {
			if got := s.Traffic().Calls; got != 3 {
				t.Errorf("got %d calls to b, want 3", got)
			}
		}
	})
}
