package server_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
)

// A client whose one gRPC connection leads to a server that stops comes to the next
// server while a call to it is still under way, and the call is answered.
func TestGracefulStopWithAnotherServer(t *testing.T) {
	for _, way := range []string{"grpc", "direct"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := listen(t, nil), listen(t, nil)
				var current atomic.Pointer[port]
				current.Store(first)
				r, began, finish := slowClient(t, way, func(ctx context.Context) (net.Conn, error) { return current.Load().dial(ctx) })
				<-r.connected
				asked := make(chan error, 1)
				go func() {
					_, err := ask(t.Context(), first.Client("c1"))
					asked <- err
				}()
				<-began
				current.Store(second)
				stopped := make(chan error, 1)
				go func() { stopped <- first.GracefulStop(t.Context(), first.grpc) }()
				at := time.Now()
				<-r.connected
				if took := time.Since(at); took > 2*time.Second {
					t.Errorf("the client came to the other server after %v, want it at once", took)
				}
				synctest.Wait()
				if len(stopped) > 0 {
					t.Fatalf("got %v, want a server that waits for the call", <-stopped)
				}
				close(finish)
				if err := <-asked; err != nil {
					t.Errorf("the call that was under way: %v", err)
				}
				wantAnswer(t, second.Client("c1"), "c1")
				if err := <-stopped; err != nil {
					t.Errorf("GracefulStop: got %v, want no error", err)
				}
			})
		})
	}
}

// Where there is no other server, clients do not wait for one: the server stops as soon
// as the calls have ended. They come back when there is one again.
func TestGracefulStopWithoutAnotherServer(t *testing.T) {
	for _, way := range []string{"grpc", "direct"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := listen(t, nil)
				var current atomic.Pointer[port]
				current.Store(first)
				r, _, finish := slowClient(t, way, func(ctx context.Context) (net.Conn, error) {
					if p := current.Load(); p != nil {
						return p.dial(ctx)
					}
					return nil, errors.New("connection refused")
				})
				<-r.connected
				close(finish)
				wantAnswer(t, first.Client("c1"), "c1")
				current.Store(nil)
				at := time.Now()
				if err := first.GracefulStop(t.Context(), first.grpc); err != nil {
					t.Errorf("GracefulStop: got %v, want no error", err)
				}
				if took := time.Since(at); took > 2*time.Second {
					t.Errorf("GracefulStop took %v, want no time to speak of", took)
				}
				second := listen(t, nil)
				current.Store(second)
				<-r.connected
				wantAnswer(t, second.Client("c1"), "c1")
			})
		})
	}
}

// A connection that says nothing keeps nobody from stopping.
func TestGracefulStopWithASilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, nil)
		conn := p.speak(t, []byte("P"))
		defer conn.Close()
		synctest.Wait()
		at := time.Now()
		if err := p.GracefulStop(t.Context(), p.grpc); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		if took := time.Since(at); took > time.Second {
			t.Errorf("it took %v, want no time to speak of", took)
		}
	})
}

// What has not ended when the context does is cut off.
func TestGracefulStopInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := listen(t, nil)
		r, began, finish := slowClient(t, "grpc", p.dial)
		defer close(finish)
		<-r.connected
		asked := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), p.Client("c1"))
			asked <- err
		}()
		<-began
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := p.GracefulStop(ctx, p.grpc); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		wantCode(t, <-asked, codes.Unavailable)
	})
}

// slowClient runs a client "c1" whose first call answers when the test says so.
func slowClient(t *testing.T, way string, dial dialFunc) (r *running, began, finish chan struct{}) {
	t.Helper()
	began, finish = make(chan struct{}, 100), make(chan struct{})
	cc, err := grpc.NewClient("passthrough:///one", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	var opts []client.Option
	if way == "direct" {
		opts = append(opts, client.WithDirectDialer(dial))
	}
	return run(t, cc, "c1", waits("c1", began, finish), opts...), began, finish
}

// waits is a service that answers with this label when finish is closed.
func waits(label string, began chan<- struct{}, finish <-chan struct{}) func(grpc.ServiceRegistrar) {
	return (&service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		began <- struct{}{}
		select {
		case <-finish:
			return &testgrpc.SimpleResponse{ServerId: label}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}).register
}
