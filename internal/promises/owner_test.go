package promises_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// labelled answers every unary call with this label.
func labelled(label string) *service {
	return &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return &testgrpc.SimpleResponse{ServerId: label}, nil
	}}
}

// Clients take over a name from each other, one every few milliseconds, and
// calls arrive all the time. Each is answered by the client that owned the name
// when it was made, or by one that took over later: never by one before.
func TestAPushGoesToTheOwnerOfTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const generations, callers = 30, 10
		w := newWorld(t, faultnet.Config{Latency: 500 * time.Microsecond}, server.WithDuplicates(server.ReplaceDuplicates))
		var oldest, newest atomic.Int64 // the generations that may answer
		w.connect(t, "c1", labelled("0"))
		stop := make(chan struct{})
		var done sync.WaitGroup
		var answers atomic.Int64
		for i := range callers {
			done.Go(func() {
				time.Sleep(time.Duration(i) * 103 * time.Microsecond)
				for {
					select {
					case <-stop:
						return
					default:
					}
					from := oldest.Load()
					r, err := w.stub("c1").UnaryCall(t.Context(), request(1))
					if err != nil {
						// It was on its way to the last one.
						wantCode(t, "a call", err, codes.Unavailable)
						continue
					}
					answers.Add(1)
					if got, err := strconv.ParseInt(r.GetServerId(), 10, 64); err != nil || got < from || got > newest.Load() {
						t.Errorf("got an answer of client %q, want one of %d to %d", r.GetServerId(), from, newest.Load())
					}
				}
			})
		}
		for n := range int64(generations) {
			time.Sleep(5*time.Millisecond + 7*time.Microsecond)
			newest.Store(n + 1)
			w.connect(t, "c1", labelled(fmt.Sprint(n+1)))
			oldest.Store(n + 1)
		}
		close(stop)
		done.Wait()
		if got := answers.Load(); got < 1000 {
			t.Errorf("got %d answers, want many", got)
		}
	})
}

// A client whose session has ended owns its name again within one round trip of
// the moment when it learned of it: one way for its hello to come.
func TestAClientThatComesBackOwnsItsName(t *testing.T) {
	const latency = 50 * time.Millisecond
	policies := map[string]server.Duplicates{
		"allow": server.AllowDuplicates, "replace": server.ReplaceDuplicates, "refuse": server.RefuseDuplicates,
	}
	for name, policy := range policies {
		t.Run("its session was closed: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				owned := make(chan time.Time, 10)
				w := newWorld(t, faultnet.Config{Latency: latency}, server.WithDuplicates(policy),
					server.WithHooks(server.Hooks{Connected: func(*server.Session) { owned <- time.Now() }}))
				m := w.connect(t, "c1", labelled("c1"))
				<-owned
				for range 5 {
					start := time.Now()
					for s := range w.Sessions() {
						s.Close("again")
					}
					<-m.went
					if got := time.Since(start); got != latency {
						t.Errorf("the client learned of the end after %v, want %v", got, latency)
					}
					want := 2 * latency
					if direct {
						want += 2 * latency // a connection of its own, each time
					}
					if got := (<-owned).Sub(start); got != want {
						t.Errorf("the client owned its name after %v, want %v: one round trip", got, want)
					}
					<-m.came
				}
			})
		})
		// The connection is dead and the server does not know. The client does,
		// and comes back on a new connection.
		t.Run("the server has not noticed that it was away: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				owned := make(chan time.Time, 10)
				w := newWorld(t, faultnet.Config{Latency: latency}, server.WithDuplicates(policy),
					server.WithHooks(server.Hooks{Connected: func(*server.Session) { owned <- time.Now() }}))
				m := w.connect(t, "c1", labelled("c1"))
				<-owned
				for range 3 {
					conns := w.net.Conns()
					old := conns[len(conns)-1]
					waiting := make(chan error, 1)
					old.Silence()
					go func() {
						_, err := w.stub("c1").UnaryCall(t.Context(), request(1))
						waiting <- err
					}()
					synctest.Wait()
					start := time.Now()
					if err := old.Close(); err != nil { // at the client's end; the news does not arrive
						t.Fatal(err)
					}
					want := 4 * latency
					if direct {
						want -= latency // without HTTP/2
					}
					if got := (<-owned).Sub(start); got != want {
						t.Errorf("the client owned its name after %v, want %v: a round trip for TCP, one way for HTTP/2, one for the hello", got, want)
					}
					sessions := 0
					for range w.Sessions("c1") {
						sessions++
					}
					if sessions != 1 {
						t.Errorf("got %d sessions of the name, want 1", sessions)
					}
					// The call on the dead session ends with it, long before a
					// heartbeat would have been missed.
					err := <-waiting
					wantCode(t, "a call on the dead session", err, codes.Unavailable)
					if got := tunnel.OutcomeOf(err); got != tunnel.OutcomeUnknown {
						t.Errorf("a call on the dead session: got the outcome %v, want %v", got, tunnel.OutcomeUnknown)
					}
					for range 4 {
						if _, err := w.stub("c1").UnaryCall(t.Context(), request(1)); err != nil {
							t.Errorf("a call on the new session: got %v, want an answer", err)
						}
					}
					<-m.came
					old.Heal()
				}
			})
		})
	}
}

// The callers of a client whose connection breaks are told at once.
func TestTheCallersOfALostClientAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 100
		w := newWorld(t, faultnet.Config{Latency: 10 * time.Millisecond}, server.WithHeartbeat(-1))
		m := w.connect(t, "c1", &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		failed := make(chan error, calls)
		for range calls {
			go func() {
				_, err := w.stub("c1").UnaryCall(context.WithoutCancel(t.Context()), request(1))
				failed <- err
			}()
		}
		time.Sleep(time.Minute)
		start := time.Now()
		w.net.Cut()
		for range calls {
			err := <-failed
			wantCode(t, "a call", err, codes.Unavailable)
			if got := tunnel.OutcomeOf(err); got != tunnel.OutcomeUnknown {
				t.Errorf("got the outcome %v, want %v", got, tunnel.OutcomeUnknown)
			}
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("got the last error after %v, want all at once", got)
		}
		m.stop()
		<-m.stopped
	})
}
