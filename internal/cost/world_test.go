//go:build !race

package cost

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
)

const name = "x"

// way is a way in which a client comes.
type way struct {
	name     string
	protocol string
	atClient func(addr string) []client.Option
}

var ways = []way{
	{"stream", "grpc", func(string) []client.Option { return nil }},
	{"direct", "direct", func(addr string) []client.Option { return []client.Option{client.WithDirect(addr, nil)} }},
}

// eachWay runs a test with a stub of a client that has come in each way, over TCP.
func eachWay(t *testing.T, test func(t *testing.T, w way, stub testgrpc.TestServiceClient)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			test(t, w, testgrpc.NewTestServiceClient(connect(t, w)))
		})
	}
}

// connect returns the connection to a client.
func connect(t *testing.T, w way, opts ...grpc.ServerOption) grpc.ClientConnInterface {
	push := server.New()
	g := grpc.NewServer(append(append(server.RecommendedOptions(), push.Direct(nil)), opts...)...)
	push.Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		push.Close()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	cc, err := grpc.NewClient(l.Addr().String(), append(client.RecommendedOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	c := client.New(cc, name, w.atClient(l.Addr().String())...)
	testgrpc.RegisterTestServiceServer(c, echo{})
	serving, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Serve(serving) }()
	t.Cleanup(func() { cancel(); <-ran })
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	if _, err := testgrpc.NewTestServiceClient(push.Client(name)).EmptyCall(ctx, &testgrpc.Empty{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	for s := range push.Sessions(name) {
		if got := s.Peer().Protocol; got != w.protocol {
			t.Fatalf("the client has come over %q, want %q", got, w.protocol)
		}
	}
	return push.Client(name)
}

// echo returns what comes.
type echo struct {
	testgrpc.UnimplementedTestServiceServer
}

func (echo) EmptyCall(context.Context, *testgrpc.Empty) (*testgrpc.Empty, error) {
	return &testgrpc.Empty{}, nil
}

func (echo) UnaryCall(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: r.GetPayload()}, nil
}

func (echo) StreamingOutputCall(r *testgrpc.StreamingOutputCallRequest, s grpc.ServerStreamingServer[testgrpc.StreamingOutputCallResponse]) error {
	msg := &testgrpc.StreamingOutputCallResponse{Payload: r.GetPayload()}
	for range r.GetResponseParameters()[0].GetSize() {
		if err := s.Send(msg); err != nil {
			return err
		}
	}
	return nil
}

// request has a payload of size bytes.
func request(size int) *testgrpc.SimpleRequest {
	return &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, size)}}
}

// many makes count calls, callers at a time.
func many(t *testing.T, callers, count int, call func() error) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for next.Add(1) <= int64(count) {
				if err := call(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// per returns by how much a counter grows for each of the calls, of both ends
// together. The first calls, which fill pools, do not count.
func per(t *testing.T, callers, count int, counter func() uint64, call func() error) float64 {
	t.Helper()
	many(t, callers, count/4, call)
	before := counter()
	many(t, callers, count, call)
	return float64(counter()-before) / float64(count)
}

// check compares what something costs with its limit.
func check(t *testing.T, what string, got, limit float64) {
	t.Helper()
	if got > limit {
		t.Errorf("got %.2f %s, want at most %g", got, what, limit)
		return
	}
	t.Logf("%.2f %s", got, what)
}

// allocations counts the allocations of this process.
func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// allocated counts their bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
