//go:build unix

package nginx

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// hang makes a call that is not answered, and returns its error, when it has one. The
// call is under way when hang returns.
func (w *world) hang(t *testing.T, p *peer) <-chan error {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		_, err := w.stub(p.Name()).UnaryCall(t.Context(), &testgrpc.SimpleRequest{ResponseSize: -1})
		failed <- err
	}()
	receive(t, p.hangs, "a call to arrive")
	return failed
}

// soon is well below what heartbeats take to notice something.
const soon = beat

// wantCut checks that a call fails soon, and as one that may have run.
func wantCut(t *testing.T, failed <-chan error, since time.Time) {
	t.Helper()
	err := receive(t, failed, "a call to fail")
	if got := time.Since(since); got > soon {
		t.Errorf("got an error after %v, want it at once", got)
	}
	if status.Code(err) != codes.Unavailable || tunnel.OutcomeOf(err) != tunnel.OutcomeUnknown {
		t.Errorf("got %v, outcome %v, want Unavailable and that it is unknown", err, tunnel.OutcomeOf(err))
	}
}

// The server notices at once that a client behind nginx has gone.
func TestAClientThatGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	cc := w.dial(t)
	failed := w.hang(t, w.join(t, cc, "c1"))
	start := time.Now()
	cc.Close() // as if it had been killed: no word to the server
	wantCut(t, failed, start)
	if err := receive(t, w.went, "the session's end at the server"); status.Code(err) != codes.Unavailable {
		t.Errorf("got a session that ended with %v, want Unavailable", err)
	}
}

// nginx is killed: calls fail at once, and clients come back when it is there again.
func TestNginxIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	quick := client.WithBackoff(backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1, MaxDelay: 100 * time.Millisecond})
	peers := map[string]*peer{"plain": w.join(t, w.dial(t), "plain", quick), "TLS": w.join(t, w.dialTLS(t), "TLS", quick)}
	calls := map[string]<-chan error{}
	for name, p := range peers {
		calls[name] = w.hang(t, p)
	}
	start := time.Now()
	w.proxy.Kill()
	for name := range peers {
		wantCut(t, calls[name], start)
	}
	for range peers {
		receive(t, w.went, "the sessions to end at the server")
	}
	for name := range peers {
		if _, err := w.stub(name).UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); status.Code(err) != codes.Unavailable || !tunnel.NotSent(err) {
			t.Errorf("a call while nginx is away: got %v, want Unavailable and that it was not sent", err)
		}
	}
	w.proxy.Run(t)
	for name, p := range peers {
		w.ask(t, name, grpc.WaitForReady(true))
		receive(t, p.came, "the client to come back")
	}
}
