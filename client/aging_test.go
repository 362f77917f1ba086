package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/internal/faultnet"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// aging is a gRPC server whose connections do not grow old.
type aging struct {
	push *server.Server
	net  *faultnet.Network
	down atomic.Bool // no more connections can be made
}

func newAging(t *testing.T, age, grace time.Duration) *aging {
	t.Helper()
	a := &aging{push: server.New(), net: faultnet.New(faultnet.Config{Latency: time.Millisecond})}
	g := grpc.NewServer(a.push.Direct(nil), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: age, MaxConnectionAgeGrace: grace}))
	a.push.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(a.net.Listener()) }()
	t.Cleanup(func() {
		a.push.Close()
		g.Stop()
		<-served
		a.net.Cut()
	})
	return a
}

func (a *aging) dial(ctx context.Context, _ string) (net.Conn, error) {
	if a.down.Load() {
		return nil, errors.New("the network is down")
	}
	return a.net.DialContext(ctx, "")
}

func (a *aging) connection(t *testing.T) *grpc.ClientConn { return connection(t, a.dial) }

// old hides that a connection is a grpc.ClientConn.
type old struct{ grpc.ClientConnInterface }

// busy is a service whose calls take a while.
type busy struct{ worker }

func (b *busy) StreamingOutputCall(r *testgrpc.StreamingOutputCallRequest, s testgrpc.TestService_StreamingOutputCallServer) error {
	for range r.GetResponseParameters() {
		if _, err := b.UnaryCall(s.Context(), nil); err != nil {
			return err
		}
		if err := s.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func (b *busy) register(r grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(r, b) }

// storm makes calls to c1 until stop is called: unary ones, and streams of 10
// messages. It returns how many have succeeded and failed, and a failure.
func (a *aging) storm(t *testing.T) (stop func() (succeeded, failed int64, failure error)) {
	stub := testgrpc.NewTestServiceClient(a.push.Client("c1"))
	var succeeded, failed atomic.Int64
	var failure atomic.Value
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 6 {
		callers.Go(func() {
			time.Sleep(time.Duration(i) * 201 * time.Microsecond)
			for ctx.Err() == nil {
				var err error
				if i%2 == 0 {
					_, err = stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{})
				} else {
					err = readAll(t.Context(), stub, 10)
				}
				if err == nil {
					succeeded.Add(1)
					continue
				}
				failed.Add(1)
				failure.CompareAndSwap(nil, err)
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func() (int64, int64, error) {
		cancel()
		callers.Wait()
		err, _ := failure.Load().(error)
		return succeeded.Load(), failed.Load(), err
	}
}

// readAll makes a call whose answer has so many messages.
func readAll(ctx context.Context, stub testgrpc.TestServiceClient, messages int) error {
	s, err := stub.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{
		ResponseParameters: make([]*testgrpc.ResponseParameters, messages),
	})
	for err == nil {
		_, err = s.Recv()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// A gRPC server ends its connections when they have a certain age, and cuts off what
// still runs on them a little later. Calls arrive all the time, and none fails: the
// client has its next session before. A client that can't know fails some.
func TestConnectionsThatAgeLoseNoCall(t *testing.T) {
	for name, test := range map[string]struct {
		hide func(*grpc.ClientConn) grpc.ClientConnInterface
		want bool
	}{
		"a grpc.ClientConn":        {func(cc *grpc.ClientConn) grpc.ClientConnInterface { return cc }, true},
		"one that is embedded":     {func(cc *grpc.ClientConn) grpc.ClientConnInterface { return struct{ *grpc.ClientConn }{cc} }, true},
		"one that tells no states": {func(cc *grpc.ClientConn) grpc.ClientConnInterface { return old{cc} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAging(t, 10*time.Second, 2*time.Second)
				conns := newConnections()
				c := client.New(test.hide(a.connection(t)), "c1", conns.option())
				(&busy{worker{takes: 50 * time.Millisecond}}).register(c)
				stopped := serveUntilTheEnd(t, c)
				<-conns.came
				stop := a.storm(t)
				time.Sleep(time.Minute)
				succeeded, failed, failure := stop()
				switch {
				case succeeded < 2_500:
					t.Errorf("got %d answers, want many", succeeded)
				case test.want && failed > 0:
					t.Errorf("got %d of %d calls that failed, one with %v, want none", failed, succeeded+failed, failure)
				case !test.want && failed == 0:
					t.Error("got no call that failed: this test does not tell one client from the other")
				}
				if moves := len(conns.came); moves < 3 || moves > 10 {
					t.Errorf("got %d more sessions in 1m, want one for each 10s or so", moves)
				}
				if err := c.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				<-stopped
				for len(conns.went) > 0 {
					if err := <-conns.went; test.want && err != nil {
						t.Errorf("got a session that ended with %v, want it to end in order", err)
					}
				}
			})
		})
	}
}

// serveUntilTheEnd makes a client serve until the test ends, or it is shut down.
func serveUntilTheEnd(t *testing.T, c *client.Client) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})
	return stopped
}

// The old connection lives on, and no other can be made: so the session stays, and
// takes calls, and the client tries again, ever less often. Then it moves.
func TestAClientThatCanNotMoveStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAging(t, 10*time.Second, time.Hour)
		conns, retries := newConnections(), newRetries()
		c := client.New(a.connection(t), "c1", conns.option(), retries.option(), client.WithConnectTimeout(time.Second))
		(&busy{}).register(c)
		serveUntilTheEnd(t, c)
		<-conns.came
		a.down.Store(true)
		stub := testgrpc.NewTestServiceClient(a.push.Client("c1"))
		for range 600 {
			time.Sleep(time.Second)
			if _, err := stub.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
				t.Fatalf("got %v, want an answer from the session that is there", err)
			}
		}
		if len(conns.came) > 0 || len(conns.went) > 0 {
			t.Errorf("got %d more sessions and %d ends, want none", len(conns.came), len(conns.went))
		}
		if got := len(retries.times); got < 20 || got > 120 {
			t.Errorf("got %d attempts in 10m, want a backoff of up to 30s between them", got)
		}
		a.down.Store(false)
		<-conns.came
		if err := <-conns.went; err != nil {
			t.Errorf("got a session that ended with %v, want it to end in order", err)
		}
	})
}

