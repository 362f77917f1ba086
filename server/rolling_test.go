package server_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// balancer is a client's connection to whichever server takes new clients, as a
// load balancer makes it.
type balancer struct {
	current atomic.Pointer[grpc.ClientConn]
}

func (b *balancer) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return b.current.Load().Invoke(ctx, method, args, reply, opts...)
}

func (b *balancer) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return b.current.Load().NewStream(ctx, desc, method, opts...)
}

// site is a server on a network of its own.
type site struct {
	*server.Server
	net *faultnet.Network
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{server.New(server.WithReconnectAfter(5 * time.Millisecond)), faultnet.New(faultnet.Config{Latency: time.Millisecond})}
	serveOn(t, s.Server, s.net.Listener())
	return s
}

func (s *site) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	return dialWith(t, s.net.DialContext)
}

// Two servers are restarted in turn, again and again, while calls arrive all the
// time. A caller asks the one server, and the other if nothing was sent. No call
// is lost, and none finds the client away: it connects to the next server before
// it parts from the last.
func TestARollingRestartLosesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, callers, restarts = 5, 20, 8
		var fleet [2]atomic.Pointer[site]
		for i := range fleet {
			fleet[i].Store(newSite(t))
		}
		var lb balancer
		lb.current.Store(fleet[0].Load().dial(t))
		var handled, succeeded atomic.Int64
		for i := range clients {
			c := run(t, &lb, fmt.Sprintf("c%d", i), counts(5*time.Millisecond, &handled).register)
			<-c.connected
		}

		stop := make(chan struct{})
		var callersDone sync.WaitGroup
		for i := range callers {
			callersDone.Go(func() {
				time.Sleep(time.Duration(i) * 251 * time.Microsecond)
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := askEither(t, &fleet, fmt.Sprintf("c%d", (i+n)%clients), n); err != nil {
						t.Errorf("got %v, want an answer", err)
						return
					}
					succeeded.Add(1)
				}
			})
		}
		for n := range restarts {
			time.Sleep(30*time.Millisecond + 777*time.Microsecond)
			old, next := &fleet[n%2], &fleet[(n+1)%2]
			lb.current.Store(next.Load().dial(t))
			if err := old.Load().Shutdown(t.Context()); err != nil {
				t.Errorf("restart %d: got %v, want nil", n, err)
			}
			old.Store(newSite(t))
		}
		close(stop)
		callersDone.Wait()
		if succeeded.Load() < 500 || succeeded.Load() != handled.Load() {
			t.Errorf("got %d answers of %d calls that were handled, want all, and many", succeeded.Load(), handled.Load())
		}
	})
}

// askEither calls a client through the server that has it, without any waiting.
func askEither(t *testing.T, fleet *[2]atomic.Pointer[site], name string, first int) error {
	start := time.Now()
	var err error
	for i := range 4 {
		if _, err = ask(t.Context(), fleet[(first+i)%2].Load().Client(name)); err == nil {
			if got := time.Since(start); got != 7*time.Millisecond {
				t.Errorf("got an answer after %v, want it after a round trip and the handler's time, 7ms", got)
			}
			return nil
		}
		if !tunnel.NotSent(err) {
			return err
		}
	}
	return err
}
