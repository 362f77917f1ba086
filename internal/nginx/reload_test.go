//go:build unix

package nginx

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// storm makes calls to some names all the time, unary ones and streams.
type storm struct {
	stop     context.CancelFunc
	callers  sync.WaitGroup
	answered chan struct{} // gets something for each call that has succeeded
	failed   atomic.Int64
	longest  atomic.Int64 // of the calls, in nanoseconds
	failure  atomic.Pointer[string]
}

func (w *world) storm(t *testing.T, names ...string) *storm {
	s := &storm{answered: make(chan struct{}, 1<<20)}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	t.Cleanup(s.end)
	for _, name := range names {
		stub := w.stub(name)
		for kind, call := range map[string]func() error{
			"unary": func() error {
				_, err := stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{})
				return err
			},
			"stream from the client": func() error { return stream(t.Context(), stub) },
			"stream both ways":       func() error { return talk(t.Context(), stub) },
		} {
			s.callers.Go(func() {
				for ctx.Err() == nil {
					start := time.Now()
					err := call()
					s.took(time.Since(start))
					if err != nil {
						s.failed.Add(1)
						text := fmt.Sprintf("%s of %s, %v: %v", kind, name, tunnel.OutcomeOf(err), err)
						s.failure.CompareAndSwap(nil, &text)
						continue
					}
					s.answered <- struct{}{}
				}
			})
		}
	}
	return s
}

func (s *storm) took(d time.Duration) {
	for {
		longest := s.longest.Load()
		if int64(d) <= longest || s.longest.CompareAndSwap(longest, int64(d)) {
			return
		}
	}
}

func (s *storm) end() {
	s.stop()
	s.callers.Wait()
}

// stream makes a call whose answer takes a tenth of a second.
func stream(ctx context.Context, stub testgrpc.TestServiceClient) error {
	every := &testgrpc.ResponseParameters{IntervalUs: 20_000, Size: 1000}
	s, err := stub.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{
		ResponseParameters: []*testgrpc.ResponseParameters{every, every, every, every, every},
	})
	for err == nil {
		_, err = s.Recv()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// talk makes a call with 20 messages each way.
func talk(ctx context.Context, stub testgrpc.TestServiceClient) error {
	s, err := stub.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for range 20 {
		if err := s.Send(&testgrpc.StreamingOutputCallRequest{}); err != nil {
			_, err = s.Recv()
			return err
		}
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); err != io.EOF {
		return fmt.Errorf("got %v, want the end of the stream", err)
	}
	return nil
}

const reloads = 4

// nginx is reloaded several times, and calls arrive all the time. None fails: the
// clients move to the new workers before the old ones cut them off. That takes them a
// second and as long as the longest call.
func TestReloadsLoseNoCall(t *testing.T) { // alone, since it takes all processors
	w := newWorld(t, setup{shutdown: 10 * time.Second})
	shared := w.dial(t)
	var names []string
	var peers []*peer
	for i, cc := range []*grpc.ClientConn{w.dial(t), w.dial(t), w.dialTLS(t), shared, shared} {
		name := fmt.Sprintf("c%d", i)
		names, peers = append(names, name), append(peers, w.join(t, cc, name))
	}
	s := w.storm(t, names...)
	for n := range reloads {
		w.proxy.Reload(t)
		for range 500 {
			receive(t, s.answered, "answers")
		}
		for i, p := range peers {
			receive(t, p.came, fmt.Sprintf("client %d to move after reload %d", i, n))
			if err := receive(t, p.went, "its old session to end"); err != nil {
				t.Errorf("reload %d: the old session of client %d has ended with %v, want in order", n, i, err)
			}
		}
		w.proxy.AwaitStopped(t, 2*(n+1))
	}
	s.end()
	if n := s.failed.Load(); n > 0 {
		t.Errorf("%d calls have failed, one of them: %s", n, *s.failure.Load())
	}
	t.Logf("%d calls, the longest of %v", reloads*500+len(s.answered), time.Duration(s.longest.Load()))
}

// A client that can't know of the reload is cut off: that is what the others avoid.
func TestAReloadCutsOffWhoStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{shutdown: time.Second})
	p := w.join(t, struct{ grpc.ClientConnInterface }{w.dial(t)}, "c1")
	s := w.storm(t, "c1")
	w.proxy.Reload(t)
	if err := receive(t, p.went, "an end of the session"); err == nil {
		t.Error("got a session that ended in order, want one that was cut off")
	}
	receive(t, p.came, "the client to come back")
	s.end()
	if f := s.failure.Load(); f == nil || !strings.Contains(*f, "Unavailable") {
		t.Errorf("got no call that failed with Unavailable, but %v", f)
	}
}

// What nginx's own connections to the server are told is not passed on. The server
// waits for the tunnels on them, unless it has a MaxConnectionAgeGrace.
func TestTheServersConnectionsAge(t *testing.T) {
	t.Parallel()
	age := grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 500 * time.Millisecond})
	w := newWorld(t, setup{grpc: append(server.RecommendedOptions(), age)})
	p := w.join(t, w.dial(t), "c1")
	receive(t, w.heard, "a hello")
	for range 3 {
		receive(t, w.heard, "a heartbeat") // the first comes long after the connection is old
	}
	w.ask(t, "c1")
	none(t, p.came, "more sessions")
	none(t, p.went, "ends of the session")
}