// If the session ends while there is no other, the client comes back as usual.
func TestAClientThatCanNotMoveAndIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAging(t, 10*time.Second, 30*time.Second)
		conns := newConnections()
		c := client.New(a.connection(t), "c1", conns.option(), client.WithConnectTimeout(time.Second))
		serveUntilTheEnd(t, c)
		<-conns.came
		a.down.Store(true)
		if err := <-conns.went; err == nil {
			t.Error("got a session that ended in order, want one that was cut off")
		}
		a.down.Store(false)
		<-conns.came
	})
}

// A server that ends every connection at once has no more of it than one that
// refuses: the client waits longer and longer.
func TestConnectionsThatAgeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAging(t, 100*time.Millisecond, time.Hour)
		conns := newConnections()
		serveUntilTheEnd(t, client.New(a.connection(t), "c1", conns.option()))
		time.Sleep(10 * time.Minute)
		if got := len(conns.came); got < 20 || got > 120 {
			t.Errorf("got %d sessions in 10m, want a backoff of up to 30s between them", got)
		}
	})
}

// All clients of a connection move when it ends, at different times.
func TestClientsOfOneConnectionMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 20
		a := newAging(t, 10*time.Second, 2*time.Second)
		cc := a.connection(t)
		conns := newConnections()
		for range clients {
			serveUntilTheEnd(t, client.New(cc, "c1", conns.option()))
			<-conns.came
		}
		for round := range 5 {
			for range clients {
				<-conns.came
				if err := <-conns.went; err != nil {
					t.Fatalf("round %d: got a session that ended with %v, want it to end in order", round, err)
				}
			}
		}
	})
}

// A client that has lost its connection and is back at once is on a new connection, and
// has no reason to move: what it hears of the old one may come late.
func TestAClientThatIsBackStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAging(t, time.Hour, time.Hour)
		conns := newConnections()
		serveUntilTheEnd(t, client.New(a.connection(t), "c1", conns.option(), client.WithBackoff(backoff.Config{})))
		<-conns.came
		for round := range 100 {
			open := a.net.Conns()
			open[len(open)-1].Close()
			<-conns.went
			<-conns.came
			time.Sleep(10 * time.Millisecond)
			if len(conns.came) > 0 || len(conns.went) > 0 {
				t.Fatalf("round %d: got %d more sessions and %d ends, want none", round, len(conns.came), len(conns.went))
			}
		}
	})
}

// A session on the direct transport is on no connection of gRPC's: it does not care
// when that ends.
func TestADirectSessionDoesNotAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAging(t, 10*time.Second, 2*time.Second)
		cc := a.connection(t)
		conns := newConnections()
		serveUntilTheEnd(t, client.New(cc, "c1", conns.option(),
			client.WithDirectDialer(func(ctx context.Context) (net.Conn, error) { return a.net.DialContext(ctx, "") })))
		if p := <-conns.came; p.Protocol != "direct" {
			t.Fatalf("got a session on %q, want it on the direct transport", p.Protocol)
		}
		for range 10 {
			cc.Connect()
			time.Sleep(time.Minute)
		}
		if len(conns.came) > 0 || len(conns.went) > 0 {
			t.Errorf("got %d more sessions and %d ends, want none", len(conns.came), len(conns.went))
		}
		if n := watchers(); n != 0 {
			t.Errorf("got %d goroutines that watch the connection, want none", n)
		}
	})
}

// A client has one goroutine that watches its connection, and none when Serve has
// returned.
func TestOneGoroutineWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAging(t, 10*time.Second, 2*time.Second)
		cc, err := grpc.NewClient("passthrough:///test", grpc.WithContextDialer(a.dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		conns := newConnections()
		c := client.New(cc, "c1", conns.option(), client.WithHooks(client.Hooks{Connected: func(tunnel.Peer) {
			if n := watchers(); n > 1 {
				t.Errorf("got %d goroutines that watch the connection, want one", n)
			}
		}}))
		stopped := serveUntilTheEnd(t, c)
		for range 10 {
			<-conns.came
		}
		synctest.Wait()
		if n := watchers(); n != 1 {
			t.Errorf("got %d goroutines that watch the connection, want one", n)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-stopped
		if n := watchers(); n != 0 {
			t.Errorf("got %d goroutines that watch the connection after Serve, want none", n)
		}
	})
}

// watchers counts the goroutines that watch connections.
func watchers() int {
	b := make([]byte, 1<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "(*ClientConn).WaitForStateChange(")
}
